"""CAVIA: a learner with phases sends `begin`; lanes that finish early wait; when all wait nothing is published."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytest

from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.errors import StimloopError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import begins, idle, is_step, status_input
from stimloop.loops.system import Part, System

from . import compare
from .plain import Book, World
from .toys import MS, TICK, ToyBody, wire

SEED, LANES, ITERATIONS, TESTS = 3, 4, 3, 3
TASK = np.array([0, 0, 1, 1])  # of each lane: 2 tasks x 2 episodes


def lean(theta: np.ndarray, context: np.ndarray, x: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    """The push of a policy with a context."""  # [..., 2]
    return np.clip(theta * x + context + np.asarray(noise, np.float32), -1, 1).astype(np.float32)


@runtime_checkable
class Contextual(Protocol):
    """Has shared weights and a context per lane."""

    theta: np.ndarray
    context: np.ndarray


class ContextBrain(Component):
    """Shared weights are learned; contexts per lane are ordinary state."""

    random = True

    def __init__(self, explore: bool = True) -> None:
        self.explore = explore
        self.inputs = {"observation": Port("place", (2,), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("push", (2,), low=-1, high=1)}
        self.theta = np.array([-0.25, 0.25], np.float32)
        self.context = np.zeros((1, 2), np.float32)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.context = np.zeros((self.lanes.count, 2), np.float32)
        self.draws = LaneRandom(seed, self.lanes)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        rests = idle(inputs["status"])
        noise = np.float32(0.25) * self.draws.normal((2,), ~rests).astype(np.float32) if self.explore else 0
        action = lean(self.theta, self.context, inputs["observation"], noise)
        return {"action": np.where(rests[:, None], np.float32(0), action)}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"theta": self.theta.copy()}, "context": self.context.copy(),
                "draws": self.draws.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.theta[:] = state["learned"]["theta"]
        if "context" in state:
            self.context = np.array(state["context"])
            self.draws.load_state_dict(state["draws"])


class Cavia(Component):
    """Before: gather and move contexts; after: gather from the same starts and move the shared weights."""

    uses = {"policy": Use(Contextual, changes=True)}

    def __init__(self, iterations: int = ITERATIONS) -> None:
        self.iterations = iterations
        self.inputs = {"observation": Port("place", (2,), wakes=True), "reward": Port("reward"),
                       "status": status_input(), "action": Port("push", (2,), reads="hold")}
        self.outputs = {"begin": Port("seeds", (), dtype="int64", kind="event"),
                        "updates": Port("updates", dtype="int64", per_lane=False),
                        "done": Port("finished", dtype="bool", per_lane=False)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.phase = 0  # even: before; odd: after
        self.gathered = np.zeros((self.lanes.count, 2), np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        out: dict[str, Any] = {"done": np.bool_(self.phase >= 2 * self.iterations)}
        if inputs.previous is None:
            return {**out, "begin": self._begin(now)}
        status = inputs["status"]
        steps = is_step(status)[:, None]
        gain = inputs["reward"][:, None] * inputs["action"] + np.float32(0.5) * inputs["observation"]
        self.gathered = np.where(steps, self.gathered + gain, self.gathered)
        if begins(status).any() or not idle(status).all():
            return out
        self._change(self.used["policy"])
        self.gathered = np.zeros_like(self.gathered)
        self.phase += 1
        done = self.phase >= 2 * self.iterations
        out = {"done": np.bool_(done), "updates": np.int64(self.phase)}
        return out if done else {**out, "begin": self._begin(now)}

    def _change(self, policy: Contextual) -> None:
        if self.phase % 2:
            total = self.gathered[0] + self.gathered[1] + self.gathered[2] + self.gathered[3]
            policy.theta[:] = policy.theta + np.float32(0.0625) * total
            policy.context = np.zeros_like(policy.context)
        else:
            per_task = np.stack([self.gathered[0] + self.gathered[1], self.gathered[2] + self.gathered[3]])
            policy.context = np.float32(0.125) * per_task[TASK]

    def _begin(self, now: int) -> Events:
        seeds = [derive(self.seed, self.phase // 2, lane % 2) for lane in range(LANES)]  # both phases, all tasks
        return Events.of(now, np.arange(LANES), 0, seeds, "int64")

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "phase": self.phase, "gathered": self.gathered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed, self.phase = int(state["seed"]), int(state["phase"])
        self.gathered = np.array(state["gathered"])


def build(delay: int = 0) -> System:
    place, status = wire("body.observation"), wire("body.status")
    parts = {
        "body": Part(ToyBody, {"action": wire("brain.action"), "begin": wire("learner.begin", delay)}),
        "brain": Part(ContextBrain, {"observation": place, "status": status}),
        "learner": Part(Cavia, {"observation": place, "status": status, "reward": wire("body.reward"),
                                "action": wire("brain.action")}, {"policy": "brain"}),
    }
    system = System(parts, LANES, SEED, "cavia")
    test = compare.without(system, "learner", lanes=TESTS, swap={"brain": lambda: ContextBrain(False)})
    return System(parts, LANES, SEED, "cavia", evaluations=compare.plan(test, (8, "episodes"), TESTS))


def try_out(theta: np.ndarray) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {"return": [], "length": [], "success": []}
    for seed in range(1000, 1000 + TESTS):
        world, status, total, length = World(0, 0), 1, 0.0, 0
        world.begin(seed)
        x = world.x
        while not status & 6:
            x, reward, status = world.tick(lean(theta, np.zeros(2, np.float32), x, 0))
            total, length = total + float(reward), length + 1
        table["return"].append(total)
        table["length"].append(length)
        table["success"].append(float(status & 2 != 0))
    return table


def change(phase: int, theta: np.ndarray, gathered: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """End of a phase: contexts move after the first, shared weights after the second."""
    total = [gathered[0] + gathered[1], gathered[2] + gathered[3]]
    if phase % 2:
        return theta + np.float32(0.0625) * (total[0] + gathered[2] + gathered[3]), [np.zeros(2, np.float32)] * LANES
    return theta, [np.float32(0.125) * total[i // 2] for i in range(LANES)]


def plain(delay: int, until: int) -> tuple[compare.Rows, list[dict]]:
    """Phases as a loop over ticks, whole so as to be read beside the page; what was sent waits for the next tick."""
    book, theta = Book(), np.array([-0.25, 0.25], np.float32)
    context, push, gathered = [[np.zeros(2, np.float32)] * LANES for _ in range(3)]
    worlds = [World(0, lane) for lane in range(LANES)]
    draws = LaneRandom(derive(SEED, "brain"), Lanes.of(LANES))
    own = derive(SEED, "learner")
    phase = steps = episodes = 0
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out(theta)}]
    sent: tuple[int, list[int]] | None = None
    for now in range(0, until, TICK):
        asked: list[int | None] = [None] * LANES
        if sent is not None and sent[0] < now:
            asked, sent = list(sent[1]), None
        rows = [worlds[i].tick(push[i], asked[i], waits=True) for i in range(LANES)]
        status = [row[2] for row in rows]
        heard = status != [8] * LANES
        if heard:
            book.body(now, rows)
        if now == 0:
            sent = (delay, [derive(own, 0, lane % 2) for lane in range(LANES)])
            book.say(0, "learner.done", False, "bool")
        if not heard:
            continue
        for i, (x, reward, flags) in enumerate(rows):
            if flags not in (1, 8):
                gathered[i] = gathered[i] + (reward * push[i] + np.float32(0.5) * x)
                steps += 1
        ended = sum(flags & 6 != 0 for flags in status)
        if all(flags >= 2 for flags in status):
            theta, context = change(phase, theta, gathered)
            gathered = [np.zeros(2, np.float32)] * LANES
            phase += 1
            book.say(now, "learner.updates", phase, "int64")
            if phase < 2 * ITERATIONS:
                sent = (now + delay, [derive(own, phase // 2, lane % 2) for lane in range(LANES)])
        book.say(now, "learner.done", phase >= 2 * ITERATIONS, "bool")
        acts = np.array([flags < 2 for flags in status])
        noise = np.float32(0.25) * draws.normal((2,), acts).astype(np.float32)
        push = [lean(theta, context[i], rows[i][0], noise[i]) if acts[i] else np.zeros(2, np.float32)
                for i in range(LANES)]
        book.say(now, "brain.action", push)
        before, episodes = episodes // 8, episodes + ended
        if episodes // 8 > before:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": phase, **try_out(theta)})
    return book.rows, tables


UNTIL = 60 * TICK


@pytest.mark.parametrize("delay", [0, 1 * MS, 50 * MS])
def test_equals_plain_loop(delay: int) -> None:
    rows, tables = compare.trace(build(delay), UNTIL)
    expected, expected_table = plain(delay, UNTIL)
    begin = rows.pop("learner.begin")  # what it led to is compared below; here that it was sent once a phase
    assert len(begin) == 2 * ITERATIONS
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})
    assert len(expected_table) == 1 + ITERATIONS


def test_early_lanes_wait_and_silence_follows() -> None:
    rows, _ = compare.trace(build(50 * MS), UNTIL)
    status = np.array([value for _, value in rows["body.status"]])
    times = [now for now, _ in rows["body.status"]]
    assert (status == 8).any()
    assert not (status == 8).all(axis=1).any()  # nothing is published where all wait
    waits = [i for i in range(1, len(times)) if status[i, 0] == 8]
    places = [value for _, value in rows["body.observation"]]
    assert waits
    for i in waits:
        assert (places[i][0] == places[i - 1][0]).all()  # the observation is repeated
        assert rows["body.reward"][i][1][0] == 0
    gaps = np.diff(times)
    assert set(gaps) == {TICK, 3 * TICK}  # 50 ms of silence, then the next tick


def test_phases_share_their_starts() -> None:
    rows, _ = compare.trace(build(), UNTIL)
    firsts = [value for (_, value), (_, status) in zip(rows["body.observation"], rows["body.status"], strict=True)
              if (status == 1).all()]
    assert len(firsts) == 2 * ITERATIONS
    for before, after in zip(firsts[::2], firsts[1::2], strict=True):
        assert (before == after).all()
        assert (before[:2] == before[2:]).all()


def test_stops_by_a_port() -> None:
    with Loop(build(50 * MS)) as loop:
        loop.run("learner.done")
        assert loop.counter().episodes == 2 * ITERATIONS * LANES


def test_begin_for_a_running_lane_is_refused() -> None:
    class Twice(Cavia):
        def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
            return {**super().step(now, inputs), "begin": self._begin(now)}

    system = build()
    parts = {**system.parts, "learner": Part(Twice, system.parts["learner"].inputs, {"policy": "brain"})}
    with Loop(System(parts, LANES)) as loop, pytest.raises(StimloopError, match="while it runs"):
        loop.run(UNTIL)


@pytest.mark.parametrize("delay", [0, 50 * MS])
def test_halves(delay: int, tmp_path) -> None:
    compare.check_halves(build(delay), UNTIL, [1, TICK + 1, 5 * TICK, 9 * TICK + 3, 14 * TICK], tmp_path)


def test_names_and_order() -> None:
    compare.check_names(build(50 * MS), UNTIL)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(), UNTIL)


def test_schedule() -> None:
    compare.check_schedule(build(50 * MS), 24, "cavia")
