"""A link that loses messages."""

from __future__ import annotations

from typing import Any

from ...loops.bounds import Share
from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ..parts.delivery import Delivery, link_ports
from ..parts.passing import carry


class Loss(Component):
    """Drops messages by chance; a lane whose message is lost keeps the value it had.

    Args:
        probability: chance that a message is lost, drawn for each lane and message.
    """

    random = True

    def __init__(self, probability: Share = 0.1) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability of {probability} is not in [0, 1]")
        self.probability = probability
        self.inputs, self.outputs = link_ports("what is sent", "what got through")

    @classmethod
    def example(cls) -> Loss:
        return cls(probability=0.3)

    def infer(self) -> None:
        carry(self)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self._delivery = Delivery(self, seed)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "input" not in inputs.new:
            return {}
        got = self._delivery.random.uniform() >= self.probability  # [lanes]
        return self._delivery.answer(got, inputs["input"])

    def state_dict(self) -> dict[str, Any]:
        return self._delivery.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "random" in state:
            self._delivery.load_state_dict(state)
