"""Stand-ins for what a component under test uses by reference: the smallest object that plays each role, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..component import Use
from ..lanes import Lanes
from ..port import Port
from ..status import FIRST


class Fake:
    """A stand-in: what its user may change of it is saved and loaded with the user."""

    kept: tuple[str, ...] = ()  # attributes that change

    def state_dict(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name).copy() for name in self.kept}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        for name in self.kept:  # in place: the user may hold the very array
            getattr(self, name)[...] = state[name]


class FakePolicy(Fake):
    """Acts with tanh of a few sums of what it sees."""

    kept = ("weight",)

    def __init__(self, lanes: Lanes) -> None:
        self.weight = np.linspace(-1, 1, 2)

    def respond(self, inputs: Mapping[str, Any], memory: Any) -> tuple[dict[str, Any], Any]:
        seen = np.asarray(inputs["observation"], np.float64).sum(-1, keepdims=True)
        return {"action": np.tanh(seen * self.weight).astype(np.float32)}, memory

    def evaluate(self, inputs: Mapping[str, Any], action: Any, memory: Any = None) -> tuple[Any, Any]:
        mean = self.respond(inputs, memory)[0]["action"]
        return -0.5 * ((np.asarray(action) - mean) ** 2).sum(-1), np.ones(len(mean))

    def memory(self) -> Any:
        return None

    def parameters(self) -> Iterable[Any]:
        return [self.weight]


class FakeValue(Fake):
    """Values an observation at its sum."""

    kept = ("weight",)

    def __init__(self, lanes: Lanes) -> None:
        self.weight = np.ones(1)

    def value(self, observation: Any, action: Any = None) -> Any:
        return np.asarray(observation).sum(-1) * self.weight[0]

    def parameters(self) -> Iterable[Any]:
        return [self.weight]


class FakeModel(FakeValue):
    """Predicts that everything stays as it is."""

    def predict(self, input: Any, generator: Any = None) -> Any:
        return input * self.weight[0]

    def loss(self, input: Any, target: Any) -> Any:
        return np.square(self.predict(input) - target).sum(-1)


class FakePlastic(Fake):
    """Five synapses a lane."""

    kept = ("strengths",)

    def __init__(self, lanes: Lanes) -> None:
        self.strengths = np.ones((lanes.count, 5))  # [lanes, synapses]

    def weights(self) -> np.ndarray:
        return self.strengths.copy()

    def synapses(self) -> np.ndarray:
        return np.stack([np.arange(5), np.zeros(5, np.int64)], axis=1)

    def set_weights(self, weights: np.ndarray, lanes: np.ndarray | None = None) -> None:
        chosen = slice(None) if lanes is None else lanes
        self.strengths[chosen] = weights[chosen]

    def set_learned(self, lane: int) -> None:
        self.strengths[:] = self.strengths[lane]


class FakeBody(Fake):
    """A point that goes where it is pushed."""

    kept = ("place",)

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.inputs = {"action": Port("push", (2,), low=-1, high=1, reads="hold")}
        self.outputs = {"observation": Port("place", (2,))}
        self.reset(0)

    def reset(self, seed: int) -> None:
        self.place = np.zeros((self.lanes.count, 2), np.float32)  # [lanes, 2]

    def step(self, now: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.place = self.place + np.float32(0.1) * inputs["action"] if now else self.place
        status = np.full(self.lanes.count, 0 if now else FIRST)
        return {"observation": self.place, "reward": -np.abs(self.place).sum(-1), "status": status}

    def state(self) -> dict[str, Any]:
        return {"place": self.place.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.place = np.array(state["place"])


class FakeSearch(Fake):
    """Always chooses to do nothing."""

    def __init__(self, lanes: Lanes) -> None:
        self.channels = 2

    def choose(self, observation: Any) -> Any:
        return np.zeros((len(observation), self.channels), np.float32)


FAKES: dict[str, Callable[[Lanes], Any]] = {
    "Policy": FakePolicy, "Value": FakeValue, "Model": FakeModel, "Plastic": FakePlastic, "Body": FakeBody,
    "Search": FakeSearch}


def fake(use: Use, lanes: Lanes) -> Any:
    """Return the smallest object that plays a role."""
    role = use.role.__name__
    if role not in FAKES:
        raise LookupError(f"there is no stand-in for the role {role}: give one with check(..., uses={{name: make}})")
    return FAKES[role](lanes)
