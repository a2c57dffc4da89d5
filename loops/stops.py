"""Stops and counters: steps and episodes of a body, kept only while somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import AssemblyError, Problem, nearest
from .port import Port
from .status import count_ended, count_steps
from .until import Until

if TYPE_CHECKING:
    from .loop import Loop


class Counter:
    """Counts steps and ended episodes of one body from its status.

    A body publishes one and the same array at nearly every tick: only a new one is looked at, and stands for as many
    publications as follow before the next.
    """

    def __init__(self, loop: Loop, body: str | None = None) -> None:
        self.body = the_body(loop, body)
        self.cell = loop.cell(f"{self.body}.status")
        self.load_state_dict({"steps": 0, "episodes": 0})
        self.cell.watchers += (self._settle,)

    @property
    def steps(self) -> int:
        """Steps of all lanes so far."""
        return self._before[0] + self._each[0] * (self.cell.count - self._since)

    @property
    def episodes(self) -> int:
        """Ended episodes of all lanes so far."""
        return self._before[1] + self._each[1] * (self.cell.count - self._since)

    def _settle(self, status: np.ndarray | None) -> None:
        """Count what was said so far; from the next publication on it is `status`."""
        self._before = self.steps, self.episodes
        self._since = self.cell.count
        self._each = (count_steps(status), count_ended(status)) if status is not None else (0, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._before, self._each, self._since = (int(state["steps"]), int(state["episodes"])), (0, 0), self.cell.count
        self._settle(self.cell.value)

    def close(self) -> None:
        """Stop counting."""
        self._settle(None)
        self.cell.watchers = tuple(w for w in self.cell.watchers if w != self._settle)


def the_body(loop: Loop, name: str | None) -> str:
    """Return the body meant: the named one, or the only one there is."""
    if problem := _no_body(name, loop.graph.bodies):
        raise AssemblyError([problem])
    return name or loop.graph.bodies[0]


def impossible(stop: Until, bodies: Sequence[str], outputs: Mapping[str, Port]) -> Problem | None:
    """Say why a stop cannot be watched: no such body, no such output (`component.port`), a value per lane."""
    if stop.kind == "time":
        return None
    if stop.kind != "port":
        return _no_body(stop.component, bodies)
    address = f"{stop.component}.{stop.port}"
    if address not in outputs:
        return Problem(f"there is no output {address!r}", "until", nearest(address, outputs))
    if outputs[address].per_lane:
        return Problem(f"{address} has a value per lane; a stop needs one value for all lanes", "until")
    return None


def _no_body(name: str | None, bodies: Sequence[str]) -> Problem | None:
    if name in bodies or (name is None and len(bodies) == 1):
        return None
    if name is not None:
        return Problem(f"{name!r} is no body", "until", nearest(name, bodies))
    what = "there is no body to count" if not bodies else f"there are {len(bodies)} bodies: {', '.join(bodies)}"
    return Problem(what, "until", "Write for example `30000 steps of body`, or a time such as 10 s.")


def watch(loop: Loop, stop: Until) -> tuple[bool, Callable[[], None] | None]:
    """Halt the loop when a stop that is not a time is reached.

    Returns whether it is reached already, and what ends the watch.
    """
    if stop.kind == "port":
        return _watch_port(loop, stop)
    counter = loop.counter(stop.component)
    cell, most = counter.cell, counter.cell.lanes  # one publication adds at most one for each lane
    due = cell.count

    def look(now: int) -> None:
        nonlocal due
        if cell.count < due:
            return
        left = stop.amount - getattr(counter, stop.kind)
        due = cell.count + -(-left // most)
        if left <= 0:
            loop.halt()

    reached = getattr(counter, stop.kind) >= stop.amount
    return reached, None if reached else loop.attend(look)


def _watch_port(loop: Loop, stop: Until) -> tuple[bool, Callable[[], None] | None]:
    if problem := impossible(stop, loop.graph.bodies, {key: cell.port for key, cell in loop.cells.items()}):
        raise AssemblyError([problem])
    address = f"{stop.component}.{stop.port}"

    def look(now: int) -> None:
        value = loop.peek(address)
        if value is not None and bool(value):
            loop.halt()

    value = loop.peek(address)
    reached = value is not None and bool(value)
    return reached, None if reached else loop.attend(look)
