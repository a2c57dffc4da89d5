"""Small torch modules that stand for a user's own: in examples, in tests, and as a pattern to follow."""

from __future__ import annotations

from collections import OrderedDict

import torch


class TwoHeads(torch.nn.Module):
    """One layer called `hidden`, a mean and a logarithm of the deviation of each action."""

    def __init__(self, inputs: int, outputs: int, neurons: int = 8) -> None:
        super().__init__()
        self.hidden = torch.nn.Sequential(OrderedDict(linear=torch.nn.Linear(inputs, neurons), relu=torch.nn.ReLU()))
        self.mean = torch.nn.Linear(neurons, outputs)
        self.log_deviation = torch.nn.Linear(neurons, outputs)

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and logarithm of the deviation [batch, outputs] for observations [batch, inputs]."""
        activity = self.hidden(observation)
        return self.mean(activity), self.log_deviation(activity)
