"""A loop that keeps pace with the wall clock, and where its time goes."""

from __future__ import annotations

import time
from typing import Protocol

import pytest

from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.port import Port
from stimloop.loops.profile import Profile
from stimloop.loops.realtime import RealtimeLoop
from stimloop.loops.system import EvaluationPlan, System

from .small import MS, hearer, loop_of, part, sender, steps


class Plain(Protocol):
    """A role that asks for nothing."""


def test_simulated_time_takes_as_long_as_wall_time() -> None:
    parts = {"a": sender(float, 10 * MS), "b": hearer(Port("x", wakes=True), "a.value")}
    with RealtimeLoop(System(parts)) as loop:
        start = time.perf_counter()
        loop.run("60 ms")
        once = time.perf_counter() - start
        assert loop.now == 50 * MS
        assert 0.05 <= once < 1.0
        assert len(loop.late) == 6
        assert loop.late.dtype == "int64"
        assert (loop.late >= 0).all()
        assert loop.components["b"].lateness is not None
        assert abs(loop.components["b"].lateness()) < 10**9
        time.sleep(0.05)
        start = time.perf_counter()
        loop.run("100 ms")  # the wall clock begins anew: the pause is not caught up with
        assert time.perf_counter() - start >= 0.039


def test_twice_as_fast_as_life_takes_half_as_long() -> None:
    with RealtimeLoop(System({"a": sender(float, 10 * MS)}), speed=4.0) as loop:
        start = time.perf_counter()
        loop.run("201 ms")
        assert 0.05 <= time.perf_counter() - start < 0.19


def test_results_are_those_of_an_unhurried_loop() -> None:
    parts = {"a": sender(float, 1000), "b": hearer(Port("x", reads="hold"), "a.value", 3000)}
    hurried, calm = RealtimeLoop(System(parts), speed=1e6), loop_of(**parts)
    hurried.run("1 ms")
    calm.run("1 ms")
    assert repr(steps(hurried, "b", "value")) == repr(steps(calm, "b", "value"))
    assert len(hurried.late) == 1000
    hurried.run("3 ms")
    assert len(hurried.late) == 3000  # more than was set aside at first


def test_lateness_is_measured() -> None:
    slow = part({}, {"x": Port("x")}, lambda now, inputs: time.sleep(0.012) or {}, 5 * MS)  # type: ignore[func-returns-value]
    loop = RealtimeLoop(System({"slow": slow}))
    loop.run("21 ms")
    assert loop.late[-1] > 20 * MS


@pytest.mark.parametrize("speed", [0, -1.0, float("nan")])
def test_a_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="it must be above 0"):
        RealtimeLoop(System({"a": sender(float, 10)}), speed=speed)


def test_no_learner_shares_a_real_time_loop() -> None:
    parts = {"brain": sender(float, 10), "learner": part({}, {}, None, 10, uses={"brain": "brain"},
                                                         wants={"brain": Use(Plain, changes=True)})}
    with pytest.raises(AssemblyError, match="learner: a learner cannot share a real-time loop\n  Leave it out"):
        RealtimeLoop(System(parts))


def test_a_fork_of_a_real_time_loop_goes_on_where_it_was() -> None:
    loop = RealtimeLoop(System({"a": sender(float, 100 * MS)}), speed=1e6)
    loop.run("501 ms")
    fork = loop.fork()
    assert fork.run("701 ms") == 700 * MS
    assert fork.speed == loop.speed  # type: ignore[attr-defined]
    start = time.perf_counter()
    fork.run("5 s")
    assert time.perf_counter() - start < 2


def test_an_evaluation_is_not_run_at_the_pace_of_the_wall() -> None:
    from .test_evaluation import parts

    plan = EvaluationPlan(System(parts(teach=False), 3), (10**12, "ns"), 3, 1000)
    slow = {**parts(teach=False), "clock": sender({})}
    loop = RealtimeLoop(System(slow, evaluations={"test": plan}), speed=1e-6)
    start = time.perf_counter()
    loop.run(1)
    assert time.perf_counter() - start < 5  # its episodes last 50 ns, which would be 50 s
    assert len(loop.evaluations["test"].rows) == 1


def test_the_profile_says_what_each_component_costs() -> None:
    nap = part({}, {"x": Port("x")}, lambda now, inputs: time.sleep(0.002) or {}, 10)  # type: ignore[func-returns-value]
    loop = loop_of(nap=nap, quick=part({}, {}, None, 5))
    profile = Profile(loop)
    loop.run(41)
    table = profile.table()
    assert [row["component"] for row in table] == ["nap", "quick", "(loop and recorder)"]
    assert [row["steps"] for row in table] == [5, 9, 9]
    assert table[0]["seconds"] >= 0.009
    assert 0.99 < sum(row["share"] for row in table) < 1.01
    profile.close()
    loop.run(61)
    assert profile.steps == {"nap": 5, "quick": 9}
    assert steps(loop, "nap")[-1] == 60
