"""Components whose state, wakes or schema are wrong in ways that only their own check sees, and odd but sound ones."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from conformance.steps import Leaky
from stimloop.loops.component import Component
from stimloop.loops.port import Port


class TakesAnything(Leaky):
    def __init__(self, **options: Any) -> None:
        super().__init__()


class NoComponent:
    @classmethod
    def example(cls):
        return cls()


class AnswersNothing(Leaky):
    def step(self, now, inputs):
        super().step(now, inputs)


class ResumesSomehow(Leaky):
    resumes = "mostly"


class RestartsNoise(Leaky):
    """Does not save where its noise was, and says so: sound."""

    resumes = "restarts noise"

    def state_dict(self):
        return {"memory": self.memory.copy(), "learned": {"gain": self.gain.copy()}}

    def load_state_dict(self, state):
        self.gain = np.array(state["learned"]["gain"]) if "learned" in state else self.gain
        self.memory = np.array(state["memory"]) if "memory" in state else self.memory


class LosesItsTrend(Leaky):
    """What it does not save shows in its state later, and never in its outputs."""

    def reset(self, seed):
        super().reset(seed)
        self.trend, self.trace = 0, 0

    def step(self, now, inputs):
        self.trend += 1
        self.trace += self.trend
        return super().step(now, inputs)

    def state_dict(self):
        return {**super().state_dict(), "trace": self.trace}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.trace = state.get("trace", self.trace)


class CountsItsResets(LosesItsTrend):
    resets = 0

    def reset(self, seed):
        super().reset(seed)
        self.resets += 1

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        self.trend = self.resets
        return answer

    def state_dict(self):
        return {**super().state_dict(), "trend": self.trend}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.trend = state.get("trend", self.trend)


class GrowsAKey(Leaky):
    grown = False

    def step(self, now, inputs):
        self.grown = True
        return super().step(now, inputs)

    def state_dict(self):
        return {**super().state_dict(), **({"extra": 1} if self.grown else {})}


class SavesByNumber(Leaky):
    def state_dict(self):
        return {**super().state_dict(), 1: 2}


class LearnsANumber(Leaky):
    def state_dict(self):
        return {**super().state_dict(), "learned": {"gain": self.gain.copy(), "rate": 0.5}}


class KeepsItsOwnGain(Leaky):
    """Its gain is drawn by the seed, and what it is given is passed over."""

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.gain = np.random.default_rng(seed).uniform(0.5, 1, 3)

    def load_state_dict(self, state):
        super().load_state_dict({key: value for key, value in state.items() if key != "learned"})


class LearnedTouchesTheClock(Leaky):
    """Loading what was learned alone touches something that the next step mends."""

    def reset(self, seed):
        super().reset(seed)
        self.last = 0

    def step(self, now, inputs):
        self.last = now
        return super().step(now, inputs)

    def state_dict(self):
        return {**super().state_dict(), "last": self.last}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.last = state.get("last", -1)


class UnfreezesItsInput(Leaky):
    def step(self, now, inputs):
        heard = inputs["observation"]
        if heard.base is None:
            heard.setflags(write=True)
            heard += 1
        return super().step(now, inputs)


class EndsItsThreadLate(Leaky):
    """Its thread ends on its own, soon after it was closed: sound."""

    def build(self, lanes, seed):
        super().build(lanes, seed)
        threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start()


class Ticker(Component):
    """Publishes how often it has been stepped, each ten milliseconds: sound."""

    period = 10_000_000

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"count": Port("steps so far", dtype="int64", per_lane=False)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.count, self.own = 0, 0

    def step(self, now, inputs):
        self.count, self.own = self.count + 1, self.own + 1
        return {"count": self.count}

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state.get("count", self.count)


class TicksUnevenlyUnsaved(Ticker):
    def next_wake(self, now):
        return now + 10_000_000 + self.own


class TiresUnsaved(Ticker):
    """Stops waking once it was loaded and has stepped again."""

    loaded = False

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.loaded = "count" in state

    def next_wake(self, now):
        return None if self.loaded else super().next_wake(now)


class OneLane(Leaky):
    """Serves a single lane: sound."""

    max_lanes = 1


class Paced(Leaky):
    """Steps at a period of its own, and hears the body in step with it: sound."""

    period = 10_000_000

    def __init__(self) -> None:
        super().__init__()
        self.inputs["observation"] = Port("what is heard", (None,))


class DrawsInSecret(Leaky):
    random = False


class DrawsItsWeightsInSecret(Leaky):
    random = False

    @classmethod
    def example(cls):
        return cls(noise=0.0)

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.gain = np.random.default_rng(seed).uniform(0.5, 1, 3)
