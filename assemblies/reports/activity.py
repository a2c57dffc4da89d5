"""The activity of every unit over time, in lane 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from . import canvas, charge, traces

_FAINT = 90.0  # percentile of the units' peaks at which colours end, so that a few loud ones do not hide the others


def draw(run: Run) -> Any:
    """Return the figure, or None where no rates are recorded."""
    keys = [key for key in run.streams if key.endswith(".rates") and run.streams[key].rows]
    if not keys:
        return None
    try:
        until = traces.span(run)
    except RuntimeError:
        until = charge.end(run)
    figure, axes = canvas.figure([2.4] * len(keys))
    for axis, key in zip(axes, keys, strict=True):
        _image(figure, axis, run, key, until)
    axes[-1].set_xlabel("time / s", fontsize=9)
    return figure


def _image(figure: Any, axis: Any, run: Run, key: str, until: int) -> None:
    times, values = canvas.lane(run, key)
    edges, means = _binned(*canvas.held(times, values.astype(float), 0, until))
    peaks = np.abs(means).max(axis=0)  # [units]
    top = float(np.percentile(peaks[peaks > 0], _FAINT)) if peaks.any() else 1.0
    signed = bool((means < 0).any())
    shown = axis.pcolormesh(edges, np.arange(means.shape[1] + 1) - 0.5, means.T, rasterized=True,
                            cmap="RdBu_r" if signed else "Blues", vmin=-top if signed else 0.0, vmax=top)
    beyond = "both" if signed else "max"
    bar = figure.colorbar(shown, ax=axis, pad=0.01, extend=beyond if peaks.max() > top else "neither")
    bar.ax.tick_params(labelsize=7)
    bar.set_label(canvas.label(run, key), fontsize=8)
    axis.set_ylabel("unit / number", fontsize=8)
    canvas.title(axis, run, key)


def _binned(edges: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return edges [bins + 1] and means [bins, units] of values [n + 1, units] held between times [n + 1]."""
    rows = len(edges) - 1
    starts = np.unique(np.linspace(0, rows, canvas.ROWS, endpoint=False).astype(int))
    counts = np.diff(starts, append=rows)
    return np.append(edges[starts], edges[-1]), np.add.reduceat(values[:-1], starts, axis=0) / counts[:, None]
