"""Tables over runs: one row a run, for terminals, reports and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...loops.storage.runs import Run
from . import charge
from .reading import said

COLUMNS = ("variant", "seed", "episodes", "return", "spread", "length", "solved", "charge", "steps/s")
_HEADS = {"spread": "+-95 %", "length": "length / steps", "solved": "solved / share"}
MEANING = ("return: mean over ended episodes of the sum of rewards; +-95 %: half-width of its confidence interval; "
           "length: mean, in steps; solved: share of episodes; charge: time integral of |delivered command| over all "
           "channels and lanes (a.u.: the command declares no physical unit).")


def row(run: Run) -> dict[str, Any]:
    """Summarise one run: ended episodes, their mean return and its 95 % interval half-width, charge, speed.

    `charge` is the time integral of |delivered command| summed over channels and lanes, in `charge_unit`.
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
    found["charge"], found["charge_unit"] = charge.total(run), charge.unit_of(run)
    found["steps/s"] = said(run, "facts", {}).get("steps_per_s", float("nan"))
    return found


def cell(value: Any) -> str:
    """Write one value of a table for people."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def heads_and_cells(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> list[list[str]]:
    """Return the heads with their units, then each row's cells; charges of several units name theirs themselves."""
    rows, columns = list(rows), list(columns)
    units = {str(row["charge_unit"]) for row in rows if row.get("charge_unit") and row.get("charge")}
    charges = f"charge / {units.pop()}" if len(units) == 1 else "charge"
    mixed = bool(units)
    heads = [charges if column == "charge" else _HEADS.get(column, column) for column in columns]
    return [heads] + [[f"{cell(row.get(c))} {row['charge_unit']}" if mixed and c == "charge" and row.get("charge")
                       else cell(row.get(c)) for c in columns] for row in rows]


def text(rows: Iterable[dict[str, Any]], columns: Iterable[str] = COLUMNS) -> str:
    """Lay rows out in columns of even width."""
    lines = heads_and_cells(rows, columns)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    told = ["  ".join(part.ljust(width) if i == 0 else part.rjust(width)
                      for i, (part, width) in enumerate(zip(line, widths, strict=True))) for line in lines]
    return "\n".join([told[0], "  ".join("-" * width for width in widths), *told[1:]])
