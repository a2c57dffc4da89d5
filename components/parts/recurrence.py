"""All ticks of a recurrent network as one step for torch: autograd's bookkeeping would cost more than the ticks.

One tick is `modular_network.py`'s: x <- m (x + leak (-x + J r + drive)), r = tanh(max(x, 0)). Its gradients are written
out below (decision 0016); the gradient of J is one product over all ticks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .products import by_onednn, product


def ticks(state: torch.Tensor, drive: torch.Tensor, weight: torch.Tensor, start: torch.Tensor, *, leak: float,
          alive: torch.Tensor | None, begins: torch.Tensor | None, frozen: torch.Tensor | None, truncate: int
          ) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rates [batch, time, neurons] of every tick, and the last state [batch, neurons].

    Args:
        state: before the first tick [batch, neurons].
        drive: what reaches neurons from outside [batch, time, neurons].
        weight: J [targets, sources].
        start: state at which episodes begin [neurons].
        leak: share of the way that a neuron goes at each tick.
        alive: 1 for neurons that live, [neurons] or [batch, time, neurons]; None: all.
        begins: [batch, time] bool; None: nowhere. frozen: the same.
        truncate: gradients reach back over so many ticks and no further; 0: over all.
    """
    if begins is not None and not bool(begins[:, 1:].any()):  # whole episodes: nothing befalls them on the way
        state, begins = torch.where(begins[:, :1], start, state), None
    masks = {name: None if mask is None else mask.t()[..., None].to(state.dtype)  # [time, batch, 1]
             for name, mask in (("begins", begins), ("frozen", frozen))}
    if alive is not None and alive.ndim == 3:
        alive = alive.transpose(0, 1)
    rates, last = _Ticks.apply(state, drive.transpose(0, 1), weight, start, leak, alive, masks["begins"],
                               masks["frozen"], truncate)
    return rates.transpose(0, 1), last


def _at(mask: torch.Tensor | None, time: int) -> torch.Tensor | None:
    """Return a mask as it is at one tick; None where it has no say."""
    if mask is None or mask.ndim == 1:
        return mask
    return mask[time]


class _Ticks(torch.autograd.Function):
    """Everything here is [time, batch, neurons]."""

    @staticmethod
    def forward(ctx: Any, state: torch.Tensor, drive: torch.Tensor, weight: torch.Tensor, start: torch.Tensor,
                leak: float, alive: torch.Tensor | None, begins: torch.Tensor | None, frozen: torch.Tensor | None,
                truncate: int) -> tuple[torch.Tensor, torch.Tensor]:
        sent, told = drive.new_empty(drive.shape), drive.new_empty(drive.shape)
        large = by_onednn(state, weight)
        turned = weight.t() if large else weight.t().contiguous()  # as each library likes it best
        changing = begins is not None or (alive is not None and alive.ndim == 3)  # may a state change between ticks?
        heard: torch.Tensor | None = None
        for time, (driven, out, rates) in enumerate(zip(drive.unbind(), sent.unbind(), told.unbind(), strict=True)):
            if begins is not None:
                state = torch.lerp(state, start.expand_as(state), begins[time])
            living = _at(alive, time)
            if living is not None and (heard is None or changing):
                state = state * living
            if heard is None or changing:
                torch.clamp_min(state, 0, out=out).tanh_()
            else:
                out.copy_(heard)
            felt = product(out, turned).add_(driven) if large else torch.addmm(driven, out, turned)
            after = torch.lerp(state, felt, leak)
            if living is not None:
                after *= living
            state = after if frozen is None else torch.lerp(after, state, frozen[time])
            heard = torch.clamp_min(state, 0, out=rates).tanh_()
        ctx.save_for_backward(sent, told, weight)
        ctx.rest = leak, alive, begins, frozen, truncate
        return told, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_told: torch.Tensor, of_last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        sent, told, weight = ctx.saved_tensors
        leak, alive, begins, frozen, truncate = ctx.rest
        reaching, slope, of_drive = of_told * _slope(told), _slope(sent), torch.empty_like(sent)
        of_start, above = None if begins is None else weight.new_zeros(weight.shape[1]), of_last.clone()
        rows = list(zip(reaching.unbind(), slope.unbind(), of_drive.unbind(), strict=True))
        for time in reversed(range(len(sent))):
            reached, steep, into = rows[time]
            above += reached
            living, still = _at(alive, time), None if frozen is None else frozen[time]
            moved = above if still is None else above * (1 - still)
            moved = moved if living is None else moved * living
            torch.mul(moved, leak, out=into)
            below = torch.sub(moved, into).addcmul_(product(into, weight), steep)
            below = below if still is None else below.addcmul_(above, still)
            below = below if living is None else below.mul_(living)
            if begins is not None:
                begun = below * begins[time]
                of_start += begun.sum(dim=0)
                below -= begun
            above = torch.zeros_like(below) if truncate and time and time % truncate == 0 else below
        of_weight = product(of_drive.flatten(0, 1).t(), sent.flatten(0, 1)) if ctx.needs_input_grad[2] else None
        return (above, of_drive, of_weight, of_start, None, None, None, None, None)


def _slope(rates: torch.Tensor) -> torch.Tensor:
    """Return the slope of tanh(max(x, 0)), of what it is there."""
    return (1 - rates * rates) * (rates > 0)
