"""Log-densities and their gradients as one step for torch: autograd's bookkeeping costs more than they do."""

from __future__ import annotations

from typing import Any

import torch

from .distributions import EDGE, HALF_LOG_2PI, LOG_DEVIATION, log_slope


def squashed_density(mean: torch.Tensor, log_deviation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """Return the log-density [batch] float64 of actions in [-1, 1] under a Gaussian squashed by tanh.

    Haarnoja et al. 2018, eq. 21; gradients reach mean and log-deviation [batch, actions], none the action.
    """
    with torch.no_grad():
        before = action.double().clamp(-EDGE, EDGE).atanh()
        constant = -(HALF_LOG_2PI + log_slope(before)).sum(dim=-1)
    return _Gaussian.apply(mean, log_deviation, before) + constant


class _Gaussian(torch.autograd.Function):
    """Sum over actions of -z^2 / 2 - log(deviation), z = (before - mean) / deviation, the deviation within bounds."""

    @staticmethod
    def forward(ctx: Any, mean: torch.Tensor, log_deviation: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(mean, log_deviation, before)
        ctx.parts = _parts(mean, log_deviation, before)
        held, z, _, _ = ctx.parts
        return -(0.5 * z * z + held).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mean, log_deviation, before = ctx.saved_tensors
        # for gradients of gradients the parts must hang together with what they were made of
        _, z, inverse, within = _parts(mean, log_deviation, before) if torch.is_grad_enabled() else ctx.parts
        given = above[0][:, None]
        return ((given * z * inverse).to(mean.dtype),
                (given * (z * z - 1) * within).to(log_deviation.dtype), None)


def _parts(mean: torch.Tensor, log_deviation: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the bounded log-deviation, z, 1 / deviation, and where the bounds do not hold it."""
    wide = log_deviation.double()
    held = wide.clamp(*LOG_DEVIATION)
    inverse = (-held).exp()
    return held, (before - mean.double()) * inverse, inverse, held == wide
