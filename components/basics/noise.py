"""Noise in anybody's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ...loops.bounds import NonNegative
from ...loops.component import Component, Inputs
from ...loops.events import Events
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.time import SECOND, Period
from ..parts.passing import frozen, unheard


class Noise(Component):
    """Publishes random values within the bounds of every port that is asked of it.

    Without a `period` it speaks at t = 0 and whenever one of its inputs arrives, as often as the component it
    replaces. Each lane and each port draws numbers of its own.

    Args:
        distribution: `uniform` between the bounds of the port (where there are none: `scale` around zero), or
            `normal` around zero with deviation `scale`, cut off at the bounds. Discrete ports are always uniform.
        scale: size of what is drawn, see above.
        rate: events per second of each neuron or channel, for event ports (a Poisson process, times within the step).
        period: speak at this rhythm, and do not listen to the inputs.
    """

    open_inputs = True
    open_outputs = True
    random = True

    def __init__(self, distribution: Literal["uniform", "normal"] = "uniform", scale: NonNegative = 1.0,
                 rate: NonNegative = 10.0, period: Period | None = None) -> None:
        if scale < 0 or rate < 0:
            raise ValueError(f"scale {scale} and rate {rate} may not be negative")
        self.distribution, self.scale, self.rate, self.period = distribution, scale, rate, period
        self.inputs: dict[str, Port] = {}
        self.outputs: dict[str, Port] = {}

    @classmethod
    def example(cls) -> Noise:
        return cls(period=20_000_000)

    def adopt(self, name: str, port: Port) -> Port:
        """Listen to an input only if there is no period."""
        return replace(port, optional=True) if self.period is None else unheard(port)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        one = Lanes.of(1)
        self._random = {name: LaneRandom(seed, self.lanes if port.per_lane else one, name)
                        for name, port in self.outputs.items()}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {name: self._events(name, port, inputs.previous, now) if port.kind == "event"
                else self._signal(name, port) for name, port in self.outputs.items()}

    def state_dict(self) -> dict[str, Any]:
        return {name: random.state_dict() for name, random in self._random.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, random in self._random.items():
            if name in state:
                random.load_state_dict(state[name])

    def _signal(self, name: str, port: Port) -> np.ndarray:
        random, shape = self._random[name], tuple(int(size) for size in port.shape)  # type: ignore[arg-type]
        value = self._values(port, partial(random.normal if self._is_normal(port) else random.uniform, shape))
        return frozen(value if port.per_lane else value[0])

    def _is_normal(self, port: Port) -> bool:
        return self.distribution == "normal" and np.dtype(port.dtype).kind not in "iub"

    def _values(self, port: Port, draw: Callable[[], np.ndarray]) -> np.ndarray:
        """Values that the port takes, from what is drawn: standard normal or uniform in [0, 1)."""
        low = np.where(np.isfinite(port.low), port.low, -self.scale)
        high = np.where(np.isfinite(port.high), port.high, self.scale)
        kind, drawn = np.dtype(port.dtype).kind, draw()
        if kind == "b":
            return (drawn >= 0.5).astype(port.dtype)
        if kind in "iu":
            top = high.astype(np.int64) - low.astype(np.int64) + 1
            return (np.floor(drawn * top) + low).astype(port.dtype)
        wanted = self.scale * drawn if self._is_normal(port) else low + (high - low) * drawn
        return np.clip(wanted.astype(port.dtype), port.low, port.high)

    def _events(self, name: str, port: Port, previous: int | None, now: int) -> Events:
        """Events in (previous, now]: of each index a Poisson number, each at a time of its own."""
        shape = tuple(int(size) for size in port.shape)  # type: ignore[arg-type]
        if previous is None:
            return Events.empty(shape, port.dtype)
        random, span = self._random[name], now - previous
        counts = random.poisson(self.rate * span / SECOND, (int(port.indices),))  # type: ignore[arg-type]
        lane, index = (np.repeat(place, counts.ravel()) for place in np.indices(counts.shape).reshape(2, -1))
        events = counts.sum(axis=1)  # [lanes]
        time = now - np.floor(random.uniform_each(events) * span).astype(np.int64)
        draw = random.normal_each if self._is_normal(port) else random.uniform_each
        return Events.of(time, lane, index, self._values(port, partial(draw, events, shape)), port.dtype)
