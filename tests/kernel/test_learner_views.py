"""What a learner must be told: the same view, an action as the body takes it, whole ticks, and some step at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.graph import check
from stimloop.loops.heard import Heard
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import status_input, status_output
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock

from .small import part
from .test_graph_messages import Judge

TICK = 10


def parts(period: int | Clock = TICK, said: Any = None, acts: str = "hold", seen: int = 0,
          **wires: tuple[int, str | None]) -> dict[str, Part]:
    """Body, brain and learner; `wires` gives delay and reading of an input of the learner, `seen` is both views' delay.

    `said` is the status of a tick (left out: FIRST, then steps), `acts` how the body reads its action.
    """
    flags = said or (lambda tick: 0 if tick else 1)

    def say(now: int, inputs: Any) -> dict[str, Any]:
        flag = flags(now // TICK)
        value = np.zeros(1, np.float32)
        return {} if flag is None else {"observation": value, "reward": value, "status": np.array([flag], np.int64)}

    def act(now: int, inputs: Any) -> dict[str, Any]:
        return {"action": np.zeros(1, np.float32), "log_prob": np.zeros(1, np.float32)}

    def wire(key: str, source: str) -> Source:
        delay, reads = wires.get(key, (seen if key == "observation" else 0, None))
        return Source.of(source, delay, reads)  # type: ignore[arg-type]

    spoken = {key: Port(key, reads="hold", also=("now",)) for key in ("action", "log_prob")}
    heard = {"observation": Port("o", wakes=True), "reward": Port("r", wakes=True), "status": status_input(wakes=True)}
    return {
        "body": part({"action": Port("a", reads="hold", also=("now",))},
                     {"observation": Port("o"), "status": status_output(), "reward": Port("r")}, say, period,
                     {"action": Source.of("brain.action", 0, acts)}),  # type: ignore[arg-type]
        "brain": part({"observation": Port("o", wakes=True)}, {"action": Port("a"), "log_prob": Port("l")}, act,
                      wired={"observation": Source.of("body.observation", seen or (1 if acts == "now" else 0))},
                      gain=1.0, value=None),
        "learner": part({**heard, **spoken}, {}, None, wired={
            **{key: wire(key, f"body.{key}") for key in heard}, **{key: wire(key, f"brain.{key}") for key in spoken}},
            uses={"policy": "brain"}, wants={"policy": Use(Judge, changes=True)})}


def told(**asked: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(AssemblyError) as error:
        check(System(parts(**asked)))
    return [(problem.where, problem.what, problem.fix) for problem in error.value.problems]


def test_what_fits_is_built() -> None:
    check(System(parts()))
    check(System(parts(acts="now", observation=(1, None), action=(0, "now"), log_prob=(0, "now"))))
    check(System(parts(seen=TICK - 1)))
    check(System(parts(seen=30, status=(30, None), reward=(30, None))))


def test_another_view_is_refused_with_both_wires() -> None:
    assert told(observation=(3, None)) == [
        ("learner.inputs.observation",
         "learner changes brain but sees another 'observation': body.observation after 3 ns, not body.observation",
         "Write {observation: {like: brain.observation}}.")]
    assert told(seen=3, observation=(0, None)) == [
        ("learner.inputs.observation",
         "learner changes brain but sees another 'observation': body.observation, not body.observation after 3 ns",
         "Write {observation: {like: brain.observation}}.")]


@pytest.mark.parametrize("key", ["action", "log_prob"])
def test_what_the_actor_said_is_read_as_the_body_acts(key: str) -> None:
    acts = {"action": "it", "log_prob": "brain.action"}[key]
    assert told(**{key: (0, "now")}) == [
        (f"learner.inputs.{key}", f"reads brain.{key} by 'now', but body acts on {acts} by 'hold'",
         f"Write {{{key}: {{from: brain.{key}, reads: hold}}}}.")]
    other = {"action": "log_prob", "log_prob": "action"}[key]
    assert told(acts="now", observation=(1, None), **{other: (0, "now")}) == [
        (f"learner.inputs.{key}", f"reads brain.{key} by 'hold', but body acts on {acts} by 'now'",
         f"Write {{{key}: {{from: brain.{key}, reads: now}}}}.")]


def test_reward_and_status_come_together() -> None:
    found = told(seen=5, reward=(3_000_000, None))
    assert found == [("learner.inputs.reward", "body.reward after 3 ms and body.status are not of the same step",
                      "Give both the same delay: {reward: {from: body.reward, delay: 0}}.")]
    assert told(seen=5, status=(4, None))[0] == (
        "learner.inputs.reward", "body.reward and body.status after 4 ns are not of the same step",
        "Give both the same delay: {reward: {from: body.reward, delay: 4 ns}}.")


def test_one_who_only_counts_hears_reward_and_status_together_too() -> None:
    counter = part({"reward": Port("r", wakes=True), "status": status_input(wakes=True)}, {},
                   wired={"reward": Source("body", "reward", 7), "status": Source("body", "status")})
    with pytest.raises(AssemblyError, match=r"metrics.inputs.reward: body.reward after 7 ns and body.status are not"):
        check(System({**parts(), "metrics": counter}))


def test_an_observation_may_be_late_but_no_status() -> None:
    check(System(parts(seen=TICK)))
    assert told(status=(4, None), reward=(4, None)) == [
        ("learner.inputs.status", "body.status arrives after the observation of its tick: no step is made of them, or "
         "a wrong one",
         "Write {status: {from: body.status, delay: 0}}, and the same delay for reward and for the status of what it "
         "uses.")]


# -- some step at all --------------------------------------------------------------------------------------------------


def unheard(until: int, **asked: Any) -> list[str]:
    loop = Loop(System(parts(**asked)))
    heard = Heard(loop)
    loop.run(until)
    assert all(problem.notice for problem in heard.problems())
    return [f"{problem.where}: {problem.what}" for problem in heard.problems()]


def test_a_learner_that_heard_a_step_is_no_news() -> None:
    assert unheard(2 * TICK) == []
    assert unheard(100, said=lambda tick: 8 if tick else 2) == [], "an end is a step"


def test_a_learner_that_no_step_reached_is_told() -> None:
    where = "learner.inputs.status: no step ever reached learner, so it has learned nothing: "
    only = [where + "body.status has only said that episodes begin, or that lanes wait"]
    assert unheard(TICK) == only
    assert unheard(100, said=lambda tick: 8 if tick else 1) == only
    assert unheard(100, said=lambda tick: 1) == only
    late = {"seen": 30, "status": (30, None), "reward": (30, None)}
    assert unheard(3 * TICK, **late) == [where + "the first arrives at 40 ns, and all ended at 20 ns"]
    assert unheard(5 * TICK, **late) == []


def test_a_learner_that_heard_nothing_at_all_is_told() -> None:
    assert unheard(100, said=lambda tick: None) == [
        "learner.inputs.status: no step ever reached learner, so it has learned nothing: body.status has said nothing"]


def test_steps_of_an_earlier_session_count() -> None:
    first, second = (Loop(System(parts(said=lambda tick: [1, 0, 8][min(tick, 2)]))) for _ in range(2))
    first.counter()
    first.run(50)
    second.load(first.save())
    second.counter()
    heard = Heard(second)
    second.run(90)
    assert heard.problems() == []


def test_the_watch_ends_with_the_first_step() -> None:
    loop = Loop(System(parts()))
    heard = Heard(loop)
    cell = loop.cell("body.status")
    assert len(cell.watchers) == 1
    loop.run(50)
    assert cell.watchers == ()
    assert heard.problems() == []
