"""A probabilistic ensemble of dynamics: networks that each say mean and variance of reward and change of observation.

Chua et al. 2018 (arXiv:1805.12114, section 4) and Janner et al. 2019 (arXiv:1906.08253, section 4): members of one
shape, begun apart and fitted to bootstraps of the same rows; log-variances held softly between two trained bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...loops.seeds import derive
from .assignment import Groups
from .networks import SharedArrays, activate

ACTIVATION = "silu"
_MOST, _LEAST = 0.5, -10.0  # log-variances between which the bounds begin
_CHUNK = 1024  # rows of one product on a processor where no gradient is wanted: their activities stay in its cache
Layer = tuple[Any, Any]  # weight and bias


def never_fitted(learned: Mapping[str, Any]) -> bool:
    """Are these learned arrays those of an ensemble that was never fitted: is no hold-out error of it known yet?"""
    return "holdout" in learned and bool(np.isinf(learned["holdout"]).all())


class DynamicsEnsemble(SharedArrays):
    """Stacked networks from an observation and an action to what comes of it, each of which also says how sure it is.

    Arrays: `layer1/weight` [members, out, in], `layer1/bias` [members, out], ..., `out/...` of 2 x outputs (mean, raw
    log-variance); `bounds/most` and `bounds/least` [outputs] of the log-variance, shared by all members; and what is
    fitted without a slope: `scaler/mean` and `scaler/deviation` [in], `elites` [elites] and their hold-out errors
    `holdout` [members] (infinite before the first fit).

    Args:
        inputs: numbers of an observation and an action.
        outputs: numbers that are predicted, the reward first.
        hidden: neurons of each layer.
        members: number of networks.
        elites: how many of them are trusted, those with the least hold-out error.
        seed: of the weights.
    """

    fixed = ("scaler/", "elites", "holdout")

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], members: int, elites: int, seed: int) -> None:
        super().__init__()
        self.activation = ACTIVATION
        self.inputs, self.outputs, self.members = inputs, outputs, members
        self.layers = [*(f"layer{i}" for i in range(1, len(hidden) + 1)), "out"]
        sizes = [inputs, *hidden, 2 * outputs]
        generators = [np.random.default_rng(derive(seed, "member", member)) for member in range(members)]
        for name, fan_in, size in zip(self.layers, sizes[:-1], sizes[1:], strict=True):
            self.arrays[f"{name}/weight"] = np.stack([_truncated(rng, (size, fan_in)) for rng in generators])
            self.arrays[f"{name}/bias"] = np.zeros((members, size), np.float32)
        self.arrays |= {"bounds/most": np.full(outputs, _MOST, np.float32),
                        "bounds/least": np.full(outputs, _LEAST, np.float32),
                        "scaler/mean": np.zeros(inputs, np.float32), "scaler/deviation": np.ones(inputs, np.float32),
                        "elites": np.arange(elites), "holdout": np.full(members, np.inf)}

    @property
    def elites(self) -> np.ndarray:
        """Members [elites] that predicted the hold-out best, the best first."""
        return self.arrays["elites"]

    @property
    def fitted(self) -> bool:
        """Was it ever fitted, here or where its weights come from? Else it says what was drawn by chance."""
        return not never_fitted(self.arrays)

    def forward(self, values: Any, among: Sequence[int] | None = None) -> tuple[Any, Any]:
        """Return mean and log-variance [members, batch, outputs].

        Args:
            values: [batch, inputs], the same for all members, or [members, batch, inputs]; arrays, or tensors with
                gradients. NumPy rows are multiplied one by one, so that a lane does not change with its neighbours:
                many rows are for tensors.
            among: ask these members only, in this order.
        """
        arrays = self._arrays_beside(values)
        chosen = range(self.members) if among is None else [int(member) for member in among]
        values = self._scaled(values, arrays)
        if isinstance(values, np.ndarray):
            rows = values if values.ndim == 3 else [values] * len(chosen)
            raw: Any = np.stack([_rows(each, layers) for each, layers in zip(rows, self._members(arrays, chosen),
                                                                             strict=True)])
        elif values.device.type == "cpu":
            import torch

            each = values.unbind() if values.ndim == 3 else [values] * len(chosen)
            raw = torch.stack([through_member(one, layers) for one, layers in zip(each, self._members(arrays, chosen),
                                                                                  strict=True)])
        else:
            raw = through_stack(values, self._stack(arrays, chosen))
        return self._said(raw, arrays)

    def assigned(self, values: Any, member: Any) -> tuple[Any, Any]:
        """Return mean and log-variance [batch, outputs] of the member that each row is assigned to.

        Every row costs one network, however many members there are.

        Args:
            values: [batch, inputs], arrays, or tensors with gradients.
            member: [batch] numbers of members, or their `Groups`.
        """
        groups = member if isinstance(member, Groups) else Groups(member, self.members)
        if not groups.count:
            mean, variance = self.forward(values, [0])
            return mean[0], variance[0]
        arrays = self._arrays_beside(values)
        values = self._scaled(groups.gather(values), arrays)
        if not isinstance(values, np.ndarray) and values.device.type != "cpu":
            raw = self._assigned_stack(values, groups, arrays)
            return self._said(groups.scatter(raw), arrays)
        found: list[Any] = []
        layers = self._members(arrays, [number for number, *_ in groups.spans])
        for (_, first, end), mine in zip(groups.spans, layers, strict=True):
            part = values[first:end]
            found.append(_rows(part, mine) if isinstance(values, np.ndarray) else through_member(part, mine))
        if isinstance(values, np.ndarray):
            raw = np.concatenate(found)
        else:
            import torch

            raw = torch.cat(found)
        return self._said(groups.scatter(raw), arrays)

    def assigned_asking_all(self, values: Any, member: Any) -> tuple[Any, Any]:
        """The same as `assigned`, by asking all members for every row: what it saves is measured against this."""
        member = member.member if isinstance(member, Groups) else member
        mean, variance = self.forward(values)
        if isinstance(values, np.ndarray):
            row: Any = np.arange(len(values))
        else:
            import torch

            row = torch.arange(len(values), device=values.device)
        return mean[member, row], variance[member, row]

    def _assigned_stack(self, values: Any, groups: Groups, arrays: Mapping[str, Any]) -> Any:
        """The same by one product a layer: the groups are filled up to the largest."""
        import torch

        take, went = (torch.from_numpy(index).to(values.device) for index in groups.padded())
        filled = values.index_select(0, take.flatten()).view(*take.shape, -1)
        raw = through_stack(filled, self._stack(arrays, [number for number, *_ in groups.spans]))
        return raw.flatten(0, 1).index_select(0, went)

    def _arrays_beside(self, values: Any) -> dict[str, Any]:
        """Return weights, bounds and scaler as the kind of array that `values` is, where it lies."""
        arrays = dict(self.arrays_for(values))
        if not isinstance(values, np.ndarray):
            import torch

            arrays |= {name: torch.from_numpy(self.arrays[name]) for name in ("scaler/mean", "scaler/deviation")}
            if values.device.type != "cpu":  # a few megabytes a call, and never out of date
                arrays = {name: array.to(values.device) for name, array in arrays.items()}
        return arrays

    @staticmethod
    def _scaled(values: Any, arrays: Mapping[str, Any]) -> Any:
        return (values - arrays["scaler/mean"]) / arrays["scaler/deviation"]

    def _stack(self, arrays: Mapping[str, Any], chosen: Sequence[int]) -> list[Layer]:
        every = len(chosen) == self.members and list(chosen) == list(range(self.members))
        pairs = [(arrays[f"{name}/weight"], arrays[f"{name}/bias"]) for name in self.layers]
        return pairs if every else [(weight[list(chosen)], bias[list(chosen)]) for weight, bias in pairs]

    def _members(self, arrays: Mapping[str, Any], chosen: Sequence[int]) -> list[list[Layer]]:
        """Return the layers of each of these members."""
        parts = [[array if isinstance(array, np.ndarray) else array.unbind() for array in pair]
                 for pair in self._stack(arrays, range(self.members))]
        return [[(weights[member], biases[member]) for weights, biases in parts] for member in chosen]

    def _said(self, raw: Any, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
        """Split what the networks say into mean and log-variance, which is held between its bounds."""
        mean, variance = raw[..., :self.outputs], raw[..., self.outputs:]
        most, least = arrays["bounds/most"], arrays["bounds/least"]
        below = most - _softplus(most - variance)
        return mean, least + _softplus(below - least)


def through_member(values: Any, layers: Sequence[Layer]) -> Any:
    """Return what one network says [batch, out] of tensors [batch, in], layer by layer on a processor."""
    import torch

    from .backpropagation import through_layers
    from .products import product

    if torch.is_grad_enabled():
        return through_layers(values, ACTIVATION, layers[:-1], layers[-1:])[1][0]
    found = []
    for part in values.split(_CHUNK):
        for depth, (weight, bias) in enumerate(layers):
            part = product(torch.nn.functional.silu(part, inplace=True) if depth else part, weight.t(), bias)
        found.append(part)
    return torch.cat(found) if len(found) > 1 else found[0]


def through_stack(values: Any, layers: Sequence[Layer]) -> Any:
    """Return what all networks say [members, batch, out] of tensors [batch, in] or [members, batch, in], together."""
    for depth, (weight, bias) in enumerate(layers):
        below = activate(values, ACTIVATION) if depth else values.expand(len(weight), *values.shape[-2:])
        values = bias.unsqueeze(1).baddbmm(below, weight.transpose(1, 2))
    return values


def _rows(values: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    """One network, rows one by one inside NumPy, as in `networks.linear`."""
    for depth, (weight, bias) in enumerate(layers):
        below = activate(values, ACTIVATION) if depth else values
        values = np.matmul(below[:, None, :], weight.T)[:, 0] + bias
    return values


def _softplus(values: Any) -> Any:
    """Return log(1 + exp(values)) of arrays or tensors."""
    if isinstance(values, np.ndarray):
        return np.logaddexp(np.float32(0), values)
    import torch

    return torch.nn.functional.softplus(values)


def _truncated(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw weights [out, in] from a normal of deviation 1 / (2 sqrt(in)), redrawn beyond two deviations."""
    drawn = rng.standard_normal(shape)
    while (far := np.abs(drawn) > 2).any():
        drawn[far] = rng.standard_normal(int(far.sum()))
    return (drawn / (2 * np.sqrt(shape[1]))).astype(np.float32)
