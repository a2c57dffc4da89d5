"""The same ensemble as anyone writes it in torch: batched modules, autograd, torch.optim.Adam. For orientation only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch


class PlainEnsemble(torch.nn.Module):
    """Stacked linear layers with SiLU between them; mean and log-variance between soft bounds."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], members: int, decays: Sequence[float]) -> None:
        super().__init__()
        sizes = [inputs, *hidden, 2 * outputs]
        self.weights = torch.nn.ParameterList(torch.randn(members, low, high) / (2 * low ** 0.5)
                                              for low, high in pairwise(sizes))
        self.biases = torch.nn.ParameterList(torch.zeros(members, 1, size) for size in sizes[1:])
        self.most = torch.nn.Parameter(torch.full((outputs,), 0.5))
        self.least = torch.nn.Parameter(torch.full((outputs,), -10.0))
        self.decays = decays
        self.optimiser = torch.optim.Adam(self.parameters(), lr=1e-3, eps=1e-8)

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance [members, batch, outputs] of values [members, batch, inputs]."""
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, torch.nn.functional.silu(values) if depth else values, weight)
        mean, raw = values.chunk(2, dim=-1)
        variance = self.most - torch.nn.functional.softplus(self.most - raw)
        return mean, self.least + torch.nn.functional.softplus(variance - self.least)

    def learn(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Make one step on rows [members, batch, ...]."""
        mean, variance = self(inputs)
        loss = ((mean - targets).square() * torch.exp(-variance) + variance).mean((1, 2)).sum()
        loss = loss + sum(decay / 2 * weight.square().sum()
                          for decay, weight in zip(self.decays, self.weights, strict=True))
        loss = loss + 0.01 * self.most.sum() - 0.01 * self.least.sum()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
