"""A constant in anybody's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Period, next_tick
from ..parts.passing import frozen, unheard


class Constant(Component):
    """Publishes the same value on every signal port that is asked of it.

    It keeps the wires of the component it replaces but does not listen to them.

    Args:
        value: one number for every element, or a list with one number for each.
        period: publish again at this rhythm, for receivers that are stepped by what arrives.
    """

    open_inputs = True
    open_outputs = True

    def __init__(self, value: float | list[float] = 0.0, period: Period | None = None) -> None:
        self.value = value
        self.period = period
        self.inputs: dict[str, Port] = {}
        self.outputs: dict[str, Port] = {}

    @classmethod
    def example(cls) -> Constant:
        return cls(value=0.5)

    def adopt(self, name: str, port: Port) -> Port:
        """Take an input without listening to it."""
        return unheard(port)

    def infer(self) -> None:
        """Say how many values there are, and that nothing else will come."""
        for name, port in self.outputs.items():
            if port.kind != "signal":
                continue
            if isinstance(self.value, list) and len(port.shape) == 1 and not port.known:
                port = replace(port, shape=(len(self.value),))
            given = np.asarray(self.value, port.dtype)
            low, high = port.range
            if not port.choices and low <= given.min() and given.max() <= high:
                port = replace(port, low=float(given.min()), high=float(given.max()))
            self.outputs[name] = port

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self._said = {name: self._spread(name, port) for name, port in self.outputs.items()}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return dict(self._said)

    def next_wake(self, now: int) -> int | None:
        return None if self.period is None else next_tick(self.period, now)  # without a period, t = 0 is enough

    def _spread(self, name: str, port: Port) -> np.ndarray:
        """The value as the port wants it, [lanes, ...]; raises AssemblyError where it does not fit."""
        if port.kind == "event":
            raise AssemblyError([Problem("events cannot be constant", name, "Use basics.noise, or a brain.")])
        value = np.asarray(self.value, np.float64)
        if value.ndim and value.shape != port.shape:
            raise AssemblyError([Problem(f"{value.size} values are given, the receiver takes {port.shape}", name,
                                         "Write one number, or exactly as many as the receiver takes.")])
        full = np.broadcast_to(value, port.full_shape(self.lanes.count)).astype(port.dtype)
        if not (full == np.clip(full, port.low, port.high).astype(full.dtype)).all():
            raise AssemblyError([Problem(f"{self.value} lies outside [{np.min(port.low):g}, {np.max(port.high):g}]",
                                         name, "Choose a value that the receiver takes.")])
        return frozen(full)
