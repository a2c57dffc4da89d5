"""A toy body for evaluations: episodes of a few ticks, their length and reward drawn from the seed of each."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import derive
from stimloop.loops.status import FIRST, TERMINATED, WAITING, status_output
from stimloop.loops.system import EvaluationPlan, Part, Source, System

from .toys import In, Out, Plan, SteadyToy, Toy, plain


class Game(Component):
    """Counts an episode down; begins by itself, or where `begin` is wired only when told to."""

    def __init__(self, period: int = 4, max_lanes: int | None = None) -> None:
        self.period = period
        self.max_lanes = max_lanes
        self.inputs = {"push": Port("what moves it", (None,), reads="hold", optional=True),
                       "begin": Port("episode seeds", (), kind="event", dtype="int64", reads="all", optional=True)}
        self.outputs = {"observation": Port("ticks left", (1,)), "reward": Port("reward"), "status": status_output()}
        self.log: list[tuple] | None = None

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.left = np.zeros(self.lanes.count, np.int64)
        self.number = np.zeros(self.lanes.count, np.int64)
        self.over = np.ones(self.lanes.count, bool)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        lanes = self.lanes.count
        status = np.zeros(lanes, np.int64)
        begun = inputs.get("begin")
        self.left[~self.over] -= 1
        ended = ~self.over & (self.left <= 0)
        if begun is None:
            for lane in np.flatnonzero(self.over):  # a toy: lanes one by one
                self._begin(lane, derive(self.seed, lane, int(self.number[lane])))
            status[self.over] = FIRST
        else:
            status[self.over] = WAITING
            for lane, seed in zip(begun.lane, begun.value, strict=True):
                self._begin(lane, int(seed))
                status[lane] = FIRST
        self.over = ended | (status == WAITING)
        status[ended] = TERMINATED
        push = inputs["push"].reshape(lanes, -1).sum(1) if "push" in inputs else np.zeros(lanes)
        reward = np.where(status & (FIRST | WAITING), 0, self.left + push).astype(np.float32)
        outputs = {"observation": self.left[:, None].astype(np.float32), "reward": reward, "status": status}
        if (status == WAITING).all():
            outputs = {}
        if self.log is not None:
            self.log.append((now, *((key, plain(value)) for key, value in outputs.items())))
        return outputs

    def _begin(self, lane: int, seed: int) -> None:
        self.left[lane] = 1 + seed % 5
        self.number[lane] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"left": self.left.copy(), "number": self.number.copy(), "over": self.over.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "left" in state:
            self.left, self.number = np.array(state["left"]), np.array(state["number"])
            self.over = np.array(state["over"])


def with_game(plan: Plan, every: tuple[int, str] | None, episodes: int = 3, lanes: int = 2,
              at_start: bool = True) -> System:
    """Return a random system with a body in it, pushed by one of its toys, and with an evaluation or without."""
    listener = Toy({"seen": In("body", "observation", 0, "now", True, "now", 0.0, True)}, {"out": Out()}, None, False,
                   {})
    parts = dict(plan.system().parts)
    pushing = [f"{name}.{key}" for name, toy in plan.toys.items() for key, out in toy.outputs.items()
               if out.kind == "signal" and out.per_lane and out.dtype == "float32" and len(out.shape) == 1]
    parts["body"] = Part(Game, {"push": Source.of(pushing[0])} if pushing else {})
    parts["listener"] = Part(partial(SteadyToy, listener, {"seen": Out("signal", (1,))}),
                             {"seen": Source("body", "observation")})
    if every is None:
        return System(parts, plan.lanes, plan.seed, "game")
    second = System(parts, lanes, plan.seed + 1, "evaluation")
    return System(parts, plan.lanes, plan.seed, "game",
                  evaluations={"test": EvaluationPlan(second, every, episodes, 1000, at_start)})
