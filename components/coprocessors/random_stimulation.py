"""A coprocessor that commands at random: what stimulation does when nobody has thought about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.status import idle, status_input
from ...loops.time import Period
from ..parts import command_bounds, flags


class RandomStimulation(Component):
    """Commands uniformly at random at every step, and nothing in lanes where nobody acts.

    Args:
        low: smallest command; left out, what the receiver takes, or -5 where it takes anything (as a limiter does).
        high: largest command; left out, what the receiver takes, or 5.
        period: time between commands; left out, one per observation (or status) that arrives.
    """

    random = True

    def __init__(self, *, low: float | None = None, high: float | None = None, period: Period | None = None) -> None:
        command_bounds.check(low, high)
        self.low, self.high, self.period = low, high, period
        self.inputs = {
            "observation": Port("what happens; only its coming counts", ("observation",), wakes=period is None,
                                optional=True),
            "status": status_input(wakes=True, optional=True),
        }
        self.outputs = {"command": Port("what each channel is to deliver", ("channel",), axes=("electrode",))}

    @classmethod
    def example(cls) -> RandomStimulation:
        return cls(low=-5, high=5)

    def infer(self) -> None:
        """Take the bounds that were not given from the receivers."""
        self._low, self._high = command_bounds.found(self.low, self.high, self.peers.get("command", []))
        # a silent lane commands 0, so 0 is within the bounds of the port
        self.outputs["command"] = replace(self.outputs["command"], low=min(self._low, 0.0),
                                          high=max(self._high, 0.0))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Fix the bounds of the draw."""
        super().build(lanes, seed)
        self.infer()
        command_bounds.refuse_none(self._low, self._high)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin the random numbers anew."""
        self._random = LaneRandom(seed, self.lanes)
        self._last = np.zeros(self.outputs["command"].full_shape(self.lanes.count), np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Draw a command for every lane that acts; between two commands only fall silent where an episode ended."""
        acts = ~idle(inputs["status"]) if "status" in inputs else np.ones(self.lanes.count, bool)
        asked = "observation" in inputs.new if "observation" in inputs else bool(inputs.new)
        fresh = asked or now == 0 if self.period is None else flags.due(self.period, now)
        command = self._last
        if fresh:
            drawn = self._random.uniform(self._last.shape[1:], acts)  # [lanes, channels]
            command = (self._low + (self._high - self._low) * drawn).astype(np.float32)
        command = np.where(acts[:, None], command, np.float32(0))
        if not fresh and np.array_equal(command, self._last):
            return {}
        self._last = command
        return {"command": command}

    def state_dict(self) -> dict[str, Any]:
        return {"random": self._random.state_dict(), "last": self._last.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "random" in state:
            self._random.load_state_dict(state["random"])
            self._last = np.array(state["last"], np.float32)
