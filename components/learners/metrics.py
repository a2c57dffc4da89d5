"""How well it goes: returns, lengths and successes of the episodes that ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import begins, ended, is_step, status_input


class Metrics(Component):
    """Publishes a row of metrics whenever episodes end: means over the last `window` episodes, and counts.

    Where more lanes than `window` end at one instant, the means are over all of these.

    `success` is the share of episodes solved at their last step, `solved_steps` the share of steps that were.

    Args:
        window: number of episodes that the means look back on.
    """

    def __init__(self, *, window: Count = 1) -> None:
        if window < 1:
            raise AssemblyError([Problem(f"a mean over {window} episodes does not exist", "window",
                                         "Give at least 1.")])
        self.window = window
        self.inputs = {
            "status": status_input(wakes=True),
            "reward": Port("reward of the body", (), wakes=True),
            "solved": Port("is the task solved at this instant?", (), dtype="bool", low=0, high=1, optional=True),
        }
        number = {"per_lane": False, "dtype": "float64"}
        count = {"per_lane": False, "dtype": "int64", "low": 0}
        self.outputs = {
            "episodes": Port("episodes ended so far", (), **count),
            "steps": Port("steps so far", (), **count),
            "return": Port("sum of rewards of an episode, mean of the last ones", (), **number),
            "length": Port("steps of an episode, mean of the last ones", (), **number),
            "success": Port("share of the last episodes solved at their end", (), **number),
            "solved_steps": Port("share of solved steps in the last episodes", (), **number),
        }

    @classmethod
    def example(cls) -> Metrics:
        return cls()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make room for the running episodes."""
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every episode."""
        self._running = np.zeros((self.lanes.count, 3))  # [lanes, (return, length, solved steps)] so far
        self._rows = np.zeros((0, 4))  # [episodes, (return, length, success, share solved)] of the last ones
        self._episodes = 0
        self._steps = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Add up what is new; publish if an episode ended."""
        if "reward" in inputs.new:
            self._running[:, 0] += inputs["reward"]
        if "status" not in inputs.new:
            return {}
        solved = inputs.get("solved")
        over = self._count(inputs["status"], solved)
        return self._report(solved is not None) if over else {}

    def _count(self, status: np.ndarray, solved: np.ndarray | None) -> bool:
        """Count one instant of every lane; say whether any episode ended."""
        steps, ends = is_step(status), ended(status)
        self._steps += int(steps.sum())
        self._running[:, 1] += steps
        if solved is not None:
            self._running[:, 2] += steps & solved
        if ends.any():
            total, length, hits = self._running[ends].T
            success = np.zeros(total.size) if solved is None else solved[ends].astype(float)
            rows = np.stack([total, length, success, hits / np.maximum(length, 1)], axis=1)
            self._rows = np.concatenate([self._rows, rows])[-max(self.window, len(rows)):]
            self._episodes += len(rows)
        self._running[ends | begins(status)] = 0
        return bool(ends.any())

    def _report(self, judged: bool) -> dict[str, Any]:
        total, length, success, share = self._rows.mean(axis=0)
        report = {"episodes": self._episodes, "steps": self._steps, "return": total, "length": length}
        return {**report, "success": success, "solved_steps": share} if judged else report

    def state_dict(self) -> dict[str, Any]:
        return {"running": self._running.copy(), "rows": self._rows.copy(), "episodes": self._episodes,
                "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "running" in state:
            self._running, self._rows = np.array(state["running"]), np.array(state["rows"])
            self._episodes, self._steps = int(state["episodes"]), int(state["steps"])
