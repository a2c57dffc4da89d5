"""How learning went: each learner's measures over the steps of the body, and both ends of returns and measures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ...loops.storage import trials
from ...loops.storage.runs import Run
from ...loops.storage.stored import episode_means, table_column
from ...loops.time import SECOND
from . import canvas
from .reading import entry
from .scalars import Steps

_ENDS = 10  # a table tells the means of this part of the values at both ends
_COLUMNS = 3  # of small figures beside each other


def measures(run: Run) -> list[str]:
    """Return the metrics of components that learn, or that measure learning."""
    def learns(name: str) -> bool:
        described = entry(run, name)
        return bool(described.get("uses")) or str(described.get("type")).startswith("learners.")

    return [key for key, facts in run.streams.items()
            if facts.kind == "metric" and facts.rows and learns(key.partition(".")[0])]


class Axis:
    """Brings instants to the steps that the body had made (all lanes together); to seconds without one body."""

    def __init__(self, run: Run) -> None:
        self._steps = Steps(run.bodies[0]) if len(run.bodies) == 1 else None
        if self._steps:
            self._steps.take(run)
        self.label = "time / steps" if self._steps else "time / s"

    def at(self, times: np.ndarray) -> np.ndarray:
        """Return where these instants lie."""
        return self._steps.until(times) if self._steps else times / SECOND


def draw(run: Run, without: Collection[str] = ()) -> Any:
    """Return the figure of all measures but some, a small one for each; None where there is none."""
    keys = [key for key in measures(run) if key not in without]
    if not keys:
        return None
    figure, axes = canvas.grid(len(keys), _COLUMNS)
    over = Axis(run)
    for i, (axis, key) in enumerate(zip(axes, keys, strict=True)):
        columns = run.columns(key)
        colour = canvas.COLOURS[i % len(canvas.COLOURS)]
        curve(axis, over.at(columns["time"].read()), columns["value"].read().astype(float), colour)
        canvas.title(axis, run, key, most=42)
        axis.set_ylabel(canvas.label(run, key), fontsize=8)
        axis.set_xlabel(over.label, fontsize=8)
    return figure


def curve(axis: Any, at: np.ndarray, values: np.ndarray, colour: str, name: str | None = None, mark: str = "") -> None:
    """Draw a line; where it has too many points, means of neighbours in the band between their lowest and highest."""
    known = np.isfinite(values)
    at, values = at[known], values[known]
    if len(values) > canvas.ROWS:
        starts = np.unique(np.linspace(0, len(values), canvas.ROWS, endpoint=False).astype(int))
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        counts = np.diff(np.append(starts, len(values)))
        at, values = at[starts + counts - 1], np.add.reduceat(values, starts) / counts
        axis.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)
    axis.plot(at, values, mark + "-", lw=1.0, color=colour, label=name)


def table(run: Run) -> list[dict[str, Any]]:
    """Return a row for the returns of episodes, of each evaluation, and for each measure: how many, and both ends."""
    rows = [row for body in run.bodies for row in _ends(f"{body}: return of an episode", _returns(run, body))]
    for name in run.evaluation_names:
        means = episode_means(table_column([row["return"] for row in run.stored.evaluations[name]]))
        rows += _ends(f"evaluations/{name}: return", means)
    for key in measures(run):
        rows += _ends(key, run.columns(key)["value"])
    return rows


def _returns(run: Run, body: str) -> np.ndarray:
    """Returns of a body's ended episodes, as they ended."""
    found = trials.episodes(run.columns(f"{body}.status"), run.columns(f"{body}.reward"))
    over = found["how"] != "running"
    return found["return"][over][np.argsort(found["end"][over], kind="stable")]


def _ends(name: str, values: Any) -> list[dict[str, Any]]:
    count = len(values)
    if not count:
        return []
    part = max(1, count // _ENDS)
    first, last = ((values[:part], values[count - part:]) if isinstance(values, np.ndarray)
                   else (values.read(0, part), values.read(count - part)))
    return [{"measure": name, "values": count, "first": _mean(first), "last": _mean(last)}]


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
