"""Wires: what `now`, `hold`, `mean` and `all` give, with answers worked out by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stimloop.loops.events import Events
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.system import Source
from stimloop.loops.wire import EventPipe, HoldPipe, SignalPipe

from .small import MS, hearer, loop_of, part, sender, steps

STAIRS = {0: 1.0, 3: 2.0, 10: 3.0, 14: 4.0, 20: 5.0, 27: 6.0}  # instant -> value published


def heard(reads: str, delay: int = 0, wakes: bool = False, period: int | None = 10, until: int = 31,
          initial: float = 0.5) -> list[tuple[int, Any, bool, int | None]]:
    """Let one component listen to the staircase; return (now, value, new, previous) of each of its steps."""
    port = Port("a number", reads=reads, wakes=wakes, initial=initial)  # type: ignore[arg-type]
    loop = loop_of(sender=sender(STAIRS), hearer=hearer(port, Source("sender", "value", delay), period))
    loop.run(until)
    rows = []
    for now, inputs, new, previous in loop.components["hearer"].steps:  # type: ignore[attr-defined]
        value = inputs["value"]
        plain = [(when, float(row[0])) for when, row in value] if isinstance(value, list) else float(value[0])
        rows.append((now, plain, "value" in new, previous))
    return rows


def test_now_reads_what_is_in_force_arrivals_of_this_instant_included() -> None:
    assert heard("now") == [(0, 1.0, True, None), (10, 3.0, True, 0), (20, 5.0, True, 10), (30, 6.0, True, 20)]
    assert heard("now", delay=5) == [(0, 0.5, False, None), (10, 2.0, True, 0), (20, 4.0, True, 10),
                                     (30, 5.0, True, 20)]
    assert heard("now", delay=7) == [(0, 0.5, False, None), (10, 2.0, True, 0), (20, 3.0, True, 10),
                                     (30, 5.0, True, 20)]


def test_hold_reads_what_was_in_force_after_the_previous_step() -> None:
    assert heard("hold") == [(0, 0.5, False, None), (10, 1.0, True, 0), (20, 3.0, True, 10), (30, 5.0, True, 20)]
    assert heard("hold", delay=7) == [(0, 0.5, False, None), (10, 0.5, False, 0), (20, 2.0, True, 10),
                                      (30, 3.0, True, 20)]


def test_all_reads_the_row_in_force_and_each_change_strictly_inside() -> None:
    assert heard("all") == [
        (0, [(-1, 0.5)], False, None), (10, [(0, 1.0), (3, 2.0)], True, 0), (20, [(10, 3.0), (14, 4.0)], True, 10),
        (30, [(20, 5.0), (27, 6.0)], True, 20)]
    assert heard("all", delay=7) == [
        (0, [(-1, 0.5)], False, None), (10, [(-1, 0.5), (7, 1.0)], True, 0), (20, [(10, 2.0), (17, 3.0)], True, 10),
        (30, [(17, 3.0), (21, 4.0), (27, 5.0)], True, 20)]


def test_mean_is_the_time_average_between_the_steps() -> None:
    expected = [(0, 0.5), (10, (3 * 1 + 7 * 2) / 10), (20, (4 * 3 + 6 * 4) / 10), (30, (7 * 5 + 3 * 6) / 10)]
    rows = heard("mean")
    assert [now for now, *_ in rows] == [now for now, _ in expected]
    assert [value for _, value, *_ in rows] == [float(np.float32(value)) for _, value in expected]
    assert [new for _, _, new, _ in rows] == [False, True, True, True]


def test_a_value_is_new_once() -> None:
    for reads in ("now", "hold", "mean", "all"):
        late = heard(reads, until=71)[4:]  # nothing was published after 27
        assert [new for _, _, new, _ in late] == [reads == "hold", False, False, False]


def test_hold_that_wakes_is_stepped_at_each_arrival_with_the_old_value() -> None:
    rows = heard("hold", wakes=True, period=None)
    assert rows == [(0, 0.5, False, None), (3, 1.0, True, 0), (10, 2.0, True, 3), (14, 3.0, True, 10),
                    (20, 4.0, True, 14), (27, 5.0, True, 20)]
    rows = heard("hold", delay=7, wakes=True, period=None)
    assert rows == [(0, 0.5, False, None), (7, 0.5, False, 0), (10, 1.0, True, 7), (17, 2.0, True, 10),
                    (21, 3.0, True, 17), (27, 4.0, True, 21)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_of_a_constant_is_that_constant_to_the_bit(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        value = rng.normal(size=4).astype(dtype)
        pipe = SignalPipe(Port("x", (4,), dtype=dtype), "mean", 0, 1)
        pipe.take(0, None)
        for when in [0, *sorted(rng.integers(1, 20 * MS, 3).tolist())]:
            pipe.put(when, value[None].copy())
        mean, new = pipe.take(20 * MS, 0)
        assert (mean[0] == value).all()
        assert new
        assert not mean.flags.writeable


def test_a_train_of_short_pulses_delivers_its_charge_to_a_slow_brain() -> None:
    """0.2 ms at 130 Hz into 20 ms: a first draft of the design gave 0 or four times the charge."""
    period, width, amplitude, seconds = SECOND_OVER_130, 200_000, 3.0, 2
    edges = {k * period + offset: value for k in range(130 * seconds) for offset,
             value in ((0, amplitude), (width, 0.0))}
    for reads in ("mean", "all"):
        loop = loop_of(pulses=sender(edges), brain=hearer(Port("current", reads=reads), "pulses.value", 20 * MS))  # type: ignore[arg-type]
        loop.run(f"{seconds + 1} s")
        rows = [(previous, now, inputs["value"]) for now, inputs, _, previous in loop.components["brain"].steps][1:]  # type: ignore[attr-defined]
        charge = sum(area(value, start, end) for start, end, value in rows)
        exact = 130 * seconds * width * amplitude
        assert abs(charge / exact - 1) < 1e-6


SECOND_OVER_130 = 1_000_000_000 // 130


def area(value: Any, start: int, end: int) -> float:
    rows = value if isinstance(value, list) else [(start, value)]
    cuts = [start, *(when for when, _ in rows[1:]), end]
    return sum(float(row[0]) * (b - a) for (_, row), (a, b) in zip(rows, pairwise(cuts), strict=True))


def test_a_delay_of_1_ms_differs_from_none_in_a_20_ms_body() -> None:
    """The action decided at 0 with 1 ms of delay acts 20 ms later under `hold`: it was not there after that instant."""
    given = {}
    for delay in (0, MS):
        loop = loop_of(brain=sender({0: 7.0}), body=hearer(Port("action", reads="hold"),
                                                           Source("brain", "value", delay), 20 * MS))
        loop.run(61 * MS)
        given[delay] = [float(value[0]) for _, value in steps(loop, "body", "value")]
    assert given == {0: [0, 7, 7, 7], MS: [0, 0, 7, 7]}


def test_a_brain_that_reacts_after_15_ms_moves_a_20_ms_body_as_a_piecewise_loop_does() -> None:
    """The body holds and is woken: it integrates to the arrival with the old action and goes on with the new one."""

    class Sum:
        x = 0.0

    state = Sum()
    places: list[tuple[int, float]] = []

    def move(now: int, inputs: Any) -> dict[str, Any]:
        if inputs.previous is not None:
            state.x += float(inputs["action"][0]) * (now - inputs.previous)
        places.append((now, state.x))
        return {"observation": np.float32([now // (20 * MS)])} if now % (20 * MS) == 0 else {}

    def react(now: int, inputs: Any) -> dict[str, Any]:
        return {"action": inputs["observation"] + 1} if "observation" in inputs.new else {}

    loop = loop_of(
        body=part({"action": Port("force", reads="hold", wakes=True)}, {"observation": Port("place")}, move, 20 * MS,
                  {"action": Source("brain", "action", 15 * MS)}),
        brain=part({"observation": Port("place", wakes=True)}, {"action": Port("force")}, react,
                   wired={"observation": "body.observation"}))
    loop.run(100 * MS)
    x, expected, force = 0.0, [(0, 0.0)], 0.0
    for tick in range(5):
        x += force * 15 * MS  # old action up to the arrival
        force = tick + 1.0
        expected.append((tick * 20 * MS + 15 * MS, x))
        if tick < 4:
            x += force * 5 * MS
            expected.append(((tick + 1) * 20 * MS, x))
    assert places == expected


# -- what is passed over -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", ["now", "hold"])
def test_a_slow_receiver_makes_no_pipe_grow_and_still_reads_right(reads: str) -> None:
    port = Port("a number", reads=reads)  # type: ignore[arg-type]
    loop = loop_of(sender=sender(float, 1), hearer=hearer(port, Source("sender", "value", 3), 1000))
    loop.run(5001)
    pipe = loop.nodes["hearer"].pipes[0][1]
    assert len(pipe.queue) < 200
    shift = 0 if reads == "now" else 1000
    assert [(now, value[0]) for now, value in steps(loop, "hearer", "value")][2:] == [
        (now, now - shift - 3) for now in range(2000, 5001, 1000)]


def test_pruning_keeps_what_is_still_on_its_way() -> None:
    pipe = SignalPipe(Port("x"), "hold", 100, 1)
    pipe.take(0, None)
    for now in range(300):
        pipe.put(now, np.float32([now]))
    assert pipe.take(250, 0) == (pipe.initial, False)
    assert pipe.take(400, 250)[0] == [150]
    assert pipe.take(500, 400)[0] == [299]  # all have arrived by 400


def test_holding_pipe_knows_what_nobody_was_given() -> None:
    port = Port("x", reads="hold")
    pipe = HoldPipe(port, 1)
    assert pipe.take(0, None) == (pipe.initial, False)
    pipe.put(0, np.float32([1]))
    pipe.put(5, np.float32([2]))
    assert pipe.take(10, 0)[0] == [1]
    assert not pipe.lost
    pipe.put(12, np.float32([3]))
    pipe.put(14, np.float32([4]))  # 3 is never in force after a step
    assert pipe.lost
    assert pipe.take(20, 10)[0] == [2]
    other = HoldPipe(port, 1)
    other.take(0, None)
    other.put(0, np.float32([1]))
    other.put(0, np.float32([2]))
    assert other.lost


def test_pipes_come_back_from_their_state() -> None:
    for make in (lambda: SignalPipe(Port("x"), "all", 3, 1), lambda: SignalPipe(Port("x"), "now", 3, 1),
                 lambda: HoldPipe(Port("x"), 1)):
        pipe, again = make(), make()
        pipe.take(0, None)
        for now in (0, 1, 4):
            pipe.put(now, np.float32([now]))
        again.load_state_dict(pipe.state_dict())
        for now, previous in ((5, 0), (9, 5), (12, 9)):
            assert repr(again.take(now, previous)) == repr(pipe.take(now, previous))


# -- events ------------------------------------------------------------------------------------------------------------


def events_heard(reads: str, delay: int, wakes: bool, period: int | None, say: dict[int, Events],
                 sender_period: int | None = None) -> list[tuple[int, list[int], bool]]:
    port = Port("spikes", (0,), kind="event", indices=5)
    loop = loop_of(sender=sender(say, sender_period, port),
                   hearer=hearer(Port("spikes", (0,), kind="event", indices=5, reads=reads, wakes=wakes),  # type: ignore[arg-type]
                                 Source("sender", "value", delay), period))
    loop.run(41)
    return [(now, inputs["value"].time.tolist(), "value" in new)
            for now, inputs, new, _ in loop.components["hearer"].steps]  # type: ignore[attr-defined]


BATCHES = {0: Events.of(0, 0, 0), 10: Events.of([3, 10], 0, 0), 20: Events.empty()}


def test_events_are_handed_over_once_with_their_own_times() -> None:
    assert events_heard("now", 0, False, 10, BATCHES) == [
        (0, [0], True), (10, [3, 10], True), (20, [], True), (30, [], False), (40, [], False)]
    assert events_heard("all", 0, False, 10, BATCHES) == [
        (0, [], False), (10, [0], True), (20, [3, 10], True), (30, [], True), (40, [], False)]


def test_delayed_events_arrive_each_at_its_own_time_but_never_before_they_were_published() -> None:
    """The batch of 10 holds events of 3 and 10: with 5 ns they arrive at 10 (not 8) and 15; the empty one at 25."""
    assert events_heard("now", 5, True, None, BATCHES) == [
        (0, [], False), (5, [5], True), (10, [8], True), (15, [15], True), (25, [], True)]


def test_an_empty_batch_wakes_its_receiver() -> None:
    assert [now for now, *_ in events_heard("now", 0, True, None, BATCHES)] == [0, 10, 20]


def test_event_pipes_come_back_from_their_state() -> None:
    port = Port("spikes", (2,), kind="event")
    pipe, again = EventPipe(port, "now", 4), EventPipe(port, "now", 4)
    assert pipe.put(10, Events.of([3, 10, 9], 0, 0, np.ones((3, 2)))) == [10, 13, 14]
    assert pipe.put(11, Events.empty((2,))) == [15]
    again.load_state_dict(pipe.state_dict())
    for now in (10, 13, 14, 15):
        one, two = pipe.take(now, None), again.take(now, None)
        assert one[1]
        assert two[1]
        assert one[0].time.tolist() == two[0].time.tolist()
    nothing, new = again.take(16, None)
    assert (len(nothing), nothing.value.shape, new) == (0, (0, 2), False)


def test_late_events_do_not_overtake_earlier_ones() -> None:
    port = Port("spikes", (0,), kind="event")
    pipe = EventPipe(port, "now", 20)
    pipe.put(10, Events.of([10], 0, 0))
    pipe.put(12, Events.of([11, 12], 0, 0))
    batch, _ = pipe.take(40, None)
    assert batch.time.tolist() == [30, 31, 32]


def test_a_tap_is_given_every_value_until_it_is_let_go() -> None:
    loop: Loop = loop_of(sender=sender(float, 10), hearer=hearer(period=10))
    got: list[tuple[int, float]] = []
    release = loop.tap("sender.value", lambda now, value: got.append((now, float(value[0]))))
    loop.run(21)
    release()
    loop.run(41)
    assert got == [(0, 0), (10, 10), (20, 20)]
    assert loop.peek("sender.value") == [40]
    with pytest.raises(KeyError, match="Did you mean"):
        loop.tap("sender.valu", lambda now, value: None)
