"""Matrix products of layers, by whichever of torch's two libraries is faster for them.

On AMD's processors the library behind `addmm` (MKL) leaves their widest vector instructions (AVX-512) unused, and
oneDNN, which torch also carries, takes half its time for large products; for small ones its call costs more than it
saves. On Intel's, and on AMD's that have no AVX-512 (up to Zen 3), MKL is the faster one for all of them. Measured:
docs/performance.md.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

_LARGE = 2**20  # multiplications from which on oneDNN pays


def _by_amd() -> bool:
    """Is the processor AMD's? Where nobody says so, it is not."""
    told = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (told.read_text() if told.exists() else platform.processor())


def _left_unused() -> bool:
    """Does MKL leave this processor's widest vector instructions unused?"""
    return _by_amd() and "AVX512" in torch.backends.cpu.get_cpu_capability()


_ONEDNN: Any = getattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise", None) \
    if torch.backends.mkldnn.is_available() else None  # torch.compile's own way to oneDNN
PAYS = _ONEDNN is not None and _left_unused()  # asked, never measured: a machine rounds alike every time


def by_onednn(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Is left [batch, in] @ right, of either side up, a product that oneDNN makes?"""
    return (PAYS and left.shape[0] * right.numel() >= _LARGE and left.is_cpu
            and left.dtype is right.dtype is torch.float32)


def product(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return left [batch, in] @ right [in, out] + bias [out], with gradients of any order."""
    if by_onednn(left, right):
        return _Product.apply(left, right, bias)
    return left.mm(right) if bias is None else bias.addmm(left, right)


def product_into(out: torch.Tensor, left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None
                 ) -> torch.Tensor:
    """The same without gradients, written to `out` where that is quicker than new memory; use what is returned."""
    if PAYS and left.shape[0] * right.numel() >= _LARGE:
        return _ONEDNN(left, right.t(), bias, "none", [], "")
    return torch.mm(left, right, out=out) if bias is None else torch.addmm(bias, left, right, out=out)


class _Product(torch.autograd.Function):
    """The same by oneDNN; what it needs for its gradients is of the same kind."""

    @staticmethod
    def forward(ctx: Any, left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(left, right)
        return _ONEDNN(left, right.t(), bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        left, right = ctx.saved_tensors
        above, asked = gradients[0], ctx.needs_input_grad
        return (product(above, right.t()) if asked[0] else None,
                product(left.t(), above) if asked[1] else None,
                above.sum(dim=0) if asked[2] else None)
