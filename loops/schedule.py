"""Schedules as text: who steps at which instant, in which order (after mosaik's execution graphs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .component import Inputs
from .loop import Loop
from .system import System
from .time import say

Step = Callable[[int, Inputs], dict[str, Any]]


class ScheduleWatch:
    """Writes down every step of a loop while it is open; `rows` holds (instant in ns, component)."""

    def __init__(self, loop: Loop) -> None:
        self.rows: list[tuple[int, str]] = []
        self._before = [(node, node.step) for node in loop.plan]  # a profile may be watching too
        for node, step in self._before:
            node.step = self._noted(node.name, step)  # type: ignore[assignment]

    def _noted(self, name: str, step: Step) -> Step:
        def noted(now: int, inputs: Inputs) -> dict[str, Any]:
            self.rows.append((now, name))
            return step(now, inputs)

        return noted

    def close(self) -> None:
        """Stop writing down; may be called twice."""
        for node, step in self._before:
            node.step = step  # type: ignore[assignment]
        self._before = []

    def __enter__(self) -> ScheduleWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        """One line per instant: `10ms body  10ms brain  10ms learner`."""
        lines: dict[int, list[str]] = {}
        for now, name in self.rows:
            lines.setdefault(now, []).append(f"{say(now).replace(' ', '')} {name}")
        return "\n".join("  ".join(line) for line in lines.values())


def schedule(system: System, instants: int) -> str:
    """Run a system for so many instants (no evaluations) and return its schedule, one line per instant.

    An external component is written down and answered with nothing.
    """
    with Loop(replace(system, evaluations={})) as loop, ScheduleWatch(loop) as watch:
        for _ in range(instants):
            following = loop.next_instant()
            if following is None:
                break
            loop.run(following + 1)
            while loop.pending is not None:
                watch.rows.append((loop.last, loop.pending))
                loop.answer({})
        return str(watch)
