"""Figures of a study: each measure by variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..studying.cells import point_text
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
