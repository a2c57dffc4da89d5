"""A loop that keeps pace with the wall clock, and where its time goes."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
import pytest

from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.profile import Profile
from stimloop.loops.realtime import Lateness, RealtimeLoop
from stimloop.loops.system import EvaluationPlan, System

from .small import MS, hearer, loop_of, part, sender, steps


class Plain(Protocol):
    """A role that asks for nothing."""


def lateness(loop: RealtimeLoop) -> list[tuple[int, int]]:
    """What the loop publishes from now on about itself."""
    late: list[tuple[int, int]] = []
    loop.tap("loop.lateness", lambda now, value: late.append((now, value)))
    return late


def test_simulated_time_takes_as_long_as_wall_time() -> None:
    parts = {"a": sender(float, 10 * MS), "b": hearer(Port("x", wakes=True), "a.value")}
    with RealtimeLoop(System(parts)) as loop:
        late = lateness(loop)
        start = time.perf_counter()
        loop.run("60 ms")
        once = time.perf_counter() - start
        assert loop.now == 50 * MS
        assert 0.05 <= once < 1.0
        assert loop.late.instants == len(late) == 6
        assert [now for now, _ in late] == [step * 10 * MS for step in range(6)]
        assert all(each >= 0 for _, each in late)
        assert max(each for _, each in late) == loop.late.worst
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
    late = lateness(hurried)
    hurried.run("1 ms")
    calm.run("1 ms")
    assert repr(steps(hurried, "b", "value")) == repr(steps(calm, "b", "value"))
    assert len(late) == 1000
    hurried.run("3 ms")
    assert len(late) == hurried.late.instants == 3000


def test_lateness_is_measured() -> None:
    slow = part({}, {"x": Port("x")}, lambda now, inputs: time.sleep(0.012) or {}, 5 * MS)  # type: ignore[func-returns-value]
    loop = RealtimeLoop(System({"slow": slow}))
    late = lateness(loop)
    loop.run("21 ms")
    assert late[-1][1] > 20 * MS
    assert loop.peek("loop.lateness") == late[-1][1]
    assert loop.cell("loop.lateness").port.units == "ns"


def test_a_plain_loop_publishes_no_lateness() -> None:
    loop = loop_of(a=sender(float, 10))
    assert not loop.published
    with pytest.raises(KeyError, match=r"no output 'loop.lateness'"):
        loop.tap("loop.lateness", print)


def test_lateness_is_summed_up_in_bounded_memory() -> None:
    found = Lateness()
    assert found.quantile(0.5) != found.quantile(0.5)
    said = (10 ** np.random.default_rng(0).uniform(0, 10, 20_000)).astype(int).tolist()
    for late in said:
        found.add(late)
    for share in (0.01, 0.5, 0.99, 1.0):
        true = float(np.quantile(said, share, method="inverted_cdf"))
        assert true <= found.quantile(share) <= max(true + 1, true * 33 / 32)
    assert found.worst == found.quantile(1.0) == max(said)
    for late in (-5, 0, 2**62):
        found.add(late)
    assert found.quantile(0.0001) <= 2


def test_nobody_else_is_called_as_the_loop_itself() -> None:
    part_of = part({}, {"lateness": Port("x")}, None, 10)
    loop_of(loop=part_of)  # where there is no wall clock the name is free
    with pytest.raises(AssemblyError, match="Give this component another name"):
        RealtimeLoop(System({"loop": part_of}))


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), float("inf"), 1e300, 1e-300])
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


def test_the_profile_tells_evaluation_apart_from_the_loop() -> None:
    from .test_evaluation import parts

    plan = EvaluationPlan(System(parts(teach=False), 3), (10**12, "ns"), 3, 1000)
    with Loop(System({**parts(teach=False), "clock": sender({})}, evaluations={"test": plan})) as loop:
        test = loop.evaluations["test"]
        test.seconds = 100.0  # spent before anybody looked
        profile = Profile(loop)
        loop.run(1)
        table = profile.table()
    assert [row["component"] for row in table[-2:]] == ["(evaluation)", "(loop and recorder)"]
    assert table[-2]["seconds"] == pytest.approx(test.seconds - 100.0, abs=1e-6)
    assert table[-1]["seconds"] < table[-2]["seconds"]
    assert 0.99 < sum(row["share"] for row in table) < 1.01


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
