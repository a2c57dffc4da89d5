"""Progress on a terminal: how far, steps a second, how much faster than life; silent everywhere else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from ..loops.until import Until

if TYPE_CHECKING:
    from ..loops.loop import Loop

EVERY = 1.0  # seconds between two updates


class Progress:
    """Watches a loop while it runs; `update` is called now and then between two instants."""

    def __init__(self, loop: Loop, until: Until, name: str, show: bool | None = None) -> None:
        self.shown = sys.stderr.isatty() if show is None else show
        self._loop, self._until, self._name = loop, until, name
        self._counter = self._count()
        self._bar: Any = None
        self._last = -1e9
        self._mark()

    def _count(self) -> Any:
        bodies = self._loop.graph.bodies
        if self._until.component in bodies:
            return self._loop.counter(self._until.component)
        return self._loop.counter() if len(bodies) == 1 else None

    def begin(self) -> None:
        """Count from here."""
        self._mark()
        self.update()

    def _mark(self) -> None:
        """Note where this session begins."""
        self._wall, self._now, self._evaluated = time.perf_counter(), self._loop.now, self._evaluations()
        self._steps = self._counter.steps if self._counter else 0

    def _evaluations(self) -> float:
        return sum(evaluation.seconds for evaluation in self._loop.evaluations.values())

    @property
    def fraction(self) -> float | None:
        """How far the run is, 0 to 1; None where nobody can know."""
        if not self._until.amount:
            return None
        if self._until.kind == "time":
            return min(1.0, self._loop.now / self._until.amount)
        return min(1.0, getattr(self._counter, self._until.kind) / self._until.amount) if self._counter else None

    def facts(self) -> dict[str, float]:
        """Simulated seconds, steps and episodes of the whole run; the same and the speeds of this session.

        Speeds are those of the loop: time spent on evaluations does not count.
        """
        wall, evaluated = time.perf_counter() - self._wall, self._evaluations() - self._evaluated
        simulated, own = (self._loop.now - self._now) / 1e9, max(wall - evaluated, 1e-9)
        found = {"simulated_s": self._loop.now / 1e9, "session_simulated_s": simulated, "wall_s": wall,
                 "evaluation_s": evaluated, "real_time_factor": simulated / own}
        if self._counter:
            steps = self._counter.steps - self._steps
            found |= {"steps": self._counter.steps, "session_steps": steps,
                      "episodes": self._counter.episodes, "steps_per_s": steps / own}
        return found

    def update(self, force: bool = False) -> None:
        """Show where the run is, at most once a second."""
        if not self.shown or (not force and time.perf_counter() - self._last < EVERY):
            return
        self._last = time.perf_counter()
        bar, fraction, facts = self._open(), self.fraction, self.facts()
        rate = f"{facts['steps_per_s']:,.0f} steps/s  " if "steps_per_s" in facts else ""
        text = f"{self._loop.now / 1e9:,.1f} s  {rate}{facts['real_time_factor']:,.1f}x real time"
        bar.update(0, completed=fraction or 0, total=None if fraction is None else 1, text=text, refresh=True)

    def _open(self) -> Any:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"), progress.BarColumn(bar_width=24),
                progress.TextColumn("{task.fields[text]}"), progress.TextColumn("· left"),
                progress.TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False)
            self._bar.add_task(self._name, total=1, text="")
            self._bar.start()
        return self._bar

    def close(self) -> None:
        """Leave the last line as it is."""
        if self._bar is not None:
            self.update(force=True)
            self._bar.stop()
            self._bar = None
