"""Sound players of every role, users of them, and variations that each break one property of roles."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.broken import Brain, Counter, Model
from stimloop.components.parts import roles
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import begins, idle, status_input


class NormalisesItself(Brain):
    """Keeps a running mean of what it sees in its own step, and answers by it."""

    def reset(self, seed):
        super().reset(seed)
        self.mean = 0.0

    def respond(self, inputs, memory):
        return super().respond({"observation": np.asarray(inputs["observation"], np.float64) - self.mean}, memory)

    def step(self, now, inputs):
        self.mean = 0.9 * self.mean + 0.1 * float(inputs["observation"].mean(dtype=np.float64))
        return super().step(now, inputs)


class EvaluatesByItsPast(Brain):
    """Its `evaluate` alone moves with its steps."""

    seen = 0

    def step(self, now, inputs):
        self.seen += 1
        return super().step(now, inputs)

    def evaluate(self, observation, action, memory=None):
        log_prob, entropy = super().evaluate(observation, action, memory)
        return log_prob, entropy + self.seen


class Recurrent(Component):
    """A policy with two kinds of cells, whose memory is a dictionary of tuples, and that draws nothing: sound."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("what is seen", ("n",), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("what is done", (2,), low=-1, high=1)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.fast, self.slow = np.zeros(self.lanes.count), np.zeros(self.lanes.count)  # [lanes] each

    def memory(self) -> Any:
        return {"cells": (self.fast.copy(), self.slow.copy()), "extra": None}

    def respond(self, inputs, memory):
        fast, slow = memory["cells"]
        seen = np.tanh(np.asarray(inputs["observation"], np.float64).sum(-1))
        fast, slow = 0.5 * fast + seen, 0.9 * slow + fast
        return {"action": 0.5 * np.tanh(np.stack([fast, slow], -1))}, {"cells": (fast, slow), "extra": None}

    def step(self, now, inputs):
        frozen = idle(inputs["status"])
        if "status" in inputs.new:
            first = begins(inputs["status"])
            self.fast[first], self.slow[first] = 0, 0
        answer, memory = self.respond(inputs, self.memory())
        if "observation" in inputs.new:
            fast, slow = memory["cells"]
            self.fast, self.slow = np.where(frozen, self.fast, fast), np.where(frozen, self.slow, slow)
        return {"action": np.where(frozen[:, None], 0, answer["action"]).astype(np.float32)}

    def state_dict(self):
        return {"fast": self.fast.copy(), "slow": self.slow.copy()}

    def load_state_dict(self, state):
        if "fast" in state:
            self.fast, self.slow = np.array(state["fast"]), np.array(state["slow"])


class LosesACell(Recurrent):
    def respond(self, inputs, memory):
        answer, after = super().respond(inputs, memory)
        return answer, {"cells": after["cells"], "extra": np.zeros(1)}


class AnswersWithoutAction(Recurrent):
    def respond(self, inputs, memory):
        answer, memory = super().respond(inputs, memory)
        return {"move": answer["action"]}, memory

    def step(self, now, inputs):
        answer, _ = Recurrent.respond(self, inputs, self.memory())
        return {"action": answer["action"].astype(np.float32)}


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
        self.synapses = np.ones((self.lanes.count, 6))  # [lanes, synapses]

    def weights(self):
        return self.synapses.copy()

    def set_weights(self, weights, lanes=None):
        self.synapses[slice(None) if lanes is None else lanes] = weights

    def set_learned(self, lane):
        self.synapses[:] = self.synapses[lane]

    def step(self, now, inputs):
        drive = np.einsum("lij,li->lj", self.synapses.reshape(-1, 3, 2), np.tanh(inputs["observation"]))
        return {"action": np.where(idle(inputs["status"])[:, None], 0, np.tanh(drive)).astype(np.float32)}

    def state_dict(self):
        return {"synapses": self.synapses.copy()}

    def load_state_dict(self, state):
        if "synapses" in state:
            self.synapses = np.array(state["synapses"])


class LearnsUnasked(Plastic):
    def step(self, now, inputs):
        self.synapses = self.synapses * 0.99
        return super().step(now, inputs)


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


class Rehearses(Counter):
    """A learner that asks everyone whom it uses, and changes them every fifth step: sound."""

    uses = {"policy": Use(roles.Policy, changes=True), "critic": Use(roles.Value, changes=True),
            "model": Use(roles.Model, changes=True), "plastic": Use(roles.Plastic, changes=True),
            "world": Use(roles.Body, changes=True), "search": Use(roles.Search),
            "oracle": Use(type("Oracle", (), {}), optional=True)}

    def __init__(self) -> None:
        super().__init__()
        self.inputs["observation"] = Port("what is seen", (3,), wakes=True)
        self.outputs["updates"] = Port("updates so far", dtype="int64", per_lane=False)
        self.outputs["surprise"] = Port("what it finds in rehearsal", dtype="float64", per_lane=False)

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        updates = self.steps // 5
        surprise = self.rehearse(np.tanh(inputs["observation"]))
        if updates > self.updates:
            self.change()
        self.updates = updates
        return {**answer, "updates": updates, "surprise": surprise}

    def rehearse(self, seen):
        """Imagine one step from here, in a world of its own; the numbers add up to something finite."""
        used: Any = self.used
        action, memory = used["policy"].respond({"observation": seen}, used["policy"].memory())
        log_prob, entropy = used["policy"].evaluate(seen, action["action"], memory)
        world = used["world"]
        world.reset(1)
        kept = world.state()
        push = np.clip(used["search"].choose(np.zeros((world.lanes.count, 2))) + 1, -1, 1)
        rows = [world.step(at, Inputs({"action": push}))["reward"].sum() for at in (0, 1)]
        world.set_state(kept)
        again = world.step(1, Inputs({"action": push}))["reward"].sum()
        value = used["critic"].value(used["model"].predict(seen))
        return float(log_prob.sum() + entropy.sum() + value.sum() + sum(rows) - again + used["plastic"].weights().sum())

    def change(self):
        for name in ("policy", "critic", "model"):
            for parameter in self.used[name].parameters():
                parameter += 0.1
        weights = self.used["plastic"].weights()
        self.used["plastic"].set_weights(weights + 0.1)
        self.used["plastic"].set_weights(weights[:1] + 0.2, np.array([0]))
        self.used["plastic"].set_learned(0)

    def reset(self, seed):
        super().reset(seed)
        self.updates = 0

    def state_dict(self):
        return {**super().state_dict(), "updates": self.updates}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.updates = state.get("updates", self.updates)


class RewiresAlways(Rehearses):
    def step(self, now, inputs):
        self.used["plastic"].set_weights(self.used["plastic"].weights() * 0.99)
        return super().step(now, inputs)


class AsksAnOracle(Counter):
    """Uses somebody for whom there is no stand-in."""

    uses = {"oracle": Use(type("Oracle", (), {}))}

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        return {**answer, "total": answer["total"] + self.used["oracle"].answer}


class AlwaysExplores(Brain):
    """A policy that draws and cannot be told not to: sound."""

    def __init__(self) -> None:
        super().__init__(explore=True)


class KeepsItsChances(Recurrent):
    """Offers `evaluate`, but publishes no log-probability: sound."""

    def evaluate(self, observation, action, memory=None):
        return np.zeros(len(action)), np.zeros(len(action))


class SaysNoChances(KeepsItsChances):
    """Declares a log-probability that it never publishes: sound."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs["log_prob"] = Port("log-probability")


class NeverWoken(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.inputs["observation"] = Port("what is seen", ("n",))


class HearsEveryFlag(Recurrent):
    """Reads every status since its last step, and acts by the last."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs["status"] = status_input(reads="all")

    def step(self, now, inputs):
        rows = [row for _, row in inputs["status"]]
        return super().step(now, Inputs({**inputs, "status": rows[-1]}, inputs.new, inputs.previous))


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


class Distribution(Model):
    """Predicts a mean and a deviation by name: sound."""

    def predict(self, input, generator=None):
        mean = self.layer(input)
        return {"mean": mean, "deviation": mean.exp()}


class Pair(Model):
    """Predicts a mean and a deviation as a pair: sound."""

    def predict(self, input, generator=None):
        mean = self.layer(input)
        return mean, mean.exp()


class WithoutGradient(Model):
    def predict(self, input, generator=None):
        import torch

        with torch.no_grad():
            return self.layer(input)


class Saturated(Model):
    """Its answer has a gradient, which is zero everywhere."""

    def predict(self, input, generator=None):
        return self.layer(input) * 0
