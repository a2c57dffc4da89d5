"""Did any step reach each learner of a loop? One that only ever heard of beginnings and waiting has learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import Problem
from .shapes import Wire
from .status import count_steps
from .time import say
from .views import is_learner

if TYPE_CHECKING:
    from .loop import Loop


class Heard:
    """Looks at the status that each learner is wired to until a step is said, and costs nothing from then on.

    In a loop that was loaded, steps before count where the body's are counted; of any other sender nobody knows, and
    it is given the benefit of the doubt. A value counts when it arrives, after the delay of its wire.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        learners = [wire for wire in loop.graph.wires if is_learner(loop.components[wire.receiver])
                    and wire.receiver in loop.nodes]
        self._seen = [_First(loop, wire, lambda observation: observation is not None) for wire in learners
                      if wire.input == "observation"]
        self._watched = [_First(loop, wire, count_steps) for wire in learners if wire.input == "status"]

    def problems(self) -> list[Problem]:
        """Return a notice for each learner that no step has reached, or no observation."""
        deaf = {each.wire.receiver: self._no_step(each.wire, why) for each in self._watched if (why := each.missing())}
        blind = {each.wire.receiver: self._no_observation(each.wire, why) for each in self._seen
                 if (why := each.missing())}
        return list({**blind, **deaf}.values())

    def _no_step(self, wire: Wire, why: str) -> Problem:
        return Problem(f"no step ever reached {wire.receiver}, so it has learned nothing: {why}",
                       f"{wire.receiver}.inputs.status", "Run for longer; send `begin` to lanes that wait; or wire "
                       "this input to the status of the body that acts.", notice=True)

    def _no_observation(self, wire: Wire, why: str) -> Problem:
        return Problem(f"never heard an observation, so it has learned nothing: {why}",
                       f"{wire.receiver}.inputs.observation", "Run for longer, lower the delay, or look with "
                       "--trace 20 at who speaks.", notice=True)


class _First:
    """The first value on a learner's wire that counts, and when it arrives."""

    def __init__(self, loop: Loop, wire: Wire, counts: Callable[[Any], Any]) -> None:
        self.wire, self._loop, self._cell, self._counts = wire, loop, loop.cell(str(wire.source)), counts
        self._arrival: int | None = None
        counter = loop.counters.get(wire.source.component)
        if counter.steps if counter is not None else loop.last >= 0:
            self._arrival = wire.source.delay  # at the earliest
        else:
            self._cell.watchers += (self._look,)

    def _look(self, value: Any) -> None:
        if self._counts(value):
            self._arrival = int(self._loop.env.now) + self.wire.source.delay
            self._cell.watchers = tuple(watcher for watcher in self._cell.watchers if watcher != self._look)

    def missing(self) -> str:
        """Say why none has come by now; empty where one has."""
        arrival = self._arrival
        if arrival is not None:
            return "" if arrival <= self._loop.now else (
                f"the first arrives at {say(arrival)}, and all ended at {say(self._loop.now)}")
        if self._cell.value is None:
            return f"{self.wire.source} has said nothing"
        return f"{self.wire.source} has only said that episodes begin, or that lanes wait"
