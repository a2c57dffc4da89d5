"""Protocols and metrics: budgets that hold, timetables, and episodes counted once."""

import numpy as np
import pytest

from stimloop.components.learners.metrics import Metrics
from stimloop.components.protocols.budget import Budget
from stimloop.components.protocols.schedule import Entry, Schedule
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError, RunError
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING, status_output
from stimloop.loops.system import Part, Source, System

MS = 1_000_000
STEP = 20 * MS


class Script(Component):
    """A body that plays status and reward from a list, one entry a tick, lane by lane."""

    period = STEP

    def __init__(self, *, status: list, reward: list | None = None, solved: list | None = None) -> None:
        self.rows = [np.atleast_1d(row) for row in status]
        self.reward, self.hits = reward, solved
        self.inputs = {}
        self.outputs = {"status": status_output(), "reward": Port("reward", ()),
                        "solved": Port("solved", (), dtype="bool", low=0, high=1)}

    def step(self, now, inputs):
        tick = now // STEP
        if tick >= len(self.rows):
            return {}
        reward = self.reward[tick] if self.reward else 0
        solved = self.hits[tick] if self.hits else False
        lanes = self.lanes.count
        return {"status": self.rows[tick].astype(np.int64), "solved": np.broadcast_to(solved, lanes).copy(),
                "reward": np.broadcast_to(np.asarray(reward, np.float32), lanes).copy()}


def loop_of(body, lanes=1, **parts):
    listen = {name: Source.of(f"body.{name}") for name in ("status", "reward", "solved")}
    made = {name: Part(create, {key: listen[key] for key in create().inputs}) for name, create in parts.items()}
    return Loop(System({"body": Part(body), **made}, lanes=lanes))


EPISODES = [FIRST, 0, 0, TERMINATED, FIRST, 0, TRUNCATED, FIRST, 0, 0, 0, 0, 0]


def test_a_budget_counts_steps_and_not_beginnings():
    with loop_of(lambda: Script(status=EPISODES), budget=lambda: Budget(steps=100)) as loop:
        loop.run(13 * STEP)
        assert int(loop.peek("budget.steps")) == 10
        assert int(loop.peek("budget.episodes")) == 2
        assert not loop.peek("budget.done")


def test_a_run_until_done_spends_the_budget_exactly():
    for params, stop in (({"steps": 4}, 5), ({"episodes": 1}, 3), ({"steps": 4, "episodes": 1}, 3)):
        with loop_of(lambda: Script(status=EPISODES), budget=lambda p=params: Budget(**p)) as loop:
            loop.run("budget.done")
            assert loop.now == stop * STEP


@pytest.mark.parametrize(("params", "when"), [({"steps": 4}, 6), ({"episodes": 1}, 5)])
def test_the_first_step_beyond_the_budget_raises(params, when):
    with loop_of(lambda: Script(status=EPISODES), budget=lambda: Budget(**params)) as loop:
        loop.run(when * STEP)
        with pytest.raises(RunError, match="beyond the budget"):
            loop.run(when * STEP + 1)


def test_done_comes_before_lanes_would_overdraw():
    status = [[FIRST] * 3, *[[0] * 3] * 10]
    with loop_of(lambda: Script(status=status), lanes=3, budget=lambda: Budget(steps=10)) as loop:
        loop.run("budget.done")
        assert int(loop.peek("budget.steps")) == 9
        with pytest.raises(RunError, match="step 11"):
            loop.run(loop.now + STEP + 1)


def test_a_waiting_body_costs_nothing():
    with loop_of(lambda: Script(status=[FIRST, 0, WAITING, WAITING]), budget=lambda: Budget(steps=1)) as loop:
        loop.run(4 * STEP)
        assert int(loop.peek("budget.steps")) == 1


def test_a_budget_goes_on_where_it_was_saved():
    budget = Budget(steps=4)
    budget.load_state_dict({"steps": 3, "episodes": 7})
    assert budget.state_dict() == {"steps": 3, "episodes": 7}
    budget.reset(0)
    assert budget.state_dict() == {"steps": 0, "episodes": 0}


@pytest.mark.parametrize("amount", [0, -1])
@pytest.mark.parametrize("name", ["steps", "episodes"])
def test_a_budget_that_allows_nothing_is_refused(name, amount):
    with pytest.raises(AssemblyError, match=f"(?s)a budget of {amount} {name} allows nothing to happen.*at least 1"):
        Budget(**{name: amount})


def test_metrics_of_episodes_by_hand():
    reward = [0, 1, 2, 3, 0, 10, 20, 0, 5, 5, 5, 5, 5]
    solved = [False, True, True, True, False, True, False, *[False] * 6]
    body = lambda: Script(status=EPISODES, reward=reward, solved=solved)  # noqa: E731
    with loop_of(body, metrics=Metrics, last=lambda: Metrics(window=10)) as loop:
        rows = []
        for name in ("return", "length", "success", "solved_steps", "episodes", "steps"):
            loop.tap(f"metrics.{name}", lambda now, value, name=name: rows.append((now // STEP, name, float(value))))
        loop.run(13 * STEP)
        first = {"episodes": 1, "steps": 3, "return": 6, "length": 3, "success": 1, "solved_steps": 1}
        second = {"episodes": 2, "steps": 5, "return": 30, "length": 2, "success": 0, "solved_steps": 0.5}
        expected = [(3, name, value) for name, value in first.items()]
        expected += [(6, name, value) for name, value in second.items()]
        assert sorted(rows) == sorted(expected)
        assert float(loop.peek("last.return")) == 18
        assert float(loop.peek("last.success")) == 0.5


def test_metrics_of_lanes_that_begin_at_once():
    both = TERMINATED | FIRST
    status = [[FIRST, FIRST], [0, 0], [both, 0], [0, both], [both, 0]]
    reward = [[0, 0], [1, 10], [2, 10], [3, 10], [4, 10]]
    with loop_of(lambda: Script(status=status, reward=reward), lanes=2, metrics=Metrics) as loop:
        rows = []
        loop.tap("metrics.return", lambda now, value: rows.append((now // STEP, float(value))))
        loop.run(5 * STEP)
        assert rows == [(2, 3.0), (3, 30.0), (4, 7.0)]
        assert int(loop.peek("metrics.episodes")) == 3
        assert int(loop.peek("metrics.steps")) == 8  # an end that begins anew at once is a step


def test_metrics_without_a_judge_say_nothing_of_success():
    parts = {"body": Part(lambda: Script(status=EPISODES)),
             "metrics": Part(Metrics, {"status": Source.of("body.status"), "reward": Source.of("body.reward")})}
    with Loop(System(parts)) as loop:
        loop.run(13 * STEP)
        assert loop.peek("metrics.success") is None
        assert int(loop.peek("metrics.episodes")) == 2


class Listener(Component):
    """Keeps what it hears: numbers, vectors, events."""

    def __init__(self, *, shape: tuple = ()) -> None:
        self.inputs = {"value": Port("value", shape, wakes=True, optional=True),
                       "begin": Port("begin", (), kind="event", dtype="int64", wakes=True, optional=True)}
        self.outputs = {}

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.heard = []

    def step(self, now, inputs):
        if "value" in inputs.new:
            self.heard.append((now, inputs["value"].tolist()))
        if "begin" in inputs.new:
            self.heard.append((now, (inputs["begin"].lane.tolist(), inputs["begin"].value.tolist())))
        return {}


def timetable(schedule, shape=(), lanes=2, until=100 * MS, ports=("value",)):
    parts = {"schedule": Part(schedule),
             "listener": Part(lambda: Listener(shape=shape), {port: Source.of(f"schedule.{port}") for port in ports})}
    with Loop(System(parts, lanes=lanes)) as loop:
        loop.run(until)
        return loop.components["listener"].heard


def test_values_come_at_their_times_in_the_shape_wanted():
    entries = [Entry(7 * MS + 1, 2.0), Entry(0, 1.0)]
    assert timetable(lambda: Schedule(entries=entries)) == [(0, [1, 1]), (7 * MS + 1, [2, 2])]
    assert timetable(lambda: Schedule(entries=entries), (3,))[0] == (0, [[1, 1, 1], [1, 1, 1]])
    vector = [Entry(5, [1.0, -1.0])]
    assert timetable(lambda: Schedule(entries=vector), (2,)) == [(5, [[1, -1], [1, -1]])]


def test_a_timetable_repeats_without_drift():
    entries = [Entry(3 * MS, 1.0), Entry(9 * MS, 0.0)]
    times = [now for now, _ in timetable(lambda: Schedule(entries=entries, repeat=10 * MS), until=34 * MS)]
    assert times == [3 * MS, 9 * MS, 13 * MS, 19 * MS, 23 * MS, 29 * MS, 33 * MS]


def test_episodes_begin_with_seeds_by_lane():
    entries = [Entry(0, begin=100), Entry(50 * MS, begin=200)]
    heard = timetable(lambda: Schedule(entries=entries), ports=("value", "begin"))
    assert heard == [(0, ([0, 1], [100, 101])), (50 * MS, ([0, 1], [200, 201]))]


@pytest.mark.parametrize("params", [{"entries": []}, {"entries": [Entry(1, 0.0), Entry(1, 1.0)]},
                                    {"entries": [Entry(0, [1.0]), Entry(1, [1.0, 2.0])]},
                                    {"entries": [Entry(10, 1.0)], "repeat": 10}])
def test_timetables_that_cannot_be_are_refused(params):
    with pytest.raises(AssemblyError):
        Schedule(**params)
