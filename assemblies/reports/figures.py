"""Figures of runs as SVG text: curves, activity, stimulation; drawn by matplotlib without a display."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from .tables import charge, delivered

_COLOURS = ("#20639b", "#d1495b", "#3caea3", "#edae49", "#6a4c93", "#5f6c72", "#8ac926", "#a0522d")
_SHOWN = 600  # rows of a trace that are drawn


def _figure(rows: int = 1, height: float = 2.4) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, height * rows), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "stimloop", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg"):]


def compare(runs: list[Run]) -> str | None:
    """Return of every ended episode, one column a run, the mean as a bar."""
    figure, (axis,) = _figure(height=2.8)
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
        axis.plot(i + jitter, returns, "o", ms=4, alpha=0.6, color=_COLOURS[i % len(_COLOURS)])
        axis.hlines(returns.mean(), i - 0.3, i + 0.3, color="#222", lw=2)
        drawn += 1
    if not drawn:
        return None
    axis.set_xticks(range(len(runs)), [f"{run.attributes.get('variant', '')}\ns{run.attributes.get('seed')}"
                                       for run in runs], fontsize=8)
    axis.set_ylabel("return of an episode")
    return _svg(figure)


def returns(run: Run) -> str | None:
    """Return of each episode over simulated time, by lane."""
    try:
        episodes = run.episodes()
    except (RuntimeError, KeyError):
        return None
    done = episodes[episodes["how"] != "running"]
    if len(done) < 2:
        return None
    figure, (axis,) = _figure()
    for lane, group in list(done.groupby("lane"))[:8]:
        axis.plot(group["end"].astype(float) * 1e-9, group["return"], ".-", lw=1, label=f"lane {lane}")
    axis.set(xlabel="time / s", ylabel="return")
    if done["lane"].nunique() > 1:
        axis.legend(fontsize=7, ncols=4, frameon=False)
    return _svg(figure)


def traces(run: Run) -> str | None:
    """What the body saw, did and earned at first, in lane 0."""
    try:
        body = run.body()
    except RuntimeError:
        return None
    keys = [key for key in (f"{body}.observation", *sorted(k for k in run.streams if k.endswith(".action")),
                            f"{body}.reward") if key in run and run.streams[key].rows]
    if not keys:
        return None
    figure, axes = _figure(len(keys), 1.7)
    for axis, key in zip(axes, keys, strict=True):
        time, values = _lane(run, key)
        columns = values.reshape(len(values), -1)
        for j in range(min(columns.shape[1], 12)):
            axis.plot(time, columns[:, j], lw=0.9, drawstyle="steps-post", color=_COLOURS[j % len(_COLOURS)])
        axis.set_ylabel(_label(run, key), fontsize=8)
    axes[-1].set_xlabel("time / s")
    return _svg(figure)


def activity(run: Run) -> str | None:
    """Rates of every unit over time, in lane 0."""
    keys = [key for key in run.streams if key.endswith(".rates") and run.streams[key].rows]
    if not keys:
        return None
    figure, axes = _figure(len(keys), 2.2)
    for axis, key in zip(axes, keys, strict=True):
        time, values = _lane(run, key)
        shown = axis.imshow(values.reshape(len(values), -1).T, aspect="auto", origin="lower", cmap="magma",
                            interpolation="nearest", extent=(time[0], time[-1], 0, values[0].size))
        figure.colorbar(shown, ax=axis, pad=0.01).ax.tick_params(labelsize=7)
        axis.set_ylabel(f"{key}\nunit", fontsize=8)
    axes[-1].set_xlabel("time / s")
    return _svg(figure)


def stimulation(run: Run) -> str | None:
    """For each limiter: command delivered in lane 0, and the charge that adds up over all lanes."""
    return "".join(_stimulation(run, key) for key in delivered(run) if run.streams[key].rows) or None


def _stimulation(run: Run, key: str) -> str:
    figure, (above, below) = _figure(2, 1.8)
    time, values = _lane(run, key)
    columns = values.reshape(len(values), -1)
    for j in range(min(columns.shape[1], 8)):
        above.plot(time, columns[:, j], lw=0.9, drawstyle="steps-post", label=f"channel {j}")
    above.legend(fontsize=7, ncols=4, frameon=False)
    above.set_ylabel(_label(run, key), fontsize=8)
    stream = run[key]
    whole = np.asarray(stream["time"]).astype(np.int64)
    units = run.attributes.get("units", {}).get(key, "")
    below.plot(whole * 1e-9, charge(whole, np.asarray(stream)), lw=1.2, color="#d1495b")
    below.set(xlabel="time / s", ylabel=f"total |charge|\n/ ({units or 'command'} s)")
    return _svg(figure)


def evaluations(run: Run) -> str | None:
    """Mean return of every evaluation over the steps before it."""
    names = [name for name in run.evaluation_names if len(run.evaluations(name)) > 1]
    if not names:
        return None
    figure, (axis,) = _figure()
    for name in names:
        table = run.evaluations(name)
        axis.plot(table["steps"], table["return"], ".-", label=name)
    axis.set(xlabel="steps", ylabel="return in evaluation")
    axis.legend(fontsize=8, frameon=False)
    return _svg(figure)


def _lane(run: Run, key: str) -> tuple[np.ndarray, np.ndarray]:
    stream = run[key][:_SHOWN]
    if "lane" in stream.dims:
        stream = stream.isel(lane=0)
    return np.asarray(stream["time"]).astype(float) * 1e-9, np.asarray(stream)


def _label(run: Run, key: str) -> str:
    units = run.attributes.get("units", {}).get(key, "")
    return f"{key}" + (f"\n/ {units}" if units else "")
