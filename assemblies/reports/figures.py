"""Figures of episodes and evaluations as SVG text, drawn by matplotlib without a display."""

from __future__ import annotations

import numpy as np

from ...loops.storage.runs import Run
from . import canvas, learning_curves

_UPRIGHT = 8  # names of runs that stand beside each other
_LANES = 8  # drawn one by one


def compare(runs: list[Run]) -> str | None:
    """Return of every ended episode, one column a run, the mean as a bar."""
    figure, (axis,) = canvas.figure([2.8])
    drawn = 0
    for i, run in enumerate(runs):
        try:
            episodes = run.episodes()
        except (RuntimeError, KeyError):
            continue
        returns = episodes.loc[episodes["how"] != "running", "return"].to_numpy(float)
        if not len(returns):
            continue
        jitter = np.linspace(-0.18, 0.18, len(returns)) if len(returns) > 1 else np.zeros(1)
        axis.plot(i + jitter, returns, "o", ms=4, alpha=0.6, color=canvas.COLOURS[i % len(canvas.COLOURS)])
        axis.hlines(returns.mean(), i - 0.3, i + 0.3, color="#222", lw=2)
        drawn += 1
    if not drawn:
        return None
    axis.set_xticks(range(len(runs)), [f"{run.attributes.get('variant', '')}\nseed {run.attributes.get('seed')}"
                                       for run in runs], fontsize=8, rotation=0 if len(runs) <= _UPRIGHT else 60)
    axis.set_ylabel("return of an episode / a.u.", fontsize=8)
    axis.set_xlim(-0.6, len(runs) - 0.4)
    return canvas.svg(figure)


def returns(run: Run) -> str | None:
    """Return of each episode over the steps of all lanes, by lane where they are few."""
    try:
        episodes = run.episodes()
    except (RuntimeError, KeyError):
        return None
    done = episodes[episodes["how"] != "running"]
    if len(done) < 2:
        return None
    figure, (axis,) = canvas.figure([2.4])
    over, lanes = learning_curves.Axis(run), done["lane"].nunique()
    done = done.sort_values("end", kind="stable")
    for i, (lane, group) in enumerate(done.groupby("lane") if lanes <= _LANES else [("", done)]):
        learning_curves.curve(axis, over.at(group["end"].to_numpy(np.int64)), group["return"].to_numpy(float),
                              canvas.COLOURS[i], f"lane {lane}", ".")
    axis.set(xlabel=f"end of the episode, {over.label}", ylabel="return / a.u.")
    if 1 < lanes <= _LANES:
        canvas.legend(axis)
    return canvas.svg(figure)


def evaluations(run: Run) -> str | None:
    """Mean return of every evaluation over the steps before it."""
    names = [name for name in run.evaluation_names if len(run.evaluations(name)) > 1]
    if not names:
        return None
    figure, (axis,) = canvas.figure([2.4])
    for name in names:
        table = run.evaluations(name)
        axis.plot(table["steps"], table["return"], ".-", label=name)
    axis.set(xlabel="time before the evaluation / steps", ylabel="mean return / a.u.")
    canvas.legend(axis)
    return canvas.svg(figure)
