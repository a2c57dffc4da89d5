"""From finished cells to one table and a verdict on every line of what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem, nearest
from ...loops.storage.runs import Run
from .cells import Place, joined, points
from .description import Description, Expectation, Stage
from .measures import Measure, Name, names, value
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

    @property
    def called(self) -> str:
        """What people are told the variant is."""
        return self.label or self.variant

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


class Numbers:
    """Looks numbers up in finished runs, each opened once."""

    def __init__(self, study: Description, find: Finder) -> None:
        self.study, self.find = study, find
        self._runs: dict[Path, Run] = {}

    def measure(self, measure: Measure, place: Place, after: After = None) -> float:
        """Return a measure at one place; not a number where something it needs is not there."""
        return value(measure, lambda name: self._number(name, place, after))

    def span(self, measure: Measure, places: list[Place], after: After = None) -> Span:
        """Return the interval of a measure over cells; where there is one, over the episodes of its evaluation."""
        found = {place: number for place in places if np.isfinite(number := self.measure(measure, place, after))}
        if len(found) != 1:
            return Span(*interval(list(found.values()))) if found else NO_SPAN
        (place,) = found
        columns = {name: self._episodes(name, place, after) for name in names(measure)}
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1 or min(counts) < 2:  # a single number, or episodes that do not belong together
            return NO_SPAN
        low, high = interval_over_episodes(columns, lambda means: value(measure, means.__getitem__))
        return Span(low, high, counts.pop()) if np.isfinite(low) else NO_SPAN

    def _episodes(self, name: Name, place: Place, after: After) -> np.ndarray:
        """Return a column of an evaluation [episodes]; empty where it is none."""
        run = self._run(name, place)
        if run is None or name.source not in run.stored.evaluations:
            return np.empty(0)
        return _column(run.stored.evaluations[name.source], name.column, after)

    def _run(self, name: Name, place: Place) -> Run | None:
        path = self.find(self._meant(name, place))
        return None if path is None else self._runs.setdefault(path, Run(path))

    def _number(self, name: Name, place: Place, after: After) -> float:
        run = self._run(name, place)
        if run is None:
            return float("nan")
        if name.source in run.stored.evaluations:
            column = _column(run.stored.evaluations[name.source], name.column, after)
            return float(np.mean(column)) if len(column) else float("nan")
        key = f"{name.source}.{name.column}"
        if key not in run or not run.streams[key].rows:
            return float("nan")  # a measure need not mean something in every stage
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
    return [Row(stage.name, variant, group, {name: tuple(_found(numbers, measure, places, after))
                                             for name, measure in study.measures.items()},
                {name: numbers.span(measure, places, after) for name, measure in study.measures.items()},
                stage.called(variant))
            for group, places in groups.items()]


def _found(numbers: Numbers, measure: Measure, places: list[Place], after: After) -> list[float]:
    """Return a measure at each place where it means something."""
    told = [numbers.measure(measure, place, after) for place in places]
    return [number for number in told if np.isfinite(number)]


def verdicts(study: Description, numbers: Numbers) -> list[Verdict]:
    """Judge every line of what was expected; what cannot be found fails."""
    return [_judge(study, line, numbers) for line in study.expect]


def _judge(study: Description, line: Expectation, numbers: Numbers) -> Verdict:
    measure, places = study.measures[line.measure], _places(study, line, line.variant)
    found = _found(numbers, measure, places, line.after)
    if not found:
        return Verdict(line, False, "no finished cell has this number: no evaluation or recorded port of that name")
    if line.above is not None:
        others = _places(study, line, line.above)
        lacking = len(places) - len(found) + len(others) - len(_found(numbers, measure, others, line.after))
        if lacking:  # what some seeds say is no verdict of all
            return Verdict(line, False, f"{lacking} of {len(places) + len(others)} cells "
                           f"{'has' if lacking == 1 else 'have'} no such number yet")
        mine, theirs = (numbers.span(measure, each, line.after) for each in (places, others))
        return Verdict(line, mine.low > theirs.high, f"{mine} against {theirs} of {line.above_label or line.above}")
    hits = [told >= line.at_least if line.at_least is not None else told <= line.at_most for told in found]  # type: ignore[operator]
    wanted, of = line.among or (len(places), len(places))
    says = f"{sum(hits)} of {len(found)}: {', '.join(f'{told:.4g}' for told in found)}"
    return Verdict(line, sum(hits) >= wanted and len(found) >= of, says)


def _places(study: Description, line: Expectation, variant: str) -> list[Place]:
    return [Place(line.stage, variant, point) for point in points(study.stages[line.stage])]
