"""Silence: zero in anybody's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.events import Events
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Period, next_tick
from ..parts.passing import frozen, unheard


class Silence(Component):
    """Publishes zero on every port that is asked of it, so that any unguarded component can be taken out.

    It keeps the wires of the component it replaces but does not listen to them, so it never closes a loop. Signals
    are published at t = 0 (zero, or what the port's bounds allow nearest to it) and again at each `period`; event
    ports say nothing, or with a `period` that nothing happened.

    Args:
        period: publish again at this rhythm, for receivers that are stepped by what arrives.
    """

    open_inputs = True
    open_outputs = True

    def __init__(self, period: Period | None = None) -> None:
        self.period = period
        self.inputs: dict[str, Port] = {}
        self.outputs: dict[str, Port] = {}

    @classmethod
    def example(cls) -> Silence:
        return cls()

    def adopt(self, name: str, port: Port) -> Port:
        """Take an input without listening to it."""
        return unheard(port)

    def infer(self) -> None:
        """Say that nothing but zero will come, so that whoever is behind knows the range."""
        for name, port in self.outputs.items():
            if port.kind == "signal" and not port.choices:
                low, high = port.range
                self.outputs[name] = replace(port, low=max(low, min(high, 0.0)), high=min(high, max(low, 0.0)))

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self._said: dict[str, Any] = {}
        for name, port in self.outputs.items():
            if port.kind == "signal":
                zeros = np.zeros(port.full_shape(lanes.count), port.dtype)
                self._said[name] = frozen(np.clip(zeros, port.low, port.high).astype(port.dtype))
            elif self.period is not None:
                self._said[name] = Events.empty(tuple(int(size) for size in port.shape), port.dtype)  # type: ignore[arg-type]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return dict(self._said)

    def next_wake(self, now: int) -> int | None:
        return None if self.period is None else next_tick(self.period, now)  # without a period, t = 0 is enough
