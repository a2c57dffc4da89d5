"""The whole state of a loop between two instants, as plain nested dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError, doing, notes
from .events import Events
from .wire import frozen_copy

if TYPE_CHECKING:
    from .component import Component
    from .loop import Loop
    from .node import Cell, Node

FORMAT = 1
_PARTS = ("components", "nodes", "cells", "injected", "counters", "evaluations")


def gather(loop: Loop) -> dict[str, Any]:
    """Return time, agenda, pipe contents, counters and every component's state as plain nested dictionaries."""
    if loop.pending is not None:
        raise RunError(f"the instant is paused at {loop.pending!r}; answer it before saving")
    return {
        "format": FORMAT,
        "now": loop.last,
        "components": {name: ask_state(name, component) for name, component in loop.components.items()},
        "nodes": {node.name: _gather_node(node) for node in loop.plan},
        "cells": {key: _gather_cell(cell) for key, cell in loop.cells.items()},
        "injected": {address: pipe.state_dict() for address, pipe in loop.injected.items()},
        "counters": {name: counter.state_dict() for name, counter in loop.counters.items()},
        "evaluations": {name: evaluation.state_dict() for name, evaluation in loop.evaluations.items()},
    }


def ask_state(name: str, component: Component) -> dict[str, Any]:
    """Return a component's state; whatever goes wrong says whose it was."""
    with doing("taking the state of", name, component):
        return component.state_dict()


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
    """Put a loop of the same system into a gathered state; one that does not fit leaves the loop as it was."""
    _check(loop, state)
    before = gather(loop) if loop.pending is None else None
    try:
        _scatter(loop, state)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        if before is not None:
            _scatter(loop, before)
        else:
            loop.reset()
        now = "as it was" if before is not None else "reset"
        raise RunError(f"this state does not fit this loop ({type(error).__name__}: {error}); the loop is {now}. "
                       f"{' '.join(notes(error))}".rstrip()) from error


def _check(loop: Loop, state: dict[str, Any]) -> None:
    """Hold the names in a state against the loop's own."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        form = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise RunError(f"this state has format {form!r}; this version reads {FORMAT}")
    if missing := [key for key in _PARTS if not isinstance(state.get(key), dict)] + ["now"] * ("now" not in state):
        raise RunError(f"this state is incomplete: it has no {', '.join(missing)}")
    mine, theirs = set(loop.components), set(state["components"])
    if mine != theirs:
        raise RunError(f"this state belongs to another system: only there {sorted(theirs - mine)}, "
                       f"only here {sorted(mine - theirs)}")
    lacking = _lacking(loop, state)
    if lacking:
        raise RunError(f"this state belongs to another system: it holds nothing for {', '.join(lacking)}")


def _scatter(loop: Loop, state: dict[str, Any]) -> None:
    """SimPy's agenda is rebuilt from names."""
    loop.reset()
    for name in loop.graph.build_order():
        with doing("loading the state of", name, loop.components[name]):
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
        kinds = nodes.get(node.name, {}).get("kinds", {}) if isinstance(nodes.get(node.name), dict) else {}
        lacking += [f"{node.name}.{name}" for name, pipe, _, _ in node.pipes if kinds.get(name) != type(pipe).__name__]
    return lacking


def _scatter_cell(cell: Cell, state: dict[str, Any]) -> None:
    cell.count = int(state["count"])
    if "events" in state:
        columns = [frozen_copy(state["events"][name]) for name in ("time", "lane", "index", "value")]
        cell.value = Events(*columns)
    elif "value" in state:
        value = frozen_copy(state["value"])
        if value.shape != cell.shape or value.dtype != cell.dtype:
            raise ValueError(f"{cell.key} holds {value.dtype} {value.shape} there, {cell.dtype} {cell.shape} here")
        cell.value = value


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
