"""Evaluation is a second loop: when it runs, what its rows say, and that it leaves nothing behind."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pytest

from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, WAITING, status_output
from stimloop.loops.system import EvaluationPlan, Part, Source, System

from .small import body, hearer, part, sender


class Corridor(Component):
    """An episode of seed s has 1 + s % 4 steps; each pays the brain's action, and odd seeds are solved."""

    def __init__(self, solves: bool = True) -> None:
        self.period = 10
        self.inputs = {"action": Port("pay", reads="hold", optional=True),
                       "begin": Port("seeds", (), kind="event", dtype="int64", reads="all", optional=True)}
        self.outputs = {"reward": Port("reward"), "status": status_output(), "place": Port("steps left")}
        if solves:
            self.outputs["solved"] = Port("solved", dtype="bool")

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.left = np.zeros(self.lanes.count, np.int64)
        self.status = np.full(self.lanes.count, WAITING)
        self.seeds = np.zeros(self.lanes.count, np.int64)
        self.begun: list[int] = []

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        running = (self.status == FIRST) | (self.status == 0)
        self.left[running] -= 1
        self.status = np.where(running, np.where(self.left == 0, TERMINATED, 0), WAITING)
        seeds = inputs.get("begin")
        lanes = seeds.lane if seeds is not None else np.flatnonzero(~running)
        for i, lane in enumerate(lanes):
            self.seeds[lane] = seeds.value[i] if seeds is not None else 2  # three steps, when nobody says
            self.left[lane], self.status[lane] = 1 + self.seeds[lane] % 4, FIRST
            self.begun.append(int(self.seeds[lane]))
        pay = inputs["action"] if "action" in inputs else np.ones(self.lanes.count, np.float32)
        reward = np.where((self.status == FIRST) | (self.status == WAITING), 0, pay).astype(np.float32)
        answer = {"reward": reward, "status": self.status.copy(), "place": self.left.astype(np.float32)}
        return {**answer, "solved": self.seeds % 2 == 1} if "solved" in self.outputs else answer


class Teachable(Component):
    """Publishes its weight; a learner raises it at each of its own steps."""

    def __init__(self, weight: float = 1.0) -> None:
        self.inputs = {"place": Port("place", wakes=True)}
        self.outputs = {"action": Port("pay"), "updates": Port("updates", dtype="int64", per_lane=False)}
        self.weight = np.full(1, weight, np.float32)
        self.updates = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"action": np.full(self.lanes.count, self.weight[0]), "updates": self.updates}

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "learned": {"weight": self.weight.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight = np.array(state["learned"]["weight"])
        self.updates = state.get("updates", self.updates)


class Plain(Protocol):
    """A role that asks for nothing."""


class Teacher(Component):
    """Adds one to the weight at every third tick."""

    period = 30

    def __init__(self) -> None:
        self.inputs, self.outputs = {}, {}
        self.uses = {"brain": Use(Plain, changes=True)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if now:
            self.used["brain"].weight += 1
            self.used["brain"].updates += 1
        return {}


def parts(teach: bool = True, solves: bool = True) -> dict[str, Part]:
    found = {"body": Part(lambda: Corridor(solves), {"action": Source("brain", "action")}),
             "brain": Part(Teachable, {"place": Source("body", "place")})}
    return {**found, "teacher": Part(Teacher, uses={"brain": "brain"})} if teach else found


def loop(every: tuple[int, str], episodes: int = 3, lanes: int = 3, at_start: bool = True, **keywords: Any) -> Loop:
    second = System(parts(teach=False, **keywords), lanes)
    return Loop(System(parts(**keywords), 2, evaluations={"test": EvaluationPlan(second, every, episodes, 1000,
                                                                                 at_start)}))


def rows(made: Loop) -> list[dict[str, Any]]:
    return made.evaluations["test"].rows


def test_rows_hold_return_length_and_success_of_each_seed() -> None:
    made = loop((1000, "ns"), episodes=4, lanes=4)
    made.run(1)
    row = rows(made)[0]
    assert row["length"].tolist() == [1 + seed % 4 for seed in range(1000, 1004)]
    assert row["return"].tolist() == [1, 2, 3, 4]  # the weight is 1
    assert row["success"].tolist() == [0, 1, 0, 1]
    assert (row["time"], row["steps"], row["episodes"], row["updates"]) == (0, 0, 0, 0)
    assert made.evaluations["test"].loop.components["body"].begun == [1000, 1001, 1002, 1003]


@pytest.mark.parametrize(("episodes", "seeds"), [(1, "seed 1000"), (3, "seeds 1000 to 1002")])
def test_an_error_in_an_evaluation_says_so_and_of_which_seeds(episodes: int, seeds: str) -> None:
    made = loop((60, "ns"), episodes=episodes, lanes=episodes, at_start=False)
    body = made.evaluations["test"].loop.components["body"]
    body.reset = lambda seed: vars(body).update(left=None)  # type: ignore[method-assign]
    with pytest.raises(TypeError) as failed:
        made.run(200)
    inner, outer = failed.value.__notes__[:2]
    assert "while stepping `body`" in inner
    assert outer == f"in the evaluation `test`, episodes of {seeds}, made at 60 ns of the run"


def test_without_a_word_on_solving_success_is_not_known() -> None:
    made = loop((1000, "ns"), solves=False)
    made.run(1)
    assert np.isnan(rows(made)[0]["success"]).all()


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_where_there_are_fewer_lanes_it_runs_in_rounds(lanes: int) -> None:
    made = loop((1000, "ns"), episodes=5, lanes=lanes)
    made.run(1)
    assert rows(made)[0]["length"].tolist() == [1, 2, 3, 4, 1]
    assert len(rows(made)[0]["return"]) == 5


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_one_episode_after_another_may_be_looked_at_and_is_the_same(lanes: int) -> None:
    made = loop((1000, "ns"), episodes=5, lanes=lanes)
    made.run(1)
    evaluation, seen = made.evaluations["test"], []
    row = evaluation.evaluate(lambda episode, lane: seen.append(
        (episode, int(evaluation.loop.components["body"].seeds[lane]), int(evaluation.loop.peek("body.place")[lane]))))
    assert row is not None
    assert all(np.array_equal(row[key], rows(made)[0][key]) for key in ("return", "length", "success"))
    assert seen == [(i, 1000 + i, left) for i in range(5) for left in range(1 + i % 4, -1, -1)], "from FIRST to its end"
    evaluation.evaluate()
    assert len(seen) == 5 + 11, "nobody looks any more"


def test_every_so_often_once_after_the_instant_in_which_a_multiple_was_passed() -> None:
    made = loop((45, "ns"))
    made.run(200)
    assert [row["time"] for row in rows(made)] == [0, 50, 90, 140, 180]  # ticks of 10 and 30 ns
    made = loop((4, "steps"))  # two lanes: two steps a tick, none at 0 and 40
    made.run(101)
    assert [(row["time"], row["steps"]) for row in rows(made)] == [(0, 0), (20, 4), (50, 8), (70, 12), (100, 16)]
    made = loop((1, "episodes"), at_start=False)  # both lanes end at 30 and 70: two multiples at once, one evaluation
    made.run(101)
    assert [(row["time"], row["episodes"]) for row in rows(made)] == [(30, 2), (70, 4)]


def test_the_score_before_the_first_instant_is_taken_once() -> None:
    made = loop((1000, "ns"))
    assert rows(made) == []
    made.run(0)
    assert rows(made) == []  # no instant was to be run
    made.run(1)
    made.run(50)
    assert [row["time"] for row in rows(made)] == [0]


def test_learned_arrays_are_taken_over_and_nothing_comes_back() -> None:
    made = loop((30, "ns"), episodes=1, lanes=1)
    made.run(100)
    weights = [row["return"][0] / row["length"][0] for row in rows(made)]
    assert weights == [1, 2, 3, 4]  # at 0, 30, 60 and 90
    assert [row["updates"] for row in rows(made)] == [0, 1, 2, 3]
    plain = Loop(System(parts(), 2))
    plain.run(100)
    assert made.peek("body.reward").tolist() == plain.peek("body.reward").tolist()


def test_a_row_depends_on_nothing_but_the_numbers_it_was_given() -> None:
    made = loop((1000, "ns"))
    made.run(1)
    evaluation = made.evaluations["test"]
    again = evaluation.evaluate()
    assert again is not None
    assert all(np.array_equal(again[key], rows(made)[0][key]) for key in ("return", "length", "success"))


def test_rows_go_to_every_sink() -> None:
    made, told = loop((40, "ns")), []
    made.evaluations["test"].sinks.append(lambda name, row: told.append((name, row["time"])))
    made.run(85)
    assert told == [("test", 0), ("test", 40), ("test", 80)]


def test_a_component_of_another_type_keeps_its_own_learned_arrays() -> None:
    class Other(Teachable):
        """Made for the test world."""

        def __init__(self) -> None:
            super().__init__(7.0)

    second = System({**parts(teach=False), "brain": Part(Other, {"place": Source("body", "place")})}, 1)
    made = Loop(System(parts(), 2, evaluations={"test": EvaluationPlan(second, (1000, "ns"), 1, 1003)}))
    made.run(1)
    assert rows(made)[0]["return"].tolist() == [28]


def test_a_body_that_cannot_begin_on_request_is_refused() -> None:
    second = System({"body": body(lambda tick: [0])})
    with pytest.raises(AssemblyError, match="no body here can begin an episode on request\n  Give the body"):
        Loop(System({"body": body(lambda tick: [0])}, evaluations={"test": EvaluationPlan(second, (1, "episodes"), 1,
                                                                                          0)}))


def test_without_a_body_of_its_own_the_first_loop_counts_nanoseconds_only() -> None:
    second = System(parts(teach=False), 1)
    main = {"sender": sender(float, 10), "ear": hearer(period=10)}
    made = Loop(System(main, evaluations={"test": EvaluationPlan(second, (20, "ns"), 1, 0)}))
    made.run(30)
    assert [(row["time"], row["steps"]) for row in rows(made)] == [(0, 0), (20, 0)]
    with pytest.raises(AssemblyError, match="there is no body to count"):
        Loop(System(main, evaluations={"test": EvaluationPlan(second, (1, "steps"), 1, 0)}))


def test_what_was_fired_is_saved_and_a_reset_begins_anew() -> None:
    made = loop((45, "ns"))
    made.run(100)
    other = made.fork()
    other.run(200)
    assert [row["time"] for row in rows(other)] == [140, 180]
    made.reset()
    made.run(60)
    assert [row["time"] for row in rows(made)][3:] == [0, 50]


def test_a_state_with_an_evaluation_that_is_gone_is_loaded_without_it() -> None:
    made = loop((45, "ns"))
    made.run(100)
    without = Loop(System(parts(), 2))
    without.load(made.save())
    without.run(200)
    made.run(200)
    assert without.components["brain"].weight == made.components["brain"].weight


def test_who_sends_begin_in_the_first_loop_is_not_heard_in_the_second() -> None:
    def call(now: int, inputs: Inputs) -> dict[str, Any]:
        return {} if now else {"begin": Events.of(now, [0, 1], 0, np.array([7, 7]), "int64")}

    caller = part({}, {"begin": Port("seeds", (), kind="event", dtype="int64")}, call, 1000)
    wired = {"body": Part(Corridor, {"action": Source("brain", "action"), "begin": Source("caller", "begin")}),
             "brain": Part(Teachable, {"place": Source("body", "place")}), "caller": caller}
    made = Loop(System(wired, 2, evaluations={"test": EvaluationPlan(System(wired, 2), (45, "ns"), 2, 1000)}))
    made.run(100)
    assert made.components["body"].begun == [7, 7]
    assert made.evaluations["test"].loop.components["body"].begun == [1000, 1001]
    assert [row["length"].tolist() for row in rows(made)] == [[1, 2]] * len(rows(made))


def test_closing_closes_the_second_loop() -> None:
    closed: list[str] = []
    extra = part({}, {}, None, 10, close=lambda: closed.append("extra"))
    second = System({**parts(teach=False), "extra": extra}, 1)
    made = Loop(System(parts(), 1, evaluations={"test": EvaluationPlan(second, (45, "ns"), 1, 0)}))
    made.close()
    assert closed == ["extra"]


def test_a_halt_in_the_middle_gives_the_evaluation_up_and_makes_it_anew() -> None:
    made = loop((45, "ns"))
    made.run(41)
    second = made.evaluations["test"].loop
    release = second.tap("body.status", lambda now, value: made.halt())
    assert made.run(200) == 50
    assert len(rows(made)) == 1  # none was added at 50
    release()
    made.run(60)
    assert [row["time"] for row in rows(made)] == [0, 50]


class Endless(Corridor):
    """Ends its episode in lane 0 only."""

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        said = super().step(now, inputs)
        self.left[1:] = 1000
        return said


def endless(longest: int | None, most_steps: int | None = None) -> Loop:
    wired = {"body": Part(Endless, {"action": Source("brain", "action")}),
             "brain": Part(Teachable, {"place": Source("body", "place")})}
    plan = EvaluationPlan(System(wired, 3), (45, "ns"), 3, 1000, True, longest, most_steps)
    return Loop(System(wired, 2, evaluations={"test": plan}))


def test_an_episode_that_does_not_end_is_told_with_its_lanes_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stimloop.loops.evaluation.PATIENCE", 500)
    with pytest.raises(AssemblyError, match=r"evaluate.test: the episode of body has not ended in lanes 1, 2: after "
                                            r"500 ns\n.*max_steps.*longest: 60 s"):
        endless(None).run(100)


def test_an_episode_is_cut_off_where_it_was_said_how_long_one_may_be() -> None:
    made = endless(100)
    assert made.run(50) == 40
    row, = rows(made)
    assert row["length"].tolist() == [1, 9, 9]  # ticks 1 to 9: the one at 100 ns is not run
    assert not np.isnan(row["success"]).any()


def test_an_episode_is_cut_off_after_so_many_steps() -> None:
    made = endless(None, 5)
    assert made.run(50) == 40
    row, = rows(made)
    assert row["length"].tolist() == [1, 5, 5]
    assert row["return"].tolist() == [1, 5, 5]  # each step pays one
    assert row["success"].tolist() == [0, 1, 0]  # as it stands when it is cut off


@pytest.mark.parametrize("steps", [None, 5])
def test_an_episode_that_is_looked_at_is_cut_off_as_others_are(steps: int | None) -> None:
    made = endless(100 if steps is None else None, steps)
    made.run(1)
    row = made.evaluations["test"].evaluate(lambda episode, lane: None)
    assert row is not None
    assert row["length"].tolist() == [1, steps or 9, steps or 9]


def test_an_episode_that_is_looked_at_and_does_not_end_is_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = endless(None)
    monkeypatch.setattr("stimloop.loops.evaluation.PATIENCE", 500)
    with pytest.raises(AssemblyError, match="has not ended in lane 1: after 500 ns") as failed:
        made.evaluations["test"].evaluate(lambda episode, lane: None)
    assert "episodes of seed 1001, " in failed.value.__notes__[0]


def test_an_evaluation_in_which_nothing_happens_any_more_is_told() -> None:
    made = loop((45, "ns"))
    made.evaluations["test"].loop.nodes["body"].period = None
    made.evaluations["test"].loop.components["body"].period = None
    with pytest.raises(AssemblyError, match="nothing happens any more"):
        made.run(100)
