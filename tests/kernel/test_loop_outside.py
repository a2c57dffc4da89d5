"""The loop from outside: answering for a component, injecting events, saving, forking, closing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stimloop.loops.errors import PortError, RunError, StimloopError
from stimloop.loops.events import Events
from stimloop.loops.external import External
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.schedule import schedule
from stimloop.loops.system import Part, Source, System

from .small import hearer, loop_of, part, sender, steps

# -- answering ---------------------------------------------------------------------------------------------------------


def seat(**more: Part) -> Loop:
    """A sender every 10 ns, an empty seat that hears it, and an ear behind the seat."""
    seat = Part(External, {"heard": Source("sender", "value")}, type="external")
    return loop_of(sender=sender(float, 10), seat=seat, ear=hearer(Port("x", wakes=True), "seat.action"), **more)


def said(value: float) -> dict[str, np.ndarray]:
    return {"action": np.float32([value])}


def test_the_instant_pauses_at_the_seat_and_goes_on_with_the_answer() -> None:
    loop = seat()
    ends: list[int] = []
    loop.attend(ends.append)
    for now in (0, 10, 20):
        assert loop.run(100) == now
        assert loop.pending == "seat"
        assert loop.nodes["seat"].inputs["heard"] == [now]
        assert "heard" in loop.nodes["seat"].inputs.new
        assert ends == list(range(0, now, 10))  # the instant is not over
        loop.answer(said(now + 1))
        assert loop.pending is None
    assert [(now, value[0]) for now, value in steps(loop, "ear", "value")] == [(0, 1), (10, 11), (20, 21)]
    assert ends == [0, 10, 20]


def test_a_seat_may_stay_silent() -> None:
    loop = seat()
    loop.run(100)
    loop.answer({})
    assert [(now, value[0]) for now, value in steps(loop, "ear", "value")] == [(0, 0)]
    loop.run(100)
    loop.answer(said(3))
    assert [(now, value[0]) for now, value in steps(loop, "ear", "value")] == [(0, 0), (10, 3)]


def test_out_of_turn() -> None:
    loop = seat()
    with pytest.raises(StimloopError, match="the loop waits for no answer; call run"):
        loop.answer(said(1))
    loop.run(100)
    with pytest.raises(StimloopError, match=r"the loop waits for an answer from 'seat': call loop.answer\(outputs\)"):
        loop.run(200)
    with pytest.raises(RunError, match="the instant is paused at 'seat'; answer it before saving"):
        loop.save()
    with pytest.raises(RunError, match="paused"):
        loop.fork()


@pytest.mark.parametrize(("bad", "text"), [
    ({"acton": np.float32([1])}, "seat published 'acton', which is none of its outputs: action"),
    (said(float("nan")), "seat.action published nan"), ({"action": np.zeros(3, np.float32)},
                                                        "seat.action published shape")])
def test_a_wrong_answer_is_refused_whole_and_may_be_given_again(bad: Any, text: str) -> None:
    loop = seat()
    loop.run(100)
    taken: list[Any] = []
    loop.tap("seat.action", lambda now, value: taken.append(float(value[0])))
    with pytest.raises(PortError) as error:
        loop.answer({**said(5), **bad})
    assert text in str(error.value)
    assert error.value.__notes__ == ["while stepping `seat` (external) at 0, lanes 1"]
    assert loop.pending == "seat"
    loop.answer(said(7))
    assert taken == [7]
    assert steps(loop, "ear", "value")[0][1] == [7]
    assert loop.run(100) == 10


def test_a_loop_with_a_seat_is_saved_between_instants() -> None:
    loop = seat()
    for now in range(0, 40, 10):
        loop.run(100)
        loop.answer(said(now))
    other = loop.fork()
    for each in (loop, other):
        assert each.run(100) == 40
        each.answer(said(9))
        each.run(100)
        assert each.now == 50
    assert [value[0] for _, value in steps(other, "ear", "value")] == [9]


def test_loading_forgets_a_pause() -> None:
    loop = seat()
    state = loop.save()
    loop.run(100)
    assert loop.pending == "seat"
    loop.load(state)
    assert loop.pending is None
    assert loop.run(100) == 0


# -- injecting ---------------------------------------------------------------------------------------------------------


def inbox(wakes: bool = False, reads: Any = "all", period: int | None = 10) -> Loop:
    port = Port("begin", (), kind="event", dtype="int64", reads=reads, wakes=wakes, optional=True)
    return Loop(System({"body": part({"begin": port}, {}, None, period), "clock": part({}, {}, None, 10)}),
                injected=("body.begin",))


def given(loop: Loop) -> list[tuple[int, list[int]]]:
    return [(now, batch.value.tolist()) for now, batch in steps(loop, "body", "begin")]


def test_injected_events_arrive_at_their_own_times() -> None:
    loop = inbox()
    loop.inject("body.begin", Events.of([-1, 15, 20], 0, 0, [1, 2, 3], "int64"))
    loop.run(31)
    assert given(loop) == [(0, [1]), (10, []), (20, [2]), (30, [3])]


def test_events_may_be_injected_in_any_order_and_later() -> None:
    loop = inbox()
    loop.inject("body.begin", Events.of(25, 0, 0, 5, "int64"))
    loop.inject("body.begin", Events.of(5, 0, 0, 1, "int64"))
    loop.run(11)
    loop.inject("body.begin", Events.of(12, 0, 0, 2, "int64"))
    loop.run(31)
    assert given(loop) == [(0, []), (10, [1]), (20, [2]), (30, [5])]


def test_an_injected_event_wakes_if_the_input_says_so() -> None:
    loop = inbox(wakes=True, reads="now", period=None)
    loop.inject("body.begin", Events.of([7, 12], 0, 0, [1, 2], "int64"))
    loop.run(31)
    assert given(loop) == [(0, []), (7, [1]), (12, [2])]


def test_injected_events_are_saved() -> None:
    loop = inbox()
    loop.inject("body.begin", Events.of([15], 0, 0, [2], "int64"))
    loop.run(11)
    other = loop.fork()
    other.run(31)
    assert given(other) == [(20, [2]), (30, [])]
    loop.reset()
    loop.run(31)
    assert given(loop)[2:] == [(0, []), (10, []), (20, []), (30, [])]


def test_an_input_that_is_not_injected_is_named() -> None:
    with pytest.raises(StimloopError, match=r"Did you mean \"body\.begin\""):
        inbox().inject("body.begn", Events.of(0, 0, 0))


# -- saving ------------------------------------------------------------------------------------------------------------


def test_a_state_of_another_system_is_refused() -> None:
    loop = loop_of(a=sender(float, 10), b=hearer(source="a.value", period=10))
    loop.run(21)
    state = loop.save()
    with pytest.raises(RunError, match=r"belongs to another system: only there \['b'\], only here \['c'\]"):
        loop_of(a=sender(float, 10), c=hearer(source="a.value", period=10)).load(state)
    with pytest.raises(RunError, match="format 99"):
        loop.load({**state, "format": 99})


@pytest.mark.parametrize("other", [
    {"b": hearer(Port("x", reads="hold"), "a.value", 10)}, {"b": hearer(Port("x", reads="all"), "a.value", 10)},
    {"b": hearer(Port("x"), Source("a", "value", 5), 10)},
    {"a": part({}, {"other": Port("x"), "value": Port("y")}, None, 10)}])
def test_a_state_of_other_wiring_is_refused_and_leaves_no_half_loaded_loop(other: dict[str, Part]) -> None:
    parts = {"a": sender(float, 10), "b": hearer(source="a.value", period=10)}
    state = loop_of(**parts).save()
    loop = loop_of(**{**parts, **other})
    with pytest.raises(RunError, match="belongs to another system"):
        loop.load(state)


def test_a_fork_shares_nothing() -> None:
    loop = loop_of(a=sender(float, 10), b=hearer(source="a.value", period=10))
    loop.run(21)
    with loop.fork() as fork:
        assert fork.now == 20
        assert fork.peek("a.value") == [20]
        fork.run(101)
    assert (loop.now, fork.now) == (20, 100)
    assert all(fork.components[name] is not component for name, component in loop.components.items())


def test_closing_twice_closes_every_component() -> None:
    with loop_of(a=sender(float, 10), b=hearer(source="a.value", period=10)) as loop:
        loop.run(11)
    loop.close()
    assert [component.closed for component in loop.components.values()] == [2, 2]  # type: ignore[attr-defined]


def test_what_was_learned_is_shown_and_notices_are_kept() -> None:
    learned = {"weights": np.ones(2)}
    loop = loop_of(a=part({}, {"x": Port("x")}, None, 10, state_dict=lambda: {"learned": learned}),
                   b=part({}, {}, None, 10))
    assert list(loop.learned) == ["a"]
    assert [notice.what for notice in loop.notices] == ["nobody listens to a.x"]
    assert loop.peek("a.x") is None
    with pytest.raises(KeyError, match=r'Did you mean "a.x"\?'):
        loop.peek("a.y")


# -- as text -----------------------------------------------------------------------------------------------------------


def test_a_schedule_names_a_seat_and_ends_with_the_last_instant() -> None:
    parts = {"sender": sender({0: 1.0, 10: 2.0}), "seat": Part(External, {"heard": Source("sender", "value")}),
             "ear": hearer(Port("x"), "seat.action", 10_000)}
    assert schedule(System(parts), 3).splitlines() == [
        "0 sender  0 seat  0 ear", "10ns sender  10ns seat", "10us ear"]
    assert schedule(System({"sender": parts["sender"]}), 9).splitlines() == ["0 sender", "10ns sender"]
