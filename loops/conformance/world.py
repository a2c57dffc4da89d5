"""What a component under test hears: random but legal messages at legal instants, keyed by global lane number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..events import Events
from ..lanes import Lanes
from ..port import Port
from ..seeds import derive
from ..status import FIRST, TERMINATED, TRUNCATED, WAITING
from ..time import MILLISECOND, Clock, next_tick

TICKS = 400  # messages of one sender that a world has ready
LARGE = 1e6  # an extreme where a port has no bound
APART = ("begin", "learned")  # inputs with a protocol of their own: checked by the body and learner properties


@dataclass(frozen=True)
class Plan:
    """One legal life of a component: Hypothesis draws these, and a failure names one."""

    seed: int = 0
    steps: int = 8
    lanes: int = 2
    late: bool = False  # does nothing arrive at t = 0?
    jitter: bool = False  # irregular gaps, from one nanosecond to fifty ticks
    optional: bool = True  # are optional inputs wired?
    also: bool = False  # are inputs read in another way that they allow?
    values: str = "random"  # or low, high, zero, mixed
    episodes: str = "waiting"  # or "running" (no lane ever waits), "one" (a single long episode)


class World:
    """Messages for the inputs of one component; what a lane hears depends on its global number only.

    `salt(world, name, tick, lane number)` may change single values: 0 is the ordinary one. `flags` overrides single
    status flags by (tick, lane number).
    """

    def __init__(self, ports: Mapping[str, Port], lanes: Lanes, plan: Plan, period: int | Clock | None,
                 together: bool = False, salt: Callable[[World, str, int, int], int] | None = None,
                 flags: Mapping[tuple[int, int], int] | None = None) -> None:
        self.ports = ports
        self.lanes = lanes
        self.plan = plan
        self.period = period
        self.together = together
        self.salt = salt or (lambda world, name, tick, lane: 0)
        self.flags = dict(flags or {})
        self._instants: dict[str, list[int]] = {}
        self._episodes: dict[int, list[int]] = {}

    def group(self, name: str) -> str:
        """Return which sender an input listens to: everything a body publishes comes at the same instants."""
        body = name in ("status", "reward", "solved") or name.startswith("observation")
        return "body" if body or self.together else name

    def reads(self, name: str) -> str:
        """Return how an input is read: as its port declares, or in another way that it allows."""
        port = self.ports[name]
        other = [way for way in port.also if way != "mean" or np.dtype(port.dtype).kind == "f"]
        return other[self.plan.seed % len(other)] if self.plan.also and other else port.reads

    def instant(self, name: str, tick: int) -> int:
        """Return when message `tick` of the sender of this input arrives."""
        group = self.group(name)
        if group not in self._instants:
            self._instants[group] = self._schedule(group)
        return self._instants[group][tick]

    def _schedule(self, group: str) -> list[int]:
        rng = np.random.default_rng(derive(self.plan.seed, group))
        base = 10 * MILLISECOND if self.period is None else next_tick(self.period, 0)
        counted = [name for name in ("status", "reward") if name in self.ports]
        in_step = group == "body" and any(self.reads(name) in ("now", "hold") for name in counted)
        if self.period is not None and in_step:  # a faster body would make flags pass unseen: a build error
            instants = [0]
            while len(instants) < TICKS + 1:
                instants.append(next_tick(self.period, instants[-1]))
        else:
            gaps = np.full(TICKS, base if group == "body" else max(1, base * int(rng.integers(1, 5)) // 2))
            if self.plan.jitter:
                gaps = np.maximum(1, rng.choice([1, base // 7, base, base, 50 * base], size=TICKS))
            instants = [0, *np.cumsum(gaps).tolist()]
        return instants[1:] if self.plan.late else instants[:-1]

    def message(self, name: str, tick: int) -> np.ndarray | Events | None:
        """Return what arrives at this input with message `tick`; None when the sender says nothing."""
        if self.group(name) == "body" and self._all_wait(tick):
            return None
        port = self.ports[name]
        if port.kind == "event":
            return self._events(name, port, tick)
        numbers = [int(n) for n in self.lanes.numbers] if port.per_lane else [-1]
        rows = [self._value(name, port, tick, number) for number in numbers]
        value = np.stack(rows) if port.per_lane else rows[0]
        value = np.ascontiguousarray(value, dtype=port.dtype)
        value.setflags(write=False)
        return value

    def status(self, tick: int, number: int) -> int:
        """Return the episode flags of one lane with message `tick`."""
        if (tick, number) in self.flags:
            return self.flags[tick, number]
        key = number + 1_000_003 * self.salt(self, "status", tick, number)
        if key not in self._episodes:
            self._episodes[key] = _episodes(self._rng("status", 0, key), self.plan.episodes, self.plan.seed % 2 == 1)
        return self._episodes[key][tick]

    def _all_wait(self, tick: int) -> bool:
        return "status" in self.ports and all(self.status(tick, int(n)) == WAITING for n in self.lanes.numbers)

    def _rng(self, *key: object) -> np.random.Generator:
        return np.random.default_rng(derive(self.plan.seed, *key))

    def _value(self, name: str, port: Port, tick: int, number: int) -> np.ndarray:
        if name == "status":
            return np.int64(self.status(tick, number))  # type: ignore[return-value]
        if "status" in self.ports and self.group(name) == "body" and number >= 0:
            if name == "reward" and self.status(tick, number) in (FIRST, WAITING):
                return np.zeros(port.shape, port.dtype)  # type: ignore[arg-type]
            while tick > 0 and self.status(tick, number) == WAITING:  # a lane that waits repeats itself
                tick -= 1
        rng = self._rng(name, tick, number, self.salt(self, name, tick, number))
        return draw(port, rng, self.plan.values)

    def _events(self, name: str, port: Port, tick: int) -> Events | None:
        now = self.instant(name, tick)
        since = self.instant(name, tick - 1) if tick else -1
        lane, time, index, value = [], [], [], []
        for position, number in enumerate(int(n) for n in self.lanes.numbers):
            rng = self._rng(name, tick, number, self.salt(self, name, tick, number))
            for _ in range(int(rng.choice([0, 0, 1, 2]))):
                lane.append(position)
                time.append(int(rng.integers(since + 1, now + 1)))
                index.append(int(rng.integers(0, max(1, int(port.indices or 1)))))
                value.append(draw(port, rng, self.plan.values))
        if not lane:
            return Events.empty(port.shape, port.dtype)  # type: ignore[arg-type]
        return Events.of(time, lane, index, np.stack(value), dtype=port.dtype)


def _episodes(rng: np.random.Generator, kind: str, at_once: bool) -> list[int]:
    """Return the flags of one lane, as a body would publish them."""
    flags = [WAITING] * int(rng.integers(0, 3)) if kind == "waiting" and rng.random() < 0.3 else []
    flags.append(FIRST)
    while len(flags) < TICKS + 1:
        if kind == "one" or rng.random() < 0.7:
            flags.append(0)
        elif at_once:
            flags.append(TERMINATED | FIRST)
        else:
            flags.append(TERMINATED if rng.random() < 0.5 else TRUNCATED)
            if kind == "waiting" and rng.random() < 0.4:
                flags += [WAITING] * int(rng.integers(1, 4))
            flags.append(FIRST)
    return flags


def draw(port: Port, rng: np.random.Generator, values: str = "random") -> np.ndarray:
    """Return one value of a port for one lane, within its bounds."""
    shape: tuple[Any, ...] = port.shape
    dtype = np.dtype(port.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    low, high = _bounds(port, dtype)
    corners = {"low": low, "high": high, "zero": np.clip(np.zeros(shape), low, high)}
    if values in corners:
        return _cast(corners[values], low, high, dtype)
    if values == "mixed":
        return _cast(np.choose(rng.integers(0, 3, shape), list(corners.values())), low, high, dtype)
    if dtype.kind in "iu":
        return rng.integers(low.astype(np.int64), np.minimum(high, 2.0**53).astype(np.int64) + 1, shape).astype(dtype)
    bounded = (np.abs(low) < LARGE) & (np.abs(high) < LARGE)
    inside = low + (high - low) * rng.random(shape)
    return _cast(np.where(bounded, inside, np.clip(rng.standard_normal(shape), low, high)), low, high, dtype)


def _bounds(port: Port, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a value in float64, with something large but finite where the port has none."""
    large = LARGE if dtype.kind == "f" else (255.0 if dtype.itemsize == 1 else 1000.0)
    floor = 0.0 if dtype.kind == "u" else -large
    low = np.where(np.isfinite(port.low), port.low, floor).astype(np.float64)
    high = np.where(np.isfinite(port.high), port.high, np.maximum(large, low)).astype(np.float64)
    shape: tuple[Any, ...] = port.shape
    return np.broadcast_to(low, shape), np.broadcast_to(high, shape)


def _cast(value: np.ndarray, low: np.ndarray, high: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round to the port's type without leaving the bounds."""
    return np.clip(np.asarray(value).astype(dtype), low.astype(dtype), high.astype(dtype))
