"""A sound body, bodies that each break one rule of episodes, WAITING and `begin`, and odd but sound ones."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.port import Port
from stimloop.loops.seeds import derive
from stimloop.loops.status import ENDED, FIRST, TERMINATED, WAITING, begins, idle, status_output


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


class EndsUnevenly(Body):
    """Its lanes end at different times: sound."""

    def step(self, now, inputs):
        self.length = 9 + 3 * self.lanes.numbers  # [lanes]
        return super().step(now, inputs)


class RunsOnAfterItsEnd(EndsUnevenly):
    def step(self, now, inputs):
        before = self.flags
        answer = super().step(now, inputs)
        if answer and "begin" in inputs:
            answer["status"][(before & ENDED != 0) & (answer["status"] == WAITING)] = 0
        return answer


class FidgetsWhileItWaits(Body):
    def tell(self, flags, reward):
        answer = super().tell(flags, reward)
        answer["observation"][flags == WAITING] += np.float32(0.01 * self.age.sum() + 0.01 * self.episode.sum())
        return answer


class BeginsEveryone(Body):
    def step(self, now, inputs):
        if "begin" in inputs and len(inputs["begin"]):
            self.asked = {lane: int(inputs["begin"].value[0]) for lane in range(self.lanes.count)}
        return super().step(now, inputs)

    def refuse(self, asked, before, now):
        if asked:
            super().refuse(asked, before, now)
            asked.update(self.asked)


class MissesTheFirstBegin(Body):
    def step(self, now, inputs):
        if "begin" in inputs and inputs.previous is None:
            inputs = Inputs({**inputs, "begin": inputs["begin"].select(inputs["begin"].lane < 0)}, inputs.new, None)
        return super().step(now, inputs)


class TalksAfterTheEnd(Body):
    def step(self, now, inputs):
        answer = super().step(now, inputs)
        return answer or (self.tell(self.flags, np.zeros(self.lanes.count)) if self.episode.any() else {})


class EndsWhileItWaits(Body):
    def tell(self, flags, reward):
        return super().tell(np.where(flags == TERMINATED, TERMINATED | WAITING, flags), reward)


class RestsUnasked(Body):
    def tell(self, flags, reward):
        tired = (flags == 0) & (self.age == 4)
        return super().tell(np.where(tired, WAITING, flags), np.where(tired, 0, reward))


class ForgetsItsReward(Body):
    def tell(self, flags, reward):
        answer = super().tell(flags, reward)
        if (self.age > 4).any():
            del answer["reward"]
        return answer


class NeverEnds(Body):
    """Has no end, and no choice of how to begin anew: sound."""

    def __init__(self) -> None:
        super().__init__(length=10_000)


class OnlyLane(Body):
    """Serves a single lane: sound."""

    max_lanes = 1


class CannotBegin(Body):
    def __init__(self) -> None:
        super().__init__()
        del self.inputs["begin"]


class BeginsBySignal(Body):
    def __init__(self) -> None:
        super().__init__()
        self.inputs["begin"] = Port("episode seed", (), dtype="int64", optional=True)


class StatusFromZero(Body):
    """Hears a status that does not start as WAITING."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs["status"] = Port("another body's status", (), dtype="int64")
