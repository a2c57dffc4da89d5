"""MBPO: a fit and imagination by function calls every n steps, evaluation every n steps, learner before brain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stimloop.components.parts.roles import Model, Policy
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import is_step, status_input
from stimloop.loops.system import Part, System

from . import compare
from .plain import Book, Thinker, World
from .toys import TICK, ToyBody, ToyBrain, act, remember, wire, worth

SEED, LANES, TESTS = 2, 3, 4
FIT, EVALUATE, KEPT, BATCH, HORIZON = 7, 10, 32, 4, 3  # steps, steps, transitions, branches, imagined steps
EXPLORE, RANDOM_STEPS = 0.25, 3
UNTIL = 40 * TICK


def predicted(p: np.ndarray, x: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Where the model thinks a push leads."""  # [2], [..., 2], [..., 2]
    return p[0] * x + p[1] * a


def fitted(p: np.ndarray, x: np.ndarray, a: np.ndarray, after: np.ndarray) -> np.ndarray:
    """One gradient step on one transition."""
    error = predicted(p, x, a) - after
    slope = [error[0] * x[0] + error[1] * x[1], error[0] * a[0] + error[1] * a[1]]
    return (p - np.float32(0.25) * np.array(slope, np.float32)).astype(np.float32)


def nudged(w: np.ndarray, x: np.ndarray, reward: np.float32) -> np.ndarray:
    """What one imagined step does to the policy."""
    return (w + np.float32(0.0625) * reward * x * np.sign(w)).astype(np.float32)


class WorldModel(Component):
    """Predicts the next place; also listens, and publishes by how much it was wrong."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "action": Port("push", (2,), reads="hold")}
        self.outputs = {"surprise": Port("error", (2,))}
        self.p = np.array([0.5, 0.0], np.float32)

    def reset(self, seed: int) -> None:
        self.last = np.zeros((self.lanes.count, 2), np.float32)

    def predict(self, input: Any, generator: Any = None) -> Any:
        return predicted(self.p, *input)

    def loss(self, input: Any, target: Any) -> Any:
        return np.square(self.predict(input) - target).sum(-1)

    def parameters(self) -> list[np.ndarray]:
        return [self.p]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        last, self.last = self.last, inputs["observation"]
        return {"surprise": self.predict((last, inputs["action"])) - self.last}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"p": self.p.copy()}, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.p[:] = state["learned"]["p"]
        if "last" in state:
            self.last = np.array(state["last"])


class Mbpo(Component):
    """Keeps transitions; every few steps fits the model to a batch and improves the policy on imagined branches."""

    random = True
    uses = {"policy": Use(Policy, changes=True), "model": Use(Model, changes=True)}

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "reward": Port("reward"),
                       "status": status_input(), "action": Port("push", (2,), reads="hold")}
        self.outputs = {"updates": Port("updates", dtype="int64", per_lane=False)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.draws = LaneRandom(seed, Lanes.of(1))
        self.kept = np.zeros((KEPT, 6), np.float32)  # place, push, next place
        self.steps = self.updates = 0
        self.last = np.zeros((self.lanes.count, 2), np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        before = self.steps // FIT
        rows = np.concatenate([self.last, inputs["action"], inputs["observation"]], axis=1)[is_step(inputs["status"])]
        self.kept[(self.steps + np.arange(len(rows))) % KEPT] = rows
        self.steps += len(rows)
        self.last = inputs["observation"]
        if self.steps // FIT > before:
            self._update()
        return {"updates": np.int64(self.updates)}

    def _update(self) -> None:
        policy, model = self.used["policy"], self.used["model"]
        chosen = (self.draws.uniform((BATCH,))[0] * min(self.steps, KEPT)).astype(np.int64)
        batch = self.kept[chosen]
        (weights,), (p,) = policy.parameters(), model.parameters()
        for row in batch:
            p[:] = fitted(p, row[:2], row[2:4], row[4:])
        x, memory = batch[:, 4:], np.zeros((BATCH, 2), np.float32)
        for _ in range(HORIZON):
            answer, memory = policy.respond({"observation": x}, memory)
            x = model.predict((x, answer["action"]))
            for place, reward in zip(x, worth(x), strict=True):
                weights[:] = nudged(weights, place, reward)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        return {"draws": self.draws.state_dict(), "kept": self.kept.copy(), "steps": self.steps,
                "updates": self.updates, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.draws.load_state_dict(state["draws"])
        self.kept, self.last = np.array(state["kept"]), np.array(state["last"])
        self.steps, self.updates = int(state["steps"]), int(state["updates"])


def build() -> System:
    place, status, action = wire("body.observation"), wire("body.status"), wire("brain.action")
    parts = {
        "body": Part(ToyBody, {"action": action}),
        "brain": Part(lambda: ToyBrain(EXPLORE, RANDOM_STEPS), {"observation": place, "status": status}),
        "model": Part(WorldModel, {"observation": place, "action": action}),
        "learner": Part(Mbpo, {"observation": place, "status": status, "reward": wire("body.reward"),
                               "action": action}, {"policy": "brain", "model": "model"}),
    }
    test = compare.without(System(parts, LANES, SEED), "learner", "model", lanes=TESTS, swap={"brain": ToyBrain})
    return System(parts, LANES, SEED, "mbpo", evaluations=compare.plan(test, (EVALUATE, "steps"), TESTS))


def try_out(weights: np.ndarray) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {"return": [], "length": [], "success": []}
    for seed in range(1000, 1000 + TESTS):
        world, thinker, status, total, length = World(0, 0), Thinker(), 1, 0.0, 0
        world.begin(seed)
        x = world.x
        while not status & 6:
            x, reward, status = world.tick(thinker.answer(weights, x, status))
            total, length = total + float(reward), length + 1
        table["return"].append(total)
        table["length"].append(length)
        table["success"].append(float(status & 2 != 0))
    return table


def dream(kept: list[np.ndarray], weights: np.ndarray, p: np.ndarray, draws: LaneRandom) -> tuple:
    """One update: fit, then branch from real places and improve on every imagined step."""
    batch = [kept[int(u * len(kept))] for u in draws.uniform((BATCH,))[0]]
    for x, a, after in batch:
        p = fitted(p, x, a, after)
    places, memories = [after for _, _, after in batch], [np.zeros(2, np.float32)] * BATCH
    for _ in range(HORIZON):
        memories = [remember(m, x) for m, x in zip(memories, places, strict=True)]
        places = [predicted(p, x, act(weights, m, 0, 0)) for m, x in zip(memories, places, strict=True)]
        for x in places:
            weights = nudged(weights, x, worth(x))
    return weights, p


def plain(until: int) -> tuple[compare.Rows, list[dict]]:
    """Act, step, store; every n steps learn, before acting on what was just seen."""
    book, weights, p = Book(), np.array([-0.5, -0.25], np.float32), np.array([0.5, 0.0], np.float32)
    worlds = [World(derive(SEED, "body"), lane) for lane in range(LANES)]
    thinkers = [Thinker() for _ in range(LANES)]
    noises = LaneRandom(derive(SEED, "brain"), Lanes.of(LANES))
    draws = LaneRandom(derive(SEED, "learner"), Lanes.of(1))
    kept: list = []
    place, pushes = [[np.zeros(2, np.float32)] * LANES for _ in range(2)]
    steps = episodes = updates = 0
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out(weights)}]
    for now in range(0, until, TICK):
        rows = [worlds[i].tick(pushes[i]) for i in range(LANES)]
        book.body(now, rows)
        before = steps
        for i, (x, _, status) in enumerate(rows):
            if status != 1:
                kept[steps % KEPT:steps % KEPT + 1] = [(place[i], pushes[i], x)]
                steps += 1
        if steps // FIT > before // FIT:
            weights, p = dream(kept, weights, p, draws)
            updates += 1
        book.say(now, "learner.updates", updates, "int64")
        book.say(now, "model.surprise", [predicted(p, place[i], pushes[i]) - rows[i][0] for i in range(LANES)])
        place = [x for x, _, _ in rows]
        acts = np.array([status < 2 for _, _, status in rows])
        noise = np.float32(EXPLORE) * noises.normal((2,), acts).astype(np.float32)
        pushes = [thinkers[i].answer(weights if thinkers[i].taken >= RANDOM_STEPS else np.zeros(2, np.float32),
                                     x, status, noise=noise[i]) for i, (x, _, status) in enumerate(rows)]
        book.say(now, "brain.action", pushes)
        episodes += sum(status & 6 != 0 for _, _, status in rows)
        if steps // EVALUATE > before // EVALUATE:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": updates, **try_out(weights)})
    return book.rows, tables


def test_equals_plain_loop() -> None:
    rows, tables = compare.trace(build(), UNTIL)
    expected, expected_table = plain(UNTIL)
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})


def test_evaluation_by_time() -> None:
    """`every` in nanoseconds: the same row, steps and episodes included, after the instant that passed a multiple."""
    system = build()
    timed = {"test": replace(system.evaluations["test"], every=(4 * TICK, "ns"))}
    rows, tables = compare.trace(replace(system, evaluations=timed), UNTIL)
    counted = {row["time"]: row for row in plain(UNTIL)[1]}
    assert [row["time"] for row in tables["test"]] == [0, *range(4 * TICK, UNTIL, 4 * TICK)]
    for row in tables["test"]:
        status = np.array([value for now, value in rows["body.status"] if now <= row["time"]])
        if row["time"]:
            assert row["steps"] == (status != 1).sum()
            assert row["episodes"] == (status > 1).sum()
    both = [row for row in tables["test"] if row["time"] in counted]
    compare.assert_same_tables({"test": both}, {"test": [counted[row["time"]] for row in both]})
    assert len(both) > 2


def test_the_comparison_means_something() -> None:
    expected, table = plain(UNTIL)
    assert expected["learner.updates"][-1][1] > 8
    assert len({tuple(row["return"]) for row in table}) == len(table) > 6
    assert any(row["steps"] % EVALUATE for row in table)  # three lanes step over multiples of ten


def test_acts_on_new_weights() -> None:
    """The learner comes before the brain; one that reads the action of this very instant is refused."""
    system = build()
    text = compare.schedule(system, 1)
    assert text.index("learner") < text.index("brain") < text.index("model")

    class Late(Mbpo):
        def __init__(self) -> None:
            super().__init__()
            self.inputs["action"] = Port("push", (2,), reads="now")

    learner = system.parts["learner"]
    with pytest.raises(AssemblyError, match=r"reads brain\.action by 'now', but body acts on it by 'hold'"):
        Loop(System({**system.parts, "learner": Part(Late, learner.inputs, learner.uses)}, LANES, SEED))


def test_halves(tmp_path) -> None:
    compare.check_halves(build(), UNTIL, [1, 6 * TICK, 17 * TICK + 1, 33 * TICK], tmp_path)


def test_names_and_order() -> None:
    compare.check_names(build(), UNTIL)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(), UNTIL)


def test_schedule() -> None:
    compare.check_schedule(build(), 6, "mbpo")
