"""Evolution: weights per lane, a generation ends when every lane waits, and what is learned is the best member."""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.components.parts.roles import Plastic
from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import begins, idle, is_step, status_input
from stimloop.loops.system import Part, System

from . import compare
from .plain import Book, World
from .toys import TICK, ToyBody, wire

SEED, MEMBERS, TESTS = 5, 5, 3
UNTIL = 50 * TICK
FIRST_WEIGHTS = np.array([0.5, 0.5], np.float32)


def push(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The answer of a member."""  # [..., 2] both
    return np.clip(weights * x, np.float32(-1), np.float32(1))


class MemberBrain(Component):
    """Weights per lane beside the learned ones; a lane without its own uses what was learned."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("place", (2,), wakes=True), "status": status_input()}
        self.outputs = {"action": Port("push", (2,), low=-1, high=1)}
        self.learned = FIRST_WEIGHTS.copy()

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.own = np.zeros(self.lanes.count, bool)
        self.per_lane = np.zeros((self.lanes.count, 2), np.float32)

    def weights(self) -> np.ndarray:
        return np.where(self.own[:, None], self.per_lane, self.learned)

    def synapses(self) -> np.ndarray:
        return np.stack([np.arange(2), np.arange(2)], axis=1)

    def set_weights(self, weights: np.ndarray, lanes: np.ndarray | None = None) -> None:
        chosen = np.ones(self.lanes.count, bool) if lanes is None else lanes
        self.per_lane = np.where(chosen[:, None], weights, self.per_lane)
        self.own = self.own | chosen

    def set_learned(self, lane: int) -> None:
        self.learned = self.weights()[lane].copy()

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        rests = idle(inputs["status"])[:, None]
        return {"action": np.where(rests, np.float32(0), push(self.weights(), inputs["observation"]))}

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {"weights": self.learned.copy()}, "own": self.own.copy(), "per_lane": self.per_lane.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.learned = np.array(state["learned"]["weights"])
        if "own" in state:
            self.own, self.per_lane = np.array(state["own"]), np.array(state["per_lane"])


class Evolution(Component):
    """When every lane has ended: rank, learn the best, recombine the two best, send `begin`."""

    random = True
    uses = {"plastic": Use(Plastic, changes=True)}

    def __init__(self) -> None:
        self.inputs = {"reward": Port("reward", wakes=True), "status": status_input()}
        self.outputs = {"begin": Port("seeds", (), dtype="int64", kind="event"),
                        "weights": Port("weights", (2,)),
                        "updates": Port("generations", dtype="int64", per_lane=False),
                        "best": Port("best return", dtype="float64", per_lane=False)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.draws = LaneRandom(seed, self.lanes)
        self.generation = 0
        self.returns = np.zeros(self.lanes.count)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if inputs.previous is None:
            return self._next(now, FIRST_WEIGHTS, np.ones(self.lanes.count, bool))
        status = inputs["status"]
        self.returns += np.where(is_step(status), inputs["reward"].astype(np.float64), 0)
        if not idle(status).all() or begins(status).any():
            return {}
        order = np.argsort(-self.returns, kind="stable")
        plastic = self.used["plastic"]
        plastic.set_learned(int(order[0]))
        weights = plastic.weights()
        best = self.returns[order[0]]
        middle = np.float32(0.5) * (weights[order[0]] + weights[order[1]])
        self.returns = np.zeros(self.lanes.count)
        self.generation += 1
        return {**self._next(now, middle, np.arange(self.lanes.count) != order[0]), "best": np.float64(best),
                "updates": np.int64(self.generation)}

    def _next(self, now: int, middle: np.ndarray, anew: np.ndarray) -> dict[str, Any]:
        noise = self.draws.normal((2,)).astype(np.float32)
        plastic = self.used["plastic"]
        plastic.set_weights(middle + np.float32(0.5) * noise, anew)
        seeds = [derive(self.seed, self.generation, lane) for lane in range(self.lanes.count)]
        return {"begin": Events.of(now, np.arange(self.lanes.count), 0, seeds, "int64"), "weights": plastic.weights()}

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "generation": self.generation, "returns": self.returns.copy(),
                "draws": self.draws.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed, self.generation = int(state["seed"]), int(state["generation"])
        self.returns = np.array(state["returns"])
        self.draws.load_state_dict(state["draws"])


def build() -> System:
    status = wire("body.status")
    parts = {
        "body": Part(ToyBody, {"action": wire("brain.action"), "begin": wire("learner.begin")}),
        "brain": Part(MemberBrain, {"observation": wire("body.observation"), "status": status}),
        "learner": Part(Evolution, {"reward": wire("body.reward"), "status": status}, {"plastic": "brain"}),
    }
    test = compare.without(System(parts, MEMBERS, SEED, "evolution"), "learner", lanes=TESTS)
    return System(parts, MEMBERS, SEED, "evolution", evaluations=compare.plan(test, (MEMBERS, "episodes"), TESTS))


def try_out(weights: np.ndarray) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {"return": [], "length": [], "success": []}
    for seed in range(1000, 1000 + TESTS):
        world, status, total, length = World(0, 0), 1, 0.0, 0
        world.begin(seed)
        x = world.x
        while not status & 6:
            x, reward, status = world.tick(push(weights, x))
            total, length = total + float(reward), length + 1
        table["return"].append(total)
        table["length"].append(length)
        table["success"].append(float(status & 2 != 0))
    return table


def plain(until: int) -> tuple[compare.Rows, list[dict], list[np.ndarray]]:
    """Generations as a loop over ticks; returns also the best member of each generation."""
    book, own = Book(), derive(SEED, "learner")
    draws = LaneRandom(own, Lanes.of(MEMBERS))
    members = list(FIRST_WEIGHTS + np.float32(0.5) * draws.normal((2,)).astype(np.float32))
    worlds = [World(0, lane) for lane in range(MEMBERS)]
    returns, pushes = [0.0] * MEMBERS, [np.zeros(2, np.float32)] * MEMBERS
    learned, best, steps, episodes, generation = FIRST_WEIGHTS, [], 0, 0, 0
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out(learned)}]
    book.say(0, "learner.weights", members)
    asked: list[int | None] = [derive(own, 0, lane) for lane in range(MEMBERS)]
    for now in range(TICK, until, TICK):
        rows = [worlds[i].tick(pushes[i], asked[i], waits=True) for i in range(MEMBERS)]
        asked = [None] * MEMBERS
        book.body(now, rows)
        for i, (_, reward, status) in enumerate(rows):
            if status not in (1, 8):
                returns[i] += float(reward)
                steps += 1
        before, episodes = episodes // MEMBERS, episodes + sum(status & 6 != 0 for _, _, status in rows)
        if all(status >= 2 for _, _, status in rows):
            order = sorted(range(MEMBERS), key=lambda i: (-returns[i], i))
            learned = members[order[0]]
            best.append(learned)
            middle = np.float32(0.5) * (learned + members[order[1]])
            noise = draws.normal((2,)).astype(np.float32)
            members = [learned if i == order[0] else middle + np.float32(0.5) * noise[i] for i in range(MEMBERS)]
            generation += 1
            asked = [derive(own, generation, lane) for lane in range(MEMBERS)]
            book.say(now, "learner.weights", members)
            book.say(now, "learner.best", returns[order[0]], "float64")
            book.say(now, "learner.updates", generation, "int64")
            returns = [0.0] * MEMBERS
        pushes = [push(members[i], x) if status < 2 else np.zeros(2, np.float32)
                  for i, (x, _, status) in enumerate(rows)]
        book.say(now, "brain.action", pushes)
        if episodes // MEMBERS > before:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": generation,
                           **try_out(learned)})
    return book.rows, tables, best


def test_equals_plain_loop() -> None:
    rows, tables = compare.trace(build(), UNTIL)
    expected, expected_table, best = plain(UNTIL)
    rows.pop("learner.begin")
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})
    assert len(best) > 4
    assert len({tuple(row["return"]) for row in expected_table}) > 2


def test_learned_is_the_best_member() -> None:
    """It survives `reset`, and serves another number of lanes; weights per lane do neither."""
    _, _, best = plain(UNTIL)
    with Loop(build()) as loop:
        loop.run(UNTIL)
        brain = loop.components["brain"]
        assert (brain.weights() != best[-1]).any()
        loop.reset()
        assert (loop.learned["brain"]["weights"] == best[-1]).all()
        assert (brain.weights() == best[-1]).all()


def test_lanes_wait_for_the_longest() -> None:
    expected, _, _ = plain(UNTIL)
    status = np.array([value for _, value in expected["body.status"]])
    assert (status == 8).sum() > 10
    assert not (status == 8).all(axis=1).any()


def test_halves(tmp_path) -> None:
    compare.check_halves(build(), UNTIL, [1, 4 * TICK, 13 * TICK + 1, 30 * TICK], tmp_path)


def test_names_and_order() -> None:
    compare.check_names(build(), UNTIL)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(), UNTIL)


def test_schedule() -> None:
    compare.check_schedule(build(), 12, "evolution")
