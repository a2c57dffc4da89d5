"""The loop against what people write today: a Gymnasium wrapper that delays and stimulates the same brain object."""

from __future__ import annotations

import inspect
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np

from stimloop.components.bodies.gymnasium_env import GymnasiumEnv
from stimloop.components.bodies.myosuite import Myosuite
from stimloop.components.brains.mlp import Mlp
from stimloop.components.coprocessors.constant import Constant
from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.loops.loop import Loop
from stimloop.loops.system import Part, Source, System

from .common import check, interleave, ratio_check, timed

ELBOW = "myoElbowPose1D6MRandom-v0"
COMMAND = [2.0, -1.0]
DELAY_STEPS = 1


# -- what a user writes by hand --------------------------------------------------------------------------------------


class DelayedStimulation(gym.Wrapper):
    """Gives the brain an observation that is late, adds a current to it, and steps the body with its answer."""

    def __init__(self, env: gym.Env, brain: Mlp, field: np.ndarray) -> None:
        super().__init__(env)
        self.brain, self.field = brain, field  # field [channels, units]
        self.command = np.array(COMMAND, np.float32)
        self.late: deque[np.ndarray] = deque(maxlen=DELAY_STEPS + 1)

    def reset(self, **keywords: Any) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(**keywords)
        self.late.clear()
        self.late.append(observation)
        self.memory = self.brain.memory()
        return observation, info

    def step(self, _: Any = None) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        current = (np.clip(self.command, -5, 5) @ self.field)[None]
        inputs = {"observation": self.late[0][None].astype(np.float32), "current": current}
        outputs, self.memory = self.brain.respond(inputs, self.memory)
        action = outputs["action"][0]
        low, high = self.env.action_space.low, self.env.action_space.high
        observation, *rest = self.env.step(low + (action + 1) * 0.5 * (high - low))
        self.late.append(observation)
        return observation, *rest


# -- the same as a loop ----------------------------------------------------------------------------------------------


def system(body: Any, period: int) -> System:
    """Body, brain, coprocessor, limiter and stimulator; the brain sees what the wrapper's sees."""
    late = DELAY_STEPS * period
    return System({
        "body": Part(body, {"action": Source("brain", "action")}),
        "brain": Part(lambda: Mlp(hidden=[32, 32]), {"observation": Source("body", "observation", late),
                                                     "status": Source("body", "status", late),
                                                     "current": Source("stimulator", "current")}),
        "coprocessor": Part(lambda: Constant(command=COMMAND), {"observation": Source("body", "observation"),
                                                                "status": Source("body", "status")}),
        "limiter": Part(lambda: SafetyLimiter(peak=5.0), {"command": Source("coprocessor", "command"),
                                                          "status": Source("body", "status")}),
        "stimulator": Part(lambda: ElectrodeField(channels=2), {"command": Source("limiter", "command")}),
    })


# -- timing ----------------------------------------------------------------------------------------------------------


def _wrapped(env: gym.Env, loop: Loop) -> DelayedStimulation:
    """The wrapper around a plain environment, with the loop's own brain and field."""
    wrapped = DelayedStimulation(env, loop.components["brain"], loop.components["stimulator"].weights.T.copy())
    wrapped.reset(seed=0)
    loop.run("3 steps")  # both sides must do the same work
    assert np.array_equal(loop.peek("stimulator.current")[0], wrapped.command @ wrapped.field)
    return wrapped


def _run_wrapper(env: DelayedStimulation, steps: int) -> int:
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step()
        if terminated or truncated:
            env.reset()
    return steps


def _run_loop(loop: Loop, steps: int) -> int:
    counter = loop.counter()
    before = counter.steps
    loop.run(f"{before + steps} steps")
    return counter.steps - before


def _lines(*things: Any) -> int:
    """Lines of code a user writes: no blanks, no docstrings alone on a line."""
    text = "\n".join(inspect.getsource(thing) for thing in things)
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith(('"""', "#")))


def measure(steps: int = 500, rounds: int = 45) -> dict[str, Any]:
    """Steps per second of the loop over those of the wrapper, one lane, recorder off on both sides."""
    import myosuite  # noqa: F401  (registers its environments)

    elbow = Loop(system(lambda: Myosuite(env=ELBOW), 20_000_000))
    pendulum = Loop(system(lambda: GymnasiumEnv(env="Pendulum-v1"), 50_000_000))
    peers = {"elbow": (elbow, _wrapped(gym.make(ELBOW), elbow)),
             "pendulum": (pendulum, _wrapped(gym.make("Pendulum-v1"), pendulum))}
    measures = {}
    for name, (loop, env) in peers.items():
        measures[f"{name} loop"] = lambda loop=loop: timed(lambda: _run_loop(loop, steps))
        measures[f"{name} wrapper"] = lambda env=env: timed(lambda: _run_wrapper(env, steps))
    times = interleave(measures, rounds)
    return {"name": "wrapper", "checks": [
        ratio_check("loop_vs_wrapper", times["elbow wrapper"], times["elbow loop"], at_least=0.9),
        ratio_check("loop_vs_wrapper_processor_time", times["elbow wrapper busy"], times["elbow loop busy"]),
        ratio_check("loop_vs_wrapper_pendulum", times["pendulum wrapper"], times["pendulum loop"]),
        check("user_lines_wrapper", [_lines(DelayedStimulation)] * 3, "lines"),
        check("user_lines_loop", [_lines(system)] * 3, "lines"),
    ], "settings": {"env": ELBOW, "lanes": 1, "hidden": [32, 32], "delay_steps": DELAY_STEPS, "steps": steps,
                    "rounds": rounds}}
