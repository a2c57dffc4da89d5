"""A link that loses messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ..parts.passing import carry, frozen


class Loss(Component):
    """Drops messages by chance; a lane whose message is lost keeps the value it had.

    Args:
        probability: chance that a message is lost, drawn for each lane and message.
    """

    random = True
    transparent = True

    def __init__(self, probability: float = 0.1) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability of {probability} is not in [0, 1]")
        self.probability = probability
        self.inputs = {"input": Port("what is sent", ("n",), reads="now", wakes=True)}
        self.outputs = {"output": Port("what got through", ("n",))}

    @classmethod
    def example(cls) -> Loss:
        return cls(probability=0.3)

    def infer(self) -> None:
        carry(self)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        port = self.outputs["output"]
        self._random = LaneRandom(seed, self.lanes)
        self._arrived = frozen(np.zeros(port.full_shape(self.lanes.count), port.dtype))  # [lanes, n]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "input" not in inputs.new:
            return {}
        got = self._random.uniform() >= self.probability  # [lanes]
        if not got.any():
            return {}
        self._arrived = frozen(np.where(got[:, None], inputs["input"], self._arrived))
        return {"output": self._arrived}

    def state_dict(self) -> dict[str, Any]:
        return {"arrived": self._arrived, "random": self._random.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "random" in state:
            self._arrived = frozen(np.array(state["arrived"]))
            self._random.load_state_dict(state["random"])
