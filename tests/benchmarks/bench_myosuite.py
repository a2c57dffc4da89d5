"""MyoSuite bodies: one lane against the bare environment, eight lanes against Gymnasium's own worker processes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from stimloop.components.bodies.myosuite import Myosuite
from stimloop.loops.component import Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import FIRST, count_steps

ENV = "myoHandReachFixed-v0"
LANES = 8
THREADS = 2
STEPS = 100  # of an episode, as registered


@contextmanager
def cores(count: int) -> Iterator[list[int]]:
    """Keep this process, and what it starts, on the first `count` cores it may use."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:count])
    try:
        yield allowed[:count]
    finally:
        os.sched_setaffinity(0, allowed)


def actions(lanes: int, size: int) -> np.ndarray:
    """The same random actions for everybody, [ticks, lanes, size]."""
    return np.random.default_rng(0).uniform(-1, 1, (97, lanes, size)).astype(np.float32)


def bare(ticks: int) -> Callable[[], float]:
    """Seconds of one `env.unwrapped.step`: the median of the calls of a round; resets in between are not counted."""
    import gymnasium

    env = gymnasium.make(ENV, disable_env_checker=True).unwrapped
    moves = actions(1, env.action_space.shape[0])[:, 0]
    env.reset(seed=0)
    tick = age = 0

    def measure() -> float:
        nonlocal tick, age
        calls = []
        for _ in range(ticks):
            move = moves[tick % 97]
            start = time.perf_counter()
            ended = env.step(move)[2]
            calls.append(time.perf_counter() - start)
            tick, age = tick + 1, age + 1
            if ended or age == STEPS:
                env.reset()
                age = 0
        return statistics.median(calls)

    return measure


def single(ticks: int) -> Callable[[], float]:
    """Seconds of one step of a one-lane body, its inputs made anew: the median of a round; FIRST is no step."""
    body, moves = body_of(1, 1)
    tick = 0

    def measure() -> float:
        nonlocal tick
        calls = []
        for _ in range(ticks):
            move = moves[tick % 97]
            start = time.perf_counter()
            status = body.step(tick, Inputs({"action": move}))["status"]
            took = time.perf_counter() - start
            if status[0] != FIRST:
                calls.append(took)
            tick += 1
        return statistics.median(calls)

    return measure


def body_of(lanes: int, threads: int) -> tuple[Myosuite, np.ndarray]:
    """Build a body and actions for it."""
    body = Myosuite(env=ENV, threads=threads)
    body.build(Lanes.of(lanes), 0)
    return body, actions(lanes, body.inputs["action"].shape[0])


def ours(lanes: int, threads: int, ticks: int) -> Callable[[], float]:
    """Seconds per step of the body, all lanes together; ticks that begin an episode take time and are no steps."""
    body, moves = body_of(lanes, threads)
    tick = 0

    def measure() -> float:
        nonlocal tick
        statuses = []
        start = time.perf_counter()
        for _ in range(ticks):
            statuses.append(body.step(tick, Inputs({"action": moves[tick % 97]}))["status"])
            tick += 1
        return (time.perf_counter() - start) / sum(count_steps(status) for status in statuses)

    return measure


def workers(ticks: int) -> tuple[Callable[[], float], Any]:
    """Seconds per step of Gymnasium's AsyncVectorEnv with its defaults: a process per environment, shared memory."""
    import gymnasium
    import myosuite  # noqa: F401 (registers its tasks before the workers are forked)

    envs = gymnasium.vector.AsyncVectorEnv([lambda: gymnasium.make(ENV, disable_env_checker=True)] * LANES)
    moves = actions(LANES, envs.single_action_space.shape[0])
    envs.reset(seed=0)
    tick, ended = 0, np.zeros(LANES, bool)

    def measure() -> float:
        nonlocal tick, ended
        begins = 0  # next-step autoreset: the tick after an end begins an episode, it is no step
        start = time.perf_counter()
        for _ in range(ticks):
            begins += int(ended.sum())
            _, _, terminated, truncated, _ = envs.step(moves[tick % 97])
            ended = terminated | truncated
            tick += 1
        return (time.perf_counter() - start) / (ticks * LANES - begins)

    return measure, envs


def measure(rounds: int = 61, ticks: int = 28) -> dict[str, Any]:
    """Interleave the body, one lane and eight, with what it replaces."""
    from .common import check, interleave, ratio_check

    os.environ.setdefault("MUJOCO_GL", "disable")
    with cores(THREADS) as used:
        processes, envs = workers(ticks)  # before any thread of ours exists: they are forked
        try:
            times = interleave({"bare": bare(4 * ticks), "single": single(4 * ticks), "async": processes,
                                "one thread": ours(LANES, 1, ticks), "threads": ours(LANES, THREADS, ticks)}, rounds)
        finally:
            envs.close()
    rate = [1 / seconds for seconds in times["threads"]]
    return {"name": "myosuite", "checks": [
        ratio_check("single_vs_bare", times["bare"], times["single"], at_least=0.97),
        ratio_check("lanes_vs_async", times["async"], times["threads"], at_least=1.4),
        ratio_check("threads_vs_one", times["one thread"], times["threads"], at_least=1.2),
        check("lanes_steps_per_s", rate, "1/s"),
        check("single_steps_per_s", [1 / seconds for seconds in times["single"]], "1/s"),
    ], "settings": {"env": ENV, "lanes": LANES, "threads": THREADS, "cores": used, "rounds": rounds,
                    "ticks per round": ticks, "actions": "uniform in [-1, 1], the same on both sides",
                    "peer": "gymnasium.vector.AsyncVectorEnv, defaults (processes, shared memory)"}}
