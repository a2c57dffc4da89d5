"""All ticks of a long short-term memory as one step for torch, for several members at once: no autograd per tick.

One tick is that of `gated_memory.py`. Its gradients are written out below (decision 0016).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def ticks(driven: torch.Tensor, weight: torch.Tensor, said: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """Return what the cells say at every tick [time, members, batch, cells], with gradients.

    Args:
        driven: what reaches the gates from outside [time, members, batch, 4 * cells].
        weight: U, from what cells said to the gates [members, 4 * cells, cells].
        said: before the first tick [members, batch, cells].
        cell: what the cells held then [members, batch, cells].
    """
    return _Ticks.apply(driven, weight, said, cell)


@torch.no_grad()
def run(driven: torch.Tensor, weight: torch.Tensor, said: torch.Tensor, cell: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Live through all ticks, as `ticks`, and return what happened, [time, ...] each, but nothing to go back by.

    Returns what the cells said and held, [time + 1, members, batch, cells], what there was before included; the gates
    [time, members, batch, 4 * cells]; and the tanh of what was held after each tick [time, members, batch, cells].
    """
    time, turned, count = len(driven), weight.transpose(1, 2), cell.shape[-1]
    shape = (time + 1, *driven.shape[1:3], count)
    heard, held, gates = driven.new_empty(shape), driven.new_empty(shape), torch.empty_like(driven)
    bent = driven.new_empty((time, *shape[1:]))
    heard[0], held[0] = said, cell
    for t in range(time):
        drive = torch.baddbmm(driven[t], heard[t], turned, out=gates[t])
        i, f, g, o = drive.split(count, dim=-1)
        drive[..., :2 * count].sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, held[t], out=held[t + 1]).addcmul_(i, g)
        torch.mul(o, torch.tanh(held[t + 1], out=bent[t]), out=heard[t + 1])
    return heard, held, gates, bent


def slope_of_gates(gates: torch.Tensor, before: torch.Tensor, bent: torch.Tensor
                   ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return how what comes back to the cells, and to what they say, reaches the gates.

    Args:
        gates: after their activation [..., 4 * cells].
        before: what the cells held before the tick [..., cells].
        bent: tanh of what they held after it.

    Returns, with slopes `of_said` and `of_cell` [..., cells] by what cells say and hold: factors of `of_cell` for the
    first three gates [..., 3 * cells], the factor of `of_said` for the last, and the one of `of_said` for `of_cell`.
    """
    i, f, g, o = gates.split(bent.shape[-1], dim=-1)
    of_cell = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], dim=-1)
    return of_cell, bent * o * (1 - o), o * (1 - bent * bent)


class _Ticks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: torch.Tensor, weight: torch.Tensor, said: torch.Tensor, cell: torch.Tensor
                ) -> torch.Tensor:
        heard, held, gates, bent = run(driven, weight, said, cell)
        ctx.save_for_backward(heard, held, gates, bent, weight)
        return heard[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        heard, held, gates, bent, weight = ctx.saved_tensors
        count = bent.shape[-1]
        to_gates, to_last, to_cell = slope_of_gates(gates, held[:-1], bent)
        forgetting, of_driven = gates[..., count:2 * count], torch.empty_like(gates)
        by_gate = (*to_gates.shape[:-1], 3, count)
        to_gates, first_three = to_gates.view(by_gate), of_driven[..., :3 * count].unflatten(-1, (3, count))
        of_said, of_cell = torch.zeros_like(bent[0]), torch.zeros_like(bent[0])
        for t in reversed(range(len(gates))):
            of_said = of_said + above[t]
            of_cell.addcmul_(of_said, to_cell[t])
            torch.mul(to_gates[t], of_cell.unsqueeze(-2), out=first_three[t])
            torch.mul(to_last[t], of_said, out=of_driven[t][..., 3 * count:])
            of_said = of_driven[t].bmm(weight)
            of_cell = of_cell * forgetting[t]
        by_member = (of_driven.transpose(0, 1).flatten(1, 2), heard[:-1].transpose(0, 1).flatten(1, 2))
        return of_driven, by_member[0].transpose(1, 2).bmm(by_member[1]), of_said, of_cell
