"""A loop that keeps pace with the wall clock, measures how late it is and publishes it (soft real time)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import simpy
import simpy.rt

from .errors import AssemblyError, Problem, TimeError
from .loop import Loop
from .node import Cell
from .port import Port
from .system import System
from .time import SECOND

SLOWEST, FASTEST = 1e-6, 1e6  # of the wall clock
MOST = 1 << 62  # ns of lateness that are told
LATENESS = "loop.lateness"
PORT = Port("how late the end of an instant was", units="ns", dtype="int64", per_lane=False)


class Lateness:
    """How late the instants were, in bounded memory: counts in bins 1/32 of an octave wide, and the worst."""

    FINE = 32  # bins an octave: a quantile is at most 1/32 too high

    def __init__(self) -> None:
        self._counts = np.zeros(64 * self.FINE, np.int64)
        self.instants = self.worst = 0

    def add(self, late: int) -> None:
        """Count one instant; to be early is to be in time."""
        late = max(late, 1)
        octave = late.bit_length() - 1
        self._counts[octave * self.FINE + (late * self.FINE >> octave) - self.FINE] += 1
        self.instants += 1
        self.worst = max(self.worst, late)

    def quantile(self, part: float) -> float:
        """Return the lateness (ns) that this part of the instants did not exceed; nan before the first."""
        if not self.instants:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._counts), part * self.instants))
        octave, step = divmod(place, self.FINE)
        return min(float(self.worst), 2.0**octave * (1 + (step + 1) / self.FINE))


class RealtimeLoop(Loop):
    """Runs instants when the wall clock says so, and publishes how late each was as `loop.lateness` (ns).

    It can be tapped and peeked at like any output, and is recorded with the metrics; nothing can be wired to it, so a
    trace does not depend on it. `late` sums it up for all instants so far. `speed` 2 runs twice as fast as life. No
    learner may share a real-time loop: an update would stall the hardware.
    """

    def __init__(self, system: System, speed: float = 1.0, **keywords: Any) -> None:
        if not SLOWEST <= speed <= FASTEST:  # nan is not either
            raise TimeError(f"speed is {speed}; it must be above 0, from {SLOWEST:g} to {FASTEST:g} (1: real time)")
        self.speed = speed
        self.late = Lateness()
        self._lateness = Cell("loop", "lateness", PORT, 1, False)
        super().__init__(system, **keywords)
        self.published = {LATENESS: PORT}
        learners = [n for n, c in self.components.items() if any(use.changes for use in c.uses.values())]
        if learners:
            raise AssemblyError([Problem("a learner cannot share a real-time loop", name,
                                         "Leave it out, or run the loop without real time.") for name in learners])
        if LATENESS in self.cells:
            raise AssemblyError([Problem(f"{LATENESS} is what a real-time loop itself publishes", "loop",
                                         "Give this component another name.")])
        for component in self.components.values():
            component.lateness = self.behind
        self.attend(self._measure)

    def _environment(self, now: int) -> simpy.Environment:
        self._origin_sim, self._origin_wall = now, time.perf_counter_ns()
        return simpy.rt.RealtimeEnvironment(initial_time=now, factor=1.0 / SECOND / self.speed, strict=False)

    def _twin(self) -> Loop:
        return type(self)(self.system, self.speed, injected=tuple(self.injected))

    def run(self, until: Any = None) -> int:
        """Run as `Loop.run` does, the wall clock beginning now."""
        self._origin_sim, self._origin_wall = self.now, time.perf_counter_ns()
        env: Any = self.env
        env.sync()
        return super().run(until)

    def behind(self) -> int:
        """Nanoseconds by which the loop is behind the wall clock (negative: ahead)."""
        wall = (time.perf_counter_ns() - self._origin_wall) * self.speed
        return max(-MOST, min(MOST, int(wall) - (int(self.env.now) - self._origin_sim)))

    def cell(self, address: str) -> Cell:
        return self._lateness if address == LATENESS else super().cell(address)

    def _measure(self, now: int) -> None:
        late = self.behind()
        self.late.add(late)
        self._lateness.value = late
        for tap in self._lateness.taps:
            tap(now, late)
