"""Evaluations over steps, one line an arm of an experiment: what its cells say together, as tables compute it.

A cell is one run, and the cells of an arm differ by their seed alone. Interquartile means with bootstrap intervals:
Agarwal et al. 2021, arXiv:2108.13264.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from ..studying.statistics import interquartile_mean, interval
from . import canvas

MEANING = ("A line is the interquartile mean over the n cells of an arm (one run each, of different seeds), the band "
           "about it the 95 % bootstrap interval, as the table of a study computes both; of 2 to 4 cells the band goes "
           "from the lowest to the highest, and one cell has none. Thin lines are single cells. Where cells were not "
           "evaluated after the same steps, straight lines between their evaluations count, as far as all of them go.")
_COLOURS = tuple(colour for i, colour in enumerate(canvas.COLOURS) if i != canvas.GREY)[:7]
_STYLES = (("-", "o"), ("--", "s"), (":", "^"))
_LOOKS = len(_COLOURS) * len(_STYLES)  # arms that can be told apart in one figure
_CELL = "#9aa5ad"
_COLUMNS = 3  # of small figures beside each other
_LEAST, _LINE = 3.0, 0.155  # inches: height of a figure, and of a line of its legend
_NAME, _TITLE = 46, 38  # letters of an arm's name in a legend, and above a small figure


@dataclass(frozen=True)
class Curve:
    """One cell: how its evaluation went over its steps."""

    steps: np.ndarray  # [evaluations] before each
    values: np.ndarray  # [evaluations] mean return of the episodes


@dataclass(frozen=True)
class Arm:
    """The cells of one arm, and what it is called."""

    name: str
    cells: tuple[Curve, ...]

    def together(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return steps, interquartile mean over cells, and both ends of its interval (NaN: one cell), [evaluations]."""
        steps = self._steps()
        rows = np.array([np.interp(steps, cell.steps, cell.values) for cell in self.cells]).T
        known = [row[np.isfinite(row)] for row in rows]
        mean = [float(interquartile_mean(row)) if row.size else np.nan for row in known]
        ends = [interval(list(row)) if row.size > 1 else (np.nan, np.nan) for row in known]
        low, high = np.reshape(ends, (-1, 2)).T
        return steps, np.array(mean), low, high

    def _steps(self) -> np.ndarray:
        """Steps after which some cell was evaluated, and all of them before or after."""
        found = np.unique(np.concatenate([cell.steps for cell in self.cells]))
        first, last = max(cell.steps[0] for cell in self.cells), min(cell.steps[-1] for cell in self.cells)
        return found[(found >= first) & (found <= last)]


def of_run(run: Run) -> dict[str, Curve]:
    """Return the curve of each evaluation of a run that took place more than once and tells a return."""
    tables = {name: run.evaluations(name) for name in run.evaluation_names}
    return {name: Curve(table["steps"].to_numpy(float), table["return"].to_numpy(float))
            for name, table in tables.items() if len(table) > 1 and {"steps", "return"} <= set(table)}


def arms(named: Iterable[tuple[str, Sequence[Run]]]) -> dict[str, list[Arm]]:
    """Return the arms that each evaluation has, from the runs of each arm by its name."""
    found: dict[str, list[Arm]] = {}
    for name, runs in named:
        curves = [of_run(run) for run in runs]
        for evaluation in dict.fromkeys(key for told in curves for key in told):
            cells = tuple(told[evaluation] for told in curves if evaluation in told)
            found.setdefault(evaluation, []).append(Arm(name, cells))
    return found


def section(drawn: Mapping[str, Sequence[Arm]]) -> str:
    """Return the figures of all evaluations as HTML; empty where there is none."""
    parts = []
    for evaluation, each in drawn.items():
        parts += [f"<h3>{escape(evaluation)}</h3>"] if len(drawn) > 1 else []
        parts += [canvas.svg(figure) for figure in (draw(each), cells(each)) if figure is not None]
    return "".join([*parts, f"<p class=note>{escape(MEANING)}</p>"]) if parts else ""


def draw(arms: Sequence[Arm]) -> Any:
    """Return the figure of all arms together (a single one before its cells); None of more than look different."""
    if len(arms) > _LOOKS:
        return None
    figure, (axis,) = canvas.figure([max(_LEAST, 0.6 + _LINE * len(arms))])
    for i, arm in enumerate(arms):
        if len(arms) == 1:
            _cells(axis, arm)
        _line(axis, arm, i, _called(arm, _NAME))
    _labels(axis, 9)
    canvas.legend(axis)
    return figure


def cells(arms: Sequence[Arm]) -> Any:
    """Return a small figure of each arm with its cells, all of one scale; None where `draw` shows as much."""
    if len(arms) == 1 or (len(arms) <= _LOOKS and all(len(arm.cells) == 1 for arm in arms)):
        return None
    figure, axes = canvas.grid(len(arms), _COLUMNS, 1.9)
    for i, (axis, arm) in enumerate(zip(axes, arms, strict=True)):
        axis.sharex(axes[0])
        axis.sharey(axes[0])
        _cells(axis, arm)
        _line(axis, arm, i)
        axis.set_title(_called(arm, _TITLE), fontsize=7.5, loc="left")
        _labels(axis, 7)
    return figure


def _cells(axis: Any, arm: Arm) -> None:
    if len(arm.cells) > 1:
        for cell in arm.cells:
            axis.plot(cell.steps, cell.values, lw=0.7, color=_CELL, zorder=1)


def _line(axis: Any, arm: Arm, i: int, label: str | None = None) -> None:
    colour, (style, marker) = _COLOURS[i % len(_COLOURS)], _STYLES[i // len(_COLOURS) % len(_STYLES)]
    steps, mean, low, high = arm.together()
    axis.fill_between(steps, low, high, color=colour, alpha=0.14, lw=0, zorder=2)
    axis.plot(steps, mean, style, marker=marker, ms=2.6, markevery=max(1, len(steps) // 12), lw=1.4, color=colour,
              label=label, zorder=3)


def _labels(axis: Any, size: int) -> None:
    axis.set_xlabel("steps before the evaluation", fontsize=size)
    axis.set_ylabel("mean return / a.u.", fontsize=size)


def _called(arm: Arm, most: int) -> str:
    return f"{arm.name if len(arm.name) <= most else f'{arm.name[:most - 1]}…'} (n={len(arm.cells)})"
