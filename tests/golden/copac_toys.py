"""Toy parts of the CopAC assembly: coprocessor, limiter, stimulator, critic, action model and learner."""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.components.parts.roles import Body, Model, Search, Value
from stimloop.loops.checks import GUARDS
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import derive
from stimloop.loops.status import TERMINATED, ended, idle, is_step, status_input

from .toys import TICK

COMMANDS = np.array([-1, -0.5, 0, 0.5, 1], np.float32)
FIELD = np.array([0.5, -0.25], np.float32)


def judge(w: np.ndarray, x: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Q of places and pushes."""  # [..., 2] both -> [...]
    return w[0] * x[..., 0] + w[1] * x[..., 1] + w[2] * a[..., 0] + w[3] * a[..., 1]


def guess(g: np.ndarray, x: np.ndarray, command: np.ndarray) -> np.ndarray:
    """The push that a brain will make."""  # [..., 2], [...] -> [..., 2]
    return g[:2] * x + g[2:] * command[..., None]


def choose(w: np.ndarray, g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The command whose guessed push is judged best (the first of equals)."""  # [lanes, 2] -> [lanes]
    values = [judge(w, x, guess(g, x, np.full(len(x), c, np.float32))) for c in COMMANDS]
    return COMMANDS[np.argmax(values, axis=0)]


def fitted(g: np.ndarray, x: np.ndarray, command: np.float32, push: np.ndarray) -> np.ndarray:
    """One step of least squares on one sample."""
    error = guess(g, x[None], np.array([command]))[0] - push
    return (g - np.float32(0.25) * np.concatenate([error * x, error * command])).astype(np.float32)


def improved(w: np.ndarray, x: np.ndarray, a: np.ndarray, target: np.float32) -> np.ndarray:
    """One step towards a target for one sample."""
    error = judge(w, x, a) - target
    return (w - np.float32(0.125) * error * np.concatenate([x, a])).astype(np.float32)


class Coprocessor(Component):
    """Commands the stimulation that critic and action model together like best; zero in lanes that rest."""

    uses = {"critic": Use(Value), "action_model": Use(Model)}

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "status": status_input()}
        self.outputs = {"command": Port("command", (), low=-1, high=1)}

    def choose(self, observation: Any) -> Any:
        return choose(self.used["critic"].w, self.used["action_model"].g, observation)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        command = self.choose(inputs["observation"])
        return {"command": np.where(idle(inputs["status"]), np.float32(0), command)}


class Limiter(Component):
    """Cuts commands at a peak."""

    guard = True

    def __init__(self) -> None:
        self.inputs = {"command": Port("command", (), wakes=True), "status": status_input()}
        self.outputs = {"command": Port("delivered", (), low=-0.625, high=0.625)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "command" not in inputs.new:
            return {}
        cut = np.clip(inputs["command"], np.float32(-0.625), np.float32(0.625))
        return {"command": np.where(idle(inputs["status"]), np.float32(0), cut)}


GUARDS.add(f"{Limiter.__module__}.{Limiter.__qualname__}")  # for these tests only: the real one is in components/links


class Stimulator(Component):
    """Spreads a command over the neurons."""

    def __init__(self) -> None:
        self.inputs = {"command": Port("command", (), wakes=True, guarded=True)}
        self.outputs = {"current": Port("current", (2,))}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"current": inputs["command"][:, None] * FIELD} if "command" in inputs.new else {}


class Critic(Component):
    """Judges places and pushes; also listens, and publishes what it thinks of the present."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "action": Port("push", (2,))}
        self.outputs = {"value": Port("Q")}
        self.w = np.array([0.5, -0.25, 0.5, 0.25], np.float32)

    def value(self, observation: Any, action: Any = None) -> Any:
        return judge(self.w, observation, action)

    def parameters(self) -> list[np.ndarray]:
        return [self.w]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"value": self.value(inputs["observation"], inputs["action"])} if "observation" in inputs.new else {}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"w": self.w.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.w[:] = state["learned"]["w"]


class ActionModel(Component):
    """Guesses the push of the brain from place and command; publishes by how much it was wrong."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "condition": Port("delivered", ()),
                       "target": Port("push", (2,))}
        self.outputs = {"surprise": Port("error", (2,))}
        self.g = np.zeros(4, np.float32)

    def predict(self, input: Any, generator: Any = None) -> Any:
        return guess(self.g, *input)

    def loss(self, input: Any, target: Any) -> Any:
        return np.square(self.predict(input) - target).sum(-1)

    def parameters(self) -> list[np.ndarray]:
        return [self.g]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        return {"surprise": self.predict((inputs["observation"], inputs["condition"])) - inputs["target"]}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"g": self.g.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.g[:] = state["learned"]["g"]


class Learner(Component):
    """Fits the action model after each patient step; after an episode rehearses K and improves the critic."""

    uses = {"critic": Use(Value, changes=True), "action_model": Use(Model, changes=True), "search": Use(Search),
            "world": Use(Body, changes=True)}

    def __init__(self, rounds: int = 2) -> None:
        self.rounds = rounds  # K = rounds x lanes of the world
        self.inputs = {"observation": Port("place", (2,), wakes=True), "status": status_input(),
                       "stimulation": Port("delivered", (), reads="hold"),
                       "action": Port("push", (2,), reads="hold")}
        self.outputs = {"updates": Port("updates", dtype="int64", per_lane=False),
                        "weight": Port("first weight", per_lane=False)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.last = np.zeros((1, 2), np.float32)
        self.updates = self.rehearsed = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "status" not in inputs.new:
            return {}
        status = inputs["status"]
        if is_step(status)[0]:
            model = self.used["action_model"]
            model.g[:] = fitted(model.g, self.last[0], inputs["stimulation"][0], inputs["action"][0])
            self.updates += 1
        self.last = inputs["observation"]
        if ended(status)[0]:
            for _ in range(self.rounds):
                self._rehearse()
        return {"updates": np.int64(self.updates), "weight": np.float32(self.used["critic"].w[0])}

    def _rehearse(self) -> None:
        world, critic, model = self.used["world"], self.used["critic"], self.used["action_model"]
        search = self.used["search"]
        world.reset(derive(self.seed, "rehearsal", self.rehearsed))
        self.rehearsed += 1
        now, over = 0, np.zeros(world.lanes.count, bool)
        out = world.step(0, Inputs({"action": np.zeros((world.lanes.count, 2), np.float32)}))
        x = out["observation"]
        push = model.predict((x, search.choose(x)))
        while not over.all():
            out = world.step(now + TICK, Inputs({"action": push}, frozenset({"action"}), now))
            now += TICK
            after = out["observation"]
            following = model.predict((after, search.choose(after)))
            best = critic.value(after, following)
            for lane in np.flatnonzero(~over):
                goes_on = np.float32(0.875) * (not out["status"][lane] & TERMINATED)
                critic.w[:] = improved(critic.w, x[lane], push[lane], out["reward"][lane] + goes_on * best[lane])
                self.updates += 1
            over |= ended(out["status"])
            x, push = after, following

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "last": self.last, "updates": self.updates, "rehearsed": self.rehearsed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed, self.last = int(state["seed"]), np.array(state["last"])
        self.updates, self.rehearsed = int(state["updates"]), int(state["rehearsed"])
