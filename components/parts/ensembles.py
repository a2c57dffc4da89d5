"""Networks of one shape whose weights are stacked: one product on a GPU, member by member on a processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .networks import Init, Perceptron, SharedArrays, activate

_LEAST = 1e-5  # added to a variance that is divided by


class Ensemble(SharedArrays):
    """Perceptrons with one linear head `out`, one a seed; arrays are named as theirs, [members, ...] each.

    With `layer_norm` what the neurons of a layer hear is brought to mean 0 and variance 1 over the layer, then scaled
    and shifted for each neuron (`layer1/gain`, `layer1/shift` [members, out]), before they answer (Ba et al. 2016,
    arXiv:1607.06450, eq. 4).
    """

    def __init__(self, inputs: int, hidden: list[int], outputs: int, activation: str, seeds: list[int],
                 init: Init = "fan_in", layer_norm: bool = False) -> None:
        super().__init__()
        self.activation = activation
        members = [Perceptron(inputs, hidden, {"out": outputs}, activation, seed, init=init) for seed in seeds]
        self.layers = [*members[0].layers, "out"]
        self.arrays = {name: np.stack([member.arrays[name] for member in members]) for name in members[0].arrays}
        self.layer_norm = layer_norm
        if layer_norm:
            for name, size in zip(self.layers, hidden, strict=False):
                self.arrays |= {f"{name}/gain": np.ones((len(seeds), size), np.float32),
                                f"{name}/shift": np.zeros((len(seeds), size), np.float32)}

    def forward(self, values: Any) -> Any:
        """Return what each member says [members, batch, outputs] of inputs [batch, inputs]."""
        arrays = self.arrays_for(values)
        layers = [(arrays[f"{name}/weight"], arrays[f"{name}/bias"]) for name in self.layers]
        if isinstance(values, np.ndarray):
            return self._through(values[None], layers, by_rows, arrays)
        if values.device.type != "cpu" or self.layer_norm:
            return self._through(values[None], layers, _stacked, arrays)
        import torch

        from .backpropagation import through_layers

        members = zip(*[zip(weight.unbind(), bias.unbind(), strict=True) for weight, bias in layers], strict=True)
        return torch.stack([through_layers(values, self.activation, member[:-1], member[-1:])[1][0]
                            for member in members])

    def _through(self, values: Any, layers: Iterable[tuple[Any, Any]], product: Callable[[Any, Any, Any], Any],
                 arrays: Mapping[str, Any]) -> Any:
        for depth, (weight, bias) in enumerate(layers):
            values = product(values if not depth else activate(values, self.activation), weight, bias)
            if self.layer_norm and (name := self.layers[depth]) != "out":
                values = _standard(values) * arrays[f"{name}/gain"][:, None] + arrays[f"{name}/shift"][:, None]
        return values


def _standard(values: Any) -> Any:
    """Return values [members, batch, neurons] at mean 0 and variance 1 over the neurons; arrays or tensors."""
    apart = values - values.mean(-1)[..., None]
    return apart / ((apart * apart).mean(-1)[..., None] + _LEAST) ** 0.5


def by_rows(values: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Rows one by one, as in `networks.linear`: a lane must not change with its neighbours."""
    return np.matmul(values[:, :, None, :], weight.swapaxes(1, 2)[:, None])[:, :, 0] + bias[:, None]


def _stacked(values: Any, weight: Any, bias: Any) -> Any:
    """All members at once: what a GPU likes, and a processor gains nothing from."""
    return bias.unsqueeze(1).baddbmm(values.expand(len(weight), -1, -1), weight.transpose(1, 2))
