"""Bodies that each break one rule of episodes, WAITING and `begin`, and odd but sound ones."""

from __future__ import annotations

import numpy as np

from conformance.broken import Body
from stimloop.loops.component import Inputs
from stimloop.loops.port import Port
from stimloop.loops.status import ENDED, TERMINATED, WAITING


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
