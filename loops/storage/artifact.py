"""Artifacts: what a component learned, in one safetensors file with its type, its ports and a content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from ..component import Component
from ..errors import AssemblyError, Problem
from ..port import Port
from .atomic import replace_file

FORMAT = "stimloop artifact 1"
_SEPARATOR = "/"  # joins the names of nested dictionaries


def save(path: str | Path, component: Component, type_name: str, note: str = "",
         made: Mapping[str, Any] | None = None) -> str:
    """Write what a built component learned; return the content hash.

    A component may have a `meaning`: what its arrays mean beside their sizes (an activation), in plain values, with
    which alone they may be taken again.
    """
    learned = component.state_dict().get("learned")
    if not learned:
        raise AssemblyError([Problem("has learned nothing that could be saved", type_name,
                                     "Only components with weights or other learned arrays make artifacts.")])
    ports = {"inputs": describe(component.inputs), "outputs": describe(component.outputs)}
    return write(path, learned, type_name, ports, note, made, getattr(component, "meaning", None))


def write(path: str | Path, learned: Mapping[str, Any], type_name: str, ports: Mapping[str, Any],
          note: str = "", made: Mapping[str, Any] | None = None, meaning: Mapping[str, Any] | None = None) -> str:
    """Write learned arrays to `path`, whole or not at all; return the content hash.

    `note` is for people; `made` says in plain values what made them, so that a program recognises them.
    """
    arrays = flat(learned)
    digest = content_hash(learned)
    meta = {"format": FORMAT, "type": type_name, "hash": digest, "note": note,
            "ports": json.dumps(ports, sort_keys=True)}
    if meaning:
        meta["meaning"] = json.dumps(meaning, sort_keys=True)
    if made:
        meta["made"] = json.dumps(made, sort_keys=True)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = to_bytes({name: np.asarray(value, order="C") for name, value in arrays.items()}, meta)  # () stays ()
    replace_file(target, [data], sync=True)
    return digest


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (learned arrays, meta) of an artifact; meta has type, ports, hash, note and made.

    Raises AssemblyError when the file is missing, is no artifact, or does not hold what its hash says.
    """
    where = str(path)
    if not Path(path).is_file():
        raise AssemblyError([Problem("there is no such weights file", where,
                                     "Give the name of shipped weights or the path of a .safetensors artifact. "
                                     "From a run: stimloop export RUN --weights COMPONENT --to FILE.safetensors.")])
    try:
        with safe_open(where, framework="numpy") as file:
            meta = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise AssemblyError([Problem(f"cannot be read as weights: {error}", where,
                                     "Copy the file again, or make it anew from its study.")]) from error
    if meta.get("format") != FORMAT:
        raise AssemblyError([Problem("is no stimloop artifact (its header does not say so)", where,
                                     "Write it with stimloop.loops.storage.artifact.save.")])
    learned = nested(arrays)
    if content_hash(learned) != meta.get("hash"):
        raise AssemblyError([Problem("does not hold what its own hash says: it was changed or damaged after it was "
                                     "written, or an earlier stimloop gave its single numbers an axis", where,
                                     "Copy it again from where it came from, or make it anew, of a run with: "
                                     "stimloop export RUN --weights COMPONENT --to FILE.safetensors.")])
    meta["ports"] = json.loads(meta.get("ports", "{}"))
    meta["made"] = json.loads(meta.get("made", "{}"))
    meta["meaning"] = json.loads(meta.get("meaning", "{}"))
    return learned, meta


def check(expected: Mapping[str, Any], given: Mapping[str, Any], where: str,
          meta: Mapping[str, Any] | None = None) -> None:
    """Compare names and sizes of learned arrays; raises AssemblyError that names both sides of each difference."""
    mine, theirs = flat(expected), flat(given)
    source = f" (made by {meta['type']})" if meta and meta.get("type") else ""
    problems = [Problem(f"{name} is {_size(theirs[name])}{source}, here it must be {_size(mine[name])}", where)
                for name in sorted(mine.keys() & theirs.keys()) if mine[name].shape != theirs[name].shape]
    problems += [Problem(f"lacks {name} {_size(mine[name])}", where) for name in sorted(mine.keys() - theirs.keys())]
    problems += [Problem(f"holds {name} {_size(theirs[name])}{source}, which has no place here", where)
                 for name in sorted(theirs.keys() - mine.keys())]
    if problems:
        fix = "The component's parameters and wiring must be those with which the weights were made."
        last = problems[-1]
        raise AssemblyError([*problems[:-1], Problem(last.what, last.where, fix)])


def take(path: str | Path, expected: Mapping[str, Any], without: Collection[str] = (),
         meaning: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the learned arrays of the artifact that a parameter `weights` names, some left out; they have to fit.

    Where the artifact says what its arrays mean, that has to be this `meaning`. Raises AssemblyError with one problem
    at that parameter.
    """
    try:
        learned, meta = load(path)
        learned = {name: value for name, value in learned.items() if name not in without}
        check(expected, learned, str(path), meta)
        if apart := [f"{name} {meta['meaning'][name]}, here it is {value}" for name, value in (meaning or {}).items()
                     if meta["meaning"].get(name, value) != value]:
            raise AssemblyError([Problem(f"was made with {'; '.join(apart)}", str(path))])
    except AssemblyError as error:
        what = "; ".join(problem.what for problem in error.problems)
        raise AssemblyError([Problem(f"{Path(path).name}: {what}", "params.weights",
                                     f"{error.problems[-1].fix}\nweights: null begins without any.")]) from None
    return learned


def content_hash(learned: Mapping[str, Any]) -> str:
    """Return a SHA-256 over names, types, shapes and bytes of the learned arrays."""
    digest = hashlib.sha256()
    for name, value in sorted(flat(learned).items()):
        digest.update(f"{name}\x1f{value.dtype.str}\x1f{value.shape}\x1f".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def describe(ports: Mapping[str, Port]) -> dict[str, dict[str, Any]]:
    """Return ports as plain values: what a reader must know to put the weights to use."""
    return {name: {"shape": list(port.shape), "dtype": port.dtype, "units": port.units, "choices": port.choices,
                   "about": port.about} for name, port in sorted(ports.items())}


def flat(learned: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nested learned arrays as one dictionary, names joined by `/`, in name order."""
    return dict(sorted(_walk(learned, "")))


def nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Undo `flat`."""
    learned: dict[str, Any] = {}
    for name, value in arrays.items():
        *path, last = name.split(_SEPARATOR)
        place = learned
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return learned


def _walk(learned: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in learned.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{name}{_SEPARATOR}")
        else:
            yield prefix + name, np.asarray(value)


def _size(array: np.ndarray) -> str:
    return "(" + ", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else "") + ")"

