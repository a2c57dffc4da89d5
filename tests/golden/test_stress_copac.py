"""CopAC: body to coprocessor to limiter to stimulator to brain in one instant, rehearsal, budget, test episodes."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.loops.errors import StimloopError
from stimloop.loops.loop import Loop
from stimloop.loops.seeds import derive
from stimloop.loops.system import Part, System

from . import compare
from .copac_toys import (
    FIELD,
    ActionModel,
    Coprocessor,
    Critic,
    Learner,
    Limiter,
    Stimulator,
    choose,
    fitted,
    guess,
    improved,
    judge,
)
from .plain import Book, Thinker, World
from .toys import TICK, ToyBody, ToyBrain, ToyBudget, wire

SEED = 7
EPISODES = 4  # the budget
TESTS = 5
WORLDS = 2  # lanes of the rehearsal body


def build(test_lanes: int = TESTS) -> System:
    place, status = wire("body.observation"), wire("body.status")
    parts = {
        "body": Part(ToyBody, {"action": wire("brain.action")}),
        "brain": Part(ToyBrain, {"observation": place, "status": status, "current": wire("stimulator.current")}),
        "coprocessor": Part(Coprocessor, {"observation": place, "status": status},
                            {"critic": "critic", "action_model": "model"}),
        "limiter": Part(Limiter, {"command": wire("coprocessor.command"), "status": status}),
        "stimulator": Part(Stimulator, {"command": wire("limiter.command")}),
        "critic": Part(Critic, {"observation": place, "action": wire("brain.action")}),
        "model": Part(ActionModel, {"observation": place, "condition": wire("limiter.command"),
                                    "target": wire("brain.action")}),
        "world": Part(ToyBody, lanes=WORLDS),
        "learner": Part(Learner, {"observation": place, "status": status, "stimulation": wire("limiter.command"),
                                  "action": wire("brain.action")},
                        {"critic": "critic", "action_model": "model", "search": "coprocessor", "world": "world"}),
        "budget": Part(lambda: ToyBudget(EPISODES), {"status": status}),
    }
    system = System(parts, 1, SEED, "copac")
    test = compare.without(system, "learner", "budget", "world", lanes=test_lanes)
    return System(parts, 1, SEED, "copac", evaluations=compare.plan(test, (1, "episodes"), TESTS))


class Mind:
    """Everything that is learned in the plain loop."""

    def __init__(self) -> None:
        self.brain = np.array([-0.5, -0.25], np.float32)
        self.w = np.array([0.5, -0.25, 0.5, 0.25], np.float32)
        self.g = np.zeros(4, np.float32)

    def command(self, x: np.ndarray) -> np.float32:
        return choose(self.w, self.g, x[None])[0]

    def guess(self, x: np.ndarray, command: np.float32) -> np.ndarray:
        return guess(self.g, x[None], np.array([command], np.float32))[0]


def delivered(command: np.float32) -> np.float32:
    return np.float32(min(max(command, np.float32(-0.625)), np.float32(0.625)))


def rehearse(mind: Mind, seed: int) -> int:
    """Imagine one whole episode in each world, side by side; return the number of updates."""
    worlds = [World(seed, lane) for lane in range(WORLDS)]
    x = [world.tick(np.zeros(2, np.float32))[0] for world in worlds]
    push = [mind.guess(x[i], mind.command(x[i])) for i in range(WORLDS)]
    over, updates = [False] * WORLDS, 0
    while not all(over):
        ticks = [worlds[i].tick(push[i]) for i in range(WORLDS)]
        following = [mind.guess(after, mind.command(after)) for after, _, _ in ticks]
        best = [judge(mind.w, ticks[i][0], following[i]) for i in range(WORLDS)]
        for i, (_, reward, status) in enumerate(ticks):
            if not over[i]:
                goes_on = np.float32(0.0 if status & 2 else 0.875)
                mind.w = improved(mind.w, x[i], push[i], reward + goes_on * best[i])
                updates += 1
                over[i] = bool(status & 6)
        x, push = [after for after, _, _ in ticks], following
    return updates


def try_out(mind: Mind) -> dict[str, list[float]]:
    """Run each test episode by itself."""
    table: dict[str, list[float]] = {"return": [], "length": [], "success": []}
    for seed in range(1000, 1000 + TESTS):
        world, thinker, status, total, length = World(0, 0), Thinker(), 1, 0.0, 0
        world.begin(seed)
        x = world.x
        while not status & 6:
            push = thinker.answer(mind.brain, x, status, delivered(mind.command(x)) * FIELD)
            x, reward, status = world.tick(push)
            total, length = total + float(reward), length + 1
        table["return"].append(total)
        table["length"].append(length)
        table["success"].append(float(status & 2 != 0))
    return table


def plain() -> tuple[compare.Rows, list[dict]]:
    """The whole experiment as one loop over ticks."""
    book, mind, thinker = Book(), Mind(), Thinker()
    world = World(derive(SEED, "body"), 0)
    learner = derive(SEED, "learner")
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out(mind)}]
    push, sent, last = np.zeros(2, np.float32), np.float32(0), np.zeros(2, np.float32)
    now = steps = episodes = updates = rehearsed = 0
    while episodes < EPISODES:
        x, reward, status = world.tick(push)
        book.body(now, [(x, reward, status)])
        if status != 1:
            mind.g = fitted(mind.g, last, sent, push)
            steps, updates = steps + 1, updates + 1
        last = x
        if status & 6:
            for _ in range(2):
                updates += rehearse(mind, derive(learner, "rehearsal", rehearsed))
                rehearsed += 1
        book.say(now, "learner.updates", updates, "int64")
        book.say(now, "learner.weight", mind.w[0])
        command = np.float32(0) if status & 6 else mind.command(x)
        book.say(now, "coprocessor.command", [command])
        sent = np.float32(0) if status & 6 else delivered(command)
        book.say(now, "limiter.command", [sent])
        book.say(now, "stimulator.current", [sent * FIELD])
        push = thinker.answer(mind.brain, x, status, sent * FIELD)
        book.say(now, "brain.action", [push])
        book.say(now, "critic.value", [judge(mind.w, x, push)])
        book.say(now, "model.surprise", [mind.guess(x, sent) - push])
        episodes += bool(status & 6)
        book.say(now, "budget.episodes", episodes, "int64")
        book.say(now, "budget.done", episodes >= EPISODES, "bool")
        if status & 6:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": updates, **try_out(mind)})
        now += TICK
    return book.rows, tables


@pytest.mark.parametrize("test_lanes", [TESTS, 2, 1])  # fewer lanes than episodes: in rounds
def test_equals_plain_loop(test_lanes: int) -> None:
    rows, tables = compare.trace(build(test_lanes), "budget.done")
    expected, expected_table = plain()
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})


def test_learning_shows() -> None:
    """The comparison means something: commands vary, weights move, test returns change."""
    expected, table = plain()
    assert len({v.item() for _, v in expected["limiter.command"]}) > 2
    assert len({v.item() for _, v in expected["learner.weight"]}) == EPISODES + 1
    assert len({tuple(row["return"]) for row in table}) > 1


def test_budget_raises_beyond() -> None:
    with Loop(build()) as loop:
        loop.run("budget.done")
        done = loop.now
        loop.run(done + TICK + 1)  # the next tick only begins an episode
        with pytest.raises(StimloopError, match="beyond the budget") as caught:
            loop.run(done + 3 * TICK)
        assert any("while stepping `budget`" in note for note in caught.value.__notes__)


def test_rehearsal_body_is_never_scheduled() -> None:
    with Loop(build()) as loop:
        assert "world" not in loop.nodes
        assert "world" in loop.save()["components"]


def test_halves(tmp_path) -> None:
    expected, _ = plain()
    last = expected["body.status"][-1][0]
    compare.check_halves(build(), last + 1, [1, TICK, 5 * TICK + 1, last], tmp_path)


def test_names_and_order() -> None:
    expected, _ = plain()
    compare.check_names(build(), expected["body.status"][-1][0] + 1)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(), "budget.done")


def test_schedule() -> None:
    compare.check_schedule(build(), 8, "copac")
