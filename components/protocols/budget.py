"""A budget of steps or episodes that nobody can overdraw: the patient's time is the scarce resource."""

from __future__ import annotations

from typing import Any

from ...loops.bounds import Count
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem, RunError
from ...loops.port import Port
from ...loops.status import count_ended, count_steps, status_input


class Budget(Component):
    """Counts the body's steps and episodes, says when the budget is spent, and raises at the first step beyond it.

    `done` comes as soon as one more step of every lane would not fit, so `until: budget.done` never overdraws.

    Args:
        steps: number of steps allowed, all lanes together; None: any.
        episodes: number of episodes allowed; None: any.
    """

    def __init__(self, *, steps: Count | None = None, episodes: Count | None = None) -> None:
        for name, amount in (("steps", steps), ("episodes", episodes)):
            if amount is not None and amount < 1:
                raise AssemblyError([Problem(f"a budget of {amount} {name} allows nothing to happen", name,
                                             "Give at least 1, or leave it out: then any number is allowed.")])
        self.limit_steps, self.limit_episodes = steps, episodes
        self.inputs = {"status": status_input(wakes=True)}
        self.outputs = {
            "steps": Port("steps so far", (), dtype="int64", low=0, per_lane=False),
            "episodes": Port("episodes ended so far", (), dtype="int64", low=0, per_lane=False),
            "done": Port("is the budget spent?", (), dtype="bool", low=0, high=1, per_lane=False),
        }
        self.reset(0)

    @classmethod
    def example(cls) -> Budget:
        return cls(steps=1000)

    def reset(self, seed: int) -> None:
        """Count from nothing."""
        self.steps = 0
        self.episodes = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Count what is new."""
        if "status" in inputs.new:
            taken = count_steps(inputs["status"])
            if taken:
                self._refuse_beyond(taken)
            self.steps += taken
            self.episodes += count_ended(inputs["status"])
        return {"steps": self.steps, "episodes": self.episodes, "done": self.done}

    @property
    def done(self) -> bool:
        """Would one more step of every lane overdraw the budget?"""
        if self.limit_episodes is not None and self.episodes >= self.limit_episodes:
            return True
        return self.limit_steps is not None and self.steps + self.lanes.count > self.limit_steps

    def _refuse_beyond(self, taken: int) -> None:
        if self.limit_steps is not None and self.steps + taken > self.limit_steps:
            raise RunError(f"step {self.limit_steps + 1} is beyond the budget of {self.limit_steps} steps; "
                           "stop with `until: budget.done`, or allow more steps")
        if self.limit_episodes is not None and self.episodes >= self.limit_episodes:
            raise RunError(f"a step of episode {self.episodes + 1} is beyond the budget of {self.limit_episodes} "
                           "episodes; stop with `until: budget.done`, or allow more episodes")

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "steps" in state:
            self.steps, self.episodes = int(state["steps"]), int(state["episodes"])
