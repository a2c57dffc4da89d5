"""Charge: what the limiters of a run let through, added up over time."""

from __future__ import annotations

import numpy as np

from ...loops.errors import TimeError
from ...loops.storage.runs import Run
from ...loops.until import Until
from .reading import said

_CHARGE = {"A": "C", "mA": "mC", "uA": "uC", "µA": "uC", "nA": "nC", "pA": "pC"}
ARBITRARY = "a.u."


def delivered(run: Run) -> list[str]:
    """Names of the streams that say what stimulators received: the command of each limiter (it has `decisions`)."""
    limiters = [key.partition(".")[0] for key in run.streams if key.endswith(".decisions")]
    wanted = [f"{name}.command" for name in limiters]
    return [key for key in run.streams if (key in wanted if limiters else key.endswith(".command"))]


def end(run: Run) -> int:
    """Return the time (ns) up to which the last values hold: where the run was to stop, or its last instant."""
    now = run.attributes.get("now")
    ends = [now if isinstance(now, int) and not isinstance(now, bool) else 0]
    if run.state == "finished":
        try:
            stop = Until.parse(str(run.attributes.get("until")))
            ends.append(stop.amount if stop.kind == "time" else 0)
        except TimeError:
            pass  # an altered file: its last instant is what is known
    ends += [int(run.columns(key)["time"].read(facts.rows - 1)[0]) for key, facts in run.streams.items()
             if facts.rows and facts.kind == "signal"]
    return max(ends)


def running(times: np.ndarray, values: np.ndarray, until: int) -> np.ndarray:
    """Integrate |command|, each held to the next and the last to `until`: [n + 1] totals over lanes and channels."""
    held = np.abs(values.reshape(len(values), -1).astype(float)).sum(axis=1)
    return np.concatenate([[0.0], np.cumsum(held * np.diff(times, append=until) * 1e-9)])


def total(run: Run) -> float:
    """Return the charge of a whole run, in the unit of its commands times seconds (0: nothing was stimulated)."""
    found, until = 0.0, end(run)
    for key in delivered(run):
        if run.streams[key].rows:
            stream = run[key]
            found += float(running(np.asarray(stream["time"]).astype(np.int64), np.asarray(stream), until)[-1])
    return found


def unit(of_command: str) -> str:
    """Return the unit of a command's time integral: uC where it is in uA; `a.u. s` where it declares no unit."""
    return _CHARGE.get(of_command, f"{of_command or ARBITRARY} s")


def unit_of(run: Run) -> str:
    """Return the unit of a run's charge; empty where nothing is delivered, or in units of several kinds."""
    units = {unit(str(said(run, "units", {}).get(key, ""))) for key in delivered(run)}
    return units.pop() if len(units) == 1 else ""
