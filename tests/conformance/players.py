"""Sound players of the other roles, and variations that change in their own steps what their role shows."""

from __future__ import annotations

import numpy as np

from stimloop.loops.component import Component
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import idle, status_input


class Critic(Component):
    """Judges what it sees and what is done, and publishes it where it listens: sound."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("what is seen", ("n",), wakes=True),
                       "action": Port("what is done", (2,), low=-1, high=1)}
        self.outputs = {"value": Port("how good that is")}

    @classmethod
    def example(cls):
        return cls()

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.weight = np.linspace(0.1, 1, self.inputs["observation"].shape[0])

    def value(self, observation, action=None):
        seen = np.tanh(np.asarray(observation, np.float64)) @ self.weight
        return seen if action is None else seen - np.square(action, dtype=np.float64).sum(-1)

    def parameters(self):
        return [self.weight]

    def step(self, now, inputs):
        return {"value": self.value(inputs["observation"], inputs["action"]).astype(np.float32)}

    def state_dict(self):
        return {"learned": {"weight": self.weight.copy()}}

    def load_state_dict(self, state):
        if "learned" in state:
            self.weight = np.array(state["learned"]["weight"])


class TeachesItself(Critic):
    def step(self, now, inputs):
        self.weight = self.weight * 0.9
        return super().step(now, inputs)


class Plastic(Component):
    """A brain whose synapses a learner may write, lane by lane: sound."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("what is seen", (3,), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("what is done", (2,), low=-1, high=1)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.strengths = np.ones((self.lanes.count, 6))  # [lanes, synapses]

    def weights(self):
        return self.strengths.copy()

    def synapses(self):
        return np.stack(np.divmod(np.arange(6), 2), axis=1)

    def set_weights(self, weights, lanes=None):
        chosen = slice(None) if lanes is None else lanes
        self.strengths[chosen] = weights[chosen]

    def set_learned(self, lane):
        self.strengths[:] = self.strengths[lane]

    def step(self, now, inputs):
        drive = np.einsum("lij,li->lj", self.strengths.reshape(-1, 3, 2), np.tanh(inputs["observation"]))
        return {"action": np.where(idle(inputs["status"])[:, None], 0, np.tanh(drive)).astype(np.float32)}

    def state_dict(self):
        return {"strengths": self.strengths.copy()}

    def load_state_dict(self, state):
        if "strengths" in state:
            self.strengths = np.array(state["strengths"])


class LearnsUnasked(Plastic):
    def step(self, now, inputs):
        self.strengths = self.strengths * 0.99
        return super().step(now, inputs)


class ForgetsASynapse(Plastic):
    def synapses(self):
        return super().synapses()[1:]


class WritesEveryLane(Plastic):
    """Writes the weights of all lanes, whatever lanes were asked for."""

    def set_weights(self, weights, lanes=None):
        self.strengths[:] = weights


class NamesNoSynapse(Plastic):
    synapses = None


class SharesItsWeights(Plastic):
    def weights(self):
        return self.strengths[0].copy()


class Search(Component):
    """A coprocessor that commands what seems best by what it sees: sound."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("what is seen", (3,), wakes=True), "status": status_input()}
        self.outputs = {"command": Port("what to stimulate", (2,), low=-5, high=5)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.steps, self.asked = 0, 0

    def choose(self, observation):
        return 5 * np.tanh(np.asarray(observation, np.float64)[:, :2]).astype(np.float32)

    def step(self, now, inputs):
        self.steps += 1
        return {"command": np.where(idle(inputs["status"])[:, None], np.float32(0), self.choose(inputs["observation"]))}

    def state_dict(self):
        return {"steps": self.steps, "asked": self.asked}

    def load_state_dict(self, state):
        self.steps, self.asked = state.get("steps", self.steps), state.get("asked", self.asked)


class GrowsBolder(Search):
    def choose(self, observation):
        return super().choose(observation) * np.float32(1 - 0.5**self.steps)


class ChoosesByChance(Search):
    def choose(self, observation):
        return super().choose(observation) * np.random.default_rng().random(1, np.float32)


class CountsQuestions(Search):
    def choose(self, observation):
        self.asked += 1
        return super().choose(observation)


class SeesImages(Critic):
    """Judges pictures: no vector says how wide its questions are; sound."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs["observation"] = Port("picture", (4, 4), wakes=True)

    def value(self, observation, action=None):
        return np.tanh(np.asarray(observation, np.float64)).mean((-1, -2))


class Stimulator(Component):
    """Passes its command on as a current: sound."""

    def __init__(self) -> None:
        self.inputs = {"command": Port("what to deliver", (2,), guarded=True, wakes=True)}
        self.outputs = {"current": Port("current", (2,))}

    @classmethod
    def example(cls):
        return cls()

    def step(self, now, inputs):
        return {"current": inputs["command"].copy()}


class TakesCommandsFromAnyone(Stimulator):
    def __init__(self) -> None:
        super().__init__()
        self.inputs["command"] = Port("what to deliver", (2,), wakes=True)
