"""Latency: impulses through every `reads` and delay, a reaction of 15 ms, charge of a fast train into a slow brain."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from stimloop.loops.errors import AssemblyError
from stimloop.loops.loop import Loop
from stimloop.loops.seeds import derive
from stimloop.loops.system import Part, System

from . import compare
from .latency_toys import EventProbe, Impulses, Limb, Neuron, Probe, Reactor, Train, answer, swing
from .plain import Book, Thinker, World
from .toys import MS, TICK, ToyBody, ToyBrain, wire

WHEN = [0, 3, 10 * MS, 20 * MS - 1, 20 * MS + 1, 40 * MS, 41 * MS, 60 * MS - 7, 60 * MS, 60 * MS + 2, 119 * MS,
        140 * MS]
VALUES = [1.0, -2.0, 0.1, 3.0, 3.0, 7.5, 0.3, 0.7, 0.9, -0.4, 0.2, 1e-3]
DELAYS = [0, 7, 1 * MS, 19 * MS, 20 * MS, 20 * MS - 2, 33 * MS]
READS = ["now", "hold", "mean", "all"]
UNTIL, LANES = 200 * MS, 2


def impulses() -> System:
    """One sender, a probe for every way of reading, waking or not, behind every delay."""
    parts = {"sender": Part(lambda: Impulses(WHEN, VALUES))}
    for delay in DELAYS:
        for wakes in (False, True):
            for reads in READS:
                name = f"{reads}_{'wakes' if wakes else 'polls'}_{delay}"
                parts[name] = Part(lambda reads=reads, wakes=wakes: Probe(reads, wakes),
                                   {"value": wire("sender.value", delay)})
            for reads in ("now", "all"):
                name = f"event_{reads}_{'wakes' if wakes else 'polls'}_{delay}"
                parts[name] = Part(lambda reads=reads, wakes=wakes: EventProbe(reads, wakes),
                                   {"event": wire("sender.event", delay)})
    return System(parts, LANES, 0, "impulses")


def lanes_of(value: float) -> np.ndarray:
    return np.full(LANES, value, np.float32) + np.arange(LANES, dtype=np.float32)


def instants(arrivals: list[int], wakes: bool) -> list[int]:
    """When a receiver of 20 ms steps: on its grid, and at arrivals if these wake it."""
    return sorted({*range(0, UNTIL, TICK), *(a for a in arrivals if wakes and a < UNTIL)})


def expected_reading(reads: str, delay: int, wakes: bool) -> list[tuple]:
    """What the page says a probe reads, found by looking through all arrivals each time."""
    arrivals = [(-1, np.full(LANES, 0.5, np.float32))]
    arrivals += [(when + delay, lanes_of(value)) for when, value in zip(WHEN, VALUES, strict=True)]
    steps, rows = instants([a for a, _ in arrivals[1:]], wakes), []
    for i, now in enumerate(steps):
        previous = steps[i - 1] if i else None
        earlier = steps[i - 2] if i > 1 else -1
        if reads == "now":
            row = [a for a in arrivals if a[0] <= now][-1]
            rows.append((now, previous, row[1].tobytes(), row[0] > (-1 if previous is None else previous)))
        elif previous is None:
            rows.append((now, None, [(-1, arrivals[0][1].tobytes())] if reads == "all" else arrivals[0][1].tobytes(),
                         False))
        else:
            held = [a for a in arrivals if a[0] <= previous][-1]
            inside = [held, *(a for a in arrivals if previous < a[0] < now)]
            fresh = inside[-1][0] >= previous
            if reads == "hold":
                rows.append((now, previous, held[1].tobytes(), held[0] > earlier))
            elif reads == "all":
                rows.append((now, previous, [(a, v.tobytes()) for a, v in inside], fresh))
            else:
                rows.append((now, previous, average(inside, previous, now).tobytes(), fresh))
    return rows


def average(inside: list, previous: int, now: int) -> np.ndarray:
    """The time average, summed in float64; a constant comes back as it is."""
    if len(inside) == 1:
        return inside[0][1]
    edges = [previous, *(a for a, _ in inside[1:]), now]
    total = sum((v.astype(np.float64) * (end - begin)
                 for (_, v), (begin, end) in zip(inside, pairwise(edges), strict=True)), np.zeros(LANES))
    return (total / (now - previous)).astype(np.float32)


def expected_events(reads: str, delay: int, wakes: bool) -> list[tuple]:
    """Every event once: arrival is time + delay, but nothing arrives before it was published."""
    sent = []
    for when, value in zip(WHEN, VALUES, strict=True):
        for time, lane, index, payload in [(when, 0, 1, value), (max(when - 1, 0), LANES - 1, 0, -value)]:
            sent.append((max(time + delay, when), (time + delay, lane, index, float(np.float32(payload)))))
    rows, last = [], -1
    for now in instants([a for a, _ in sent], wakes):
        until = now if reads == "now" else now - 1
        events = sorted(event for arrival, event in sent if last < arrival <= until)
        rows.append((now, events, bool(events)))
        last = until
    return rows


def test_impulses_arrive_when_the_page_says() -> None:
    with Loop(impulses()) as loop:
        loop.run(UNTIL)
        for name, component in loop.components.items():
            if name != "sender":
                reads, how, delay = name.removeprefix("event_").split("_")
                find = expected_events if name.startswith("event_") else expected_reading
                assert component.rows == find(reads, int(delay), how == "wakes"), name


@pytest.mark.parametrize("delay", DELAYS)
def test_wakes_to_the_nanosecond(delay: int) -> None:
    with Loop(impulses()) as loop:
        loop.run(UNTIL)
        stepped = {row[0] for row in loop.components[f"hold_wakes_{delay}"].rows}
    assert stepped == {*range(0, UNTIL, TICK), *(when + delay for when in WHEN if when + delay < UNTIL)}


def reaction(delay: int, reads: str, wakes: bool = False) -> System:
    return System({"limb": Part(lambda: Limb(reads, wakes), {"action": wire("brain.action")}),
                   "brain": Part(Reactor, {"observation": wire("limb.observation", delay)})}, 1, 0, "reaction")


def piecewise(delay: int, reads: str, ticks: int) -> list[float]:
    """The limb by hand: what was shown at each tick is answered `delay` later."""
    x, v, shown = np.array([0.25]), np.array([0.0]), []
    torques = [(-1, np.array([0.0]))]  # in force from each instant on
    for k in range(ticks):
        now = k * TICK
        if k:
            before = now - TICK
            held = [t for t in torques if t[0] <= before][-1]
            inside = [(before, held[1]), *(t for t in torques if before < t[0] < now), (now, None)]
            if reads == "hold":
                inside = [inside[0], inside[-1]]
            if reads == "mean" and len(inside) > 2:
                mean = sum(u * (end - begin) for (begin, u), (end, _) in pairwise(inside)) / TICK
                inside = [(before, mean), (now, None)]
            for (begin, u), (end, _) in pairwise(inside):
                x, v = swing(x, v, u, end - begin)
        shown.append(float(x[0]))
        torques.append((now + delay, answer(x)))
    return shown


def places(system: System, ticks: int) -> list[float]:
    rows, _ = compare.trace(system, ticks * TICK)
    assert [now for now, _ in rows["limb.observation"]] == list(range(0, ticks * TICK, TICK))
    return [float(value[0]) for _, value in rows["limb.observation"]]


@pytest.mark.parametrize("reads", ["hold", "mean", "all"])
@pytest.mark.parametrize("delay", [0, 1 * MS, 15 * MS, 19 * MS, 20 * MS, 27 * MS])
def test_a_delayed_brain_moves_the_limb_as_by_hand(delay: int, reads: str) -> None:
    assert places(reaction(delay, reads), 50) == piecewise(delay, reads, 50)


@pytest.mark.parametrize("delay", [1, 1 * MS, 15 * MS, 19 * MS, 27 * MS])
def test_hold_that_wakes_is_exact(delay: int) -> None:
    """Stepped at each arrival, the limb integrates the very same pieces."""
    assert places(reaction(delay, "hold", True), 50) == piecewise(delay, "all", 50)


def test_delays_differ() -> None:
    """1 ms is not nothing; a limb that holds cannot tell 1 ms from 20 ms, one that reads all can."""
    held = {delay: places(reaction(delay * MS, "hold"), 30) for delay in (0, 1, 19, 20)}
    exact = {delay: places(reaction(delay * MS, "all"), 30) for delay in (0, 1, 19, 20)}
    assert held[0] != held[1] == held[19] == held[20]
    assert len({tuple(track) for track in exact.values()}) == 4
    assert exact[0] == held[0]
    assert exact[20] == held[20]


def test_hold_that_wakes_in_a_loop_of_one_instant_is_refused() -> None:
    with pytest.raises(AssemblyError, match="loop without delay"):
        Loop(reaction(0, "hold", True))


@pytest.mark.parametrize("delay", [0, 7, 1 * MS])
@pytest.mark.parametrize("reads", ["mean", "all"])
def test_a_fast_train_delivers_its_charge(reads: str, delay: int) -> None:
    rows, _ = compare.trace(System({
        "train": Part(Train), "brain": Part(lambda: Neuron(reads), {"current": wire("train.current", delay)})}),
        100 * TICK + 1)
    got = [float(value[0]) for _, value in rows["brain.charge"]]
    pulses = [(Train.rate.tick(k) + delay, Train.rate.tick(k) + delay + Train.width) for k in range(300)]
    charge = [2.5 * sum(max(0, min(end, k * TICK) - max(begin, k * TICK - TICK)) for begin, end in pulses)
              for k in range(101)]
    assert np.allclose(got, charge, rtol=1e-6, atol=0)
    assert abs(sum(got) / sum(charge) - 1) < 1e-6
    assert sum(charge) > 2.5 * 259 * Train.width


@pytest.mark.parametrize("reads", ["now", "hold"])
def test_where_charge_would_be_lost(reads: str) -> None:
    """Looking at the train only each 20 ms, a brain gets another charge: the reason for `mean` and `all`."""
    rows, _ = compare.trace(System({
        "train": Part(Train), "brain": Part(lambda: Neuron(reads), {"current": wire("train.current")})}), 2000 * MS)
    got = sum(float(value[0]) for _, value in rows["brain.charge"])
    assert abs(got / (2.5 * 260 * Train.width) - 1) > 0.01


def late_brain() -> System:
    """A whole toy body whose brain reacts 15 ms late; the test episodes are late too."""
    late = {key: wire(f"body.{key}", 15 * MS) for key in ("observation", "status")}
    parts = {"body": Part(ToyBody, {"action": wire("brain.action")}), "brain": Part(ToyBrain, late)}
    system = System(parts, 1, 4, "late")
    return System(parts, 1, 4, "late", evaluations=compare.plan(system, (2, "episodes"), 2))


def late_episodes(ticks: int, world: World, thinker: Thinker, seed: int | None = None) -> compare.Rows:
    """What is seen at one tick is answered 15 ms later, so it is held from the next tick on."""
    book, pushes, waits = Book(), [np.zeros(2, np.float32)] * 2, seed is not None
    for now in range(0, ticks * TICK, TICK):
        x, reward, status = world.tick(pushes[-2], seed if now == 0 else None, waits)
        if status == 8:
            break
        book.body(now, [(x, reward, status)])
        pushes.append(thinker.answer(np.array([-0.5, -0.25], np.float32), x, status))
        book.say(now + 15 * MS, "brain.action", [pushes[-1]])
    return book.rows


def test_late_brain_and_its_evaluation() -> None:
    rows, tables = compare.trace(late_brain(), 30 * TICK)
    compare.assert_same(rows, late_episodes(30, World(derive(4, "body"), 0), Thinker()))
    test = [late_episodes(30, World(0, 0), Thinker(), seed)["body.reward"] for seed in (1000, 1001)]
    assert tables["test"][0]["return"].tolist() == [sum(float(value[0]) for _, value in r) for r in test]
    assert tables["test"][0]["length"].tolist() == [len(r) - 1 for r in test]


@pytest.mark.parametrize("system", [
    pytest.param(impulses(), id="impulses"), pytest.param(reaction(15 * MS, "all"), id="all"),
    pytest.param(reaction(27 * MS, "hold", True), id="hold wakes"), pytest.param(late_brain(), id="late")])
def test_halves_and_names(system: System, tmp_path) -> None:
    compare.check_halves(system, 9 * TICK, [1, 2 * TICK, 41 * MS + 1, 3 * TICK + 3, 6 * TICK + 16 * MS], tmp_path)
    compare.check_names(system, 9 * TICK)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(late_brain(), 30 * TICK)


def test_schedules() -> None:
    compare.check_schedule(reaction(15 * MS, "hold", True), 8, "latency_hold_wakes")
    compare.check_schedule(reaction(15 * MS, "all"), 8, "latency_all")
    compare.check_schedule(late_brain(), 6, "latency_late_brain")
