"""From finished cells to one table and a verdict on every line of what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem, nearest
from ...loops.storage.runs import Run
from .cells import Place, joined, points
from .description import Description, Expectation, Stage
from .measures import Area, Measure, Name, Until, names, value
from .statistics import interquartile_mean, interval, interval_over_episodes

COUNTERS = ("steps", "episodes", "updates", "wall", "time")
After = tuple[int, str] | None
Finder = Callable[[Place], Path | None]  # the run of a place, if it has finished


@dataclass(frozen=True)
class Span:
    """An interval: over cells, or over the episodes of a single one, which says nothing of other seeds."""

    low: float
    high: float
    episodes: int = 0  # of the single cell; 0: over cells

    def __str__(self) -> str:
        if self.low != self.low:
            return "no interval"
        return f"[{self.low:.4g}, {self.high:.4g}]"


NO_SPAN = Span(float("nan"), float("nan"))


@dataclass(frozen=True)
class Row:
    """What the cells of one variant say together, seeds taken together, everything else swept apart."""

    stage: str
    variant: str
    group: tuple[tuple[str, Any], ...]  # swept addresses but the seed, and their values
    values: Mapping[str, tuple[float, ...]]  # by measure, one a cell, in the order of the sweep
    spans: Mapping[str, Span]  # by measure
    label: str = ""  # what people are told the variant is
    odd: Mapping[str, int] = field(default_factory=dict)  # by measure, cells where it is no finite number
    missed: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)  # by measure and cell: was a bound never held?

    @property
    def called(self) -> str:
        """What people are told the variant is."""
        return self.label or self.variant

    def never(self, measure: str) -> int:
        """Return in how many cells a bound of the measure was never held, so that its limit stands for the steps."""
        return sum(self.missed.get(measure, ()))

    def summary(self, measure: str) -> tuple[float, float, float, int]:
        """Return interquartile mean, both ends of its interval, and the number of cells."""
        found, span = self.values[measure], self.spans[measure]
        mean = float(interquartile_mean(np.array(found))) if found else float("nan")
        return mean, span.low, span.high, len(found)


@dataclass(frozen=True)
class Verdict:
    """One line of what was expected, and whether it is so."""

    line: Expectation
    holds: bool
    says: str


@dataclass(frozen=True)
class Told:
    """A measure at several places."""

    finite: tuple[float, ...]  # where it is a number, in the order of the sweep
    odd: int  # at how many it is no finite number
    missed: tuple[bool, ...] = ()  # of those where it is a number: was a bound in it never held?

    def __str__(self) -> str:
        return ", ".join(f"{number:.4g}{' (never)' if missed else ''}"
                         for number, missed in zip(self.finite, self.missed, strict=True))


class Numbers:
    """Looks numbers up in finished runs, each opened once."""

    def __init__(self, study: Description, find: Finder) -> None:
        self.study, self.find = study, find
        self._runs: dict[Path, Run] = {}

    def measure(self, measure: Measure, place: Place, after: After = None) -> float | None:
        """Return a measure at one place; None where something it needs is not there."""
        found = {name: self._number(name, place, after) for name in names(measure)}
        there = {name: number for name, number in found.items() if number is not None}
        return value(measure, there.__getitem__) if len(there) == len(found) else None

    def at(self, measure: Measure, places: list[Place], after: After = None) -> Told:
        """Return a measure at each place where it means something, and at how many it is no finite number."""
        told = [(number, place) for place in places if (number := self.measure(measure, place, after)) is not None]
        finite = [(number, place) for number, place in told if np.isfinite(number)]
        return Told(tuple(number for number, _ in finite), len(told) - len(finite),
                    tuple(self._missed(measure, place) for _, place in finite))

    def span(self, measure: Measure, places: list[Place], after: After = None) -> Span:
        """Return the interval of a measure over cells; where there is one, over the episodes of its evaluation."""
        found = {place: told.finite[0] for place in places if (told := self.at(measure, [place], after)).finite}
        if len(found) != 1:
            return Span(*interval(list(found.values()))) if found else NO_SPAN
        (place,) = found
        columns = {name: self._episodes(name, place, after) for name in names(measure)}
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1 or min(counts) < 2:  # a single number, or episodes that do not belong together
            return NO_SPAN
        low, high = interval_over_episodes(columns, lambda means: value(measure, means.__getitem__))
        return Span(low, high, counts.pop()) if np.isfinite(low) else NO_SPAN

    def _missed(self, measure: Measure, place: Place) -> bool:
        """Is there a bound in a measure that is never held at a place, so that its limit is taken?"""
        for name in names(measure):
            run = self._run(name, place)
            if run is not None and isinstance(name.curve, Until):
                rows = run.stored.evaluations.get(name.source, ())
                if name.curve.reached(*_curve(rows, name.column)) is None:
                    return True
        return False

    def _episodes(self, name: Name, place: Place, after: After) -> np.ndarray:
        """Return a column of an evaluation [episodes]; empty where it is none."""
        run = self._run(name, place)
        if run is None or name.curve is not None or name.source not in run.stored.evaluations:
            return np.empty(0)
        return _column(run.stored.evaluations[name.source], name.column, after)

    def _run(self, name: Name, place: Place) -> Run | None:
        path = self.find(self._meant(name, place))
        return None if path is None else self._runs.setdefault(path, Run(path))

    def _number(self, name: Name, place: Place, after: After) -> float | None:
        run = self._run(name, place)
        if run is None:
            return None
        if name.curve is not None:
            return _of_curve(run.stored.evaluations.get(name.source, ()), name.column, name.curve)
        if name.source in run.stored.evaluations:
            column = _column(run.stored.evaluations[name.source], name.column, after)
            return float(np.mean(column)) if len(column) else None
        key = f"{name.source}.{name.column}"
        if key not in run or not run.streams[key].rows:
            return None  # a measure need not mean something in every stage
        values = run.columns(key)["value"]
        return float(np.mean(values.read(len(values) - 1)))

    def _meant(self, name: Name, place: Place) -> Place:
        if name.stage is None:
            return place if name.variant is None else Place(place.stage, name.variant, place.point)
        if name.stage not in self.study.stages:
            raise AssemblyError([Problem(f"there is no stage {name.stage!r}", "measure",
                                         nearest(name.stage, self.study.stages))])
        here, there = joined(self.study.stages[place.stage], place.point), self.study.stages[name.stage]
        return Place(name.stage, str(name.variant), tuple((address, here.get(address)) for address in there.sweep))


def _of_curve(rows: Iterable[Mapping[str, Any]], column: str, curve: Until | Area) -> float | None:
    """Return a number of a whole run of an evaluation; None where it never took place."""
    counts, means = _curve(rows, column)
    return curve.of(counts, means) if counts else None


def _curve(rows: Iterable[Mapping[str, Any]], column: str) -> tuple[list[int], list[float]]:
    """Return steps and means of each row of an evaluation."""
    said = [row for row in rows if column in row]
    return [int(row["steps"]) for row in said], [float(np.mean(row[column])) for row in said]


def _column(rows: Iterable[Mapping[str, Any]], column: str, after: After) -> np.ndarray:
    """Return what the episodes of the last row say, or of the row with exactly that counter; empty: there is none."""
    found = list(rows)
    if after is not None:
        found = [row for row in found if int(row.get(after[1], -1)) == after[0]]
    if not found or column not in found[-1]:
        return np.empty(0)
    return np.atleast_1d(np.asarray(found[-1][column], np.float64)).ravel()


def rows(study: Description, numbers: Numbers, after: After = None) -> list[Row]:
    """Return the table of a study, stage after stage and variant after variant."""
    return [row for stage in study.stages.values() for variant in stage.variants
            for row in _of_variant(study, stage, variant, numbers, after)]


def _of_variant(study: Description, stage: Stage, variant: str, numbers: Numbers, after: After) -> list[Row]:
    groups: dict[tuple[tuple[str, Any], ...], list[Place]] = {}
    for point in points(stage):
        group = tuple((address, told) for address, told in point if address != "seed")
        groups.setdefault(group, []).append(Place(stage.name, variant, point))
    found = []
    for group, places in groups.items():
        told = {name: numbers.at(measure, places, after) for name, measure in study.measures.items()}
        spans = {name: numbers.span(measure, places, after) for name, measure in study.measures.items()}
        found.append(Row(stage.name, variant, group, {name: each.finite for name, each in told.items()}, spans,
                         stage.called(variant), {name: each.odd for name, each in told.items()},
                         {name: each.missed for name, each in told.items()}))
    return found


def verdicts(study: Description, numbers: Numbers) -> list[Verdict]:
    """Judge every line of what was expected; what cannot be found fails."""
    return [_judge(study, line, numbers) for line in study.expect]


def _judge(study: Description, line: Expectation, numbers: Numbers) -> Verdict:
    measure, places = study.measures[line.measure], _places(study, line, line.variant)
    told = numbers.at(measure, places, line.after)
    if line.above is not None:
        return _above(line, numbers, measure, places, _places(study, line, line.above))
    if not told.finite:
        return Verdict(line, False, _why_not(told, len(places)))
    hits = [number >= line.at_least if line.at_least is not None else number <= line.at_most  # type: ignore[operator]
            for number in told.finite]
    wanted, of = line.among or (len(places), len(places))
    says = f"{sum(hits)} of {len(hits)}: {told}"
    return Verdict(line, sum(hits) >= wanted and len(hits) >= of,
                   f"{says}; {told.odd} not finite" if told.odd else says)


def _above(line: Expectation, numbers: Numbers, measure: Measure, places: list[Place], others: list[Place]) -> Verdict:
    """Judge whether a variant stands above another: the whole interval of one above that of the other."""
    every = [*places, *others]
    told = numbers.at(measure, every, line.after)
    if told.odd or not told.finite:
        return Verdict(line, False, _why_not(told, len(every)))
    if lacking := len(every) - len(told.finite):  # what some seeds say is no verdict of all
        return Verdict(line, False, f"{lacking} of {len(every)} cells {'has' if lacking == 1 else 'have'} no such "
                       "number yet")
    mine, theirs = (numbers.span(measure, each, line.after) for each in (places, others))
    return Verdict(line, mine.low > theirs.high, f"{mine} against {theirs} of {line.above_label or line.above}")


def _why_not(told: Told, cells: int) -> str:
    """Say why a measure cannot be judged."""
    if told.odd:
        return f"not finite in {told.odd} of {cells} cells: is something divided by nothing?"
    return "no finished cell has this number: no evaluation or recorded port of that name"


def _places(study: Description, line: Expectation, variant: str) -> list[Place]:
    return [Place(line.stage, variant, point) for point in points(study.stages[line.stage])]
