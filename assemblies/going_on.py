"""Before a run goes on: is it there already, and would a stop lose something that is recorded?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..loops.loop import Loop
from ..loops.status import ended, is_step
from ..loops.stops import watch
from ..loops.time import say
from ..loops.until import Until

if TYPE_CHECKING:
    from ..loops.storage.runs import Run


def is_reached(loop: Loop, stop: Until) -> bool:
    """Is a loaded loop at a stop, or behind it? Raises AssemblyError when it is no stop of this loop."""
    if stop.kind == "time":
        following = loop.next_instant()
        return following is None or following >= stop.amount
    reached, release = watch(loop, stop)
    if release is not None:
        release()
    return reached


def loss(run: Run, stop: Until, before: Until | None, saved: int) -> str:
    """Say what a run to this stop would not have of what is recorded; empty when nothing.

    `before` is the stop to which it was recorded, `saved` the instant of the checkpoint it would go on from.
    """
    last = _last(run)
    if before is not None and _is_as_late(stop, before):
        return ""
    try:
        end = _instant(run, stop)
    except LookupError as lacking:
        behind = last > saved  # only what came after the checkpoint could lie behind the stop
        return (f"has recorded up to {say(last)}, but not {lacking.args[0]}, so nobody can say whether {stop} lies "
                "before that: going on to there could lose it") if behind else ""
    return (f"has recorded up to {say(last)}, which lies behind {stop}: going on to there would lose it"
            if end is not None and last > end else "")


def _last(run: Run) -> int:
    """The last instant of which anything is recorded; -1: none."""
    rows = [int(columns["time"].read(facts.rows - 1)[0]) for key, facts in run.streams.items()
            if facts.rows and (columns := run.columns(key))]
    return max([*rows, *(int(row["time"]) for table in run.stored.evaluations.values() for row in table)], default=-1)


def _is_as_late(stop: Until, before: Until) -> bool:
    same = (stop.kind, stop.component, stop.port) == (before.kind, before.component, before.port)
    return same and stop.amount >= before.amount


def _instant(run: Run, stop: Until) -> int | None:
    """The last instant that a run to this stop has; None: the recording has not come to it.

    Raises LookupError with what is missing where the recording does not say.
    """
    if stop.kind == "time":
        return stop.amount - 1
    if stop.kind == "port":
        key = f"{stop.component}.{stop.port}"
        return _first(run, key, lambda values: values.astype(bool))
    body = stop.component or _only_body(run)
    told = is_step if stop.kind == "steps" else ended
    return _first(run, f"{body}.status", lambda values: np.cumsum(told(values).sum(axis=1)) >= stop.amount)


def _only_body(run: Run) -> str:
    bodies = {key.split(".")[0] for key in run.streams if key.endswith(".status")}
    if len(bodies) != 1:
        raise LookupError("the status of the body")
    return bodies.pop()


def _first(run: Run, key: str, reached: Callable[[np.ndarray], np.ndarray]) -> int | None:
    if key not in run:
        raise LookupError(key)
    columns = run.columns(key)
    found = np.flatnonzero(reached(columns["value"].read()))
    return int(columns["time"].read(found[0], found[0] + 1)[0]) if len(found) else None
