"""Sound components that step, and small variations of them that each break one property of steps."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.status import begins, status_input


class Leaky(Component):
    """Adds up what it hears, with noise, and forgets a lane at FIRST: sound."""

    random = True

    def __init__(self, forget: Literal["first", "never"] = "first", noise: float = 0.1) -> None:
        self.forget, self.noise = forget, noise
        self.inputs = {"observation": Port("what is heard", (None,), wakes=True), "status": status_input()}
        self.outputs = {"sum": Port("what was heard so far", (3,), low=-1, high=1)}

    @classmethod
    def example(cls):
        return cls()

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.gain = np.ones(3)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.memory = np.zeros((self.lanes.count, 3))  # [lanes, 3]
        self.draws = LaneRandom(seed, self.lanes)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "status" in inputs.new and self.forget == "first":
            self.memory[begins(inputs["status"])] = 0
        if "observation" in inputs.new:
            heard = np.clip(inputs["observation"].astype(np.float64), -10, 10).mean(-1, keepdims=True)
            self.memory = 0.9 * self.memory + heard + self.noise * self.draws.normal((3,))
        return {"sum": np.tanh(self.gain * self.memory).astype(np.float32)}

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.copy(), "draws": self.draws.state_dict(), "learned": {"gain": self.gain.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.gain = np.array(state["learned"]["gain"])
        if "memory" in state:
            self.memory = np.array(state["memory"])
            self.draws.load_state_dict(state["draws"])


class NoAbout(Leaky):
    def __init__(self) -> None:
        super().__init__()
        self.outputs = {"sum": Port("", (3,))}


class Untyped(Leaky):
    def __init__(self, size=3) -> None:
        super().__init__()


class Shared(Leaky):
    _one: Any = None

    @classmethod
    def example(cls):
        cls._one = cls._one or cls()
        return cls._one


class CannotBeMade(Leaky):
    @classmethod
    def example(cls):
        raise ValueError("nothing to make")


class WrongShape(Leaky):
    def step(self, now, inputs):
        return {"sum": super().step(now, inputs)["sum"][:, :2]}


class WrongAtSeven(Leaky):
    def step(self, now, inputs):
        answer = super().step(now, inputs)
        return {"sum": answer["sum"].astype(np.float64)} if self.lanes.count == 7 else answer


class OutOfBounds(Leaky):
    def step(self, now, inputs):
        return {"sum": super().step(now, inputs)["sum"] + np.float32(1)}


class UnknownOutput(Leaky):
    def step(self, now, inputs):
        return {"total": super().step(now, inputs)["sum"]}


class NoNumber(Leaky):
    def step(self, now, inputs):
        return {"sum": super().step(now, inputs)["sum"] * np.float32(np.nan)}


class GlobalRandom(Leaky):
    def step(self, now, inputs):
        self.memory += np.random.default_rng().random(3)
        return super().step(now, inputs)


class NotRandomAtAll(Leaky):
    def reset(self, seed):
        super().reset(7)


class ForgetsToSave(Leaky):
    def state_dict(self):
        return {"learned": {"gain": self.gain.copy()}, "draws": self.draws.state_dict()}

    def load_state_dict(self, state):
        if "draws" in state:
            self.draws.load_state_dict(state["draws"])


class HalfLoaded(Leaky):
    def load_state_dict(self, state):
        super().load_state_dict({key: value for key, value in state.items() if key == "learned"})


class HandsOutItsMemory(Leaky):
    def step(self, now, inputs):
        memory = self.memory
        answer = super().step(now, inputs)
        memory[:] = self.memory
        self.memory = memory
        return answer

    def state_dict(self):
        return {**super().state_dict(), "memory": self.memory}


class SavesAnObject(Leaky):
    def state_dict(self):
        return {**super().state_dict(), "draws": self.draws}

    def load_state_dict(self, state):
        super().load_state_dict({**state, "draws": state["draws"].state_dict()} if "draws" in state else state)


class ForgetsWhatItLearned(Leaky):
    def step(self, now, inputs):
        self.gain = self.gain * 0.5
        return super().step(now, inputs)

    def reset(self, seed):
        super().reset(seed)
        self.gain = np.ones(3)


class LearnsPerLane(Leaky):
    def reset(self, seed):
        super().reset(seed)
        self.gain = np.ones((self.lanes.count, 3))

    def load_state_dict(self, state):
        if "learned" in state and state["learned"]["gain"].shape != self.gain.shape:
            raise ValueError("another number of lanes")
        super().load_state_dict(state)


class LearnedTouchesMore(Leaky):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        if "memory" not in state:
            self.memory += 1


class DirtyReset(Leaky):
    def reset(self, seed):
        kept = getattr(self, "memory", None)
        super().reset(seed)
        self.memory = self.memory if kept is None else kept


class MixesLanes(Leaky):
    def step(self, now, inputs):
        self.memory += 0.1 * self.memory.mean(0)
        return super().step(now, inputs)


class DrawsByPosition(Leaky):
    def reset(self, seed):
        super().reset(seed)
        self.draws = LaneRandom(seed, Lanes.of(self.lanes.count))


class WritesInput(Leaky):
    def step(self, now, inputs):
        inputs["observation"][:] = 0
        return super().step(now, inputs)


class ReusesBuffer(Leaky):
    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.buffer = np.zeros((lanes.count, 3), np.float32)

    def step(self, now, inputs):
        self.buffer = self.buffer if self.buffer.flags.writeable else self.buffer.copy()
        self.buffer[:] = super().step(now, inputs)["sum"]
        return {"sum": self.buffer}


class ReusesBehindAView(ReusesBuffer):
    def step(self, now, inputs):
        return {"sum": super().step(now, inputs)["sum"].view()}


class WakesInThePast(Leaky):
    def next_wake(self, now):
        return now


class WakesAtANumpyInt(Leaky):
    def next_wake(self, now):
        return np.int64(now + 5_000_000)


class ChokesOnShortGaps(Leaky):
    def step(self, now, inputs):
        if inputs.previous is not None and now - inputs.previous < 1000:
            raise ZeroDivisionError("less than a microsecond")
        return super().step(now, inputs)


class Overflows(Leaky):
    def step(self, now, inputs):
        level = np.exp(np.minimum(inputs["observation"], 1e4).max(-1, keepdims=True))
        return {"sum": np.broadcast_to(level / (1 + level), (self.lanes.count, 3)).astype(np.float32)}


class FirstClearsEveryone(Leaky):
    def step(self, now, inputs):
        if "status" in inputs.new and begins(inputs["status"]).any():
            self.memory[:] = 0
        return super().step(now, inputs)


class NeverForgets(Leaky):
    def step(self, now, inputs):
        inputs.new = inputs.new - {"status"}
        return super().step(now, inputs)


class ForgetsAnyway(Leaky):
    @classmethod
    def example(cls):
        return cls(forget="never")

    def step(self, now, inputs):
        if "status" in inputs.new:
            self.memory[begins(inputs["status"])] = 0
        return super().step(now, inputs)


class LeavesThread(Leaky):
    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.thread = threading.Thread(target=time.sleep, args=(1.5,), name="forgotten", daemon=True)
        self.thread.start()


class ClosesOnce(Leaky):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True
