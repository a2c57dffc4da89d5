"""Fitting a network to all rows that there are, in passes, until the loss hardly falls any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...loops.errors import Diverged
from .adam import Adam

Loss = Callable[[torch.Tensor], torch.Tensor]  # numbers of rows [batch] -> the loss of each [batch]


@dataclass(frozen=True)
class RepeatedPasses:
    """How long to fit, and how fast: a fresh optimiser, warm weights (Pan et al. 2024, arXiv:2406.06714).

    Args:
        learning_rate: of Adam, which begins anew.
        batch_size: rows of a minibatch.
        most: passes at most.
        check: every so many passes, the first included, it is asked whether to go on.
        tolerance: it stops where the loss of a pass (mean over its rows) fell by less than this since it was last
            asked.
    """

    learning_rate: float
    batch_size: int = 64
    most: int = 75
    check: int = 10
    tolerance: float = 1e-3

    def fit(self, parameters: Sequence[torch.Tensor], loss: Loss, rows: int, generator: torch.Generator, what: str,
            after: Callable[[], Any] | None = None, before: Callable[[], Any] | None = None) -> tuple[float, int]:
        """Fit parameters in place to so many rows; return the loss of the last pass, and how many steps were made.

        Args:
            parameters: what changes.
            loss: of rows by their numbers; one of several rows each says them all.
            rows: how many there are.
            generator: of the order of rows.
            what: is fitted; for messages.
            after: called after each step.
            before: called before each pass.

        Raises Diverged where a loss is no number any more.
        """
        optimiser, last, mean, steps = Adam(parameters, self.learning_rate), float("inf"), 0.0, 0
        for done in range(self.most):
            total, counted = torch.zeros(()), 0
            if before is not None:
                before()
            for chosen in torch.randperm(rows, generator=generator).split(self.batch_size):
                found = loss(chosen)
                optimiser.descend(torch.autograd.grad(found.mean(), parameters, allow_unused=True))
                total += found.detach().sum()
                counted += len(found)
                steps += 1
                if after is not None:
                    after()
            mean = float(total) / counted
            if not mean < float("inf"):
                raise Diverged(f"fitting {what} has diverged in pass {done + 1}: its loss is {mean:g}. Lower its "
                               "learning rate, or look for observations or rewards of extreme scale")
            if done % self.check == 0:
                if last - mean < self.tolerance:
                    break
                last = mean
        return mean, steps
