"""When a run stops: time, steps, episodes, a port, a halt; and what counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stimloop.loops.component import Inputs
from stimloop.loops.errors import AssemblyError, TimeError
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING, status_output
from stimloop.loops.stops import Counter

from .small import body, hearer, loop_of, part, sender, steps

EPISODE = [FIRST, 0, 0, TERMINATED]  # three steps and one end in four ticks


def cycle(tick: int) -> list[int]:
    return [EPISODE[tick % 4]]


def test_the_instant_at_exactly_until_is_not_run() -> None:
    loop = loop_of(ear=hearer(source="sender.value", period=10), sender=sender({}))
    assert loop.now == 0
    assert loop.run(0) == 0
    assert steps(loop, "ear") == []
    assert loop.run(20) == 10
    assert steps(loop, "ear") == [0, 10]
    assert loop.run(20) == 10
    assert loop.run("21 ns") == 20
    assert loop.run(5) == 20  # totals since t = 0, not further ones
    assert steps(loop, "ear") == [0, 10, 20]
    assert loop.next_instant() == 30


def test_only_whole_nanoseconds_are_a_time() -> None:
    loop = loop_of(sender=sender({0: 1.0}))
    with pytest.raises(TimeError, match="is not a stop"):
        loop.run(np.int64(5))  # type: ignore[arg-type]
    assert type(loop.run(5)) is int


def test_a_loop_with_nothing_left_to_do_ends() -> None:
    loop = loop_of(sender=sender({0: 1.0, 7: 2.0}), ear=hearer(Port("x", wakes=True)))
    assert loop.run() == 7
    assert loop.next_instant() is None
    assert loop.run("1 h") == 7


def test_steps_and_episodes_are_counted_as_the_page_says() -> None:
    loop = loop_of(body=body(cycle))
    assert loop.run("2 steps") == 20  # FIRST at 0 is no step
    assert loop.run("3 steps") == 30
    assert loop.run("3 steps") == 30  # reached already
    assert loop.run("4 steps") == 50  # the FIRST at 40 is none either
    assert loop.run("2 episodes") == 70
    assert (loop.counters["body"].steps, loop.counters["body"].episodes) == (6, 2)


def test_every_lane_counts() -> None:
    both = [[FIRST, FIRST], [0, 0], [TERMINATED | FIRST, 0], [0, TRUNCATED], [WAITING, WAITING]]
    loop = loop_of(lanes=2, body=body(lambda tick: both[min(tick, 4)]))
    assert loop.run("3 steps") == 20  # two at 10, two more at 20
    assert loop.run("2 episodes") == 30
    loop.run(100)
    assert (loop.counter().steps, loop.counter("body").episodes) == (6, 2)


def test_a_status_published_again_as_the_very_same_array_counts_again() -> None:
    kinds = [np.array(flags, np.int64) for flags in ([0, 0], [FIRST, 0], [TERMINATED, 0], [0, TRUNCATED | FIRST],
                                                     [WAITING, 0])]
    order = np.random.default_rng(3).choice([0, 0, 0, 1, 2, 3, 4], 500)
    said = np.array([kinds[kind] for kind in order])
    taken = np.cumsum(((said != FIRST) & ((said & WAITING) == 0)).sum(axis=1))
    over = np.cumsum(((said & (TERMINATED | TRUNCATED)) != 0).sum(axis=1))

    def say(now: int, inputs: Inputs) -> dict[str, Any]:
        return {"status": kinds[order[now // 10]], "reward": np.zeros(2, np.float32)}

    loop = loop_of(lanes=2, body=part({}, {"status": status_output(), "reward": Port("reward")}, say, 10))
    loop.run(1)
    counter = loop.counter()  # counts from here on
    taken, over = taken - taken[0], over - over[0]
    for tick in (3, 99, 150, 250, 251, 400):
        loop.run(tick * 10 + 1)
        assert counter.state_dict() == {"steps": taken[tick], "episodes": over[tick]}
        if tick == 250:
            loop.load(loop.save())  # arrays are others now
    assert loop.run(f"{taken[450]} steps") == 10 * int(np.searchsorted(taken, taken[450]))
    assert loop.run(f"{over[480]} episodes") == 10 * int(np.searchsorted(over, over[480]))


def test_a_counter_counts_from_when_it_is_first_asked_for() -> None:
    loop = loop_of(body=body(cycle))
    loop.run(31)
    assert loop.counter().steps == 0
    assert loop.run("1 steps") == 50


def test_a_counter_alone_stops_counting_when_closed() -> None:
    loop = loop_of(body=body(cycle))
    counter = Counter(loop)
    loop.run(21)
    counter.close()
    loop.run(41)
    assert counter.state_dict() == {"steps": 2, "episodes": 0}


def test_with_two_bodies_one_must_be_named() -> None:
    loop = loop_of(left=body(cycle), right=body(lambda tick: [0]))
    with pytest.raises(AssemblyError, match="until: there are 2 bodies: left, right\n  Write for example"):
        loop.run("4 steps")
    with pytest.raises(AssemblyError, match=r"'rihgt' is no body\n  Did you mean \"right\"\?"):
        loop.run("4 steps of rihgt")
    assert loop.run("4 steps of right") == 30
    assert loop.run("2 episodes of left") == 110  # counted from here on


def test_without_a_body_nothing_can_be_counted() -> None:
    loop = loop_of(sender=sender({}))
    with pytest.raises(AssemblyError, match="there is no body to count"):
        loop.run("4 steps")


def done_at(when: int, **port: Any) -> Any:
    def say(now: int, inputs: Any) -> dict[str, Any]:
        return {} if now == 0 else {"done": now >= when}

    return part({}, {"done": Port("is it over?", dtype="bool", per_lane=False, **port)}, say, 10)


def test_a_port_stops_after_the_instant_in_which_it_is_true() -> None:
    loop = loop_of(learner=done_at(30), ear=hearer(Port("x", dtype="bool", per_lane=False, wakes=True), "learner.done"))
    assert loop.run("learner.done") == 30
    assert steps(loop, "ear")[-1] == 30
    assert loop.run("learner.done") == 30
    assert loop.run(41) == 40


def test_a_port_that_cannot_stop_a_run() -> None:
    loop = loop_of(learner=done_at(30), body=body(cycle))
    with pytest.raises(AssemblyError, match=r"there is no output 'learner.doen'\n  Did you mean"):
        loop.run("learner.doen")
    with pytest.raises(AssemblyError, match=r"body\.reward has a value per lane; a stop needs one value for all lanes"):
        loop.run("body.reward")


def test_halting_ends_the_run_after_the_instant() -> None:
    loop = loop_of(a=sender(float, 10), b=hearer(Port("x", wakes=True), "a.value"))
    release = loop.tap("a.value", lambda now, value: loop.halt() if now == 20 else None)
    assert loop.run(1000) == 20
    assert steps(loop, "b")[-1] == 20  # the instant was finished
    release()
    end = loop.attend(lambda now: loop.halt() if now >= 40 else None)
    assert loop.run(1000) == 40
    end()
    assert loop.run(61) == 60


def test_a_watch_is_released_when_the_run_ends() -> None:
    loop = loop_of(body=body(cycle))
    loop.run("2 steps")
    assert loop.run(101) == 100


def test_an_instant_that_was_moved_away_is_none() -> None:
    """The sleeper asks for 100, is woken at 50 and then asks for 200: nothing happens at 100."""
    ends: list[int] = []
    loop = loop_of(sender=sender({50: 1.0}),
                   sleeper=hearer(Port("x", wakes=True), wake_at=lambda now: {0: 100, 50: 200}.get(now)))
    loop.attend(ends.append)
    assert loop.run(150) == 50
    assert loop.run(300) == 200
    assert ends == [0, 50, 200]
    assert steps(loop, "sleeper") == [0, 50, 200]
