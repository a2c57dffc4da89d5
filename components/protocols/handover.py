"""Who acts: a teacher ever more seldom, a learner ever more often."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.status import begins, is_step, status_input
from ..parts.schedules import Ramp, ramp_of_shares


class Handover(Component):
    """Lets a teacher act in a learner's place, with a probability that falls as steps go by.

    The mixture of DAgger (Ross, Gordon and Bagnell 2011, AISTATS, section 3): whoever acts is drawn anew, lane by lane,
    with probability `share` for the teacher. Both say at every tick what they would do; `action` is what is done.

    Args:
        share: of the teacher: a number in [0, 1], or [first step, last step, share at the first, share at the last], in
            steps of all lanes together (of each lane, times the number of lanes: what others do changes nothing here).
        every: who acts is drawn for each `step`, or for each `episode`.
    """

    random = True

    def __init__(self, *, share: float | list[float] = [0, 10_000, 1.0, 0.0],  # noqa: B006
                 every: Literal["step", "episode"] = "step") -> None:
        self.share, self.every = share, every
        self._ramp: Ramp = ramp_of_shares(share, "share")
        said = {"wakes": True, "low": -1, "high": 1}
        self.inputs = {"learner": Port("what the learner would do", ("action",), **said),
                       "teacher": Port("what the teacher would do", ("action",), **said),
                       "status": status_input(wakes=True)}
        self.outputs = {"action": Port("what is done", ("action",), low=-1, high=1),
                        "taught": Port("is it the teacher's?", (), dtype="bool", low=0, high=1)}

    @classmethod
    def example(cls) -> Handover:
        return cls(share=0.5)

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        for name in ("learner", "teacher"):
            if name in self.peers_in and self.peers_in[name].choices:
                raise AssemblyError([Problem("it hands over actions that are vectors, and this one is a choice",
                                             f"inputs.{name}", "Let the learner act by itself.")])

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Return to before the first step."""
        self._random = LaneRandom(seed, self.lanes, "handover")
        self._steps = np.zeros(self.lanes.count, np.int64)  # [lanes] so far
        self._taught = np.zeros(self.lanes.count, bool)  # [lanes] does the teacher act?

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Draw who acts where that is due, and pass on what they say."""
        if "status" in inputs.new:
            self._draw(inputs["status"])
        taught = self._taught.copy()
        return {"action": np.where(taught[:, None], inputs["teacher"], inputs["learner"]), "taught": taught}

    def _draw(self, status: np.ndarray) -> None:
        self._steps = self._steps + is_step(status)
        due = begins(status) if self.every == "episode" else begins(status) | is_step(status)
        if due.any():
            drawn = self._random.uniform((), due) < self._ramp.each(self._steps * self.lanes.count)
            self._taught = np.where(due, drawn, self._taught)

    def state_dict(self) -> dict[str, Any]:
        return {"random": self._random.state_dict(), "steps": self._steps.copy(), "taught": self._taught.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "random" in state:
            self._random.load_state_dict(state["random"])
            self._steps, self._taught = np.array(state["steps"], np.int64), np.array(state["taught"], bool)
