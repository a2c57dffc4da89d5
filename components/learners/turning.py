"""How fast something is turned, and how often it is dropped."""

from __future__ import annotations

from math import pi
from typing import Any

from ...loops.bounds import Count, Positive
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import TERMINATED, is_step, status_input


class Turning(Component):
    """Publishes turns per minute and drops per hour whenever `window` steps are over, of these steps alone.

    It is for bodies whose reward is the speed of what they turn (rad/s) and whose episodes terminate when it is
    dropped, as those of the hands. An episode that is cut off is no drop; minutes and hours are those of the body's
    world, between episodes no time passes.

    Args:
        window: steps, of all lanes together, that a row is about.
        rate: steps of a lane in a second of the body's world.
    """

    def __init__(self, *, window: Count = 10_000, rate: Positive = 120.0) -> None:
        if window < 1 or not rate > 0:
            raise AssemblyError([Problem(f"{window} steps at {rate} a second take no time", "window" if window < 1
                                         else "rate", "Give a window of at least 1, and a rate above 0.")])
        self.window, self.rate = window, rate
        self.inputs = {"status": status_input(wakes=True),
                       "reward": Port("speed of what is turned, rad/s", (), wakes=True)}
        number = {"per_lane": False, "dtype": "float64"}
        self.outputs = {
            "turns_per_minute": Port("turns in a minute, mean of the last steps", (), **number),
            "drops_per_hour": Port("drops in an hour, mean of the last steps", (), low=0, **number),
        }

    @classmethod
    def example(cls) -> Turning:
        return cls(window=5)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Begin to count."""
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every step."""
        self._begin()

    def _begin(self) -> None:
        self._speeds, self._steps, self._drops = 0.0, 0, 0  # sum of rad/s; counts; since the last row

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Add up what is new; publish when the window is full."""
        if "reward" in inputs.new:
            self._speeds += float(inputs["reward"].sum(dtype="float64"))
        if "status" in inputs.new:
            self._steps += int(is_step(inputs["status"]).sum())
            self._drops += int(((inputs["status"] & TERMINATED) != 0).sum())
        if self._steps < self.window:
            return {}
        hours = self._steps / self.rate / 3600
        row = {"turns_per_minute": self._speeds / self._steps * 60 / (2 * pi), "drops_per_hour": self._drops / hours}
        self._begin()
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"speeds": self._speeds, "steps": self._steps, "drops": self._drops}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "steps" in state:
            self._speeds, self._steps = float(state["speeds"]), int(state["steps"])
            self._drops = int(state["drops"])
