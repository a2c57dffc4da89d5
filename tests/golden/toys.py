"""Toy components for the stress assemblies: small enough to check by hand, complete in what the page asks of them.

The arithmetic stands in plain functions at the top; the plain loops of the tests call the same functions, so that a
difference between loop and plain loop is one of order or time, never of rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import StimloopError
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port, Reads
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import (
    FIRST,
    TERMINATED,
    TRUNCATED,
    WAITING,
    begins,
    ended,
    idle,
    status_input,
    status_output,
)
from stimloop.loops.system import Source

MS = 1_000_000
TICK = 20 * MS
PUSHES = np.array([[0.5, -0.5], [-0.75, 0.25], [0.25, 1.0]], np.float32)  # what each choice of action does


def start(seed: int) -> np.ndarray:
    """Where an episode of this seed begins."""  # [2]
    return np.array([seed % 1009 / 1009 - 0.5, seed // 1009 % 1013 / 1013 - 0.5], np.float32)


def lasts(seed: int) -> int:
    """How many steps an episode of this seed has."""
    return 2 + seed % 5


def flag(seed: int) -> int:
    """How it ends."""
    return TRUNCATED if seed % 3 == 0 else TERMINATED


def move(x: np.ndarray, action: np.ndarray) -> np.ndarray:
    """One step of physics."""  # [..., 2] both
    return np.float32(0.875) * x + np.float32(0.2) * action + np.float32(0.05) * x[..., ::-1]


def worth(x: np.ndarray) -> np.ndarray:
    """Reward of a state."""  # [..., 2] -> [...]
    return -(x[..., 0] * x[..., 0] + x[..., 1] * x[..., 1])


def remember(memory: np.ndarray, observation: np.ndarray) -> np.ndarray:
    """The memory of a toy brain: a leaky sum."""
    return np.float32(0.5) * memory + observation


def act(weights: np.ndarray, memory: np.ndarray, current: np.ndarray | float, noise: np.ndarray | float) -> np.ndarray:
    """The answer of a toy brain."""  # [..., 2]
    return np.clip(weights * memory + current + np.asarray(noise, np.float32), -1, 1).astype(np.float32)


def wire(text: str, delay: int = 0, reads: Reads | None = None) -> Source:
    """Where an input gets its values, in short."""
    return Source.of(text, delay, reads)


class ToyBody(Component):
    """A point that leaks towards zero and is pushed; its seed decides start, length and kind of end of an episode."""

    def __init__(self, period: int = TICK, restart: str = "next_tick", choices: int = 0) -> None:
        self.period = period
        self.restart = restart
        self.choices = choices
        action = Port("choice", choices=choices) if choices else Port("push", (2,), low=-1, high=1)
        self.inputs = {"action": Port(action.about, action.shape, low=action.low, high=action.high, choices=choices,
                                      reads="hold", also=("now",)),
                       "begin": Port("seed of a new episode", (), dtype="int64", kind="event", reads="all",
                                     optional=True)}
        self.outputs = {"observation": Port("place", (2,)), "reward": Port("minus squared distance"),
                        "status": status_output(), "solved": Port("ended by itself", dtype="bool")}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        count = self.lanes.count
        self.seed = seed
        self.x = np.zeros((count, 2), np.float32)
        self.runs = np.zeros(count, bool)
        self.steps = np.zeros(count, np.int64)
        self.seeds = np.zeros(count, np.int64)  # of the running (or last) episode
        self.episodes = np.zeros(count, np.int64)  # begun so far

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        count = self.lanes.count
        status = np.zeros(count, np.int64)
        ran = self.runs.copy()
        if ran.any():
            push = PUSHES[inputs["action"]] if self.choices else inputs["action"]
            self.x = np.where(ran[:, None], move(self.x, push), self.x)
            self.steps += ran
        reward = np.where(ran, worth(self.x), 0).astype(np.float32)
        over = ran & (self.steps >= np.array([lasts(int(s)) for s in self.seeds]))
        status[over] = np.array([flag(int(s)) for s in self.seeds])[over]
        self.runs = ran & ~over
        starts = self._starts(inputs, ran, over)
        status[starts] |= FIRST
        status[~ran & ~starts] = WAITING
        if (status == WAITING).all():
            return {}
        solved = (status & TERMINATED) != 0
        return {"observation": self.x.copy(), "reward": reward, "status": status, "solved": solved}

    def _starts(self, inputs: Inputs, ran: np.ndarray, over: np.ndarray) -> np.ndarray:
        """Begin episodes; return in which lanes."""  # [lanes] bool
        starts = np.zeros(self.lanes.count, bool)
        if "begin" in inputs:
            events = inputs["begin"]
            if ran[events.lane].any():
                raise StimloopError("a lane was told to begin while it runs")
            starts[events.lane] = True
            self.seeds[events.lane] = events.value
        else:
            starts = ~ran | (over if self.restart == "at_once" else False)
            for lane in np.flatnonzero(starts):
                number = int(self.lanes.numbers[lane])
                self.seeds[lane] = derive(self.seed, number, int(self.episodes[lane]))
        for lane in np.flatnonzero(starts):
            self.x[lane] = start(int(self.seeds[lane]))
        self.episodes += starts
        self.steps[starts] = 0
        self.runs |= starts
        return starts

    def state(self) -> dict[str, Any]:
        return {"x": self.x.copy(), "steps": self.steps.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.x, self.steps = state["x"].copy(), state["steps"].copy()

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "runs": self.runs.copy(), "seeds": self.seeds.copy(),
                "episodes": self.episodes.copy(), **self.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed = int(state["seed"])
        self.set_state(state)
        self.runs, self.seeds, self.episodes = (state[k].copy() for k in ("runs", "seeds", "episodes"))


class ToyBrain(Component):
    """Pushes in proportion to a leaky memory of what it saw, plus a current and, when it explores, noise."""

    random = True

    def __init__(self, explore: float = 0.0, random_steps: int = 0, gain: float = -0.5) -> None:
        self.explore = explore
        self.random_steps = random_steps
        self.inputs = {"observation": Port("place", (2,), wakes=True), "status": status_input(),
                       "current": Port("current", (2,), guarded=True, optional=True)}
        self.outputs = {"action": Port("push", (2,), low=-1, high=1)}
        self.weights = np.array([gain, gain / 2], np.float32)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.kept = np.zeros((self.lanes.count, 2), np.float32)
        self.taken = np.zeros(self.lanes.count, np.int64)  # answers given, per lane
        self.draws = LaneRandom(seed, self.lanes)

    def respond(self, inputs: Any, memory: Any) -> tuple[dict[str, Any], Any]:
        memory = remember(memory, inputs["observation"])
        return {"action": act(self.weights, memory, inputs.get("current", 0), 0)}, memory

    def evaluate(self, inputs: Any, action: Any, memory: Any = None) -> Any:
        return np.zeros(len(action)), np.zeros(len(action))

    def memory(self) -> Any:
        return self.kept

    def parameters(self) -> list[np.ndarray]:
        return [self.weights]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        rests = idle(inputs["status"])
        forgets = begins(inputs["status"]) & ("status" in inputs.new)
        before = np.where(forgets[:, None], np.float32(0), self.kept)
        answer, after = self.respond(inputs, before)
        action = answer["action"]
        if self.explore:
            noise = np.float32(self.explore) * self.draws.normal((2,), ~rests).astype(np.float32)
            known = np.where((self.taken < self.random_steps)[:, None], np.float32(0), self.weights)
            action = act(known, after, inputs.get("current", 0), noise)
        self.kept = np.where(rests[:, None], self.kept, after)
        self.taken += ~rests
        return {"action": np.where(rests[:, None], np.float32(0), action)}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"weights": self.weights.copy()}, "kept": self.kept.copy(), "taken": self.taken.copy(),
                "draws": self.draws.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.weights[:] = state["learned"]["weights"]
        if "kept" in state:
            self.kept, self.taken = state["kept"].copy(), state["taken"].copy()
            self.draws.load_state_dict(state["draws"])


class ToyBudget(Component):
    """Counts the patient's episodes and steps; the first step beyond the budget is an error."""

    def __init__(self, episodes: int = 3) -> None:
        self.limit = episodes
        self.inputs = {"status": status_input(wakes=True)}
        self.outputs = {"episodes": Port("ended", dtype="int64", per_lane=False),
                        "done": Port("spent", dtype="bool", per_lane=False)}
        self.count = 0

    def reset(self, seed: int) -> None:
        self.count = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "status" not in inputs.new:
            return {}
        status = inputs["status"]
        if self.count >= self.limit and ((status & ~WAITING) != FIRST).all() and (status != WAITING).any():
            raise StimloopError(f"a step beyond the budget of {self.limit} episodes")
        self.count += int(ended(status).sum())
        return {"episodes": np.int64(self.count), "done": np.bool_(self.count >= self.limit)}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = int(state["count"])
