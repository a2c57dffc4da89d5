"""One execution of a built loop into a recorder: saved now and then, stopped cleanly by signals."""

from __future__ import annotations

import gc
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assemblies import entries, hearing
from ..loops.errors import Problem, Problems, notes
from ..loops.errors import reason as why
from ..loops.heard import Heard
from ..loops.loop import Loop
from ..loops.storage import checkpoint
from ..loops.storage.recorder import POLL_SECONDS, Recorder
from ..loops.until import Until
from .progress import Progress

if TYPE_CHECKING:
    from .assembly import Assembly

CHECKPOINTS = "checkpoints"
_EVERY, _KEEP = "10 min wall", 3  # of checkpoints, where the file says nothing
_LONGEST_ERROR = 1000  # characters of an error that a run keeps
GENTLE = "SIGUSR1"
_SIGNALS = ("SIGINT", "SIGTERM", GENTLE)


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Leave what is alive before a run out of Python's garbage collection meanwhile.

    A full collection comes once a quarter of what is alive has been added, which beside torch and physics takes hours
    of small circles (15 MB an hour in a soak of half an hour); without those it comes often, and is quick.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # only this counts anew how much is alive, of which a quarter has to be added
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass
class Outcome:
    """How a run ended: `finished`, `interrupted`, `already there`, or `failed` when an error passed through."""

    path: Path
    reason: str
    facts: dict[str, float] = field(default_factory=dict)
    notices: list[Problem] = field(default_factory=list)
    unsaved: tuple[str, ...] = ()  # components that cannot be saved, so that the run cannot be resumed

    @property
    def way_on(self) -> str:
        """What may be done about a run that was interrupted."""
        if self.unsaved:
            return f"not saved: {', '.join(self.unsaved)} cannot be resumed, so begin a new run to go further"
        return f"saved; go on with: stimloop resume {self.path}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an interrupt that says nothing (what is done is no step of the loop) name the run that it stops."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        if stopped.args:
            raise
        way_on = (f"\ngo on from its last checkpoint with: stimloop resume {path}"
                  if checkpoint.has_any(path / CHECKPOINTS) else "")
        raise KeyboardInterrupt(f"stopped at once: {path}{way_on}") from stopped


class Session:
    """One execution of a built loop into a recorder."""

    def __init__(self, assembly: Assembly, loop: Loop, recorder: Recorder, stop: Until, show: bool | None,
                 prepare: Callable[[Loop], None] | None, origin: Mapping[str, Any]) -> None:
        self.assembly, self.loop, self.recorder, self.stop = assembly, loop, recorder, stop
        self.origin = dict(origin)  # of which run every checkpoint is
        self.asked: str | None = None  # the signal that asked to stop
        for key in recorder.streams:
            tap = recorder.tap(key)
            if tap is not None:
                loop.tap(key, tap)
        for evaluation in loop.evaluations.values():
            evaluation.sinks.append(recorder.write_evaluation)
            evaluation.rows = deque(maxlen=1)  # the record holds them: memory stays as it is, however long the run
        entry = assembly.get("checkpoint") or {}
        self.keep = entry.get("keep", _KEEP)
        self.amount, self.unit = entries.checkpoint_every(entry.get("every", _EVERY), "checkpoint.every", Problems())
        self.unsaved = tuple(name for name, component in loop.components.items() if component.resumes == "no")
        for body in loop.graph.bodies:
            loop.counter(body)  # a later session may stop at a count, which is a total since t = 0
        self.heard = Heard(loop)
        self.counter = loop.counter() if self.unit in ("steps", "episodes") else None
        self.progress = Progress(loop, stop, assembly.name, show)
        if prepare is not None:
            prepare(loop)

    def execute(self) -> Outcome:
        """Run to the stop, or to a signal; the recorder is closed whatever happens."""
        self._wall_saved = self._wall_polled = time.perf_counter()
        self._passed = self._count()
        if self.loop.last < 0:  # save after the first instant: whatever comes then, there is something to go on from
            self._wall_saved, self._passed = -math.inf, -1
        reason, error = "failed", ""
        release = self.loop.attend(self._between)
        self.progress.begin()
        try:
            with self._signals(), frozen_garbage():
                self.loop.run(self.stop)
            reason = "interrupted" if self.asked else "finished"
            self._save()
        except BaseException as failure:  # noted for whoever looks at the run later
            error = " ".join([why(failure), *(f"({note})" for note in notes(failure))])
            raise
        finally:
            release()
            self.progress.close()
            facts = {**self.progress.facts(), **self._lateness()}
            self._close(reason, facts, error)
        return Outcome(self.recorder.path, reason, facts, [*self.loop.notices, *self.heard.problems()], self.unsaved)

    def _lateness(self) -> dict[str, float]:
        """How late a real-time loop was at the ends of its instants, in milliseconds."""
        late = getattr(self.loop, "late", None)
        if late is None or not late.instants:
            return {}
        return {"late_ms_p50": late.quantile(0.5) / 1e6, "late_ms_p99": late.quantile(0.99) / 1e6,
                "late_ms_worst": late.worst / 1e6}

    def _close(self, reason: str, facts: Mapping[str, float], error: str) -> None:
        self.recorder.annotate({"ended": reason, "error": " ".join(error.split())[:_LONGEST_ERROR],
                                "now": self.loop.now, "unheard": list(map(str, self.heard.problems())),
                                "facts": {key: float(value) for key, value in facts.items()}})
        self.recorder.close(reason)

    def _count(self) -> int:
        if self.unit == "wall":
            return 0
        return (self.loop.now if self.counter is None else getattr(self.counter, self.unit)) // self.amount

    def _between(self, now: int) -> None:
        wall = time.perf_counter()
        if self.asked:
            self.loop.halt()
            return
        if self.unit == "wall":
            due = wall - self._wall_saved >= self.amount / 1e9
        else:
            count = self._count()
            due, self._passed = count > self._passed, count
        if due:
            self._save()
            self._wall_saved = time.perf_counter()
        if wall - self._wall_polled >= POLL_SECONDS:
            self.recorder.poll()
            self.progress.update()
            self._wall_polled = time.perf_counter()

    def _save(self) -> None:
        if not self.unsaved:
            rows = self.recorder.commit()
            state = {**self.loop.save(), "recorder": rows, "origin": self.origin}
            checkpoint.write(state, self.recorder.path / CHECKPOINTS, self.keep)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGUSR1 stop the loop after the present instant; a second one stops at once.

        A second SIGUSR1 does not: programs send it, and cannot know who has heard of the first.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            if self.asked and signal.Signals(number).name == GENTLE:
                return
            if self.asked:
                path = self.recorder.path
                raise KeyboardInterrupt(f"stopped at once, without saving: {path}" + (
                    "" if self.unsaved else f"\ngo on from its last checkpoint with: stimloop resume {path}"))
            self.asked = signal.Signals(number).name
            self.loop.halt()
            hearing.answer(number, f"{self.assembly.name} stops after the present instant, " + (
                f"unsaved ({', '.join(self.unsaved)} cannot be)" if self.unsaved else "and saves"))

        before = {getattr(signal, name): signal.signal(getattr(signal, name), ask) for name in _SIGNALS
                  if hasattr(signal, name)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
