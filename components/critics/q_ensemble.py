"""Several action values learned side by side, of which the lowest counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ..parts.ensembles import Ensemble
from ..parts.networked import Networked
from ..parts.networks import Init


class QEnsemble(Networked):
    """Says how much reward an action promises in a situation, as several networks judge it.

    The members begin apart and learn from the same targets; the least of them damps what a single one would
    overestimate (clipped double Q-learning: Fujimoto et al. 2018, arXiv:1802.09477, section 4.2). Their weights
    are stacked.

    Args:
        members: number of networks.
        hidden: number of neurons of each layer.
        activation: of every layer.
        weights: artifact to begin with; without it weights are drawn from the seed.
        init: how weights begin where there is no artifact: uniform within 1 / sqrt(inputs), biases too (`fan_in`), or
            within sqrt(6 / (inputs + outputs)) with biases of 0 (`glorot`).
        layer_norm: normalise what each layer hears before it answers, against critics that diverge where they are
            updated many times for each step (Hiraoka et al. 2022, arXiv:2110.02034); it costs some time.
    """

    def __init__(self, *, members: Count = 2, hidden: list[Count] = [256, 256],  # noqa: B006
                 activation: Literal["relu", "tanh"] = "relu", weights: Weights | None = None,
                 init: Init = "fan_in", layer_norm: bool = False) -> None:
        self.members, self.hidden, self.activation, self.weights = members, list(hidden), activation, weights
        self.init, self.layer_norm = init, layer_norm
        self.inputs = {
            "observation": Port("the situation", ("observation",), wakes=True),
            "action": Port("what is done in it", ("action",), wakes=True),
        }
        self.outputs = {"value": Port("reward promised, discounted: the least of the members", ())}

    @classmethod
    def example(cls) -> QEnsemble:
        return cls(hidden=[8, 8])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the networks, and take the weights of the artifact."""
        super().build(lanes, seed)
        size = sum(int(self.inputs[name].shape[0]) for name in ("observation", "action"))  # type: ignore[arg-type]
        self.network: Ensemble = Ensemble(size, self.hidden, 1, self.activation,
                                [derive(seed, "weights", member) for member in range(self.members)], self.init,
                                self.layer_norm)
        self.take_weights()

    def plain(self) -> Ensemble | None:
        """Return the networks, which are all there is to a value, where their layers are not normalised."""
        return None if self.layer_norm else self.network

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Judge what is done now."""
        return {"value": self.value(inputs["observation"], inputs["action"]).min(axis=0)}

    def value(self, observation: Any, action: Any = None) -> Any:
        """Return values [members, batch] of observations and actions [batch, ...]; tensors in, gradients out."""
        if isinstance(observation, np.ndarray):
            both: Any = np.concatenate([observation, action], axis=-1)
        else:
            import torch

            both = torch.cat([observation, action], dim=-1)
        return self.network.forward(both)[..., 0]
