"""Layers of a network and their gradients as one step for torch: autograd's own bookkeeping costs more than small nets.

Every activity is an output of that step, so that gradients of gradients are right too (of SiLU, whose slope cannot be
read off the activity, what went into it as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .products import product

Tensors = Sequence[torch.Tensor]


def silu_slope(above: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return the gradient that reaches what went into SiLU; torch's own pass has none of its own to go on with."""
    if not torch.is_grad_enabled():
        return torch.ops.aten.silu_backward(above, before)
    share = before.sigmoid()
    return above * (share * (1 + before * (1 - share)))


# the gradient below an activation, from the one above and what is kept: the activity, or what went into it
_BACK: dict[str, Any] = {"relu": lambda above, activity: torch.ops.aten.threshold_backward(above, activity, 0),
                         "tanh": torch.ops.aten.tanh_backward, "silu": silu_slope}


def through_layers(values: torch.Tensor, activation: str, layers: Sequence[Tensors], heads: Sequence[Tensors]
                   ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Return the activity of every layer and what every head says, [batch, size] each.

    Args:
        values: [batch, in].
        activation: of every layer, `relu`, `tanh` or `silu`; heads are linear.
        layers: weight [out, in] and bias [out] of each, from below.
        heads: weight and bias of each, which read the last layer.
    """
    flat = [tensor for pair in (*layers, *heads) for tensor in pair]
    out = _Layers.apply(values, activation, len(layers), *flat)
    return out[:len(layers)], out[len(layers):len(layers) + len(heads)]


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, activation: str, depth: int, *tensors: torch.Tensor
                ) -> tuple[torch.Tensor, ...]:
        pairs = list(zip(tensors[::2], tensors[1::2], strict=True))
        activities, befores, below = [], [], values
        for weight, bias in pairs[:depth]:
            below = product(below, weight.t(), bias)
            if activation == "silu":
                befores.append(below)
                below = torch.nn.functional.silu(below)
            else:
                below = below.relu_() if activation == "relu" else below.tanh_()
            activities.append(below)
        ctx.save_for_backward(values, *activities, *befores, *tensors[::2])
        ctx.set_materialize_grads(False)
        ctx.activation, ctx.depth = activation, depth
        return (*activities, *(product(below, weight.t(), bias) for weight, bias in pairs[depth:]), *befores)

    @staticmethod
    def backward(ctx: Any, *above: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        depth, asked = ctx.depth, ctx.needs_input_grad
        activities, rest = ctx.saved_tensors[:depth + 1], ctx.saved_tensors[depth + 1:]
        befores, weights = (rest[:depth], rest[depth:]) if ctx.activation == "silu" else ((), rest)
        found: list[torch.Tensor | None] = [None] * (2 * len(weights))
        back = _BACK[ctx.activation]
        reaching: list[torch.Tensor | None] = [None, *above[:depth]]  # what reaches each activity from above
        for i in reversed(range(len(weights))):
            below = min(i, depth)
            if i < depth:
                arrived, kept = reaching[i + 1], befores[i] if befores else activities[i + 1]
                given = None if arrived is None else back(arrived, kept)
                if befores and (more := above[len(weights) + i]) is not None:  # only for a gradient of gradients
                    given = more if given is None else given + more
            else:
                given = above[i]
            if given is None:
                continue
            if asked[3 + 2 * i]:
                found[2 * i] = product(given.t(), activities[below])
            if asked[4 + 2 * i]:
                found[2 * i + 1] = given.sum(dim=0)
            if below or asked[0]:
                share, known = product(given, weights[i]), reaching[below]
                reaching[below] = share if known is None else known + share
        return (reaching[0], None, None, *found)
