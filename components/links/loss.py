"""A link that loses messages."""

from __future__ import annotations

from typing import Any

from ...loops.bounds import Share
from ...loops.component import Inputs
from ..parts.delivery import Link, link_ports


class Loss(Link):
    """Drops messages by chance; a lane whose message is lost keeps the value it had.

    Args:
        probability: chance that a message is lost, drawn for each lane and message.
    """

    def __init__(self, probability: Share = 0.1) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability of {probability} is not in [0, 1]")
        self.probability = probability
        self.inputs, self.outputs = link_ports("what is sent", "what got through")

    @classmethod
    def example(cls) -> Loss:
        return cls(probability=0.3)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "input" not in inputs.new:
            return {}
        got = self._delivery.random.uniform() >= self.probability  # [lanes]
        return self._delivery.answer(got, inputs["input"])
