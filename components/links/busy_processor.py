"""A processor that needs time for each message and can only do one at once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.time import Duration
from ..parts.delivery import Link, exponential, link_ports
from ..parts.in_flight import ABSENT


class BusyProcessor(Link):
    """Spends computing time on every message; what comes meanwhile waits or is dropped.

    Every lane has a processor of its own, serving first come first. A result is published when it is ready. The
    processor listens at the instant a message is sent, so it does not cut a loop of one instant.

    Args:
        service: time one message takes.
        spread: mean of an exponentially distributed time that comes on top.
        when_busy: `queue` lets up to `capacity` messages wait (more are dropped); `drop` ignores what comes while
            busy; `latest` keeps one waiting message and replaces it by the newest, as real-time controllers do.
        capacity: how many messages may wait with `queue`.
    """

    def __init__(self, service: Duration = 1_000_000, spread: Duration = 0,
                 when_busy: Literal["queue", "drop", "latest"] = "queue", capacity: Count = 16) -> None:
        if capacity < 1:
            raise ValueError(f"a queue of {capacity} messages holds nothing; write at least 1, or when_busy: drop")
        self.service, self.spread, self.when_busy = service, spread, when_busy
        self.capacity = {"queue": capacity, "drop": 0, "latest": 1}[when_busy]
        self.inputs, self.outputs = link_ports("what is to be processed", "what has been processed")

    @classmethod
    def example(cls) -> BusyProcessor:
        return cls(service=5_000_000, spread=1_000_000)

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self._free = np.zeros(self.lanes.count, np.int64)  # [lanes] when the last accepted message will be ready

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        queue = self._delivery.queue
        got, value = queue.take(now)  # first: a processor that is ready at `now` is free at `now`
        if "input" in inputs.new:
            self._accept(now, inputs["input"])
            late, instant = queue.take(now)  # service may take no time at all
            value = np.where(late[:, None], instant, value)
            got = got | late
        return self._delivery.answer(got, value)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "free": self._free.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if "free" in state:
            self._free = np.array(state["free"], np.int64)

    def _accept(self, now: int, message: np.ndarray) -> None:
        queue = self._delivery.queue
        waiting = queue.waiting() - 1  # [lanes] beside the one in service; -1: idle
        room = waiting < self.capacity
        if self.when_busy == "latest" and not room.all():
            queue.replace_last(~room, message)
        if not room.any():
            return
        time = np.full(self.lanes.count, self.service, np.int64)
        if self.spread:
            extra = self.spread * exponential(self._delivery.random, room)
            time = time + np.rint(extra).astype(np.int64)
        ready = np.maximum(self._free, now) + time
        self._free = np.where(room, ready, self._free)
        queue.push(np.where(room, ready, ABSENT), message)
