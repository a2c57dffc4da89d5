"""Tables over runs: one row a run, for terminals, reports and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...loops.runs import Run

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
    found["steps/s"] = attributes.get("facts", {}).get("steps_per_s", float("nan"))
    return found


def delivered(run: Run) -> str | None:
    """Name of the stream that says what a stimulator received: the limiter's command."""
    keys = [key for key in run.streams if key.endswith(".command")]
    limiters = [key for key in keys if f"{key.partition('.')[0]}.decisions" in run]
    return (limiters or keys or [None])[0]


def charge(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Integrate |command|, held from each time to the next: [n] running total over lanes and channels, in unit s."""
    held = np.abs(values.reshape(len(values), -1).astype(float)).sum(axis=1)
    steps = np.diff(times, append=times[-1:]) * 1e-9
    return np.concatenate([[0.0], np.cumsum(held * steps)[:-1]]) if len(times) else np.zeros(0)


def total_charge(run: Run) -> float:
    """Return the charge of a whole run (0 where nothing was stimulated)."""
    key = delivered(run)
    if key is None or not run.streams[key].rows:
        return 0.0
    stream = run[key]
    return float(charge(np.asarray(stream["time"]).astype(np.int64), np.asarray(stream))[-1])


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
