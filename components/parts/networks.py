"""Feed-forward networks whose weights are NumPy arrays that torch can share.

The NumPy arrays are the one copy of truth. Acting uses them directly (a lane costs microseconds, and torch need not be
imported); `parameters` hands out torch parameters that live in the very same memory, so an optimiser that writes in
place changes what acts, with nothing to synchronise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Literal

import numpy as np

from . import devices, normaliser

ACTIVATIONS = ("relu", "tanh")
Init = Literal["fan_in", "glorot"]
_ZERO = np.zeros((), np.float32)  # as an array: half the cost of a call


class SharedArrays:
    """Named NumPy arrays that torch may share."""

    fixed: tuple[str, ...] = ("normaliser/",)  # how names begin of what no optimiser changes

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._shared: dict[str, Any] = {}  # torch parameters, once somebody asked
        self._places: dict[str, int] = {}  # where in memory each of them lies
        self._device: Any = None  # where they lie, if not in the arrays' memory

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedArrays:
        """Copy what is true; the copy's torch parameters are its own."""
        self.gather()
        other = copy(self)
        other.arrays = {name: array.copy() for name, array in self.arrays.items()}
        other._shared, other._places = {}, {}
        return other

    def set(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write weights in place; names and sizes are the caller's to check."""
        for name, value in arrays.items():
            self.arrays[name][...] = value
        if self._device is not None and (there := [name for name in arrays if name in self._shared]):
            devices.send([self.arrays[name] for name in there], [self._shared[name] for name in there])

    def move(self, device: Any) -> None:
        """Let torch parameters lie on another device, as copies: `gather` fetches them, `set` sends them there.

        Parameters handed out before do not belong to this network any more.
        """
        self.gather()
        self._device, self._shared, self._places = device, {}, {}

    @property
    def statistics(self) -> dict[str, np.ndarray]:
        """What was observed so far (`parts/normaliser.py`); empty for a network that takes values as they are."""
        return {name: self.arrays[f"normaliser/{name}"] for name in normaliser.NAMES
                if f"normaliser/{name}" in self.arrays}

    def parameters(self) -> dict[str, Any]:
        """Return torch parameters by name: change them in place. On a processor they share memory with the arrays."""
        if not self._shared:
            import torch

            found = {name: torch.from_numpy(array) for name, array in self.arrays.items()
                     if not name.startswith(self.fixed)}
            self._shared = {name: torch.nn.Parameter(tensor if self._device is None else tensor.to(self._device))
                            for name, tensor in found.items()}
            self._places = {name: parameter.data_ptr() for name, parameter in self._shared.items()}
        return self._shared

    def gather(self) -> None:
        """Take back what a learner put into new memory (`parameter.data = ...`), so that truth stays one.

        Called before every use; nothing to do unless somebody broke the sharing, or parameters lie on another device.
        """
        if self._device is not None:
            for array, told in zip((self.arrays[name] for name in self._shared),
                                   devices.fetch(list(self._shared.values())) if self._shared else (), strict=True):
                array[...] = told
            return
        for name, parameter in self._shared.items():
            if parameter.data_ptr() != self._places[name]:
                import torch

                array = self.arrays[name]
                array[...] = parameter.detach().numpy()
                parameter.data = torch.from_numpy(array)

    def normalised(self, values: Any) -> Any:
        """Return values [batch, in] as the layers take them."""
        known = self.statistics
        if not known:
            return values
        mean: Any = known["mean"]
        variance: Any = known["variance"]
        if not isinstance(values, np.ndarray):
            import torch  # in double precision, as NumPy does it: what acts is what learns

            mean, variance = (torch.from_numpy(each).to(values.device) for each in (mean, variance))
        return normaliser.apply(values, mean, variance)

    def arrays_for(self, values: Any) -> Mapping[str, Any]:
        """Return the weights as the kind of array that `values` is: NumPy, or torch with gradients."""
        as_arrays = isinstance(values, np.ndarray)
        if self._shared and (as_arrays or self._device is None):
            self.gather()
        return self.arrays if as_arrays else self.parameters()


class Perceptron(SharedArrays):
    """Layers of neurons with one activation, and linear heads that read the last one.

    Arrays are named `layer1/weight` [out, in], `layer1/bias` [out], ..., `head/weight` of each head.

    Weights begin uniform: within 1 / sqrt(in), biases too (`fan_in`, as linear layers of torch), or within
    sqrt(6 / (in + out)) with biases of 0 (`glorot`, as dense layers of Keras: Glorot and Bengio 2010, AISTATS, eq. 16).
    """

    def __init__(self, inputs: int, hidden: list[int], heads: Mapping[str, int], activation: str, seed: int,
                 normalise: bool = False, init: Init = "fan_in") -> None:
        super().__init__()
        if normalise:
            self.arrays |= {f"normaliser/{name}": array for name, array in normaliser.start(inputs).items()}
        self.activation = activation
        self.layers = [f"layer{i}" for i in range(1, len(hidden) + 1)]
        self.heads = list(heads)
        rng = np.random.default_rng(seed)
        sizes = [inputs, *hidden]
        for name, fan_in, size in zip(self.layers, sizes[:-1], sizes[1:], strict=True):
            self._draw(rng, name, fan_in, size, init)
        for name, size in heads.items():
            self._draw(rng, name, sizes[-1], size, init)

    def _draw(self, rng: np.random.Generator, name: str, fan_in: int, size: int, init: Init) -> None:
        """Draw weights [size, fan_in] and biases [size] of one layer."""
        bound = 1 / np.sqrt(max(fan_in, 1)) if init == "fan_in" else np.sqrt(6 / (fan_in + size))
        self.arrays[f"{name}/weight"] = rng.uniform(-bound, bound, (size, fan_in)).astype(np.float32)
        self.arrays[f"{name}/bias"] = (rng.uniform(-bound, bound, size).astype(np.float32) if init == "fan_in"
                                       else np.zeros(size, np.float32))

    def forward(self, values: Any, layer: int = 0, current: Any = None,
                mask: np.ndarray | None = None, heads: Iterable[str] | None = None) -> tuple[dict[str, Any], Any]:
        """Return what each head (or only `heads`) says [batch, size], and one hidden layer's activity [batch, neurons].

        That layer (counted from 1) is where `mask` silences connections [out, in] or neurons [neurons] and where
        `current` is added to the activity; a silenced neuron stays silent under current, a silenced connection's
        neuron does not (Pan et al. 2024, arXiv:2406.06714).
        """
        arrays, values = self.arrays_for(values), self.normalised(values)
        asked = self.heads if heads is None else list(heads)
        if not isinstance(values, np.ndarray):
            if mask is None and current is None:
                return self._plain(values, arrays, layer, asked)
            mask = None if mask is None else values.new_tensor(mask)
        activity = values
        for i, name in enumerate(self.layers, 1):
            weight = arrays[f"{name}/weight"]
            if i != layer:
                values = activate(linear(values, weight, arrays[f"{name}/bias"]), self.activation)
                continue
            if mask is not None and mask.ndim == 2:
                weight = weight * mask
            values = activate(linear(values, weight, arrays[f"{name}/bias"]), self.activation)
            if current is not None:
                values = values + current
            if mask is not None and mask.ndim == 1:
                values = values * mask
            activity = values
        return {head: linear(values, arrays[f"{head}/weight"], arrays[f"{head}/bias"]) for head in asked}, activity

    def _plain(self, values: Any, arrays: Mapping[str, Any], layer: int, heads: list[str]
               ) -> tuple[dict[str, Any], Any]:
        """The same for tensors and a network that nothing disturbs."""
        from .backpropagation import through_layers

        pairs = [[(arrays[f"{name}/weight"], arrays[f"{name}/bias"]) for name in names]
                 for names in (self.layers, heads)]
        activities, said = through_layers(values, self.activation, *pairs)
        return dict(zip(heads, said, strict=True)), activities[layer - 1] if layer else values


def mixed(rows: Any, chosen: Any, others: Any) -> Any:
    """Return rows of `chosen` where `rows` [batch] is true, of `others` elsewhere; arrays or tensors."""
    if isinstance(chosen, np.ndarray):
        return np.where(rows[:, None], chosen, others)
    return chosen.where(rows[:, None], others)


def activate(values: Any, activation: str) -> Any:
    """Apply an activation (`relu`, `tanh` or `silu`) to NumPy arrays or tensors."""
    if activation == "silu":  # x * sigmoid(x); by tanh, which nothing makes overflow
        return (values * (0.5 * (1 + np.tanh(0.5 * values))) if isinstance(values, np.ndarray)
                else values * values.sigmoid())
    if isinstance(values, np.ndarray):
        return np.maximum(values, _ZERO) if activation == "relu" else np.tanh(values)
    return values.relu() if activation == "relu" else values.tanh()


def linear(values: Any, weight: Any, bias: Any) -> Any:
    """Return values [batch, in] @ weight [out, in] + bias.

    NumPy rows are multiplied one by one (inside NumPy), because a row's last bits would otherwise depend on how many
    rows stand beside it and on the number of threads: a lane must not change with its neighbours. For one row `dot`
    gives the same bits at less than half the cost.
    """
    if isinstance(values, np.ndarray):
        if len(values) == 1:
            return values.dot(weight.T) + bias[None]
        return np.matmul(values[:, None, :], weight.T)[:, 0] + bias
    from .products import product

    return product(values, weight.t(), bias)
