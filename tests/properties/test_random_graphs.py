"""Properties of the kernel on random systems: meaning, order, resume, and that nobody who watches changes anything."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stimloop.loops.errors import AssemblyError
from stimloop.loops.events import Events
from stimloop.loops.loop import Loop
from stimloop.loops.storage import checkpoint, runs
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stream import Stream
from stimloop.loops.system import System

from .games import with_game
from .graphs import digest, draw_plan, examples, plans
from .slow import Refused, Slow
from .toys import Plan, listen, since, traced

ROOT = Path(__file__).parents[2]
HORIZON = 50  # ns; with periods of 1 to 10 ns, some hundred steps
times = st.integers(1, HORIZON - 1)


def built(system: System) -> Loop:
    """Return a loop, or leave out an example that the page forbids."""
    try:
        return Loop(system)
    except AssemblyError:
        assume(False)
        raise


@examples(150, 8_000)
@given(plans(tidy=0.93))
def test_kernel_equals_the_slow_interpreter(plan: Plan) -> None:
    try:
        slow: Slow | None = Slow(plan.system())
    except Refused:
        slow = None
    if slow is None:
        with pytest.raises(AssemblyError, match=r"loop without delay|both change"):
            Loop(plan.system())
        return
    loop = Loop(plan.system())
    expected, trace = listen(slow), listen(loop)
    slow.run(HORIZON)
    loop.run(HORIZON)
    assert trace == expected
    assert slow.instants[-1] == loop.now


@examples(40, 3_000)
@given(plans(tidy=1.0), st.randoms(use_true_random=False))
def test_declaration_order_and_names_mean_nothing(plan: Plan, rng: random.Random) -> None:
    loop = built(plan.system())
    trace = listen(loop)
    loop.run(HORIZON)
    assert traced(plan.shuffled(rng).system(), HORIZON) == trace
    new = [f"{rng.randrange(10_000)}_{i}" for i in range(len(plan.toys))]
    names = dict(zip(plan.toys, new, strict=True))
    seeds = {name: loop.graph.seed(name) for name in plan.toys}
    other = traced(plan.renamed(names, seeds).shuffled(rng).system(), HORIZON)
    assert {name: other[names[name]] for name in plan.toys} == trace


def test_hash_seed_means_nothing() -> None:
    """The interpreter's own hash seed orders sets of names; no trace, and no message, may show it."""
    command = [sys.executable, "-c", "from tests.properties.graphs import digest; print(digest(12))"]
    found = {subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout for seed in ("0", "1", "4321")}
    assert found == {digest(12) + "\n"}


@examples(40, 3_000)
@given(plans(tidy=1.0), st.lists(times, min_size=1, max_size=3), st.booleans(), st.randoms(use_true_random=False))
def test_resume_is_exact(tmp_path_factory: Any, plan: Plan, stops: list[int], on_disk: bool,
                         rng: random.Random) -> None:
    loop = built(plan.system())
    expected = listen(loop)
    loop.run(HORIZON)
    running = Loop(plan.system())
    for stop in sorted(stops):  # resumed from a resumed loop, too
        before = running.run(stop)
        state = running.save()
        if on_disk:
            state = checkpoint.read(checkpoint.write(state, tmp_path_factory.mktemp("checkpoints")))
        running = Loop(plan.shuffled(rng).system())  # the same system, written down in another order
        running.load(state)
        assert running.now == before
    trace = listen(running)
    running.run(HORIZON)
    assert trace == since(expected, max(stops), HORIZON)
    assert running.now == loop.now


@examples(15, 2_000)
@given(plans(tidy=1.0), times, times)
def test_saving_and_forking_leave_no_mark(plan: Plan, first: int, second: int) -> None:
    loop = built(plan.system())
    expected = traced(plan.system(), HORIZON)
    trace = listen(loop)
    loop.run(min(first, second))
    state, fork = loop.save(), loop.fork()
    forked = listen(fork)
    fork.run(HORIZON)
    loop.run(max(first, second))
    loop.save()
    loop.run(HORIZON)
    assert trace == expected
    assert forked == since(expected, min(first, second), HORIZON)
    loop.load(state)  # back in time, in the same loop
    again = listen(loop)
    loop.run(HORIZON)
    assert again == forked


@examples(15, 2_000)
@given(plans(tidy=1.0))
def test_reset_begins_the_same_again(plan: Plan) -> None:
    loop = built(plan.system())
    expected = listen(loop)
    loop.run(HORIZON)
    knobs = [component.knob for component in loop.components.values()]
    loop.reset()
    assert [component.knob for component in loop.components.values()] == knobs  # learned: it stays
    for component in loop.components.values():
        component.load_state_dict({"learned": {"knob": np.zeros(1, np.int64)}})
    again = listen(loop)
    loop.run(HORIZON)
    assert again == expected


@examples(12, 1_000)
@given(plans(tidy=1.0), st.randoms(use_true_random=False))
def test_watching_changes_nothing(plan: Plan, rng: random.Random) -> None:
    loop = built(plan.system())
    expected = traced(plan.system(), HORIZON)
    trace = listen(loop)
    said = published(loop)
    loop.attend(lambda now: loop.save() if rng.random() < 0.2 else None)
    loop.run(HORIZON)
    assert trace == expected
    assert sum(map(len, said.values())) == sum(len(entry[-1]) for entries in trace.values() for entry in entries)


@examples(4, 300)
@given(plans(tidy=1.0))
def test_recording_changes_nothing_and_misses_nothing(tmp_path_factory: Any, plan: Plan) -> None:
    loop = built(plan.system())
    expected = traced(plan.system(), HORIZON)
    path = tmp_path_factory.mktemp("runs") / "random.zarr"
    streams = [Stream(*address.split("."), cell.port, cell.lanes, metric=not cell.port.per_lane)
               for address, cell in loop.cells.items()]
    recorder = Recorder(path, streams, {})
    trace, said = listen(loop), published(loop)
    for address in loop.cells:
        loop.tap(address, recorder.tap(address))
    loop.run(HORIZON)
    recorder.close()
    assert trace == expected
    for address, rows in said.items():
        columns = runs.open(path).columns(address)
        if loop.cells[address].event:
            assert [row for _, batch in rows for row in _rows(batch, 0)] == _rows(
                Events(*(columns[name].read() for name in ("time", "lane", "index", "value"))), 0)
        else:
            assert columns["time"].read().tolist() == [now for now, _ in rows]
            assert [value.tobytes() for _, value in rows] == [row.tobytes() for row in columns["value"].read()]


@examples(12, 1_000)
@given(plans(tidy=1.0), st.sampled_from([(1, "episodes"), (3, "steps"), (9, "ns")]), st.booleans(), times)
def test_evaluation_changes_nothing_and_resumes(plan: Plan, every: tuple[int, str], at_start: bool, stop: int) -> None:
    plain = built(with_game(plan, None))
    expected = listen(plain)
    plain.run(HORIZON)
    evaluated = with_game(plan, every, at_start=at_start)
    loop = Loop(evaluated)
    trace = listen(loop)
    loop.run(HORIZON)
    assert trace == expected
    rows = loop.evaluations["test"].rows
    assert len(rows) >= 2
    half = Loop(evaluated)
    half.run(stop)
    resumed = Loop(evaluated)
    resumed.load(half.save())
    resumed.run(HORIZON)
    both = half.evaluations["test"].rows + resumed.evaluations["test"].rows
    assert [_row(row) for row in both] == [_row(row) for row in rows]


def _row(row: dict[str, Any]) -> list[Any]:
    return [(key, value.tobytes() if isinstance(value, np.ndarray) else value) for key, value in row.items()
            if key != "wall"]


# -- what the page promises of wires, looked at in the traces alone ----------------------------------------------------


def published(loop: Loop) -> dict[str, list[tuple[int, Any]]]:
    """Return lists of (instant, value) by output, filled from now on."""
    said: dict[str, list[tuple[int, Any]]] = {address: [] for address in loop.cells}
    for address, rows in said.items():
        loop.tap(address, lambda now, value, rows=rows: rows.append((now, value)))
    return said


@examples(40, 3_000)
@given(plans(tidy=1.0))
def test_every_event_is_handed_over_once_and_time_goes_on(plan: Plan) -> None:
    loop = built(plan.system())
    trace, said = listen(loop), published(loop)
    loop.run(HORIZON)
    for name, toy in plan.toys.items():
        steps = [entry[0] for entry in trace[name]]
        assert steps == sorted(set(steps))
        assert [entry[1] for entry in trace[name]] == [None, *steps[:-1]][:len(steps)]
        for key, wire in toy.inputs.items():
            if plan.toys[wire.sender].outputs[wire.port].kind == "event":
                last = steps[-1] if wire.reads == "now" else steps[-1] - 1
                sent = [row for now, batch in said[f"{wire.sender}.{wire.port}"] for row in _rows(batch, wire.delay)
                        if max(row[0], now) <= last]
                batches = [dict(entry[3])[key] for entry in trace[name]]
                assert sorted(row for batch in batches for row in _received(batch)) == sorted(sent)


def _rows(batch: Events, delay: int) -> list[tuple]:
    return [(int(time) + delay, int(lane), int(index), value.tobytes())
            for time, lane, index, value in zip(batch.time, batch.lane, batch.index, batch.value, strict=True)]


def _received(batch: tuple) -> list[tuple]:
    columns = [np.frombuffer(content, dtype).reshape(shape) if content else np.zeros(shape, dtype)
               for dtype, shape, content in batch[1:]]
    return _rows(Events(*columns), 0)


@examples(40, 3_000)
@given(plans(tidy=1.0))
def test_charge_is_conserved(plan: Plan) -> None:
    """What `mean` gives times the length of each step, or the area under the rows of `all`, is what was sent."""
    loop = built(plan.system())
    trace, said = listen(loop), published(loop)
    loop.run(HORIZON)
    for name, toy in plan.toys.items():
        for key, wire in toy.inputs.items():
            out = plan.toys[wire.sender].outputs[wire.port]
            if out.kind == "signal" and wire.reads in ("mean", "all") and trace[name]:
                given = [(entry[1], entry[0], dict(entry[3])[key]) for entry in trace[name] if entry[1] is not None]
                total = sum((_area(value, start, end) for start, end, value in given), Fraction(0))
                sent = [(now + wire.delay, float(value.flat[0])) for now, value in said[f"{wire.sender}.{wire.port}"]]
                expected = _integral([(-1, wire.initial), *sent], 0, trace[name][-1][0])
                assert abs(total - expected) <= 1e-4 * HORIZON


def _area(value: tuple, start: int, end: int) -> Fraction:
    if value[0] == "rows":
        return _integral([(when, _first(row)) for when, row in value[1:]], start, end)
    return Fraction(_first(value)) * (end - start)


def _integral(changes: list[tuple[int, float]], start: int, end: int) -> Fraction:
    """The area under a staircase between two instants, exactly."""
    total = Fraction(0)
    for (when, value), (until, _) in zip(changes, [*changes[1:], (end, 0.0)], strict=True):
        total += Fraction(value) * max(0, min(until, end) - max(when, start))
    return total


def _first(value: tuple) -> float:
    return float(np.frombuffer(value[2], value[0])[0])


def test_the_drawing_reaches_every_corner() -> None:
    """The random systems are worth something only if they hold what the properties speak of."""
    seen: set[Any] = set()
    for seed in range(150):
        plan = draw_plan(random.Random(seed))
        for toy in plan.toys.values():
            seen |= {type(toy.period).__name__, toy.wanders, *(changes for _, changes in toy.uses.values())}
            for wire in toy.inputs.values():
                out = plan.toys[wire.sender].outputs[wire.port]
                seen.add((out.kind, wire.reads, wire.wakes, wire.delay > 0))
    flags = (False, True)
    wanted = {("signal", reads, wakes, late) for reads in ("now", "hold", "mean", "all") for wakes in flags
              for late in flags}
    wanted |= {("event", reads, wakes, late) for reads in ("now", "all") for wakes in flags for late in flags}
    assert seen >= wanted | {"int", "Clock", "NoneType", True, False}
