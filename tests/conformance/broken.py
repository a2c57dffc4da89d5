"""Sound components, and small variations of them that each break one property: the suite must catch every one."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import numpy as np

from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import FIRST, TERMINATED, WAITING, begins, idle, is_step, status_input, status_output


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


class KeepsTheInputs(Leaky):
    last: Any = None

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        if self.last is not None and self.last["observation"] is not self.was:
            self.memory += 1
        self.last, self.was = inputs, inputs["observation"]
        return answer


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


class Counter(Component):
    """Counts steps and adds up reward, as a metrics learner does: sound."""

    def __init__(self) -> None:
        self.inputs = {"status": status_input(wakes=True), "reward": Port("reward")}
        self.outputs = {"steps": Port("steps so far", dtype="int64", per_lane=False),
                        "total": Port("sum of rewards", dtype="float64", per_lane=False)}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.steps, self.total = 0, 0.0

    def step(self, now, inputs):
        if "status" in inputs.new:
            self.steps += int(is_step(inputs["status"]).sum())
        if "reward" in inputs.new:
            self.total += float(inputs["reward"].astype(np.float64).sum())
        return {"steps": self.steps, "total": np.array(self.total)}

    def state_dict(self):
        return {"steps": self.steps, "total": self.total}

    def load_state_dict(self, state):
        self.steps, self.total = state.get("steps", self.steps), state.get("total", self.total)


class CountsAgain(Counter):
    def step(self, now, inputs):
        inputs.new = inputs.new | {"reward"}
        return super().step(now, inputs)


class Learner(Counter):
    """Changes the policy it uses every fifth step, and says so: sound."""

    uses = {"policy": Use(type("Policy", (), {}), changes=True)}

    def __init__(self) -> None:
        super().__init__()
        self.outputs["updates"] = Port("updates so far", dtype="int64", per_lane=False)

    def step(self, now, inputs):
        answer = super().step(now, inputs)
        updates = self.steps // 5
        if updates > self.updates:
            self.change()
        self.updates = updates
        return {**answer, "updates": updates}

    def change(self):
        for parameter in self.used["policy"].parameters():
            parameter += 0.1

    def reset(self, seed):
        super().reset(seed)
        self.updates = 0

    def state_dict(self):
        return {**super().state_dict(), "updates": self.updates}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.updates = state.get("updates", self.updates)


class ChangesAlways(Learner):
    def step(self, now, inputs):
        self.change()
        return super().step(now, inputs)


class Body(Component):
    """A point that drifts and ends when it is far out or old: sound."""

    random = True

    def __init__(self, restart: Literal["next_tick", "at_once"] = "next_tick", length: int = 9) -> None:
        self.restart, self.length = restart, length
        self.period = 20_000_000
        self.inputs = {"action": Port("push", (2,), low=-1, high=1, reads="hold"),
                       "begin": Port("episode seed", (), dtype="int64", kind="event", reads="all", optional=True)}
        self.outputs = {"observation": Port("place", (2,), low=-2, high=2), "reward": Port("closeness"),
                        "status": status_output()}

    @classmethod
    def example(cls):
        return cls()

    def reset(self, seed):
        self.origin = seed
        self.place = np.zeros((self.lanes.count, 2))  # [lanes, 2]
        self.age = np.zeros(self.lanes.count, np.int64)
        self.episode = np.zeros(self.lanes.count, np.int64)
        self.flags = np.full(self.lanes.count, WAITING, np.int64)

    def begin(self, lane, seed):
        self.place[lane] = [(derive(seed, axis) % 1000) / 1000 - 0.5 for axis in range(2)]
        self.age[lane] = 0

    def step(self, now, inputs):
        wired, before = "begin" in inputs, self.flags
        asked = dict(zip(inputs["begin"].lane.tolist(), inputs["begin"].value.tolist(), strict=True)) if wired else {}
        self.refuse(asked, before, now)
        move = (before == 0) | begins(before)
        self.place[move] = np.clip(self.place + 0.1 * inputs["action"], -2, 2)[move]
        self.age[move] += 1
        flags = np.where(move & (self.age >= self.length), TERMINATED, 0)
        rest = ~move
        again = flags != 0 if self.restart == "at_once" and not wired else np.zeros_like(rest)
        for lane in np.flatnonzero(rest | again):
            if wired and lane not in asked:
                flags[lane] = WAITING
                continue
            number = derive(self.origin, int(self.lanes.numbers[lane]), int(self.episode[lane]))
            self.episode[lane] += 1
            self.begin(lane, asked.get(lane, number))
            flags[lane] |= FIRST
        reward = np.where((flags == FIRST) | (flags == WAITING), 0, 2 - np.abs(self.place).sum(-1))
        self.flags = flags
        if (flags == WAITING).all():
            return {}
        return self.tell(flags, reward)

    def tell(self, flags, reward):
        return {"observation": self.place.astype(np.float32), "reward": reward.astype(np.float32),
                "status": flags.copy()}

    def refuse(self, asked, before, now):
        if any(not idle(before)[lane] for lane in asked):
            raise ValueError("begin for a running lane")

    def state_dict(self):
        return {"place": self.place.copy(), "age": self.age.copy(), "flags": self.flags.copy(),
                "episode": self.episode.copy()}

    def load_state_dict(self, state):
        for name in ("place", "age", "flags", "episode"):
            if name in state:
                setattr(self, name, np.array(state[name]))


class StartsWithoutFirst(Body):
    def tell(self, flags, reward):
        return super().tell(np.where(flags == FIRST, 0, flags), reward)


class FirstTooLate(Body):
    def tell(self, flags, reward):
        if (flags == FIRST).any() and self.episode.max() > 1:
            flags = flags & ~FIRST
        return super().tell(flags, reward)


class RewardAtFirst(Body):
    def tell(self, flags, reward):
        return super().tell(flags, reward + 1)


class OutsideItsBounds(Body):
    def tell(self, flags, reward):
        answer = super().tell(flags, reward)
        return {**answer, "observation": answer["observation"] + np.float32(2 * (self.age[0] > 5))}


class AtOnceForgotten(Body):
    def step(self, now, inputs):
        self.restart = "next_tick"
        return super().step(now, inputs)


class DeafToBegin(Body):
    def step(self, now, inputs):
        heard = {key: value for key, value in inputs.items() if key != "begin"}
        return super().step(now, Inputs(heard, inputs.new, inputs.previous))


class BeginsTwice(Body):
    def refuse(self, asked, before, now):
        pass


class SeedlessBegin(Body):
    def begin(self, lane, seed):
        super().begin(lane, lane)


class NeverEndsOnceBegun(Body):
    def step(self, now, inputs):
        self.length = 10_000 if "begin" in inputs else 9
        return super().step(now, inputs)


class TalksWhileAllWait(Body):
    def step(self, now, inputs):
        return super().step(now, inputs) or self.tell(self.flags, np.zeros(self.lanes.count))


class ActsAtFirst(Body):
    def step(self, now, inputs):
        answer = super().step(now, inputs)
        if answer:
            self.place[answer["status"] == FIRST] += 0.1 * inputs["action"][answer["status"] == FIRST]
        return answer


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

    def evaluate(self, observation, action, memory=None):
        mean = self.respond({"observation": observation}, memory)[0]["action"]
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
    def evaluate(self, observation, action, memory=None):
        log_prob, entropy = super().evaluate(observation, action, memory)
        return log_prob + 0.5, entropy


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


class Model(Component):
    """Predicts with a torch layer: sound."""

    input_size = 4

    def __init__(self) -> None:
        self.inputs, self.outputs = {}, {}

    @classmethod
    def example(cls):
        return cls()

    def build(self, lanes, seed):
        super().build(lanes, seed)
        import torch

        self.layer = torch.nn.Linear(4, 2)

    def predict(self, input, generator=None):
        return self.layer(input)

    def parameters(self):
        return self.layer.parameters()


class LooksAtTheBatch(Model):
    def predict(self, input, generator=None):
        return self.layer(input - input.mean(0))


class Detached(Model):
    def predict(self, input, generator=None):
        return self.layer(input.detach())


class Spiker(Component):
    """Sends one spike a lane and step: sound."""

    period = 10_000_000

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"spikes": Port("spikes", (0,), kind="event", indices=3)}

    @classmethod
    def example(cls):
        return cls()

    def step(self, now, inputs):
        return {"spikes": self.spikes(now, np.arange(self.lanes.count))}

    def spikes(self, now, lane):
        return Events.of(now, lane, 1)


class SpikesTooEarly(Spiker):
    def spikes(self, now, lane):
        return Events.of(max(0, now - 10_000_000), lane, 1)


class SpikesElsewhere(Spiker):
    def spikes(self, now, lane):
        return Events.of(now, lane, 3)


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
