"""Exploration of policy-like brains: noise for each decision, and uniformly random first steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.lanes import Lanes
from ...loops.seeds import LaneRandom
from ...loops.status import idle


class Exploration:
    """Draws what a brain needs to explore, once per decision and only in lanes that act.

    `noise` is standard normal [lanes, actions], or uniform [lanes] for a brain that makes one of `choices`. A brain
    that answers twice to one observation uses the same noise twice.
    """

    def __init__(self, lanes: Lanes, shape: tuple[int, ...], choices: int, random_steps: int, seed: int) -> None:
        self.lanes, self.shape, self.choices, self.random_steps = lanes, () if choices else shape, choices, random_steps
        self._tame_random = LaneRandom(seed, lanes, "noise")
        self._wild_random = LaneRandom(seed, lanes, "random steps")
        self.decisions = np.zeros(lanes.count, np.int64)  # [lanes] observations answered in lanes that act
        self.noise = np.zeros((lanes.count, *self.shape))
        self.uniform = np.zeros((lanes.count, *self.shape))  # for the random steps
        self.wild = np.zeros(lanes.count, bool)  # [lanes] does the present decision belong to the random steps?

    def draw(self, status: np.ndarray | None) -> None:
        """Draw for one new decision."""
        draw = self._tame_random.uniform if self.choices else self._tame_random.normal
        acts = np.ones(self.lanes.count, bool) if status is None else ~idle(status)
        if not self.random_steps:
            self.noise = draw(self.shape, None if acts.all() else acts)
            return
        self.wild = acts & (self.decisions * self.lanes.count < self.random_steps)
        self.decisions = self.decisions + acts
        self.noise = draw(self.shape, acts & ~self.wild)
        if self.wild.any():
            self.uniform = self._wild_random.uniform(self.shape, self.wild)

    def override(self, outputs: dict[str, Any], status: np.ndarray | None) -> dict[str, Any]:
        """Return a brain's answer with the action replaced in lanes that act at random."""
        if not self.random_steps:
            return outputs
        wild = self.wild if status is None else self.wild & ~idle(status)
        if not wild.any():
            return outputs
        if self.choices:
            action = np.where(wild, (self.uniform * self.choices).astype(np.int64), outputs["action"])
            volume = np.log(self.choices)
        else:
            action = np.where(wild[:, None], 2 * self.uniform - 1, outputs["action"]).astype(np.float32)
            volume = action.shape[1] * np.log(2)
        log_prob = np.where(wild, -volume, outputs["log_prob"]).astype(np.float32)
        return {**outputs, "action": action, "log_prob": log_prob}

    def state_dict(self) -> dict[str, Any]:
        return {"decisions": self.decisions.copy(), "noise": self.noise.copy(), "uniform": self.uniform.copy(),
                "wild": self.wild.copy(), "noise_random": self._tame_random.state_dict(),
                "step_random": self._wild_random.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.decisions, self.noise = np.array(state["decisions"]), np.array(state["noise"])
        self.uniform, self.wild = np.array(state["uniform"]), np.array(state["wild"])
        self._tame_random.load_state_dict(state["noise_random"])
        self._wild_random.load_state_dict(state["step_random"])
