"""Links: when each message arrives, what is lost, and what a busy processor does with a crowd."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.links.busy_processor import BusyProcessor
from stimloop.components.links.jitter import Jitter
from stimloop.components.links.loss import Loss
from stimloop.loops.component import Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.seeds import LaneRandom

MS = 1_000_000


def built(link, lanes=1, seed=1, first=0):
    for ports in (link.inputs, link.outputs):
        for name, port in ports.items():
            ports[name] = port.sized((1,))
    link.infer()
    link.build(Lanes.of(lanes, first), seed)
    return link


def drive(link, times, end, values=None):
    """Send message k (value k + 1 in every lane) at times[k]; return (instant, values by lane) of what comes out."""
    lanes, out, previous, now, sent = link.lanes.count, [], None, 0, 0
    value = np.zeros((lanes, 1), np.float32)
    while True:
        new = frozenset()
        if sent < len(times) and times[sent] == now:
            value = np.full((lanes, 1), sent + 1, np.float32) if values is None else values[sent]
            value.setflags(write=False)
            sent, new = sent + 1, frozenset({"input"})
        answer = link.step(now, Inputs({"input": value}, new, previous))
        if "output" in answer:
            out.append((now, answer["output"][:, 0].tolist()))
        wake = link.next_wake(now)
        assert wake is None or wake > now
        coming = ([times[sent]] if sent < len(times) else []) + ([wake] if wake is not None else [])
        if not coming or min(coming) > end:
            return out
        previous, now = now, min(coming)


def test_a_constant_latency_delays_every_message_by_it():
    assert drive(built(Jitter(latency=3 * MS)), [0, 10 * MS, 11 * MS], 50 * MS) == [
        (3 * MS, [1]), (13 * MS, [2]), (14 * MS, [3])]
    assert drive(built(Jitter()), [0, 10 * MS], 50 * MS) == [(0, [1]), (10 * MS, [2])]


@pytest.mark.parametrize(("distribution", "mean", "deviation"), [
    ("uniform", 10.0, 4 / np.sqrt(12)), ("exponential", 12.0, 4.0), ("normal", 8.0, 4.0)])
def test_latencies_follow_their_distribution(distribution, mean, deviation):
    """Means by hand: 8 + 4/2, 8 + 4, 8 (cut at zero two deviations away: less than 1 % of a change)."""
    link = built(Jitter(latency=8 * MS, spread=4 * MS, distribution=distribution))
    times = [k * 200 * MS for k in range(3000)]
    latency = (np.array([now for now, _ in drive(link, times, 10**15)]) - times) / MS
    assert latency.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(3000) + 0.04)
    assert latency.std() == pytest.approx(deviation, rel=0.1)
    assert latency.min() >= 0


@given(st.lists(st.integers(0, 4 * MS), min_size=1, max_size=12), st.booleans(), st.integers(0, 99))
def test_every_message_arrives_once_and_in_order_if_so_asked(gaps, in_order, seed):
    times = np.cumsum([0, *(gap + 1 for gap in gaps)]).tolist()
    link = built(Jitter(latency=MS, spread=9 * MS, in_order=in_order), seed=seed)
    out = drive(link, times, 10**12)
    order = [value[0] for _, value in out]
    latencies = MS + LaneRandom(seed, Lanes.of(1)).uniform((len(times),))[0] * 9 * MS
    due = np.asarray(times) + np.rint(latencies).astype(np.int64)
    if in_order:
        due = np.maximum.accumulate(due)
        assert order == sorted(order)
    expected = {int(t): k + 1 for k, t in enumerate(due)}  # of two at one instant the later counts
    assert {now: value[0] for now, value in out} == expected


def test_a_lane_has_latencies_of_its_own():
    together = drive(built(Jitter(spread=9 * MS), lanes=3), [0], MS * 100)
    alone = drive(built(Jitter(spread=9 * MS), first=2), [0], MS * 100)
    assert len(together) == 3
    assert next(now for now, value in together if value[2] == 1) == alone[0][0]


def test_loss_loses_its_share_and_keeps_the_last_value():
    out = drive(built(Loss(probability=0.3)), [k * MS for k in range(4000)], 10**12)
    assert len(out) / 4000 == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 4000))
    assert all(value == [now // MS + 1] for now, value in out)
    assert drive(built(Loss(probability=0.0)), [0, MS], 10**9) == [(0, [1]), (MS, [2])]
    assert drive(built(Loss(probability=1.0)), [0, MS], 10**9) == []
    lanes = drive(built(Loss(probability=0.5), lanes=2), [k * MS for k in range(50)], 10**9)
    assert any(a != b for _, (a, b) in lanes)
    with pytest.raises(ValueError, match="probability"):
        Loss(probability=1.5)


def test_a_busy_processor_queues():
    """Service 10 ms, messages at 0, 4, 8 and 50 ms: ready at 10, 20, 30 and 60."""
    out = drive(built(BusyProcessor(service=10 * MS)), [0, 4 * MS, 8 * MS, 50 * MS], 10**9)
    assert out == [(10 * MS, [1]), (20 * MS, [2]), (30 * MS, [3]), (60 * MS, [4])]


def test_a_full_queue_drops():
    out = drive(built(BusyProcessor(service=10 * MS, capacity=1)), [0, MS, 2 * MS, 10 * MS], 10**9)
    assert out == [(10 * MS, [1]), (20 * MS, [2]), (30 * MS, [4])]


def test_a_busy_processor_drops():
    """A message at the very instant at which the processor is ready is taken."""
    link = built(BusyProcessor(service=10 * MS, when_busy="drop"))
    assert drive(link, [0, 4 * MS, 10 * MS, 19 * MS], 10**9) == [(10 * MS, [1]), (20 * MS, [3])]


def test_the_latest_replaces_the_waiting():
    link = built(BusyProcessor(service=10 * MS, when_busy="latest"))
    assert drive(link, [0, 2 * MS, 4 * MS, 6 * MS], 10**9) == [(10 * MS, [1]), (20 * MS, [4])]


def test_service_without_time_is_at_once():
    assert drive(built(BusyProcessor(service=0)), [0, MS], 10**9) == [(0, [1]), (MS, [2])]
    with pytest.raises(ValueError, match="drop"):
        BusyProcessor(capacity=0)


def test_variable_service_is_never_shorter_and_serves_one_at_a_time():
    link = built(BusyProcessor(service=5 * MS, spread=5 * MS, capacity=200))
    out = drive(link, [k * MS for k in range(100)], 10**12)
    instants = np.array([now for now, _ in out])
    assert [value[0] for _, value in out] == list(range(1, 101))
    gaps = np.diff([0, *instants])
    assert gaps.min() >= 5 * MS
    assert gaps.mean() == pytest.approx(10 * MS, rel=0.3)


@pytest.mark.parametrize("make", [lambda: Jitter(spread=9 * MS, in_order=False), lambda: Loss(probability=0.4),
                                  lambda: BusyProcessor(service=3 * MS, spread=MS, capacity=3)])
def test_saved_with_messages_under_way(make):
    one, two = built(make(), lanes=2), built(make(), lanes=2)
    two.step(0, Inputs({"input": np.ones((2, 1), np.float32)}, frozenset({"input"}), None))  # has a past of its own
    traces = []
    for link in (one, two):
        trace, previous = [], None
        for k in range(30):
            now = k * MS
            if link is one and k == 10:
                two.load_state_dict(one.state_dict())
            if link is two and k < 10:
                previous = now
                continue
            value = np.full((2, 1), k, np.float32)
            value.setflags(write=False)
            answer = link.step(now, Inputs({"input": value}, frozenset({"input"}), previous))
            trace.append((now, answer["output"].tolist() if "output" in answer else None, link.next_wake(now)))
            previous = now
        traces.append(trace)
    assert traces[0][10:] == traces[1]
    one.reset(1)
    assert one.next_wake(0) is None
