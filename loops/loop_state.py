"""The whole state of a loop between two instants, as plain nested dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError
from .events import Events

if TYPE_CHECKING:
    from .loop import Loop
    from .node import Cell, Node

FORMAT = 1


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
