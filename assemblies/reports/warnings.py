"""What a reader of a run should know before looking at its curves."""

from __future__ import annotations

import numpy as np

from ...loops.storage.runs import Run
from .reading import said

_ROWS = 20_000  # rows looked at, from the end
_RESUMES = {"no": "{} cannot be saved, so this run cannot be resumed.",
            "restarts noise": "{} draws new noise when resumed: a resumed run differs from a whole one."}
_SATURATED = 0.5  # part of the values at a bound from which a port counts as saturated


def warnings(run: Run) -> list[str]:
    """Return sentences about what looks wrong, the weightiest first; empty when nothing does."""
    found = []
    if run.damage:
        found.append(f"Damaged: {run.damage}.")
    if run.state not in ("finished",):
        found.append(f"The run did not finish: it is {run.state}.")
    found += [_RESUMES.get(str(how), f"{{}} resumes: {str(how)[:60]!r}.").replace("{}", str(name))
              for name, how in said(run, "resumes", {}).items()]
    found += [f"{str(text).splitlines()[0]}." for text in said(run, "unheard", []) if text]
    found += _episodes(run)
    found += _constant(run)
    found += _saturated(run)
    found += _limited(run)
    found += [f"Notice: {text.splitlines()[0]}" for text in map(str, said(run, "notices", []))
              if text and not text.split(": ", 1)[-1].startswith("nobody listens")]
    return found


def _tail(run: Run, key: str) -> np.ndarray:
    column = run[key]
    return np.asarray(column[max(0, column.sizes["time"] - _ROWS):])


def _episodes(run: Run) -> list[str]:
    try:
        episodes = run.episodes()
    except (RuntimeError, KeyError):
        return []
    if not (episodes["how"] != "running").any():
        return ["No episode ended."]
    return []


def _signals(run: Run) -> list[str]:
    return [key for key, facts in run.streams.items() if facts.kind == "signal" and facts.rows > 2]


def _constant(run: Run) -> list[str]:
    still = []
    for key in _signals(run):
        if key.endswith((".status", ".solved")):
            continue
        values = _tail(run, key)
        if values.size and (values == values[:1]).all():
            still.append(f"{key} ({'all zero' if not values.any() else 'not zero'})")
    return [f"Constant throughout: {', '.join(still)}."] if still else []


def _saturated(run: Run) -> list[str]:
    found = []
    for key in _signals(run):
        if not key.endswith(".action"):
            continue
        values = _tail(run, key)
        share = float((np.abs(values) > 0.99).mean()) if values.dtype.kind == "f" else 0.0
        if share > _SATURATED:
            found.append(f"{key} stands at its bound in {share:.0%} of its values.")
    return found


def _limited(run: Run) -> list[str]:
    found = []
    for key, facts in run.streams.items():
        if facts.kind == "event" and key.endswith(".decisions") and facts.rows:
            found.append(f"The safety limiter intervened {facts.rows} times ({key}).")
    return found
