"""From finished cells to one table and a verdict on every line of what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem, nearest
from ...loops.storage.runs import Run
from .cells import Place
from .description import Description, Expectation, Stage
from .measures import Measure, Name, value
from .statistics import interquartile_mean, interval

COUNTERS = ("steps", "episodes", "updates", "wall", "time")
After = tuple[int, str] | None
Finder = Callable[[Place], Path | None]  # the run of a place, if it has finished


@dataclass(frozen=True)
class Row:
    """What the cells of one variant say together, seeds taken together, everything else swept apart."""

    stage: str
    variant: str
    group: tuple[tuple[str, Any], ...]  # swept addresses but the seed, and their values
    values: Mapping[str, tuple[float, ...]]  # by measure, one a cell, in the order of the sweep

    def summary(self, measure: str) -> tuple[float, float, float, int]:
        """Return interquartile mean, both ends of its interval, and the number of cells."""
        found = self.values[measure]
        mean = float(interquartile_mean(np.array(found))) if found else float("nan")
        return (mean, *interval(found), len(found))


@dataclass(frozen=True)
class Verdict:
    """One line of what was expected, and whether it is so."""

    line: Expectation
    holds: bool
    says: str


class Numbers:
    """Looks numbers up in finished runs, each opened once."""

    def __init__(self, study: Description, find: Finder) -> None:
        self.study, self.find = study, find
        self._runs: dict[Path, Run] = {}

    def measure(self, measure: Measure, place: Place, after: After = None) -> float:
        """Return a measure at one place; not a number where something it needs is not there."""
        return value(measure, lambda name: self._number(name, place, after))

    def _number(self, name: Name, place: Place, after: After) -> float:
        path = self.find(self._meant(name, place))
        if path is None:
            return float("nan")
        run = self._runs.setdefault(path, Run(path))
        if name.source in run.stored.evaluations:
            return _of_evaluation(run.stored.evaluations[name.source], name.column, after)
        key = f"{name.source}.{name.column}"
        if key not in run or not run.streams[key].rows:
            return float("nan")  # a measure need not mean something in every stage
        column = run.columns(key)["value"]
        return float(np.mean(column.read(len(column) - 1)))

    def _meant(self, name: Name, place: Place) -> Place:
        if name.stage is None:
            return place if name.variant is None else Place(place.stage, name.variant, place.point)
        if name.stage not in self.study.stages:
            raise AssemblyError([Problem(f"there is no stage {name.stage!r}", "measure",
                                         nearest(name.stage, self.study.stages))])
        here, there = dict(place.point), self.study.stages[name.stage]
        return Place(name.stage, str(name.variant), tuple((address, here.get(address)) for address in there.sweep))


def _of_evaluation(rows: Iterable[Mapping[str, Any]], column: str, after: After) -> float:
    """Mean over the episodes of the last row, or of the row with exactly that counter."""
    found = list(rows)
    if after is not None:
        found = [row for row in found if int(row.get(after[1], -1)) == after[0]]
    if not found or column not in found[-1]:
        return float("nan")
    return float(np.mean(np.asarray(found[-1][column], np.float64)))


def rows(study: Description, numbers: Numbers, after: After = None) -> list[Row]:
    """Return the table of a study, stage after stage and variant after variant."""
    return [row for stage in study.stages.values() for variant in stage.variants
            for row in _of_variant(study, stage, variant, numbers, after)]


def _of_variant(study: Description, stage: Stage, variant: str, numbers: Numbers, after: After) -> list[Row]:
    from .cells import points

    groups: dict[tuple[tuple[str, Any], ...], dict[str, list[float]]] = {}
    for point in points(stage):
        group = tuple((address, told) for address, told in point if address != "seed")
        columns = groups.setdefault(group, {name: [] for name in study.measures})
        place = Place(stage.name, variant, point)
        for name, measure in study.measures.items():
            found = numbers.measure(measure, place, after)
            if np.isfinite(found):
                columns[name].append(found)
    return [Row(stage.name, variant, group, {name: tuple(column) for name, column in columns.items()})
            for group, columns in groups.items()]


def verdicts(study: Description, numbers: Numbers) -> list[Verdict]:
    """Judge every line of what was expected; what cannot be found fails."""
    return [_judge(study, line, numbers) for line in study.expect]


def _judge(study: Description, line: Expectation, numbers: Numbers) -> Verdict:
    found = _all_cells(study, line, line.variant, numbers)
    if not found:
        return Verdict(line, False, "no finished cell has this number: no evaluation or recorded port of that name")
    if line.above is not None:
        other = _all_cells(study, line, line.above, numbers)
        mine, theirs = interval(found), interval(other)
        says = f"{_span(mine)} against {_span(theirs)} of {line.above}"
        return Verdict(line, bool(other) and mine[0] > theirs[1], says)
    hits = [told >= line.at_least if line.at_least is not None else told <= line.at_most for told in found]  # type: ignore[operator]
    wanted, of = line.among or (len(found), len(found))
    says = f"{sum(hits)} of {len(found)}: {', '.join(f'{told:.4g}' for told in found)}"
    return Verdict(line, sum(hits) >= wanted and len(found) >= of, says)


def _all_cells(study: Description, line: Expectation, variant: str, numbers: Numbers) -> list[float]:
    from .cells import points

    stage = study.stages[line.stage]
    told = [numbers.measure(study.measures[line.measure], Place(line.stage, variant, point), line.after)
            for point in points(stage)]
    return [number for number in told if np.isfinite(number)]


def _span(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"
