"""One update of a student that imitates: the equations, away from loops and memories.

The supervised step of DAgger (Ross, Gordon and Bagnell 2011, AISTATS, algorithm 3.1) over whole episodes: with the
student's likeliest action a(t), the expert's e(t), both of A numbers, the firing rates r(t) of n neurons, and N steps
of the minibatch that were really made,

    loss = 1 / (N A) sum |a(t) - e(t)|^2 + rate_penalty / (N n) sum |r(t)|^2 + weight_penalty / 2 sum |W|^2

where W are the student's weights, not its biases. The last two terms are those with which this family of brains was
first trained (Michaels et al. 2020, PNAS, doi 10.1073/pnas.2005087117). Gradients go back through time over the whole
episode, or over `truncate` ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from . import sequences
from .adam import Adam, shorten

MEASURES = ("loss", "grad_norm")


class Imitation:
    """Improves a student from minibatches of episodes, in place.

    Args:
        student: what learns (role Policy), with or without memory.
        learning_rate: of Adam.
        truncate: ticks over which gradients reach back; 0: all.
        rate_penalty: weight of the mean square of the student's firing rates.
        weight_penalty: weight of half the sum of its squared weights.
        max_grad_norm: length to which the gradient is shortened; None: it is not.
    """

    def __init__(self, student: Any, *, learning_rate: float, truncate: int, rate_penalty: float,
                 weight_penalty: float, max_grad_norm: float | None) -> None:
        self.student, self.truncate, self.rate_penalty = student, truncate, rate_penalty
        self.max_grad_norm = max_grad_norm
        self._parameters = list(student.parameters())
        decays = [weight_penalty if parameter.ndim > 1 else 0.0 for parameter in self._parameters]
        self.optimiser = Adam(self._parameters, learning_rate, decays=decays)
        self.forget()

    def forget(self) -> None:
        """Return to before the first update; what the student has learned stays."""
        self.updates = 0
        self.optimiser.forget()

    def loss(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is lessened, but for the weights' term, and of it how far the student is from the expert.

        Args:
            batch: `observation` [episodes, steps + 1, ...], `expert` [episodes, steps, actions] and `mask`
                [episodes, steps], as `EpisodeMemory.sample` gives them.
        """
        mask = batch["mask"]
        told = sequences.answer(self.student, {"observation": batch["observation"][:, :-1]}, self.truncate)
        missed = mean_over(torch.square(told["action"] - batch["expert"]).mean(dim=-1), mask)
        if not self.rate_penalty:
            return missed, missed
        return missed + self.rate_penalty * mean_over(torch.square(told["rates"]).mean(dim=-1), mask), missed

    def advance(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Make one update; return its measures for `told`, without waiting for them."""
        loss, missed = self.loss(batch)
        slopes, norm = shorten(torch.autograd.grad(loss, self._parameters, allow_unused=True), self.max_grad_norm)
        self.optimiser.descend(slopes)
        self.updates += 1
        return torch.stack([missed.detach(), norm])

    @staticmethod
    def told(measures: torch.Tensor) -> dict[str, float]:
        """Return measures of an update by name."""
        return dict(zip(MEASURES, measures.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = int(state["updates"])
        self.optimiser.load_state_dict(state["optimiser"])


def mean_over(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of values [episodes, steps] over the steps that were made."""
    return (values * mask).sum() / mask.sum()
