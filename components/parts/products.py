"""Matrix products of layers, by whichever of torch's two libraries is faster for them.

On processors that are not Intel's, the library behind `addmm` (MKL) leaves the widest vector instructions unused, and
oneDNN, which torch also carries, takes half its time for large products; for small ones its call costs more than it
saves. Measured: docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import torch

_ONEDNN = getattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise", None) \
    if torch.backends.mkldnn.is_available() else None  # torch.compile's own way to it
_LARGE = 2**20  # multiplications from which on oneDNN pays


def linear(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return values [batch, in] @ weight [out, in] + bias, with gradients of any order."""
    if (_ONEDNN is not None and len(values) * weight.numel() >= _LARGE and values.device.type == "cpu"
            and values.dtype is weight.dtype is torch.float32):
        return _Product.apply(values, weight, bias)
    return values.mm(weight.t()) if bias is None else bias.addmm(values, weight.t())


class _Product(torch.autograd.Function):
    """Values [batch, in] @ weight [out, in] + bias by oneDNN; what it needs for its gradients is of the same kind."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(values, weight)
        return _ONEDNN(values, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        above, asked = gradients[0], ctx.needs_input_grad
        return (linear(above, weight.t(), None) if asked[0] else None,
                linear(above.t(), values.t(), None) if asked[1] else None,
                above.sum(dim=0) if asked[2] else None)
