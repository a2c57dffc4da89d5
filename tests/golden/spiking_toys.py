"""Toy parts of the spiking assembly: a brain of inner steps, a vote over spikes, an STDP learner, a late listener."""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.components.parts.roles import Plastic
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.status import idle, is_step, status_input

NEURONS = 3
INNER = 600_000  # ns
PERIOD = 83 * INNER  # 49.8 ms


def charge(v: np.ndarray, w: np.ndarray, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """One inner step of membranes."""  # [..., 3], [..., 6], [..., 2], [..., 3]
    drive = w[..., :3] * x[..., :1] + w[..., 3:] * x[..., 1:]
    return 0.9375 * v + 0.0625 * drive + 0.25 * noise + 0.03125


def faded(trace: np.ndarray, gap: int) -> np.ndarray:
    """What is left of a trace after `gap` ns."""
    return trace / (1 + gap / 20_000_000)


class SpikingBrain(Component):
    """Integrates since its previous step in inner steps of 0.6 ms; never forgets between episodes."""

    random = True

    def __init__(self) -> None:
        self.period = PERIOD
        self.inputs = {"observation": Port("place", (2,), reads="hold"), "status": status_input("hold")}
        self.outputs = {"spikes": Port("spikes", (0,), kind="event", indices=NEURONS)}
        self.learned = np.linspace(-1, 1, 2 * NEURONS)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.v = np.zeros((self.lanes.count, NEURONS))
        self.draws = LaneRandom(seed, self.lanes)
        self.own = np.zeros(self.lanes.count, bool)  # lanes with weights of their own; the others use what was learned
        self.per_lane = np.zeros((self.lanes.count, 2 * NEURONS))

    def weights(self) -> np.ndarray:
        return np.where(self.own[:, None], self.per_lane, self.learned)

    def synapses(self) -> np.ndarray:
        return np.stack(np.divmod(np.arange(2 * NEURONS), NEURONS), axis=1)

    def set_weights(self, weights: np.ndarray, lanes: np.ndarray | None = None) -> None:
        chosen = np.ones(self.lanes.count, bool) if lanes is None else lanes
        self.per_lane = np.where(chosen[:, None], weights, self.per_lane)
        self.own = self.own | chosen

    def set_learned(self, lane: int) -> None:
        self.learned = self.weights()[lane].copy()

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if inputs.previous is None:
            return {"spikes": Events.empty()}
        acts = ~idle(inputs["status"])
        weights, columns = self.weights(), []
        for k in range((now - inputs.previous) // INNER):
            noise = self.draws.normal((NEURONS,), acts)
            v = charge(self.v, weights, inputs["observation"].astype(np.float64), noise)
            fires = (v > 1) & acts[:, None]
            self.v = np.where(acts[:, None], np.where(fires, 0.0, v), self.v)
            lane, neuron = np.nonzero(fires)
            columns.append((np.full(lane.size, inputs.previous + (k + 1) * INNER), lane, neuron))
        return {"spikes": Events.of(*(np.concatenate(column) for column in zip(*columns, strict=True)))}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"weights": self.learned.copy()}, "v": self.v.copy(), "draws": self.draws.state_dict(),
                "own": self.own.copy(), "per_lane": self.per_lane.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.learned = np.array(state["learned"]["weights"])
        if "v" in state:
            self.v, self.own, self.per_lane = (np.array(state[k]) for k in ("v", "own", "per_lane"))
            self.draws.load_state_dict(state["draws"])


class Vote(Component):
    """Chooses the neuron that spoke most in the interval that just ended (the first of equals)."""

    def __init__(self) -> None:
        self.inputs = {"spikes": Port("spikes", (0,), kind="event", indices=NEURONS, wakes=True)}
        self.outputs = {"action": Port("choice", choices=NEURONS)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        counts = np.zeros((self.lanes.count, NEURONS), np.int64)
        np.add.at(counts, (inputs["spikes"].lane, inputs["spikes"].index), 1)
        return {"action": np.argmax(counts, axis=1)}


class Stdp(Component):
    """A trace of spikes per neuron; reward turns it into weights, after everyone has spoken."""

    uses = {"plastic": Use(Plastic, changes=True)}

    def __init__(self) -> None:
        self.inputs = {"spikes": Port("spikes", (0,), kind="event", indices=NEURONS, wakes=True),
                       "reward": Port("reward"), "status": status_input()}
        self.outputs = {"updates": Port("updates", dtype="int64", per_lane=False),
                        "weights": Port("weights", (2 * NEURONS,), dtype="float64")}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.trace = np.zeros((self.lanes.count, NEURONS))
        self.last = np.zeros(self.lanes.count, np.int64)
        self.updates = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        spikes = inputs["spikes"]
        for time, lane, neuron in zip(spikes.time, spikes.lane, spikes.index, strict=True):
            self.trace[lane] = faded(self.trace[lane], int(time - self.last[lane]))
            self.trace[lane, neuron] += 1
            self.last[lane] = time
        plastic = self.used["plastic"]
        if "reward" in inputs.new and is_step(inputs["status"]).any():
            gain = 0.125 * inputs["reward"].astype(np.float64)[:, None] * self.trace
            plastic.set_weights(plastic.weights() + np.concatenate([gain, -gain], axis=1), is_step(inputs["status"]))
            plastic.set_learned(0)
            self.updates += 1
        return {"updates": np.int64(self.updates), "weights": plastic.weights()}

    def state_dict(self) -> dict[str, Any]:
        return {"trace": self.trace.copy(), "last": self.last.copy(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trace, self.last = np.array(state["trace"]), np.array(state["last"])
        self.updates = int(state["updates"])


class Listener(Component):
    """Says how many spikes of each neuron it was handed, whenever any arrive."""

    def __init__(self) -> None:
        self.inputs = {"spikes": Port("spikes", (0,), kind="event", indices=NEURONS, wakes=True)}
        self.outputs = {"heard": Port("spikes handed over", (NEURONS,), dtype="int64")}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        counts = np.zeros((self.lanes.count, NEURONS), np.int64)
        np.add.at(counts, (inputs["spikes"].lane, inputs["spikes"].index), 1)
        return {"heard": counts} if "spikes" in inputs.new else {}
