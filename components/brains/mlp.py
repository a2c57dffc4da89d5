"""A feed-forward brain that can be injured and stimulated.

Weights are NumPy arrays (`parts/networks.py`): acting needs no torch, and what a learner asks for shares their memory.
Lesion and stimulation follow Pan et al. 2024 (arXiv:2406.06714): the lesion silences connections into the stimulated
layer (or its neurons), the current is added to that layer's activity before the next layer reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ...loops.storage import artifact
from ...loops.time import Period
from ..parts import lesions
from ..parts.lesions import Lesion, draw_connections, draw_neurons
from ..parts.networks import Init, Perceptron, mixed
from ..parts.policy_brain import PolicyBrain


class Mlp(PolicyBrain):
    """Turns an observation into an action through layers of neurons.

    Args:
        hidden: number of neurons of each layer.
        activation: of every layer.
        head: `gaussian` acts in [-1, 1] by squashing, `clipped` by cutting off (and does not explore), `categorical`
            makes one of `choices`, `auto` squashes or chooses as the receiver of the action wants it.
        choices: number of choices of a categorical head (0: the receiver's).
        weights: artifact to begin with; without it weights are drawn from the seed.
        init: how weights begin where there is no artifact: uniform within 1 / sqrt(inputs), biases too (`fan_in`), or
            within sqrt(6 / (inputs + outputs)) with biases of 0 (`glorot`).
        layer: hidden layer (from 1) that lesion and stimulation act on; left out, the second, or the only one.
        lesion: what a stroke has silenced in that layer; None is a healthy brain.
        explore: draw actions, and publish their log-probability, instead of taking the likeliest.
        random_steps: so many first steps (of all lanes together) act uniformly at random, when exploring.
        normalise: bring observations to one scale, by the mean and deviation of those its learner has seen.
        period: time between answers; left out, every new observation is answered within its instant.
        wake_on_current: answer again whenever the current changes.
    """

    def __init__(self, *, hidden: list[Count] = [64, 64], activation: Literal["relu", "tanh"] = "relu",  # noqa: B006
                 head: Literal["auto", "gaussian", "clipped", "categorical"] = "auto", choices: Amount = 0,
                 weights: Weights | None = None, init: Init = "fan_in", layer: Count | None = None,
                 lesion: Lesion | None = None, explore: bool = False, random_steps: Amount = 0,
                 normalise: bool = False, period: Period | None = None, wake_on_current: bool = False) -> None:
        if not hidden or min(hidden) < 1:
            raise AssemblyError([Problem(f"a brain needs layers of neurons, not {hidden}", "hidden",
                                         "Write for example [32, 32].")])
        self.hidden, self.activation, self.head = list(hidden), activation, head
        self.weights, self.init, self.lesion, self.normalise = weights, init, lesion, normalise
        self.explore, self.random_steps, self.period = explore, random_steps, period
        self.check_head(choices)
        self.layer = min(2, len(hidden)) if layer is None else layer
        if not 1 <= self.layer <= len(hidden):
            raise AssemblyError([Problem(f"there is no hidden layer {self.layer}", "layer",
                                         f"Choose from 1 to {len(hidden)}.")])
        units = hidden[self.layer - 1]
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=period is None),
            "status": replace(status_input(wakes=period is None, optional=True), also=("all",)),
            "current": Port("stimulation current into each neuron", (units,), axes=("neuron",), optional=True,
                            guarded=True, also=("mean", "all"), wakes=wake_on_current),
            "injury": Port("is the lesion in force? 1 yes, 0 not yet", (), low=0, high=1, initial=1, optional=True),
            "forget": Port("lanes to forget the past; this brain keeps none", (0,), kind="event", optional=True),
            "learned": Port("learned arrays, flattened in name order", ("learned",), per_lane=False, optional=True),
        }
        self.outputs = {
            "action": Port("action in [-1, 1]", ("action",), low=-1, high=1),
            "rates": Port("activity of the stimulated layer", (units,), axes=("neuron",)),
            "log_prob": Port("log-probability of the action drawn", ()),
        }
        if choices:
            self.offer_choices(choices)

    @classmethod
    def example(cls) -> Mlp:
        return cls(hidden=[8, 8])

    def infer(self) -> None:
        """Offer choices where the receiver of the action takes them, and count the learned numbers."""
        self.infer_choices()
        self.infer_actions(self.weights)
        size, port = self.inputs["observation"].shape[0], self.outputs["action"]
        if isinstance(size, int) and port.known:
            sizes = [size, *self.hidden]
            count = sum((a + 1) * b for a, b in pairwise(sizes))
            count += (sizes[-1] + 1) * sum(self.head_sizes().values())
            count += (2 * size + 1) * self.normalise
            if self.lesion is not None:
                units = sizes[self.layer]
                count += lesions.numbers((units,) if self.lesion.of_neurons else (units, sizes[self.layer - 1]))
            self.inputs["learned"] = self.inputs["learned"].sized((count,))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the network, injure it, and take the weights of the artifact."""
        super().build(lanes, seed)
        self.check_choices()
        size = int(self.inputs["observation"].shape[0])  # type: ignore[arg-type]
        self.network = Perceptron(size, self.hidden, self.head_sizes(), self.activation, derive(seed, "weights"),
                                  self.normalise, self.init)
        self.mask = self._draw_lesion(derive(seed, "lesion"))  # of connections [out, in], of neurons [neurons], or None
        if self.weights is not None:
            expected = artifact.nested(self.network.arrays)
            self.learn(artifact.take(self.weights, expected, ("lesion",), self.meaning))  # params describe its lesion
        self.reset(seed)

    @property
    def meaning(self) -> dict[str, str]:
        """What the weights mean beside their sizes."""
        return {"activation": self.activation, "head": self.head_meaning}

    def _draw_lesion(self, seed: int) -> np.ndarray | None:
        if self.lesion is None:
            return None
        if self.lesion.of_neurons:
            return draw_neurons(self.lesion, self.hidden[self.layer - 1], seed)
        shape = self.network.arrays[f"layer{self.layer}/weight"].shape
        return draw_connections(self.lesion, (shape[0], shape[1]), seed)

    def forward(self, inputs: Mapping[str, Any], wanted: tuple[str, ...] | None
                ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the heads say, and the activity of the stimulated layer [batch, neurons] as `rates`."""
        values, current, injury = inputs["observation"], inputs.get("current"), inputs.get("injury")
        forward, mask = self.network.forward, self.mask
        if mask is not None and injury is not None:
            sick = injury >= 0.5
            if sick.any() and not sick.all():
                ill, ill_rates = forward(values, self.layer, current, mask, wanted)
                well, rates = forward(values, self.layer, current, None, wanted)
                heads = {name: mixed(sick, ill[name], well[name]) for name in ill}
                return heads, {"rates": mixed(sick, ill_rates, rates)}
            mask = mask if sick.any() else None
        heads, rates = forward(values, self.layer, current, mask, wanted)
        return heads, {"rates": rates}

    def parameters(self) -> list[Any]:
        """Return torch parameters that share memory with the weights; change them in place."""
        return list(self.network.parameters().values())

    def move(self, device: Any) -> None:
        """Let the torch parameters lie on a device; see `SharedArrays.move`."""
        self.network.move(device)

    def plain(self) -> Perceptron | None:
        """Return the network that is all there is to an answer; None for an injured or normalised brain."""
        return None if self.lesion is not None or self.normalise else self.network

    def statistics(self) -> dict[str, np.ndarray]:
        """Return what was observed so far, for whoever keeps it up; empty where nothing is normalised."""
        return self.network.statistics

    def learned(self) -> dict[str, Any]:
        """Return the weights, and the lesion drawn."""
        self.network.gather()
        learned = artifact.nested({name: array.copy() for name, array in self.network.arrays.items()})
        return {**learned, **lesions.keep(self.lesion, self.mask)}

    def learn(self, learned: Mapping[str, Any]) -> None:
        """Take weights, and a lesion that was drawn from the same description as this brain's own."""
        weights = {name: part for name, part in learned.items() if name != "lesion"}
        artifact.check(artifact.nested(self.network.arrays), weights, "brains.mlp")
        self.network.set(artifact.flat(weights))
        self.mask = lesions.recall(self.lesion, self.mask, learned)
