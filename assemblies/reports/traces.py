"""What the body saw, did and earned at first."""

from __future__ import annotations

from typing import Any

from ...loops.storage.runs import Run
from . import canvas, charge

_TICKS = 600  # of the body
_LINES = 12  # elements of a port drawn as lines


def span(run: Run) -> int:
    """Return up to when (ns) the beginning of a run is shown: its first ticks, or all of it."""
    key = f"{run.body()}.status"
    if run.streams[key].rows <= _TICKS:
        return charge.end(run)
    return int(run.columns(key)["time"].read(_TICKS, _TICKS + 1)[0])


def draw(run: Run) -> Any:
    """Return the figure of lane 0, or None where there is no body or nothing of it is recorded."""
    try:
        body, until = run.body(), span(run)
    except RuntimeError:
        return None
    keys = [key for key in (f"{body}.observation", *sorted(k for k in run.streams if k.endswith(".action")),
                            f"{body}.reward") if key in run and run.streams[key].rows]
    if not keys:
        return None
    figure, axes = canvas.figure([1.9] * len(keys))
    for axis, key in zip(axes, keys, strict=True):
        times, values = canvas.lane(run, key)
        named = canvas.names(run, key)
        for j in range(min(values.shape[1], _LINES)):
            canvas.trace(axis, times, values[:, j:j + 1].astype(float), 0, until, canvas.COLOURS[j], named[j])
        if values.shape[1] > 1:
            canvas.legend(axis)
        canvas.title(axis, run, key, f", first {_LINES} of {values.shape[1]}" if values.shape[1] > _LINES else "")
        axis.set_ylabel(canvas.label(run, key), fontsize=8)
        axis.margins(x=0.01)
    axes[-1].set_xlabel("time / s", fontsize=9)
    return figure
