"""Networks of one shape stacked into one: every member in a single batched product. NumPy acts, torch learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from .networks import Perceptron, SharedArrays, activate


class Ensemble(SharedArrays):
    """Perceptrons with one linear head `out`, one a seed; arrays are named as theirs, [members, ...] each."""

    def __init__(self, inputs: int, hidden: list[int], outputs: int, activation: str, seeds: list[int]) -> None:
        super().__init__()
        self.activation = activation
        members = [Perceptron(inputs, hidden, {"out": outputs}, activation, seed) for seed in seeds]
        self.layers = [*members[0].layers, "out"]
        self.arrays = {name: np.stack([member.arrays[name] for member in members]) for name in members[0].arrays}

    def forward(self, values: Any) -> Any:
        """Return what each member says [members, batch, outputs] of inputs [batch, inputs]."""
        arrays = self.arrays_for(values)
        product = _numpy if isinstance(values, np.ndarray) else _torch
        values = values[None]
        for name in self.layers:
            values = product(values, arrays[f"{name}/weight"], arrays[f"{name}/bias"])
            if name != "out":
                values = activate(values, self.activation)
        return values


def _numpy(values: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Rows one by one, as in `networks.linear`: a lane must not change with its neighbours."""
    return np.matmul(values[:, :, None, :], weight.swapaxes(1, 2)[:, None])[:, :, 0] + bias[:, None]


def _torch(values: Any, weight: Any, bias: Any) -> Any:
    return bias.unsqueeze(1).baddbmm(values.expand(len(weight), -1, -1), weight.transpose(1, 2))
