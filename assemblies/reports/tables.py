"""Tables over runs: one row a run, for terminals, reports and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from ...loops.storage.runs import Run

T = TypeVar("T")
COLUMNS = ("variant", "seed", "episodes", "return", "spread", "length", "solved", "charge", "steps/s")


def row(run: Run) -> dict[str, Any]:
    """Summarise one run: ended episodes, their mean return and its 95 % interval half-width, charge, speed.

    `charge` is the time integral of |delivered command| summed over channels and lanes, in command units times seconds.
    """
    attributes = run.attributes
    found: dict[str, Any] = {"run": run.name, "variant": attributes.get("variant", ""), "seed": attributes.get("seed")}
    try:
        episodes = run.episodes()
        done = episodes[episodes["how"] != "running"]
        returns = done["return"].to_numpy(float)
        found.update(episodes=len(done), length=float(done["length"].mean()) if len(done) else float("nan"))
        found["return"] = float(returns.mean()) if len(done) else float("nan")
        found["spread"] = 1.96 * float(returns.std(ddof=1)) / np.sqrt(len(done)) if len(done) > 1 else float("nan")
        solved = done["solved"].dropna()
        found["solved"] = float(solved.mean()) if len(solved) else float("nan")
    except (RuntimeError, KeyError):
        found.update(episodes=0)
    found["charge"] = total_charge(run)
    found["steps/s"] = said(run, "facts", {}).get("steps_per_s", float("nan"))
    return found


def said(run: Run, key: str, otherwise: T) -> T:
    """Return an attribute of a run; `otherwise` where it is missing or of another type, since files may be altered."""
    value = run.attributes.get(key)
    return value if isinstance(value, type(otherwise)) else otherwise


def delivered(run: Run) -> list[str]:
    """Names of the streams that say what stimulators received: the command of each limiter (it has `decisions`)."""
    limiters = [key.partition(".")[0] for key in run.streams if key.endswith(".decisions")]
    wanted = [f"{name}.command" for name in limiters]
    return [key for key in run.streams if (key in wanted if limiters else key.endswith(".command"))]


def charge(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Integrate |command|, held from each time to the next: [n] running total over lanes and channels, in unit s."""
    held = np.abs(values.reshape(len(values), -1).astype(float)).sum(axis=1)
    steps = np.diff(times, append=times[-1:]) * 1e-9
    return np.concatenate([[0.0], np.cumsum(held * steps)[:-1]]) if len(times) else np.zeros(0)


def total_charge(run: Run) -> float:
    """Return the charge of a whole run (0 where nothing was stimulated)."""
    total = 0.0
    for key in delivered(run):
        if run.streams[key].rows:
            stream = run[key]
            total += float(charge(np.asarray(stream["time"]).astype(np.int64), np.asarray(stream))[-1])
    return total


def cell(value: Any) -> str:
    """Write one value of a table for people."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def text(rows: Iterable[dict[str, Any]], columns: Iterable[str] = COLUMNS) -> str:
    """Lay rows out in columns of even width."""
    columns = list(columns)
    lines = [columns] + [[cell(r.get(c)) for c in columns] for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    told = ["  ".join(part.ljust(width) if i == 0 else part.rjust(width)
                      for i, (part, width) in enumerate(zip(line, widths, strict=True))) for line in lines]
    return "\n".join([told[0], "  ".join("-" * width for width in widths), *told[1:]])
