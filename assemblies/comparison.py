"""Two runs held together: descriptions, versions, results, and the first instant at which their streams part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..loops.errors import RunError
from ..loops.storage.runs import Run, first_difference
from ..loops.time import say
from .inspection import table
from .normal import addresses
from .reports import charge
from .reports.reading import said

_UNITS = {"episodes": "episodes", "length": "steps", "steps": "steps", "return": "a.u.", "success": "share",
          "solved_steps": "share of steps"}


def compare(first: Path, second: Path) -> tuple[dict[str, Any], str, bool]:
    """Return what differs between two runs, its text, and whether every recorded row they share is equal."""
    runs = Run(first), Run(second)
    described = [addresses({"components": {}, **run.attributes.get("assembly", {})}) for run in runs]
    versions = [{**run.attributes.get("versions", {}), **{f"code of {name}": text for name, text in
                                                          run.attributes.get("code", {}).items()}} for run in runs]
    only = {key: [str(path) for path, run in zip((first, second), runs, strict=True) if key in run.streams]
            for key in sorted(runs[0].streams.keys() ^ runs[1].streams.keys())}
    missing = list(only)
    parting = first_difference(*runs, without=missing)
    results = _side_by_side([_results(run) for run in runs])
    facts = {
        "addresses": _differences(*described), "versions": _differences(*versions), "results": results,
        "only_in_one": only, "equal": parting is None,
        "parts": None if parting is None else {"time_ns": parting[0], "port": parting[1]}}
    lines = [f"A  {first}", f"B  {second}", ""]
    for title in ("addresses", "versions"):
        rows = [{title: key, "A": a, "B": b} for key, (a, b) in facts[title].items()]
        lines += [table(rows) if rows else f"{title}: equal", ""]
    lines += [table([{"result": key, "unit": _unit(key, runs), "A": a, "B": b} for key, (a, b) in results.items()]), ""]
    lines += [f"only in {', '.join(where)}: {key}" for key, where in only.items()]
    lines.append("every row that both recorded is equal" if parting is None
                 else f"the streams part at {say(parting[0])}, first at {parting[1]}")
    return facts, "\n".join(lines), parting is None


def _differences(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (left.get(key), right.get(key)) for key in sorted(left.keys() | right.keys())
            if left.get(key) != right.get(key)}


def _results(run: Run) -> dict[str, float]:
    found: dict[str, float] = {}
    try:
        episodes = run.episodes()
        ended = episodes[episodes["how"] != "running"]
        found["episodes"] = float(len(ended))
        if len(ended):
            found["return (mean)"] = float(ended["return"].mean())
            found["length (mean)"] = float(ended["length"].mean())
    except RunError:
        pass  # a run without a body, or one that did not record it
    for name in run.evaluation_names:
        last = run.evaluations(name).iloc[-1]
        found |= {f"{name}.{key}": float(last[key]) for key in ("return", "length", "success") if key in last}
    if charge.delivered(run):
        found["charge"] = charge.total(run)
    for key, values in run.metrics().items():
        values = values.dropna()
        if len(values):
            found[str(key)] = float(values.iloc[-1])
    return found


def _unit(result: str, runs: tuple[Run, Run]) -> str:
    """Return the unit of a result: what its port declares, or what it counts."""
    if result == "charge":
        units = {charge.unit_of(run) for run in runs if charge.delivered(run)}
        return units.pop() if len(units) == 1 else "differs"
    declared = next((unit for run in runs if (unit := said(run, "units", {}).get(result))), None)
    return str(declared or _UNITS.get(result.removesuffix(" (mean)").rpartition(".")[2], ""))


def _side_by_side(results: list[dict[str, float]]) -> dict[str, tuple[float | None, float | None]]:
    left, right = ({key: value for key, value in each.items() if not np.isnan(value)} for each in results)
    return {key: (left.get(key), right.get(key)) for key in [*left, *(k for k in right if k not in left)]}
