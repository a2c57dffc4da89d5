"""Toy parts of the latency assemblies: impulses, probes for every way of reading, a limb and one who reacts."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.events import Events
from stimloop.loops.port import Port
from stimloop.loops.time import SECOND, Clock

from .toys import MS, TICK


class Impulses(Component):
    """Publishes given values at given instants, and as events that happened up to 1 ns before."""

    def __init__(self, when: list[int], values: list[float]) -> None:
        self.when, self.values = when, values
        self.inputs = {}
        self.outputs = {"value": Port("impulse"), "event": Port("impulse", (), kind="event", indices=2)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if now not in self.when:
            return {}
        value = self.values[self.when.index(now)]
        time = [now, now - 1] if now else [now, now]  # given in any order; sorted by Events.of
        lane = np.array([0, self.lanes.count - 1])
        return {"value": np.full(self.lanes.count, value, np.float32) + np.arange(self.lanes.count, dtype=np.float32),
                "event": Events.of(time, lane, [1, 0], np.array([value, -value]))}

    def next_wake(self, now: int) -> int | None:
        return next((when for when in self.when if when > now), None)


class Probe(Component):
    """Writes down everything it reads, with what is new and when it stepped before."""

    def __init__(self, reads: str, wakes: bool, period: int | None = TICK) -> None:
        self.period = period
        self.inputs = {"value": Port("impulse", reads=reads, wakes=wakes, initial=0.5)}
        self.outputs = {"digest": Port("of all that was read", dtype="int64", per_lane=False)}
        self.rows: list[tuple] = []

    def reset(self, seed: int) -> None:
        self.rows = []
        self.digest = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        value = inputs["value"]
        kept = [(int(a), v.tobytes()) for a, v in value] if isinstance(value, list) else value.tobytes()
        self.rows.append((now, inputs.previous, kept, "value" in inputs.new))
        self.digest = crc32(repr(self.rows[-1]).encode(), self.digest)
        return {"digest": np.int64(self.digest)}

    def state_dict(self) -> dict[str, Any]:
        return {"digest": self.digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.digest = int(state["digest"])


class EventProbe(Component):
    """Writes down every event it is handed."""

    def __init__(self, reads: str, wakes: bool) -> None:
        self.period = TICK
        self.inputs = {"event": Port("impulse", (), kind="event", indices=2, reads=reads, wakes=wakes)}
        self.outputs = {"digest": Port("of all that was handed over", dtype="int64", per_lane=False)}
        self.rows: list[tuple] = []

    def reset(self, seed: int) -> None:
        self.rows = []
        self.digest = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        batch = inputs["event"]
        events = [(int(t), int(i), int(n), float(v)) for t, i, n, v in
                  zip(batch.time, batch.lane, batch.index, batch.value, strict=True)]
        self.rows.append((now, events, "event" in inputs.new))
        self.digest = crc32(repr(self.rows[-1]).encode(), self.digest)
        return {"digest": np.int64(self.digest)}

    def state_dict(self) -> dict[str, Any]:
        return {"digest": self.digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.digest = int(state["digest"])


def swing(x: np.ndarray, v: np.ndarray, u: np.ndarray, dt: int) -> tuple[np.ndarray, np.ndarray]:
    """Move a limb for `dt` ns under one torque; two halves of the time are not the whole of it."""
    seconds = dt / SECOND
    v = v + (8.0 * u - 0.5 * v) * seconds
    return x + v * seconds, v


def answer(x: np.ndarray) -> np.ndarray:
    """What one who reacts does about a place."""
    return np.clip(-3.0 * x, -1, 1)


class Limb(Component):
    """Shows its place each 20 ms; integrates between its steps with the torque that its input gives it."""

    def __init__(self, reads: str = "all", wakes: bool = False) -> None:
        self.period = TICK
        self.inputs = {"action": Port("torque", dtype="float64", low=-1, high=1, reads=reads, wakes=wakes)}
        self.outputs = {"observation": Port("place", dtype="float64")}

    def reset(self, seed: int) -> None:
        self.x, self.v = np.full(self.lanes.count, 0.25), np.zeros(self.lanes.count)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if inputs.previous is not None:
            torque = inputs["action"]
            rows = [(arrival, u) for arrival, u in torque] if isinstance(torque, list) else [(0, torque)]
            edges = [inputs.previous, *(arrival for arrival, _ in rows[1:]), now]
            for (_, u), begin, end in zip(rows, edges[:-1], edges[1:], strict=True):
                self.x, self.v = swing(self.x, self.v, u, end - begin)
        return {} if now % TICK else {"observation": self.x.copy()}

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x.copy(), "v": self.v.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x, self.v = np.array(state["x"]), np.array(state["v"])


class Reactor(Component):
    """Answers within the instant in which a place reaches it."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", dtype="float64", wakes=True)}
        self.outputs = {"action": Port("torque", dtype="float64", low=-1, high=1)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"action": answer(inputs["observation"])} if "observation" in inputs.new else {}


class Train(Component):
    """Pulses of 0.2 ms at 130 Hz."""

    rate = Clock(130)
    width = MS // 5

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"current": Port("current")}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        before = self.rate.tick(self._pulse(now))
        return {"current": np.full(self.lanes.count, 2.5 if now < before + self.width else 0, np.float32)}

    @staticmethod
    def _pulse(now: int) -> int:
        return ((now + 1) * 130 - 1) // SECOND  # the last k with floor(k s / 130) <= now

    def next_wake(self, now: int) -> int | None:
        end = self.rate.tick(self._pulse(now)) + self.width
        return end if now < end else self.rate.after(now)


class Neuron(Component):
    """Sums up, each 20 ms, the charge that its current brought."""

    def __init__(self, reads: str) -> None:
        self.period = TICK
        self.inputs = {"current": Port("current", reads=reads)}
        self.outputs = {"charge": Port("charge since the previous step", dtype="float64")}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if inputs.previous is None:
            return {"charge": np.zeros(self.lanes.count)}
        current = inputs["current"]
        rows = current if isinstance(current, list) else [(inputs.previous, current)]
        edges = [inputs.previous, *(arrival for arrival, _ in rows[1:]), now]
        return {"charge": sum(u.astype(np.float64) * (end - begin)
                              for (_, u), begin, end in zip(rows, edges[:-1], edges[1:], strict=True))}
