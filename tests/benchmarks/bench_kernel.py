"""What the loop itself costs: body, brain and learner on 8 wires at 512 lanes, against SimPy's own messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import simpy

from stimloop.loops.component import Component, Inputs
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import status_input, status_output
from stimloop.loops.system import Part, Source, System

LANES = 512
WIDTH = 16
PERIOD = 20_000_000


def _arrays(shape: tuple[int, ...], dtype: str = "float32", count: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.random(shape).astype(dtype) for _ in range(count)]


class BenchBody(Component):
    """Publishes ready-made arrays: what is measured is the loop, not the body."""

    def __init__(self) -> None:
        self.period = PERIOD
        self.inputs = {"action": Port("action", (WIDTH,), reads="hold")}
        self.outputs = {"observation": Port("observation", (WIDTH,)), "reward": Port("reward"),
                        "status": status_output()}
        self.observations, self.rewards = _arrays((LANES, WIDTH)), _arrays((LANES,))
        self.status = [np.zeros(LANES, np.int64) for _ in range(4)]
        self.count = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self.count = i = (self.count + 1) & 3
        return {"observation": self.observations[i], "reward": self.rewards[i], "status": self.status[i]}


class BenchBrain(Component):
    """Answers within the instant."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("observation", (WIDTH,), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("action", (WIDTH,)), "log_prob": Port("log-probability"),
                        "value": Port("value")}
        self.actions, self.scalars = _arrays((LANES, WIDTH)), _arrays((LANES,))
        self.count = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self.count = i = (self.count + 1) & 3
        return {"action": self.actions[i], "log_prob": self.scalars[i]}


class BenchLearner(Component):
    """Listens to everything and publishes nothing."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("observation", (WIDTH,), wakes=True), "reward": Port("reward"),
                       "status": status_input(), "action": Port("action", (WIDTH,), reads="hold"),
                       "log_prob": Port("log-probability", reads="hold")}
        self.outputs = {}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {}


def three_components() -> System:
    """The graph of the acceptance line: 3 components, 8 wires, 512 lanes."""
    heard = {name: Source("body", name) for name in ("observation", "status", "reward")}
    return System({
        "body": Part(BenchBody, {"action": Source("brain", "action")}),
        "brain": Part(BenchBrain, {"observation": heard["observation"], "status": heard["status"]}),
        "learner": Part(BenchLearner, {**heard, "action": Source("brain", "action"),
                                       "log_prob": Source("brain", "log_prob")}),
    }, lanes=LANES)


class Sender(Component):
    """One port, for the cost of a single message."""

    def __init__(self) -> None:
        self.period = PERIOD
        self.inputs = {}
        self.outputs = {"value": Port("value", (WIDTH,))}
        self.values = _arrays((LANES, WIDTH))

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"value": self.values[now // PERIOD & 3]}


class Receiver(Component):
    """Takes what the sender sends."""

    def __init__(self) -> None:
        self.inputs = {"value": Port("value", (WIDTH,), wakes=True)}
        self.outputs = {}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {}


def run_ticks(loop: Loop, ticks: int) -> int:
    """Run further ticks; return how many."""
    loop.run(loop.now + ticks * PERIOD)
    return ticks


def _store_messages(arrays: list[np.ndarray], count: int) -> int:
    env = simpy.Environment()
    store = simpy.Store(env)

    def sender() -> Any:
        for i in range(count):
            yield store.put(arrays[i & 3])
            if i % 8 == 7:
                yield env.timeout(PERIOD)

    def receiver() -> Any:
        for _ in range(count):
            yield store.get()

    env.process(sender())
    env.process(receiver())
    env.run()
    return count


def _callback_messages(arrays: list[np.ndarray], count: int) -> int:
    env = simpy.Environment()
    left = count

    def arrive(event: Any) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            env.timeout(PERIOD, arrays[left & 3]).callbacks.append(arrive)

    env.timeout(PERIOD, arrays[0]).callbacks.append(arrive)
    env.run()
    return count


def measure(ticks: int = 4000, rounds: int = 9, growth_ticks: int = 1_000_000) -> dict[str, Any]:
    """Interleave our loop with its peers; see `common.py` for how a ratio is judged."""
    from .common import check, interleave, ratio_check, timed

    arrays = _arrays((LANES, WIDTH))
    loop = Loop(three_components())
    single = Loop(System({"sender": Part(Sender), "receiver": Part(Receiver, {"value": Source("sender", "value")})},
                         lanes=LANES))
    loop.run(300 * PERIOD)
    single.run(300 * PERIOD)
    times = interleave({
        "tick": lambda: timed(lambda: run_ticks(loop, ticks)),
        "single": lambda: timed(lambda: run_ticks(single, ticks)),
        "store": lambda: timed(lambda: _store_messages(arrays, 8 * ticks)),
        "callback": lambda: timed(lambda: _callback_messages(arrays, 8 * ticks)),
    }, rounds)
    per_value = [t / 8 for t in times["tick"]]
    checks = [
        check("tick_us", [t * 1e6 for t in times["tick"]], "us", at_most=15),
        check("tick_us_processor_time", [t * 1e6 for t in times["tick busy"]], "us"),
        ratio_check("messages_vs_store", times["store"], per_value, at_least=1.3),
        ratio_check("messages_vs_callback", times["callback"], per_value, at_least=0.2),
        check("one_port_one_receiver_us", [t * 1e6 for t in times["single"]], "us"),
    ]
    checks.append(_growth(growth_ticks))
    return {"name": "kernel", "settings": {
        "lanes": LANES, "width": WIDTH, "dtype": "float32", "components": 3, "wires": 8, "finiteness": True,
        "recorder": False, "ticks": ticks, "rounds": rounds, "growth_ticks": growth_ticks}, "checks": checks}


def _growth(ticks: int) -> dict[str, Any]:
    """Tick cost after 10^6 ticks over that after 10^3, both loops measured in turn."""
    from .common import interleave, ratio_check, timed

    young, old = Loop(three_components()), Loop(three_components())
    young.run(1000 * PERIOD)
    old.run(ticks * PERIOD)
    times = interleave({"young": lambda: timed(lambda: run_ticks(young, 1000)),
                        "old": lambda: timed(lambda: run_ticks(old, 1000))}, 201)
    return ratio_check("tick_growth", times["old"], times["young"], at_most=1.05)
