"""Log-densities and their gradients as one step for torch: autograd's bookkeeping costs more than they do."""

from __future__ import annotations

from typing import Any

import torch


def gaussian(mean: torch.Tensor, log_deviation: torch.Tensor, values: torch.Tensor, low: float, high: float
             ) -> torch.Tensor:
    """Return the log-density [batch] float64 of values under a Gaussian, but for log(2 pi) / 2 of each dimension.

    Gradients reach mean and log-deviation [batch, size], which is held within `low` and `high`; none the values.
    """
    return _Gaussian.apply(mean, log_deviation, values, low, high)


class _Gaussian(torch.autograd.Function):
    """Sum over actions of -z^2 / 2 - log(deviation), z = (before - mean) / deviation, the deviation within bounds."""

    @staticmethod
    def forward(ctx: Any, mean: torch.Tensor, log_deviation: torch.Tensor, values: torch.Tensor, low: float,
                high: float) -> torch.Tensor:
        ctx.save_for_backward(mean, log_deviation, values)
        ctx.bounds, ctx.parts = (low, high), _parts(mean, log_deviation, values, low, high)
        held, z, _, _ = ctx.parts
        return -(0.5 * z * z + held).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mean, log_deviation, _ = ctx.saved_tensors
        # for gradients of gradients the parts must hang together with what they were made of
        _, z, inverse, within = _parts(*ctx.saved_tensors, *ctx.bounds) if torch.is_grad_enabled() else ctx.parts
        given = above[0][:, None]
        return ((given * z * inverse).to(mean.dtype),
                (given * (z * z - 1) * within).to(log_deviation.dtype), None, None, None)


def _parts(mean: torch.Tensor, log_deviation: torch.Tensor, values: torch.Tensor, low: float, high: float
           ) -> tuple[torch.Tensor, ...]:
    """Return the bounded log-deviation, z, 1 / deviation, and where the bounds do not hold it."""
    wide = log_deviation.double()
    held = wide.clamp(low, high)
    inverse = (-held).exp()
    return held, (values - mean.double()) * inverse, inverse, held == wide
