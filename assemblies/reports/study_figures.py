"""Figures of a study: each measure by variant, and measures over a number that is swept or measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..studying.cells import point_text
from ..studying.description import Figure
from ..studying.figure_reading import number
from ..studying.statistics import interquartile_mean
from ..studying.tables import Row
from . import canvas

_UPRIGHT = 8  # names of variants that stand beside each other


def measure(rows: Sequence[Row], name: str) -> Any:
    """Return the figure of one measure: a bar at each variant's mean, its interval, each cell as a dot.

    A dot is hollow where a bound of the measure was never held.
    """
    rows = [row for row in rows if row.values[name]]
    if not rows:
        return None
    leaning = len(rows) > _UPRIGHT
    figure, (axis,) = canvas.figure([3.6 if leaning else 2.8])
    for i, row in enumerate(rows):
        mean, low, high, count = row.summary(name)
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        aside = np.linspace(-0.16, 0.16, count) if count > 1 else np.zeros(1)
        missed = np.array(row.missed.get(name, (False,) * count))
        for some, face in ((missed, "white"), (~missed, colour)):
            if some.any():
                axis.plot((i + aside)[some], np.array(row.values[name])[some], "o", ms=4, alpha=0.8, color=colour,
                          markerfacecolor=face, zorder=3)
        axis.hlines(mean, i - 0.3, i + 0.3, color="#222", lw=2)
        if np.isfinite(low):
            axis.vlines(i, low, high, color="#222", lw=1.2)
    how = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if leaning else {}
    axis.set_xticks(range(len(rows)), [_label(row) for row in rows], fontsize=8, **how)
    axis.set_ylabel(name, fontsize=8)
    axis.set_xlim(-0.6, len(rows) - 0.4)
    return figure


def _label(row: Row) -> str:
    return "\n".join([row.stage, row.called, *(point_text([each]) for each in row.group)])


def lines(rows: Sequence[Row], asked: Figure) -> Any:
    """Return the figure of a measure over a number: a line for each variant, a band for its intervals, a dot a cell.

    What has no number on the axis below, such as a control, is a level line. Where x is a measure, the address that its
    stage sweeps first runs along a line; whatever else is swept tells lines apart. None where nothing has a number.
    """
    along: dict[str, list[tuple[float, Row]]] = {}
    level: list[Row] = []
    for row in rows:
        if row.values[asked.y]:
            place, told = _place(row, asked.x)
            if place is None:
                level.append(row)
            else:
                along.setdefault(_name(row, told), []).append((place, row))
    if not along:
        return None
    figure, (axis,) = canvas.figure([3.6])
    for i, (name, points) in enumerate(along.items()):
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        _draw_line(axis, sorted(points, key=lambda point: point[0]), asked, colour, name)
    for i, row in enumerate(level, len(along)):
        mean, low, high, _ = row.summary(asked.y)
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        axis.axhline(mean, ls="--", lw=1.2, color=colour, label=_name(row, row.group))
        if np.isfinite(low):
            axis.axhspan(low, high, alpha=0.12, lw=0, color=colour)
    axis.set_xlabel(asked.x, fontsize=8)
    axis.set_ylabel(asked.y, fontsize=8)
    canvas.legend(axis)
    return figure


def _place(row: Row, x: str) -> tuple[float | None, tuple[tuple[str, Any], ...]]:
    """Return where a row stands on the axis (None: nowhere), and what is swept that tells its line from others."""
    if x in row.values:
        found = row.values[x]
        return (float(interquartile_mean(np.array(found))) if found else None), row.group[1:]
    told = dict(row.group)
    return (number(told[x]) if x in told else None), tuple(pair for pair in row.group if pair[0] != x)


def _name(row: Row, group: Sequence[tuple[str, Any]]) -> str:
    return " ".join(filter(None, (row.stage, row.called, point_text(group))))


def _draw_line(axis: Any, points: list[tuple[float, Row]], asked: Figure, colour: str, name: str) -> None:
    """Draw one line through places and rows in order, its band where there are intervals, and every cell."""
    places = np.array([place for place, _ in points])
    means, lows, highs = np.array([row.summary(asked.y)[:3] for _, row in points]).T
    axis.plot(places, means, "-o", ms=3, lw=1.4, color=colour, label=name)
    axis.fill_between(places, lows, highs, alpha=0.2, lw=0, color=colour)
    for place, row in points:
        cells = row.values[asked.y]
        axis.plot(np.full(len(cells), place), cells, "o", ms=2.5, alpha=0.5, color=colour)
