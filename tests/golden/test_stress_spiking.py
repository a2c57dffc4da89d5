"""Spiking: 49.8 ms of inner steps, event times inside a step, a turn-based body, learning after everyone has spoken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stimloop.loops.errors import AssemblyError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.system import Part, System

from . import compare
from .plain import Book, World
from .spiking_toys import INNER, NEURONS, PERIOD, Listener, SpikingBrain, Stdp, Vote, charge, faded
from .toys import MS, PUSHES, ToyBody, wire

SEED, LANES, TESTS, LATE = 11, 2, 2, 5 * MS
UNTIL = 40 * PERIOD


def build() -> System:
    spikes, status = wire("brain.spikes"), wire("body.status")
    parts = {
        "body": Part(lambda: ToyBody(PERIOD, "at_once", NEURONS), {"action": wire("vote.action", reads="now")}),
        "brain": Part(SpikingBrain, {"observation": wire("body.observation"), "status": status}),
        "vote": Part(Vote, {"spikes": spikes}),
        "learner": Part(Stdp, {"spikes": spikes, "reward": wire("body.reward"), "status": status},
                        {"plastic": "brain"}),
        "listener": Part(Listener, {"spikes": wire("brain.spikes", LATE)}),
    }
    test = compare.without(System(parts, LANES, SEED, "spiking"), "learner", "listener", lanes=TESTS)
    return System(parts, LANES, SEED, "spiking", evaluations=compare.plan(test, (3, "episodes"), TESTS))


class Network:
    """The brain of the plain loop: one list of membranes a lane."""

    def __init__(self, lanes: int) -> None:
        self.v = np.zeros((lanes, NEURONS))
        self.draws = LaneRandom(derive(SEED, "brain"), Lanes.of(lanes))

    def live(self, now: int, weights: list[np.ndarray], x: list[np.ndarray], acts: list[bool]) -> list[tuple]:
        """Integrate the 49.8 ms before `now`; return spikes as (time, lane, neuron)."""
        spikes = []
        for k in range(83):
            noise = self.draws.normal((NEURONS,), np.array(acts))
            for lane in range(len(acts)):
                if acts[lane]:
                    v = charge(self.v[lane], weights[lane], x[lane].astype(np.float64), noise[lane])
                    for neuron in np.flatnonzero(v > 1):
                        spikes.append((now - PERIOD + (k + 1) * INNER, lane, int(neuron)))
                    self.v[lane] = np.where(v > 1, 0, v)
        return spikes


def vote(spikes: list[tuple], lane: int) -> int:
    counts = [sum(1 for _, where, neuron in spikes if (where, neuron) == (lane, n)) for n in range(NEURONS)]
    return counts.index(max(counts))


def try_out(learned: np.ndarray) -> dict[str, list[float]]:
    """Test episodes side by side; lanes that ended wait, and their neurons rest."""
    worlds, network = [World(0, lane) for lane in range(TESTS)], Network(TESTS)
    rows = [worlds[i].tick(PUSHES[0], 1000 + i, waits=True) for i in range(TESTS)]
    table: dict[str, list[float]] = {"return": [0.0] * TESTS, "length": [0] * TESTS, "success": [np.nan] * TESTS}
    now = 0
    while any(np.isnan(table["success"])):
        now += PERIOD
        spikes = network.live(now, [learned] * TESTS, [x for x, _, _ in rows], [s in (0, 1) for _, _, s in rows])
        rows = [worlds[i].tick(PUSHES[vote(spikes, i)], waits=True) for i in range(TESTS)]
        for i, (_, reward, status) in enumerate(rows):
            if status != 8:
                table["return"][i] += float(reward)
                table["length"][i] += 1
            if status & 6:
                table["success"][i] = float(status & 2 != 0)
    return table


def late(book: Book, now: int, spikes: list[tuple], heard: dict[int, np.ndarray]) -> None:
    """A spike arrives 5 ms after it happened, but never before it was published; an empty batch after 5 ms."""
    for time, lane, neuron in spikes:
        counts = heard.setdefault(max(time + LATE, now), np.zeros((LANES, NEURONS), np.int64))
        counts[lane, neuron] += 1
    if not spikes:
        heard.setdefault(now + LATE, np.zeros((LANES, NEURONS), np.int64))


def plain(until: int) -> tuple[compare.Rows, list[dict]]:
    """Think over what was seen before, decide, play the turn, learn."""
    book, network = Book(), Network(LANES)
    weights = [np.linspace(-1, 1, 2 * NEURONS)] * LANES
    trace, last = np.zeros((LANES, NEURONS)), [0] * LANES
    worlds = [World(derive(SEED, "body"), lane, at_once=True) for lane in range(LANES)]
    x = [np.zeros(2, np.float32)] * LANES
    heard: dict[int, np.ndarray] = {}
    steps = episodes = updates = 0
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out(weights[0])}]
    for now in range(0, until, PERIOD):
        spikes = network.live(now, weights, x, [True] * LANES) if now else []
        columns = [[s[i] for s in spikes] for i in range(3)]
        book.rows.setdefault("brain.spikes", []).append((now, Events.of(*columns)))
        late(book, now, spikes, heard)
        choice = [vote(spikes, lane) for lane in range(LANES)]
        book.say(now, "vote.action", choice, "int64")
        rows = [worlds[i].tick(PUSHES[choice[i]]) for i in range(LANES)]
        book.body(now, rows)
        x = [row[0] for row in rows]
        for time, lane, neuron in spikes:
            trace[lane] = faded(trace[lane], time - last[lane])
            trace[lane, neuron] += 1
            last[lane] = time
        if any(status != 1 for _, _, status in rows):
            updates += 1
        for i, (_, reward, status) in enumerate(rows):
            if status != 1:
                gain = 0.125 * float(reward) * trace[i]
                weights[i] = weights[i] + np.concatenate([gain, -gain])
                steps += 1
        book.say(now, "learner.updates", updates, "int64")
        book.say(now, "learner.weights", weights, "float64")
        before, episodes = episodes // 3, episodes + sum(status & 6 != 0 for _, _, status in rows)
        if episodes // 3 > before:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": updates,
                           **try_out(weights[0])})
    book.rows["listener.heard"] = [(when, heard[when]) for when in sorted(heard) if when < until]
    return book.rows, tables


def test_equals_plain_loop() -> None:
    rows, tables = compare.trace(build(), UNTIL)
    expected, expected_table = plain(UNTIL)
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})


def test_the_comparison_means_something() -> None:
    """Spikes fall inside steps, all choices are made, ends and beginnings share an instant."""
    rows, _ = plain(UNTIL)
    times = np.concatenate([batch.time for _, batch in rows["brain.spikes"]])
    assert times.size > 50
    assert (times % PERIOD != 0).any()
    assert {int(c) for _, value in rows["vote.action"] for c in value} == {0, 1, 2}
    assert {int(s) for _, value in rows["body.status"] for s in value} >= {0, 1, 3, 5}
    heard = sum(int(value.sum()) for _, value in rows["listener.heard"])
    assert heard == (times + LATE < UNTIL).sum()  # each exactly once
    assert len(rows["listener.heard"]) > 2 * len(rows["brain.spikes"])


def test_action_of_this_very_instant() -> None:
    """Were the body to hold, it would play the choice of the turn before."""
    system = build()
    parts = {**system.parts, "body": Part(system.parts["body"].create, {"action": wire("vote.action")})}
    held, _ = compare.trace(System(parts, LANES, SEED), UNTIL)
    played, _ = compare.trace(build(), UNTIL)
    choices = [value for _, value in played["vote.action"]]
    first = next(i for i in range(1, len(choices)) if (choices[i] != choices[i - 1]).any())
    observed = [[value for _, value in rows["body.observation"]] for rows in (played, held)]
    for i in range(first):
        assert (observed[0][i] == observed[1][i]).all()
    assert (observed[0][first] != observed[1][first]).any()


def test_loop_of_one_instant_is_refused() -> None:
    class Eager(SpikingBrain):
        def __init__(self) -> None:
            super().__init__()
            self.inputs["observation"] = replace(self.inputs["observation"], reads="now")

    system = build()
    parts = {**system.parts, "brain": Part(Eager, system.parts["brain"].inputs)}
    with pytest.raises(AssemblyError, match="loop without delay"):
        Loop(System(parts, LANES, SEED))


def test_halves(tmp_path) -> None:
    compare.check_halves(build(), 20 * PERIOD, [1, 3 * PERIOD + 2 * MS, 10 * PERIOD, 15 * PERIOD + LATE], tmp_path)


def test_names_and_order() -> None:
    compare.check_names(build(), 20 * PERIOD)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(), 20 * PERIOD)


def test_schedule() -> None:
    compare.check_schedule(build(), 30, "spiking")
