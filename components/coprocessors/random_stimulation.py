"""A coprocessor that commands at random: what stimulation does when nobody has thought about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.status import idle, status_input
from ...loops.time import Period
from ..parts import flags

USUAL = 5.0  # strength of commands in Pan et al. 2024 (arXiv:2406.06714)


class RandomStimulation(Component):
    """Commands uniformly at random at every step, and nothing in lanes where nobody acts.

    Args:
        low: smallest command; left out, what the receiver takes, or -5 where it takes anything (as a limiter does).
        high: largest command; left out, what the receiver takes, or 5.
        period: time between commands; left out, one per observation (or status) that arrives.
    """

    random = True

    def __init__(self, *, low: float | None = None, high: float | None = None, period: Period | None = None) -> None:
        if low is not None and high is not None and low > high:
            raise AssemblyError([Problem(f"low {low:g} lies above high {high:g}", "low", "Exchange them.")])
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
        ports = self.peers.get("command", [])
        low = self.low if self.low is not None else max((np.max(port.low) for port in ports), default=-np.inf)
        high = self.high if self.high is not None else min((np.min(port.high) for port in ports), default=np.inf)
        low, high = (low if np.isfinite(low) else -USUAL), (high if np.isfinite(high) else USUAL)
        # a silent lane commands 0, so 0 is within the bounds of the port
        self.outputs["command"] = replace(self.outputs["command"], low=min(float(low), 0.0), high=max(float(high), 0.0))
        self._low, self._high = float(low), float(high)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Fix the bounds of the draw."""
        super().build(lanes, seed)
        self.infer()
        if self._low > self._high:
            raise AssemblyError([Problem(f"commands would be drawn from {self._low:g} to {self._high:g}, which is no "
                                         "range", "low or high", "Give both, the smaller one as low.")])
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
