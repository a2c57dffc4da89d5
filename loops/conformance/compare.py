"""What conformance compares: outputs with ports, traces with traces, states with states, port names with folders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..component import Component
from ..errors import nearest
from ..events import Events
from ..node import Cell
from ..port import Port
from ..status import WAITING

Trace = list[tuple[int, dict[str, Any]]]


def check_output(ports: Mapping[str, Port], name: str, value: Any, lanes: int, now: int, previous: int | None) -> None:
    """Raise when a published value does not fit its port: the very check of the loop."""
    if name not in ports:
        raise AssertionError(f"published {name!r}, which is not an output. {nearest(name, ports)}")
    port = ports[name]
    if port.kind == "signal" and not port.per_lane:
        value = np.asarray(value, port.dtype)  # a metric may be a plain number
    Cell("output", name, port, lanes, True).inspect(value, now, previous)


def same(a: Any, b: Any) -> bool:
    """Are two states or values equal to the last bit (not-a-numbers included)?"""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Events) and isinstance(b, Events):
        return all(same(getattr(a, column), getattr(b, column)) for column in ("time", "lane", "index", "value"))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (a != a and b != b)


def difference(a: Any, b: Any, path: str = "") -> str:
    """Return where two states part ("memory.sum"); "" when they are the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            where = f"{path}.{key}".lstrip(".")
            if (key in a) != (key in b):
                return where
            if found := difference(a[key], b[key], where):
                return found
        return ""
    return "" if same(a, b) else path or "the value"


def same_trace(first: Trace, second: Trace, what: str) -> None:
    """Raise at the first instant and output where two traces part."""
    for (now, a), (then, b) in zip(first, second, strict=False):
        if now != then:
            raise AssertionError(f"{what}: one stepped at {now} ns, the other at {then} ns")
        for name in a.keys() | b.keys():
            if name not in a or name not in b or not same(a[name], b[name]):
                raise AssertionError(f"{what}: output {name} differs at {now} ns")
    if len(first) != len(second):
        raise AssertionError(f"{what}: one made {len(first)} steps, the other {len(second)}")


def close_trace(first: Trace, second: Trace, ports: Mapping[str, Port], lanes: Sequence[int], others: Sequence[int],
                what: str) -> None:
    """Raise where `lanes` of one trace are not `others` of the other, at the instants both have.

    Rounding may differ in the last digits, because batched arithmetic depends on the batch.
    """
    later = dict(second)
    for now, outputs in first:
        for name in sorted(outputs.keys() & later.get(now, {}).keys()):
            a, b = outputs[name], later[now][name]
            if ports[name].per_lane and not _close(_of_lanes(a, lanes), _of_lanes(b, others)):
                raise AssertionError(f"{what}: output {name} differs at {now} ns")


def _of_lanes(value: Any, lanes: Sequence[int]) -> list[np.ndarray]:
    if isinstance(value, Events):
        rows = [value.select(value.lane == lane) for lane in lanes]
        return [np.column_stack([r.time, r.index, r.value.reshape(len(r), math.prod(r.value.shape[1:]))]) for r in rows]
    return [value[list(lanes)]]


def _close(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.shape == y.shape and np.allclose(x, y, rtol=1e-4, atol=1e-5, equal_nan=True)
               for x, y in zip(a, b, strict=True))


def plain(state: Any, path: str = "", arrays_only: bool = False) -> str:
    """Return the first thing in a state that cannot be saved without a pickle, and where; "" when all can."""
    if isinstance(state, dict):
        for key, value in state.items():
            if not isinstance(key, str):
                return f"the key {key!r} at {path or 'top'}"
            if found := plain(value, f"{path}.{key}".lstrip("."), arrays_only):
                return found
        return ""
    if isinstance(state, np.ndarray) and state.dtype.kind in "biufcSU":
        return ""
    if not arrays_only and (state is None or type(state) in (bool, int, float, str)):
        return ""
    return f"a {type(state).__name__} at {path or 'top'}"


def without_learned(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state without what was learned."""
    return {key: value for key, value in state.items() if key != "learned"}


def broken_rule(folder: str, component: Component) -> str:
    """Return what is wrong with a component's port names for its folder; "" when nothing is."""
    inputs, outputs = component.inputs, component.outputs
    policy = folder == "brains" and hasattr(component, "respond")
    wanted_in = {"bodies": ["action"], "stimulators": ["command"]}.get(folder, [])
    wanted_out = {"bodies": ["observation", "reward", "status"], "coprocessors": ["command"],
                  "stimulators": ["current"]}.get(folder, [])
    if folder == "world_models" and outputs:
        wanted_out = ["prediction"]
    if policy:
        wanted_in, wanted_out = ["observation", "status"], ["action"]
    for side, ports, wanted in (("input", inputs, wanted_in), ("output", outputs, wanted_out)):
        for name in wanted:
            if name not in ports:
                return f"{folder} have an {side} {name}; this one has {', '.join(ports) or 'none'}"
    if folder == "stimulators" and not inputs["command"].guarded:
        return "a stimulator's command must be guarded (Port(..., guarded=True)): only a safety limiter may feed it"
    if folder == "brains" and "current" in inputs and not inputs["current"].guarded:
        return "a brain's current must be guarded (Port(..., guarded=True)): only a stimulator may feed it"
    if folder == "bodies" and "begin" not in inputs:
        return "bodies have an optional event input begin (lane, value = episode seed)"
    if folder == "bodies" and (inputs["begin"].kind, inputs["begin"].reads, inputs["begin"].optional) != (
            "event", "all", True):
        return "a body's begin is an optional event input that reads all"
    if "status" in inputs and inputs["status"].initial != WAITING:
        return "an input status starts as WAITING: declare it with status_input()"
    return ""
