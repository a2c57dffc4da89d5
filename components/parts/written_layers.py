"""The way through a plain network and back, written out over arrays that are used again for each minibatch.

What autograd would do with `parts/backpropagation.py`, without its bookkeeping and without new memory; for updates that
are so many and so small that both cost more than the products. Only for tensors on a processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from .ensembles import Ensemble
from .networks import Perceptron
from .products import product_into

_BACK: dict[str, Any] = {
    "relu": lambda above, activity: torch.ops.aten.threshold_backward.grad_input(above, activity, 0, grad_input=above),
    "tanh": lambda above, activity: torch.ops.aten.tanh_backward.grad_input(above, activity, grad_input=above)}


@runtime_checkable
class Plain(Protocol):
    """Says nothing but what a network says: no lesion, no normaliser, nothing of its own between."""

    def plain(self) -> Perceptron | Ensemble | None:
        """Return that network; None where something stands between it and the answer."""


Room = dict[tuple[int, int], torch.Tensor]  # by depth (odd or even) and neurons of a layer


class Layers(NamedTuple):
    """Weights [out, in] and biases [out] of one network: its hidden layers, then its heads."""

    weights: list[torch.Tensor]
    biases: list[torch.Tensor]
    heads: int
    activation: str


def plain_network(component: Any) -> Perceptron | Ensemble | None:
    """Return the network that a component is, if it says that it is plain."""
    return component.plain() if isinstance(component, Plain) else None


def layers_of(network: Perceptron | Ensemble, instead: Mapping[str, torch.Tensor] | None = None) -> list[Layers]:
    """Return the layers of each member, sharing memory with the network, or with tensors `instead` of its own."""
    known = {name: tensor.detach() for name, tensor in (instead or network.parameters()).items()}
    if isinstance(network, Perceptron):
        names, heads, members = [*network.layers, *network.heads], len(network.heads), [known]
    else:
        names, heads = network.layers, 1
        members = [{name: tensor[i] for name, tensor in known.items()} for i in range(len(known["out/bias"]))]
    return [Layers([each[f"{name}/weight"] for name in names], [each[f"{name}/bias"] for name in names], heads,
                   network.activation) for each in members]


class Passes:
    """One network's way up and back for minibatches of one size.

    Args:
        layers: of the network.
        rows: of a minibatch.
        room: memory for the way back, and for activity that nobody goes back through; shared by passes that never need
            it at the same time. The less memory there is, the more of it a processor's cache holds.
        slopes: where those of weights and biases are written; without it, to memory of its own.
        after: passes through a network of the same sizes that are over, on both ways, when these begin: their memory
            for activity is taken over.
        returns: is there a way back?
    """

    def __init__(self, layers: Layers, rows: int, room: Room, slopes: Layers | None = None, *,
                 after: Passes | None = None, returns: bool = True) -> None:
        self._weights, self._biases, heads, self._activation = layers
        self._turned = [weight.t() for weight in self._weights]
        self._depth = len(self._weights) - heads
        new = self._weights[0].new_empty
        self._rows, self._room = rows, room
        if after is not None:
            self._activity: list[torch.Tensor] = list(after._activity)
        else:
            self._activity = [new(rows, len(bias)) if returns else self._scratch(depth)
                              for depth, bias in enumerate(self._biases[:self._depth])]
        self._said = [new(rows, len(bias)) for bias in self._biases[self._depth:]]
        self._values = new(0)
        self.of_weights, self.of_biases = slopes[:2] if slopes is not None else (
            [torch.empty_like(each) for each in known] for known in (self._weights, self._biases))

    def up(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Return what each head says [rows, size] of values [rows, in]; valid until the next call."""
        self._values = below = values
        for i in range(self._depth):
            made = product_into(self._activity[i], below, self._turned[i], self._biases[i])
            self._activity[i] = below = made.relu_() if self._activation == "relu" else made.tanh_()
        return [torch.addmm(bias, below, turned, out=said) for bias, turned, said in
                zip(self._biases[self._depth:], self._turned[self._depth:], self._said, strict=True)]

    def back(self, above: Sequence[torch.Tensor]) -> None:
        """Work out `of_weights` and `of_biases` from the slopes [rows, size] by what each head said in the last up."""
        for i, slope in enumerate(above, self._depth):
            torch.mm(slope.t(), self._activity[-1], out=self.of_weights[i])
            torch.sum(slope, 0, out=self.of_biases[i])
        arrived = self._through_heads(above, self._scratch(self._depth - 1))
        for i in reversed(range(self._depth)):
            _BACK[self._activation](arrived, self._activity[i])
            below = self._activity[i - 1] if i else self._values
            made = product_into(self.of_weights[i], arrived.t(), below)
            if made is not self.of_weights[i]:
                self.of_weights[i].copy_(made)
            torch.sum(arrived, 0, out=self.of_biases[i])
            if i:
                arrived = product_into(self._scratch(i - 1), arrived, self._weights[i])

    def down(self, chosen: torch.Tensor, above: torch.Tensor, first: int) -> torch.Tensor:
        """Return slopes by the values of the rows `chosen` [few], from column `first` on; of one head, by `above`."""
        arrived = self._through_heads([above], self._scratch(self._depth - 1)[:len(chosen)])
        for i in reversed(range(self._depth)):
            _BACK[self._activation](arrived, self._activity[i].index_select(0, chosen))
            if i:
                arrived = product_into(self._scratch(i - 1)[:len(chosen)], arrived, self._weights[i])
        return arrived.mm(self._weights[0][:, first:])

    def _through_heads(self, above: Sequence[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        weights = self._weights[self._depth:]
        if above[0].shape[1] == 1:
            torch.mul(above[0], weights[0], out=out)
        else:
            torch.mm(above[0], weights[0], out=out)
        for slope, weight in zip(above[1:], weights[1:], strict=True):
            out.addmm_(slope, weight)
        return out

    def _scratch(self, depth: int) -> torch.Tensor:
        """Return memory [rows, neurons] for the way back into a layer; neighbours never share it."""
        key = (depth % 2, len(self._biases[depth]))
        if key not in self._room:
            self._room[key] = self._weights[0].new_empty(self._rows, key[1])
        return self._room[key]
