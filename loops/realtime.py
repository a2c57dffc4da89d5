"""A loop that keeps pace with the wall clock and measures how late it is (soft real time)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import simpy
import simpy.rt

from .errors import AssemblyError, Problem
from .loop import Loop
from .system import System
from .time import SECOND


class RealtimeLoop(Loop):
    """Runs instants when the wall clock says so; `lateness` holds how late each was, in nanoseconds.

    `speed` 2 runs twice as fast as life. No learner may share a real-time loop: an update would stall the hardware.
    """

    def __init__(self, system: System, speed: float = 1.0, **keywords: Any) -> None:
        if not speed > 0:
            raise ValueError(f"speed is {speed}; it must be above 0")
        self.speed = speed
        self._late = np.zeros(1024, np.int64)
        self._count = 0
        super().__init__(system, **keywords)
        learners = [n for n, c in self.components.items() if any(use.changes for use in c.uses.values())]
        if learners:
            raise AssemblyError([Problem("a learner cannot share a real-time loop", name,
                                         "Leave it out, or run the loop without real time.") for name in learners])
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
        return int(wall) - (int(self.env.now) - self._origin_sim)

    def _measure(self, now: int) -> None:
        if self._count == self._late.size:
            self._late = np.concatenate([self._late, np.zeros_like(self._late)])
        self._late[self._count] = self.behind()
        self._count += 1

    @property
    def late(self) -> np.ndarray:
        """Lateness at the end of each instant so far, in nanoseconds [instants]."""
        return self._late[: self._count].copy()
