"""What all figures stand on: sizes, colours, legends beside the axes, and values as they were held in time."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from .charge import ARBITRARY
from .reading import said

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#5f6c72", "#56b4e9", "#000000", "#332288", "#882255",
           "#999933", "#44aa99")  # of Okabe and Ito, and of Tol: colour-blind people tell them apart
GREY = 5  # which of them is for what only stands beside
ROWS = 1200  # of a trace that are drawn one by one; more are drawn as the band between lowest and highest


def figure(heights: list[float], together: bool = True) -> tuple[Any, Any]:
    """Return a figure of axes above each other, of these heights (inches), all over one time or each over its own."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(10.0, sum(heights)), layout="constrained")
    axes = made.subplots(len(heights), 1, squeeze=False, sharex=together, height_ratios=heights)[:, 0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return made, axes


def grid(count: int, columns: int, height: float = 1.8) -> tuple[Any, Any]:
    """Return a figure of so many small axes, some beside each other, and the axes in the order of reading."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    made = Figure(figsize=(10.0, rows * height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[:count]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    return made, axes[:count]


def svg(made: Any) -> str:
    """Return a figure as SVG text to stand in a page."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "stimloop", "svg.fonttype": "none"}):
        made.savefig(buffer, format="svg", metadata={"Date": None}, dpi=150)
    text = buffer.getvalue()
    return text[text.index("<svg"):]


def title(axis: Any, run: Run, key: str, more: str = "", most: int = 110) -> None:
    """Say above the axes which port this is, and what it means."""
    about = str(run[key].attrs.get("long_name", ""))
    text = ": ".join(part for part in (key, about) if part) + more
    axis.set_title(text if len(text) <= most else text[:most - 1] + "…", fontsize=8.5, loc="left")


def label(run: Run, key: str) -> str:
    """Return the port's short name with its unit."""
    units = str(said(run, "units", {}).get(key, ""))
    return f"{key.rpartition('.')[2]} / {units or ARBITRARY}"


def legend(axis: Any) -> None:
    """Put the legend beside the axes, where it covers nothing."""
    axis.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), borderaxespad=0.0, fontsize=7, frameon=False,
                labelspacing=0.2, handlelength=2.0)


def held(times: np.ndarray, values: np.ndarray, begin: int, until: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times [n + 1] in seconds and values [n + 1, columns] in force from `begin` to `until` (ns)."""
    first = max(int(np.searchsorted(times, begin, side="right")) - 1, 0)
    last = max(int(np.searchsorted(times, until, side="right")), first + 1)
    when = np.clip(np.append(times[first:last], until), begin, until) * 1e-9
    shown = values[first:last].reshape(last - first, -1)
    return when, np.concatenate([shown, shown[-1:]])


def outline(times: np.ndarray, values: np.ndarray, until: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges [bins + 1] in ns and the lowest and highest values [bins, columns] between them; none is missed."""
    columns = values.reshape(len(values), -1)
    starts = np.unique(np.linspace(0, len(times), ROWS, endpoint=False).astype(int))
    return (np.append(times[starts], until), np.minimum.reduceat(columns, starts, axis=0),
            np.maximum.reduceat(columns, starts, axis=0))


def trace(axis: Any, times: np.ndarray, values: np.ndarray, begin: int, until: int, colour: str, name: str) -> None:
    """Draw one column as it was held, or the band in which it lay where there are too many rows to see each."""
    inside = int(np.searchsorted(times, until, side="right")) - int(np.searchsorted(times, begin))
    if inside <= ROWS:
        when, shown = held(times, values, begin, until)
        axis.plot(when, shown[:, 0], lw=1.0, drawstyle="steps-post", color=colour, label=name)
        return
    some = (times >= begin) & (times <= until)
    edges, low, high = outline(times[some], values[some], until)
    axis.fill_between(edges * 1e-9, np.append(low, low[-1:]), np.append(high, high[-1:]), step="post", color=colour,
                      alpha=0.55, lw=0.6, label=name)


def lane(run: Run, key: str, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return times in ns and the values of one lane [n, columns]."""
    stream = run[key]
    if "lane" in stream.dims:
        stream = stream.isel(lane=number)
    values = np.asarray(stream)
    return np.asarray(stream["time"]).astype(np.int64), values.reshape(len(values), -1)


def names(run: Run, key: str) -> list[str]:
    """Return the names of a port's elements: its labels where it has them, else the axis and a number."""
    stream = run[key]
    rest = [dim for dim in stream.dims if dim not in ("time", "lane")]
    size = int(np.prod([stream.sizes[dim] for dim in rest]))
    if len(rest) == 1 and rest[0] in stream.coords:
        return [str(value) for value in np.asarray(stream[rest[0]])]
    axis = "element" if len(rest) != 1 or rest[0] == "axis" else str(rest[0])
    return [f"{axis} {i}" for i in range(size)]
