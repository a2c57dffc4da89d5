"""Figures of a study: each measure by variant, and how each stage learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from ..studying.cells import point_text
from ..studying.tables import Row
from . import canvas

_UPRIGHT = 8  # names of variants that stand beside each other
_CURVES = 12  # that a legend names


def measure(rows: Sequence[Row], name: str) -> Any:
    """Return the figure of one measure: a mark at each variant's mean, its interval, each cell as a dot."""
    rows = [row for row in rows if row.values[name]]
    if not rows:
        return None
    figure, (axis,) = canvas.figure([2.8])
    for i, row in enumerate(rows):
        mean, low, high, count = row.summary(name)
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        aside = np.linspace(-0.16, 0.16, count) if count > 1 else np.zeros(1)
        axis.plot(i + aside, row.values[name], "o", ms=4, alpha=0.8, color=colour, zorder=3)
        axis.hlines(mean, i - 0.3, i + 0.3, color="#222", lw=2)
        if np.isfinite(low):
            axis.vlines(i, low, high, color="#222", lw=1.2)
    axis.set_xticks(range(len(rows)), [_label(row) for row in rows], fontsize=8,
                    rotation=0 if len(rows) <= _UPRIGHT else 60)
    axis.set_ylabel(name, fontsize=8)
    axis.set_xlim(-0.6, len(rows) - 0.4)
    return figure


def _label(row: Row) -> str:
    return "\n".join([row.stage, row.called, *(point_text([each]) for each in row.group)])


def curves(runs: Mapping[str, Run]) -> Any:
    """Return the figure of how runs learned, by their names: mean return of their evaluations over steps."""
    drawn = {(title, name): run.evaluations(name) for title, run in runs.items() for name in run.evaluation_names}
    drawn = {key: table for key, table in drawn.items() if len(table) > 1 and "return" in table}
    if not drawn:
        return None
    figure, (axis,) = canvas.figure([2.8])
    several = len({name for _, name in drawn}) > 1
    for i, ((title, name), table) in enumerate(drawn.items()):
        axis.plot(table["steps"], table["return"], ".-", lw=1, color=canvas.COLOURS[i % len(canvas.COLOURS)],
                  label=f"{title}, {name}" if several else title)
    axis.set(xlabel="time before the evaluation / steps", ylabel="mean return / a.u.")
    if len(drawn) <= _CURVES:
        canvas.legend(axis)
    return figure
