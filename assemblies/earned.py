"""What a run has earned, for the lines that tell of its end: returns of its last episodes and evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..loops.storage import trials
from ..loops.storage.runs import Run
from ..loops.storage.stored import episode_means, table_column

MOST = 100  # episodes in a mean, as many as Stable-Baselines3 takes
_FIRST, _LIMIT = 1 << 16, 1 << 24  # numbers of `status` read at first, and at most


def earned(run: Run) -> dict[str, Any]:
    """Return of each body the mean return of its last episodes, and of each evaluation that of its last row.

    Only the end of the record is read, however long it is.
    """
    evaluations = {}
    for name in run.evaluation_names:
        row = run.stored.evaluations[name][-1]
        returns = table_column([row["return"]])
        evaluations[name] = {"return": float(episode_means(returns)[0]), "episodes": int(returns.size),
                             "steps": int(row["steps"])}
    return {"returns": {body: found for body in run.bodies if (found := _last(run, body))}, "evaluations": evaluations}


def _last(run: Run, body: str) -> dict[str, float] | None:
    """Mean return of the episodes of a body that ended last; None where none did."""
    streams = {part: run.columns(f"{body}.{part}") for part in ("status", "reward")}
    rows, lanes = streams["status"]["value"].shape[:2]
    size = max(1, _FIRST // lanes)
    while True:
        first = max(0, rows - size)
        table = trials.episodes(**{part: {name: trials.Since(column, first) for name, column in columns.items()}
                                   for part, columns in streams.items()})
        over = np.flatnonzero(table["how"] != "running")
        if len(over) >= MOST or not first or size * lanes >= _LIMIT:
            break
        size *= 4
    chosen = over[np.argsort(table["end"][over], kind="stable")][-MOST:]
    return {"return": float(table["return"][chosen].mean()), "episodes": len(chosen)} if len(chosen) else None
