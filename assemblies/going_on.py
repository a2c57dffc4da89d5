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
    from ..loops.runs import Run


def is_reached(loop: Loop, stop: Until) -> bool:
    """Is a loaded loop at a stop, or behind it? Raises AssemblyError when it is no stop of this loop."""
    if stop.kind == "time":
        following = loop.next_instant()
        return following is None or following >= stop.amount
    reached, release = watch(loop, stop)
    if release is not None:
        release()
    return reached


def rows_beyond(run: Run, stop: Until) -> str:
    """Say up to when rows are recorded that a run to this stop would not have; empty when there are none."""
    last = max((int(columns["time"].read(facts.rows - 1)[0]) for key, facts in run.streams.items()
                if facts.rows and (columns := run.columns(key))), default=-1)
    end = _instant(run, stop)
    return f"up to {say(last)}" if end is not None and last > end else ""


def _instant(run: Run, stop: Until) -> int | None:
    """The last instant that a run to this stop has, as far as the recording says; None: it has not come to it."""
    if stop.kind == "time":
        return stop.amount - 1
    if stop.kind == "port":
        key = f"{stop.component}.{stop.port}"
        return _first(run, key, lambda values: values.astype(bool)) if key in run else None
    bodies = [key for key in run.streams if key.endswith(".status") and stop.component in (None, key.split(".")[0])]
    if len(bodies) != 1:
        return None
    told = is_step if stop.kind == "steps" else ended
    return _first(run, bodies[0], lambda values: np.cumsum(told(values).sum(axis=1)) >= stop.amount)


def _first(run: Run, key: str, reached: Callable[[np.ndarray], np.ndarray]) -> int | None:
    columns = run.columns(key)
    found = np.flatnonzero(reached(columns["value"].read()))
    return int(columns["time"].read(found[0], found[0] + 1)[0]) if len(found) else None
