"""A state value: what a situation promises, whatever is done in it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ..parts.networked import Networked
from ..parts.networks import Init, Perceptron


class ValueMlp(Networked):
    """Says how much reward a situation promises, through layers of neurons.

    Args:
        hidden: number of neurons of each layer.
        activation: of every layer.
        weights: artifact to begin with; without it weights are drawn from the seed.
        init: how weights begin where there is no artifact: uniform within 1 / sqrt(inputs), biases too (`fan_in`), or
            within sqrt(6 / (inputs + outputs)) with biases of 0 (`glorot`).
        normalise: bring observations to one scale, by the mean and deviation of those its learner has seen.
    """

    def __init__(self, *, hidden: list[Count] = [64, 64], activation: Literal["relu", "tanh"] = "tanh",  # noqa: B006
                 weights: Weights | None = None, init: Init = "fan_in", normalise: bool = False) -> None:
        self.hidden, self.activation, self.weights = list(hidden), activation, weights
        self.init, self.normalise = init, normalise
        self.inputs = {"observation": Port("the situation", ("observation",), wakes=True)}
        self.outputs = {"value": Port("reward promised, discounted", ())}

    @classmethod
    def example(cls) -> ValueMlp:
        return cls(hidden=[8, 8])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the network, and take the weights of the artifact."""
        super().build(lanes, seed)
        size = int(self.inputs["observation"].shape[0])  # type: ignore[arg-type]
        self.network: Perceptron = Perceptron(size, self.hidden, {"out": 1}, self.activation, derive(seed, "weights"),
                                  self.normalise, self.init)
        self.take_weights()

    def plain(self) -> Perceptron | None:
        """Return the network that is all there is to a value; None where observations are normalised."""
        return None if self.normalise else self.network

    def statistics(self) -> dict[str, np.ndarray]:
        """Return what was observed so far, for whoever keeps it up; empty where nothing is normalised."""
        return self.network.statistics

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Judge what is seen now."""
        return {"value": np.ascontiguousarray(self.value(inputs["observation"]))}

    def value(self, observation: Any, action: Any = None) -> Any:
        """Return values [batch] of observations [batch, ...]; tensors in, gradients out. An action changes nothing."""
        return self.network.forward(observation)[0]["out"][..., 0]
