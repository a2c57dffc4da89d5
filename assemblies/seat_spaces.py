"""Gymnasium spaces of a seat: what may be seen there, and what may be done, within the bounds that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from ..loops.errors import AssemblyError, Problem
from ..loops.port import Port

if TYPE_CHECKING:
    from ..loops.loop import Loop


def sender(loop: Loop, agent: str, key: str) -> Port | None:
    """Return the port from which an input of the seat receives, if one is wired to it."""
    return next((loop.cells[f"{wire.source.component}.{wire.source.port}"].port for wire in loop.graph.wires
                 if (wire.receiver, wire.input) == (agent, key)), None)


def observed_bounds(port: Port, sender: Port | None) -> Port:
    """Return an input's port with its sender's bounds where it declares none, and room for what it reads at first."""
    if sender is None or port.choices or np.isfinite([*np.ravel(port.low), *np.ravel(port.high)]).all():
        return port
    own, theirs = ([np.asarray(side, float) for side in (each.low, each.high)] for each in (port, sender))
    low = np.where(np.isfinite(own[0]), own[0], np.minimum(theirs[0], port.initial))
    high = np.where(np.isfinite(own[1]), own[1], np.maximum(theirs[1], port.initial))
    return replace(port, low=low, high=high)


def known_bounds(loop: Loop, agent: str, key: str, port: Port) -> Port:
    """Return an output's port with the bounds of whoever had the seat, or of the limiter behind it, if it has none."""
    if np.isfinite([port.low, port.high]).all():
        return port
    own = loop.components[agent].offered.get(key)  # type: ignore[attr-defined]
    if own is not None and np.isfinite([own.low, own.high]).all():
        return replace(port, low=own.low, high=own.high)
    for wire in loop.graph.wires:
        limiter = loop.components[wire.receiver]
        if (wire.source.component, wire.source.port) == (agent, key) and limiter.guard:
            passed = limiter.outputs["command"]
            return replace(port, low=passed.low, high=passed.high)
    return port


def bounded(port: Port, low: float | None, high: float | None) -> Port:
    if port.choices:
        return port
    low = low if low is not None and not np.isfinite(port.low).all() else None
    high = high if high is not None and not np.isfinite(port.high).all() else None
    return replace(port, low=port.low if low is None else low, high=port.high if high is None else high)


def space(ports: Mapping[str, Port]) -> spaces.Space:
    made: dict[str, spaces.Space] = {}
    for key, port in ports.items():
        if port.kind == "event":
            raise AssemblyError([Problem("events have no Gymnasium space", key,
                                         "Put a component between that turns them into a signal.")])
        shape = tuple(int(size) for size in port.shape if size is not None)  # type: ignore[arg-type]
        if port.choices:
            made[key] = spaces.Discrete(port.choices)
            continue
        dtype = np.dtype(port.dtype)
        low, high = (np.broadcast_to(np.asarray(side, np.float64), shape) for side in (port.low, port.high))
        if dtype.kind != "f":
            info = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.int8)
            low, high = np.clip(low, info.min, info.max), np.clip(high, info.min, info.max)
        made[key] = spaces.Box(low.astype(dtype), high.astype(dtype), shape, dtype.type)
    return made[next(iter(made))] if len(made) == 1 else spaces.Dict(made)
