"""The whole state of a loop between two instants, and on disk: a manifest and one tensor file per component."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import atomic_directory, finished_directories, read_manifest
from .errors import RunError
from .events import Events

if TYPE_CHECKING:
    from .loop import Loop
    from .node import Cell, Node

FORMAT = 1
_NAME = re.compile(r"(-?\d+)(?:-(\d+))?")


def gather(loop: Loop) -> dict[str, Any]:
    """Return time, agenda, pipe contents, counters and every component's state as plain nested dictionaries."""
    if loop.pending is not None:
        raise RunError(f"the instant is paused at {loop.pending!r}; answer it before saving")
    return {
        "format": FORMAT,
        "now": loop.last,
        "components": {name: component.state_dict() for name, component in loop.components.items()},
        "nodes": {node.name: _gather_node(node) for node in loop.plan},
        "cells": {key: _gather_cell(cell) for key, cell in loop.cells.items()},
        "injected": {address: pipe.state_dict() for address, pipe in loop.injected.items()},
        "counters": {name: counter.state_dict() for name, counter in loop.counters.items()},
        "evaluations": {name: evaluation.state_dict() for name, evaluation in loop.evaluations.items()},
    }


def _gather_node(node: Node) -> dict[str, Any]:
    return {
        "previous": node.previous,
        "wake": node.wake,
        "pending": np.array(sorted(node.pending), np.int64),
        "new": {name: bool(node.bits >> k & 1) for k, name in enumerate(node.names)},
        "kinds": {name: type(pipe).__name__ for name, pipe, _, _ in node.pipes},
        "pipes": {name: pipe.state_dict() for name, pipe, _, _ in node.pipes},
    }


def _gather_cell(cell: Cell) -> dict[str, Any]:
    state: dict[str, Any] = {"count": cell.count}
    if isinstance(cell.value, Events):
        value = cell.value
        state["events"] = {"time": value.time, "lane": value.lane, "index": value.index, "value": value.value}
    elif cell.value is not None:
        state["value"] = cell.value
    return state


def scatter(loop: Loop, state: dict[str, Any]) -> None:
    """Put a loop of the same system into a gathered state; SimPy's agenda is rebuilt from names."""
    if state.get("format") != FORMAT:
        raise RunError(f"this state has format {state.get('format')!r}; this version reads {FORMAT}")
    mine, theirs = set(loop.components), set(state["components"])
    if mine != theirs:
        raise RunError(f"this state belongs to another system: only there {sorted(theirs - mine)}, "
                       f"only here {sorted(mine - theirs)}")
    lacking = _lacking(loop, state)
    if lacking:
        raise RunError(f"this state belongs to another system: it holds nothing for {', '.join(lacking)}")
    loop.reset()
    for name in loop.graph.build_order():
        loop.components[name].load_state_dict(state["components"][name])
    for key, cell in loop.cells.items():
        _scatter_cell(cell, state["cells"][key])
    loop.last = int(state["now"])
    loop.restart_agenda()
    for node in loop.plan:
        _scatter_node(loop, node, state["nodes"][node.name])
    for address, pipe in loop.injected.items():
        pipe.load_state_dict(state["injected"][address])
    for name, counted in state["counters"].items():
        loop.counter(name).load_state_dict(counted)
    for name, fired in state["evaluations"].items():
        if name in loop.evaluations:
            loop.evaluations[name].load_state_dict(fired)


def _lacking(loop: Loop, state: dict[str, Any]) -> list[str]:
    """Ports, wires and components that are wired or read otherwise than where the state was gathered."""
    nodes, lacking = state["nodes"], sorted(set(loop.cells) - set(state["cells"]))
    lacking += sorted(set(loop.nodes) - set(nodes)) + sorted(set(loop.injected) - set(state["injected"]))
    for node in loop.plan:
        kinds = nodes.get(node.name, {}).get("kinds", {})
        lacking += [f"{node.name}.{name}" for name, pipe, _, _ in node.pipes if kinds.get(name) != type(pipe).__name__]
    return lacking


def _scatter_cell(cell: Cell, state: dict[str, Any]) -> None:
    cell.count = int(state["count"])
    if "events" in state:
        columns = [_frozen(state["events"][name]) for name in ("time", "lane", "index", "value")]
        cell.value = Events(*columns)
    elif "value" in state:
        cell.value = _frozen(state["value"])


def _scatter_node(loop: Loop, node: Node, state: dict[str, Any]) -> None:
    node.previous = None if state["previous"] is None else int(state["previous"])
    node.bits = sum(1 << k for k, name in enumerate(node.names) if state["new"].get(name))
    for name, cell in node.direct:
        if cell.count:
            node.inputs[name] = cell.value
    for name, pipe, _, _ in node.pipes:
        pipe.load_state_dict(state["pipes"][name])
    node.wake = None if state["wake"] is None else int(state["wake"])
    node.pending = {int(when) for when in state["pending"]}
    for when in {node.wake, *node.pending} - {None}:
        loop.schedule(when, node.rank)  # type: ignore[arg-type]


def _frozen(value: Any) -> np.ndarray:
    array = np.array(value)
    array.setflags(write=False)
    return array


# -- on disk -----------------------------------------------------------------------------------------------------------


def flatten(state: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a nested dictionary into arrays by path (`a/b`) and the same nesting of plain values."""
    arrays: dict[str, np.ndarray] = {}

    def split(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {"dict": {str(k): split(v, f"{path}/{k}" if path else str(k)) for k, v in value.items()}}
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise RunError(f"the state at {path!r} is an array of {value.dtype}; arrays hold numbers or bools")
            while path in arrays:  # "a/b" may also be a key of its own
                path += "'"
            arrays[path] = np.array(value, order="C")  # a view with strides would be written wrongly
            return {"array": path}
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return {"value": value}
        raise RunError(f"the state at {path!r} is a {type(value).__name__}; state_dict holds arrays, numbers, strings "
                       "and dictionaries of these")

    return arrays, split(state, "")


def unflatten(arrays: dict[str, np.ndarray], tree: dict[str, Any]) -> Any:
    """Put together what `flatten` split."""
    if "dict" in tree:
        return {key: unflatten(arrays, value) for key, value in tree["dict"].items()}
    if "array" in tree:
        return arrays[tree["array"]]
    return tree["value"]


def write(state: dict[str, Any], parent: Path, keep: int = 3) -> Path:
    """Write a gathered state as a directory under `parent` that appears whole or not at all; keep the newest `keep`.

    One tensor file per component; a file that equals the previous checkpoint's is hard-linked, not written again.
    """
    from safetensors.numpy import save

    parent = Path(parent)
    target = _free(parent, int(state["now"]))
    before = finished_directories(parent)
    earlier = _entries(before[-1]) if before else {}
    groups = {f"component.{name}": part for name, part in state["components"].items()}
    groups["loop"] = {key: value for key, value in state.items() if key != "components"}
    trees = {}
    with atomic_directory(target) as folder:
        folder.facts.update(format=FORMAT, now=int(state["now"]))
        for name, part in groups.items():
            arrays, trees[name] = flatten(part)
            content, file = save(arrays), f"{name}.safetensors"
            entry = earlier.get(file)
            if entry and entry["size"] == len(content) and entry["sha256"] == hashlib.sha256(content).hexdigest():
                folder.link(file, before[-1] / file, entry)
            else:
                folder.write(file, content)
        folder.write("state.json", json.dumps(trees).encode())
    for old in finished_directories(parent)[:-keep]:
        shutil.rmtree(old)
    return target


def _free(parent: Path, now: int) -> Path:
    """A name not taken: two saves at one instant are two checkpoints."""
    number = 0
    while (target := parent / (f"{now:020d}" + (f"-{number}" if number else ""))).exists():
        number += 1
    return target


def _entries(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_manifest(folder, verify=False)["files"])
    except RunError:
        return {}


def read(folder: Path) -> dict[str, Any]:
    """Read a checkpoint directory that `write` made; raises RunError when a file is missing or altered."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.get("format") != FORMAT:
        raise RunError(f"{folder} has format {manifest.get('format')!r}; this version reads {FORMAT}")
    try:
        trees = json.loads((folder / "state.json").read_bytes())
        parts = {name: unflatten(load((folder / f"{name}.safetensors").read_bytes()), tree)
                 for name, tree in trees.items()}
        state = parts.pop("loop")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"the checkpoint {folder} cannot be read: {error}") from error
    state["components"] = {name.removeprefix("component."): part for name, part in parts.items()}
    return state


def newest(parent: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint under `parent`; None when there is none.

    Raises RunError when it is damaged: an older one is taken only when somebody has said so by deleting this one.
    """
    parent = Path(parent)
    found = {(int(name.group(1)), int(name.group(2) or 0)): path
             for path in (parent.iterdir() if parent.is_dir() else ()) if (name := _NAME.fullmatch(path.name))}
    if not found:
        return None
    newest_one = found[max(found)]
    try:
        return read(newest_one)
    except RunError as error:
        raise RunError(f"the newest checkpoint is damaged: {newest_one} ({error}). Nothing was changed. Delete that "
                       "directory to go on from the checkpoint before it, or bring back a copy of it") from error
