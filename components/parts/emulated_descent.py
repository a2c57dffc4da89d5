"""Training a stimulator network through an emulator of the brain: Bryan, Jiang and Rao 2022 (arXiv:2210.11478)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .repeated_passes import RepeatedPasses


@dataclass(frozen=True)
class Course:
    """Whole episodes as tensors, zeros behind their ends."""

    seen: torch.Tensor  # [episodes, time, observation (+ recording)]
    stimulation: torch.Tensor  # [episodes, time, channels] as it was delivered
    action: torch.Tensor  # [episodes, time, actions] what the brain did
    there: torch.Tensor  # [episodes, time] 1 for steps that there were, 0 behind the end

    def of(self, rows: torch.Tensor) -> Course:
        """Return some of the episodes, by their numbers."""
        rows = rows.to(self.seen.device)
        return Course(self.seen[rows], self.stimulation[rows], self.action[rows], self.there[rows])

    def mean(self, of_steps: torch.Tensor) -> torch.Tensor:
        """Return the mean [episodes] of numbers [episodes, time] over the steps that there were."""
        return (of_steps * self.there).sum(1) / self.there.sum(1)


class EmulatedDescent:
    """Two fits that alternate: the emulator to what the patient did, the stimulator through the frozen emulator.

    Args:
        used: `coprocessor` and `emulator` (role Sequential); `critic` or `expert`.
        loss: `critic`: - min(Q1, Q2)(o, a); `expert`: the squared distance of a to the expert's action.
        perceived: numbers of an observation that critic and expert are shown; what stands behind them is recorded.
        effort: cost of a squared unit of command, mean over channels.
    """

    def __init__(self, used: Mapping[str, Any], loss: str, perceived: int, effort: float) -> None:
        self.used, self.loss, self.perceived, self.effort = used, loss, perceived, effort

    def missed(self, course: Course) -> torch.Tensor:
        """Return the emulator's mean squared error [episodes], as a share of half the action's range squared."""
        emulator = self.used["emulator"]
        said, _ = emulator.sequence(torch.cat([course.seen, course.stimulation], dim=2))
        wrong = (said - course.action) / said.new_tensor(np.asarray(getattr(emulator, "reach", 1), np.float32))
        return course.mean(wrong.square().mean(-1))

    def fit_emulator(self, course: Course, passes: RepeatedPasses, generator: torch.Generator) -> tuple[float, int]:
        """Fit the emulator to whole episodes; return the loss of the last pass, and the steps made."""
        return passes.fit(list(self.used["emulator"].parameters()), lambda rows: self.missed(course.of(rows)).cpu(),
                          len(course.seen), generator, "the emulator")

    def task_loss(self, course: Course, wanted: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mean task loss [episodes] if the coprocessor had stimulated: a = EN(o, CPN(o)).

        Args:
            course: of which only what was seen counts.
            wanted: the expert's actions [episodes, time, actions], for that loss.
        """
        command, _ = self.used["coprocessor"].sequence(course.seen)
        action, _ = self.used["emulator"].sequence(torch.cat([course.seen, command], dim=2))
        if self.loss == "expert":
            missed = (action - wanted).square().mean(-1)
        else:
            worth = self.used["critic"].value(course.seen[..., :self.perceived].flatten(0, 1), action.flatten(0, 1))
            missed = -(worth.amin(0) if worth.ndim == 2 else worth).view(action.shape[:2])
        return course.mean(missed + self.effort * command.square().mean(-1) if self.effort else missed)

    def wanted(self, course: Course) -> torch.Tensor | None:
        """Return what the expert would have done [episodes, time, actions]; None where nobody asks."""
        if self.loss != "expert":
            return None
        seen, expert = course.seen[..., :self.perceived], self.used["expert"]
        with torch.no_grad():
            if hasattr(expert, "respond_sequence"):
                return expert.respond_sequence({"observation": seen})[0]["action"]
            told = expert.respond({"observation": seen.flatten(0, 1)}, None)[0]["action"]
            return told.view(*seen.shape[:2], -1)

    def descend(self, course: Course, passes: RepeatedPasses, generator: torch.Generator) -> tuple[float, int]:
        """Improve the coprocessor alone; return the loss of the last pass, and the steps made."""
        wanted = self.wanted(course)

        def loss(rows: torch.Tensor) -> torch.Tensor:
            return self.task_loss(course.of(rows), None if wanted is None else wanted[rows.to(wanted.device)]).cpu()

        return passes.fit(list(self.used["coprocessor"].parameters()), loss, len(course.seen), generator,
                          "the coprocessor")
