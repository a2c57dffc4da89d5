"""Sound policies, and variations of them that each break one property of what a policy answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.status import begins, idle, status_input


class Brain(Component):
    """A recurrent Gaussian policy in NumPy: sound."""

    random = True

    def __init__(self, explore: bool = True) -> None:
        self.explore = explore
        self.inputs = {"observation": Port("what is seen", ("n",), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("what is done", (2,), low=-1, high=1), "log_prob": Port("log-probability")}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.kept = np.zeros(self.lanes.count)  # [lanes]
        self.draws = LaneRandom(seed, self.lanes)

    def respond(self, inputs, memory):
        kept = 0.5 * memory + np.tanh(np.asarray(inputs["observation"], np.float64).sum(-1))
        return {"action": 0.3 * np.tanh(kept)[:, None] * np.array([1.0, -1.0])}, kept

    def evaluate(self, inputs, action, memory=None):
        mean = self.respond(inputs, memory)[0]["action"]
        return self.log_prob(action, mean), np.zeros(len(mean))

    def log_prob(self, action, mean):
        return -0.5 * (((action - mean) / 0.1) ** 2).sum(-1)

    def memory(self):
        return self.kept.copy()

    def parameters(self):
        return []

    def step(self, now, inputs):
        frozen = idle(inputs["status"])
        fresh = "observation" in inputs.new
        if "status" in inputs.new:
            self.kept[begins(inputs["status"])] = 0
        answer, memory = self.respond(inputs, self.kept)
        mean = action = answer["action"]
        if self.explore:
            action = np.clip(mean + 0.1 * self.draws.normal((2,), ~frozen), -1, 1)
        if fresh:
            self.kept = np.where(frozen, self.kept, memory)
        action[frozen] = 0
        action = action.astype(np.float32)
        return {"action": action, "log_prob": self.log_prob(action, mean).astype(np.float32)}

    def state_dict(self):
        return {"kept": self.kept.copy(), "random": self.draws.state_dict()}

    def load_state_dict(self, state):
        if "kept" in state:
            self.kept = np.array(state["kept"])
            self.draws.load_state_dict(state["random"])


class StepIsNotRespond(Brain):
    def step(self, now, inputs):
        answer = super().step(now, inputs)
        return {**answer, "action": answer["action"] * np.float32(0.5)}


class AnotherMemory(Brain):
    def step(self, now, inputs):
        answer = super().step(now, inputs)
        self.kept = self.kept + 0.1
        return answer


class EvaluatesOtherwise(Brain):
    def evaluate(self, inputs, action, memory=None):
        log_prob, entropy = super().evaluate(inputs, action, memory)
        return log_prob + 0.5, entropy


class Stimulated(Brain):
    """Its action also hangs on a current: sound."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs["current"] = Port("current", (2,), optional=True, guarded=True)

    def respond(self, inputs, memory):
        answer, memory = super().respond(inputs, memory)
        return {"action": answer["action"] + 0.05 * np.tanh(inputs.get("current", 0))}, memory


class EvaluatesUnstimulated(Stimulated):
    def evaluate(self, inputs, action, memory=None):
        return super().evaluate({"observation": inputs["observation"]}, action, memory)


class RespondsUnstimulated(Stimulated):
    def __init__(self, explore: bool = True) -> None:
        super().__init__()
        self.explore = explore

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        if "current" in inputs:
            answer["action"] = answer["action"] + np.float32(0.1)
        return answer


class ActsWhileItWaits(Brain):
    def step(self, now, inputs):
        status = np.zeros_like(inputs["status"])
        return super().step(now, Inputs({**inputs, "status": status}, inputs.new, inputs.previous))


class Unguarded(Brain):
    def __init__(self) -> None:
        super().__init__()
        self.inputs["current"] = Port("current", (2,), optional=True)


class RenamesItsAction(Brain):
    def __init__(self) -> None:
        super().__init__()
        self.outputs = {"move": self.outputs.pop("action"), **self.outputs}


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

    def evaluate(self, inputs, action, memory=None):
        log_prob, entropy = super().evaluate(inputs, action, memory)
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


class AlwaysExplores(Brain):
    """A policy that draws and cannot be told not to: sound."""

    def __init__(self) -> None:
        super().__init__(explore=True)


class KeepsItsChances(Recurrent):
    """Offers `evaluate`, but publishes no log-probability: sound."""

    def evaluate(self, inputs, action, memory=None):
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
