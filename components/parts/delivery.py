"""What a link has delivered: the value that stands in each lane, and the draws that decide what comes next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Component
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from .in_flight import InFlight
from .passing import carry, frozen


def link_ports(sent: str, arrived: str) -> tuple[dict[str, Port], dict[str, Port]]:
    """Return the inputs and outputs of a link that answers at the instant a message is sent."""
    return ({"input": Port(sent, ("n",), reads="now", wakes=True)}, {"output": Port(arrived, ("n",))})


def exponential(random: LaneRandom, lanes: np.ndarray | None = None) -> np.ndarray:
    """Return exponentially distributed numbers of mean 1, float64 [lanes]; only the lanes of the mask draw."""
    return -np.log1p(-random.uniform(lanes=lanes))


class Delivery:
    """The part of a link that remembers: messages under way, what arrived last in each lane, and random numbers."""

    def __init__(self, link: Component, seed: int) -> None:
        """Begin with zeros delivered and nothing under way, for a link that is built."""
        port, lanes = link.outputs["output"], link.lanes
        shape = port.full_shape(lanes.count)  # [lanes, n]
        self.random = LaneRandom(seed, lanes)
        self.queue = InFlight(lanes.count, shape[1], port.dtype)
        self.value = frozen(np.zeros(shape, port.dtype))

    def answer(self, got: np.ndarray, value: np.ndarray) -> dict[str, Any]:
        """Return what a step publishes: `value` in lanes that got something (bool [lanes]), the old one in others."""
        if not got.any():
            return {}
        self.value = frozen(np.where(got[:, None], value, self.value))
        return {"output": self.value}

    def state_dict(self) -> dict[str, Any]:
        return {"queue": self.queue.state_dict(), "value": self.value, "random": self.random.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.queue.load_state_dict(state["queue"])
        self.value = frozen(np.array(state["value"]))
        self.random.load_state_dict(state["random"])


class Link(Component):
    """What links share that deliver messages by chance: one input, one output, and what stands between them."""

    random = True

    def infer(self) -> None:
        """Let what is sent say what arrives."""
        carry(self)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self._delivery = Delivery(self, seed)

    def next_wake(self, now: int) -> int | None:
        return self._delivery.queue.next_due()

    def state_dict(self) -> dict[str, Any]:
        return {"delivery": self._delivery.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "delivery" in state:
            self._delivery.load_state_dict(state["delivery"])
