"""Passing on: what components that only carry, scale or join values say about what leaves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component
from ...loops.port import Port


def sender(component: Component, name: str) -> Port:
    """Return the port that feeds an input, or the input's own declaration where nothing is wired."""
    return component.peers_in.get(name, component.inputs[name])


def unheard(port: Port) -> Port:
    """Return an adopted port for a component that does not listen: it neither wakes nor orders the instant."""
    return replace(port, reads="all" if port.kind == "event" else "hold", wakes=False, optional=True)


def known(*sizes: Any) -> bool:
    """Are all of these sizes numbers?"""
    return all(isinstance(size, int) for size in sizes)


def carry(component: Component, source: str = "input", target: str = "output") -> None:
    """Let an input and an output say what feeds them: dtype, units, axes, bounds; called while shapes flow.

    The bounds are widened to hold the zero that stands before the first message.
    """
    port = sender(component, source)
    low, high = port.range
    component.inputs[source] = replace(component.inputs[source], dtype=port.dtype)
    component.outputs[target] = replace(component.outputs[target], dtype=port.dtype, units=port.units, axes=port.axes,
                                        low=min(low, 0.0), high=max(high, 0.0))


def frozen(value: np.ndarray) -> np.ndarray:
    """Return the array read-only: itself if it already is, else a copy."""
    if value.flags.writeable:
        value = value.copy()
        value.setflags(write=False)
    return value


def seal(value: np.ndarray) -> np.ndarray:
    """Return an array that nobody else holds, read-only from now on."""
    value.setflags(write=False)
    return value


def spread(value: float | list[float], size: int) -> np.ndarray:
    """Return one number or a list of `size` numbers as float64 [size]; raises ValueError when the length is wrong."""
    array = np.asarray(value, np.float64)
    if array.ndim > 1 or (array.ndim == 1 and array.size != size):
        raise ValueError(f"{array.size} values are given for {size}; write one number for all, or exactly {size}")
    return np.broadcast_to(array, (size,)).copy()
