"""How a stress assembly is judged: against its plain loop, itself in two halves, itself renamed, and a text."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stimloop.loops.events import Events
from stimloop.loops.loop import Loop
from stimloop.loops.schedule import schedule
from stimloop.loops.seeds import derive
from stimloop.loops.storage import checkpoint
from stimloop.loops.system import EvaluationPlan, Part, Source, System

SCHEDULES = Path(__file__).parent / "schedules"
REASON = "STIMLOOP_GOLDEN_REASON"  # set it to write schedules anew; the reason goes into the file

Rows = dict[str, list[tuple[int, Any]]]


def record(loop: Loop) -> Rows:
    """Tap every output of a loop; the rows fill while it runs."""
    rows: Rows = {}
    for address in loop.cells:
        loop.tap(address, lambda now, value, address=address: rows.setdefault(address, []).append((now, value)))
    return rows


def trace(system: System, until: Any) -> tuple[Rows, dict[str, list[dict[str, Any]]]]:
    """Run a system; return everything it published and the rows of its evaluations."""
    with Loop(system) as loop:
        rows = record(loop)
        loop.run(until)
        return rows, {name: evaluation.rows for name, evaluation in loop.evaluations.items()}


def _columns(value: Any) -> list[np.ndarray]:
    if isinstance(value, Events):
        return [value.time, value.lane, value.index, value.value]
    return [np.asarray(value)]


def same_value(one: Any, other: Any) -> bool:
    """Are two published values equal in type, shape and every bit?"""
    return type(one) is type(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(_columns(one), _columns(other), strict=True))


def assert_same(got: Mapping[str, list[tuple[int, Any]]], expected: Mapping[str, list[tuple[int, Any]]],
                only: bool = True) -> None:
    """Bit for bit; `only`: nothing else may have been published."""
    if only:
        assert sorted(got) == sorted(expected)
    for address, rows in expected.items():
        mine = got[address]
        assert [now for now, _ in mine] == [now for now, _ in rows], address
        for (now, a), (_, b) in zip(mine, rows, strict=True):
            assert same_value(a, b), f"{address} at {now}: {a} is not {b}"


def assert_same_tables(got: Mapping[str, list[dict[str, Any]]], expected: Mapping[str, list[dict[str, Any]]]) -> None:
    """Evaluation rows, equal to the last bit; `wall` is what the clock on the wall said."""
    assert sorted(got) == sorted(expected)
    for name, rows in expected.items():
        assert len(got[name]) == len(rows), name
        for told, meant in zip(got[name], rows, strict=True):
            assert told["wall"] >= 0
            mine, row = ({key: value for key, value in each.items() if key != "wall"} for each in (told, meant))
            assert sorted(mine) == sorted(row)
            for key, value in row.items():
                assert np.array_equal(np.asarray(mine[key]), np.asarray(value), equal_nan=key == "success"), (name, key)


def check_halves(system: System, until: int, cuts: list[int], folder: Path) -> None:
    """Stop at each cut, save to disk, load into a fresh loop, go on: the same stream and the same tables."""
    whole, tables = trace(system, until)
    for cut in [0, *cuts]:
        with Loop(system) as first:
            rows = record(first)
            first.run(cut)
            place = folder / str(cut)
            place.mkdir()
            saved = checkpoint.write(first.save(), place)
            halves = {name: list(evaluation.rows) for name, evaluation in first.evaluations.items()}
        with Loop(system) as second:
            more = record(second)
            second.load(checkpoint.read(saved))
            second.run(until)
            joined = {address: rows.get(address, []) + more.get(address, []) for address in {*rows, *more}}
            assert_same(joined, whole)
            assert_same_tables({n: halves[n] + e.rows for n, e in second.evaluations.items()}, tables)


def renamed(system: System) -> tuple[System, dict[str, str]]:
    """The same system under other names, with its seeds written out, declared the other way round."""
    names = {name: f"n{999 - i}_{name}" for i, name in enumerate(sorted(system.parts))}
    return _rename(system, names), names


def _rename(system: System, names: dict[str, str]) -> System:
    parts: dict[str, Part] = {}
    for name, part in reversed(list(system.parts.items())):
        inputs = {key: Source(names[s.component], s.port, s.delay, s.reads)
                  for key, s in reversed(list(part.inputs.items()))}
        uses = {key: names[target] for key, target in reversed(list(part.uses.items()))}
        seed = derive(system.seed, name) if part.seed is None else part.seed
        parts[names[name]] = replace(part, inputs=inputs, uses=uses, seed=seed)
    plans = {key: replace(plan, system=_rename(plan.system, names)) for key, plan in system.evaluations.items()}
    return replace(system, parts=parts, evaluations=plans)


def check_names(system: System, until: Any) -> None:
    """Neither names nor the order of writing decide anything once the seeds are written out."""
    rows, tables = trace(system, until)
    other, names = renamed(system)
    back = {new: old for old, new in names.items()}
    got, other_tables = trace(other, until)
    assert_same({f"{back[a.partition('.')[0]]}.{a.partition('.')[2]}": r for a, r in got.items()}, rows)
    assert_same_tables(other_tables, tables)


def check_evaluation(system: System, until: Any) -> None:
    """With and without evaluation, the same trace."""
    assert system.evaluations
    with_it, tables = trace(system, until)
    without, _ = trace(replace(system, evaluations={}), until)
    assert any(len(rows) > 1 for rows in tables.values())
    assert_same(with_it, without)


def check_schedule(system: System, instants: int, name: str) -> None:
    """The order of steps, against the golden text."""
    text = schedule(system, instants) + "\n"
    path = SCHEDULES / f"{name}.txt"
    if REASON in os.environ:
        path.write_text(f"# {os.environ[REASON]}\n{text}")
    golden = "".join(path.read_text().splitlines(keepends=True)[1:])
    assert text == golden


def without(system: System, *names: str, lanes: int | None = None,
            swap: Mapping[str, Callable[[], Any]] | None = None) -> System:
    """A system for evaluation: parts left out, the wires from them dropped, some parts made otherwise."""
    parts = {}
    for name, part in system.parts.items():
        if name not in names:
            inputs = {key: s for key, s in part.inputs.items() if s.component not in names}
            parts[name] = replace(part, inputs=inputs, create=(swap or {}).get(name, part.create))
    return replace(system, parts=parts, lanes=lanes or system.lanes, evaluations={})


def plan(system: System, every: tuple[int, str], episodes: int, seeds: int = 1000) -> dict[str, EvaluationPlan]:
    """One evaluation called `test`."""
    return {"test": EvaluationPlan(system, every, episodes, seeds)}
