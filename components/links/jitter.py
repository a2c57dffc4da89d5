"""A link whose latency varies: each message takes its own time."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs
from ...loops.time import Duration
from ..parts.delivery import Link, exponential, link_ports


class Jitter(Link):
    """Delivers each message after a random time, as a radio link or a busy network does.

    Each lane draws latencies of its own; a message that is due in one lane is published with the values that stand
    in the others. The link listens at the very instant a message is sent, so it does not cut a loop of one instant:
    for that, give the wire a constant delay.

    Args:
        latency: the constant part; the mean of `normal`.
        spread: the variable part: the range of `uniform`, the mean of `exponential`, the deviation of `normal`.
        distribution: how the variable part is drawn; `normal` latencies below zero count as zero.
        in_order: a message waits for those sent before it; otherwise it may overtake, and an overtaken message that
            arrives later replaces the newer one, as on a datagram network.
    """

    def __init__(self, latency: Duration = 0, spread: Duration = 0,
                 distribution: Literal["uniform", "exponential", "normal"] = "uniform", in_order: bool = True) -> None:
        self.latency, self.spread, self.distribution, self.in_order = latency, spread, distribution, in_order
        self.inputs, self.outputs = link_ports("what is sent", "what has arrived")

    @classmethod
    def example(cls) -> Jitter:
        return cls(latency=2_000_000, spread=1_000_000)

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self._last = np.zeros(self.lanes.count, np.int64)  # [lanes] due time of the message sent last

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "input" in inputs.new:
            due = now + self._draw()
            if self.in_order:
                due = np.maximum(due, self._last)
            self._last = due
            self._delivery.queue.push(due, inputs["input"])
        return self._delivery.answer(*self._delivery.queue.take(now))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "last": self._last.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if "last" in state:
            self._last = np.array(state["last"], np.int64)

    def _draw(self) -> np.ndarray:
        """Latencies in nanoseconds, [lanes] int64."""
        random = self._delivery.random
        if self.distribution == "normal":
            variable = self.spread * random.normal()
        elif self.distribution == "exponential":
            variable = self.spread * exponential(random)
        else:
            variable = self.spread * random.uniform()
        return np.maximum(np.rint(self.latency + variable), 0).astype(np.int64)
