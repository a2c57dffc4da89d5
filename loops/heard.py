"""Did any step reach each learner of a loop? One that only ever heard of beginnings and waiting has learned nothing."""

from __future__ import annotations

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
    it is given the benefit of the doubt.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        learners = [wire for wire in loop.graph.wires if is_learner(loop.components[wire.receiver])
                    and wire.receiver in loop.nodes]
        self._seen = [wire for wire in learners if wire.input == "observation"]
        self._watched = [_Status(loop, wire) for wire in learners if wire.input == "status"]

    def problems(self) -> list[Problem]:
        """Return a notice for each learner that no step has reached."""
        silent = [Problem(f"never heard an observation: {wire.source} has published none", f"{wire.receiver}.inputs."
                          "observation", "Run for longer, or look with --trace 20 at who speaks.", notice=True)
                  for wire in self._seen if self._loop.peek(str(wire.source)) is None]
        return [*(problem for each in self._watched if (problem := each.problem())), *silent]


class _Status:
    """One learner's status wire."""

    def __init__(self, loop: Loop, wire: Wire) -> None:
        self._loop, self._wire, self._cell = loop, wire, loop.cell(str(wire.source))
        self._arrival: int | None = None  # of the first step
        counter = loop.counters.get(wire.source.component)
        if counter.steps if counter is not None else loop.last >= 0:
            self._arrival = 0
        else:
            self._cell.watchers += (self._look,)

    def _look(self, status: Any) -> None:
        if count_steps(status):
            self._arrival = int(self._loop.env.now) + self._wire.source.delay
            self._cell.watchers = tuple(watcher for watcher in self._cell.watchers if watcher != self._look)

    def problem(self) -> Problem | None:
        """Say that no step has come by now, and why; None where one has."""
        source, arrival = self._wire.source, self._arrival
        if arrival is not None and arrival <= self._loop.now:
            return None
        if arrival is not None:
            why = f"the first arrives at {say(arrival)}, and all ended at {say(self._loop.now)}"
        elif self._cell.value is None:
            why = f"{source} has said nothing"
        else:
            why = f"{source} has only said that episodes begin, or that lanes wait"
        return Problem(f"no step ever reached {self._wire.receiver}, so it has learned nothing: {why}",
                       f"{self._wire.receiver}.inputs.status", "Run for longer; send `begin` to lanes that wait; or "
                       "wire this input to the status of the body that acts.", notice=True)
