"""Running an assembly into a run directory: recorded, saved now and then, stopped cleanly, resumed exactly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..loops import checkpoint
from ..loops.errors import AssemblyError, Problem, Problems, RunError
from ..loops.latency import analyse
from ..loops.loop import Loop
from ..loops.recorder import POLL_SECONDS, Recorder
from ..loops.run_directories import new_run_directory
from ..loops.until import Until
from . import entries, identity, recording, settings
from .progress import Progress
from .settings import Settings

if TYPE_CHECKING:
    from ..loops.runs import Run
    from .assembly import Assembly

CHECKPOINTS = "checkpoints"
_EVERY, _KEEP = "10 min wall", 3  # of checkpoints, where the file says nothing
_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


@dataclass
class Outcome:
    """How a run ended: `finished`, `interrupted` (saved, to be resumed) or, when an error passed through, `failed`."""

    path: Path
    reason: str
    facts: dict[str, float] = field(default_factory=dict)
    notices: list[Problem] = field(default_factory=list)


def run(assembly: Assembly, until: str | int | None = None, **options: Any) -> Run:
    """Run an assembly, recorded, and return the run; options as for `start`.

    Ctrl-C saves the run and then raises KeyboardInterrupt, so that a script stops too.
    """
    from ..loops.runs import open as open_run

    outcome = start(assembly, until, **options)
    if outcome.reason == "interrupted":
        raise KeyboardInterrupt(f"the run is saved; go on with: stimloop resume {outcome.path}")
    return open_run(outcome.path)


def start(assembly: Assembly, until: str | int | None = None, *, folder: Path | None = None, show: bool | None = None,
          allowed: Settings | None = None, speed: float | None = None,
          prepare: Callable[[Loop], None] | None = None) -> Outcome:
    """Build an assembly and run it into a new directory below `folder` (default: runs/).

    `show` draws progress (default: on a terminal), `speed` keeps pace with the wall clock (1: real time), `prepare`
    is called with the loop before it runs.
    """
    allowed = allowed or settings.read()
    assembly = assembly.resolve()
    stop = _stop(assembly, until)
    loop = _build(assembly, allowed, speed)
    try:
        problems = loop.graph.problems
        chains = analyse(loop.graph)
        streams = recording.streams(loop, assembly.get("record"), stop, problems)
        path = _directory(folder or allowed.runs, assembly)
        attributes = identity.attributes(assembly, loop, stop, [str(chain) for chain in chains],
                                 [stream.key for stream in streams])
        recorder = Recorder(path, streams, attributes)
        return _Session(assembly, loop, recorder, stop, show, prepare).execute()
    finally:
        loop.close()


def resume(path: Path, until: str | int | None = None, *, show: bool | None = None, allowed: Settings | None = None,
           prepare: Callable[[Loop], None] | None = None) -> Outcome:
    """Go on with a run from its newest whole checkpoint (or from the beginning), exactly as if it had never stopped."""
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    assembly = identity.assembly_of(attributes, allowed)
    if until is not None:
        assembly = assembly.set("until", until)
    stop = _stop(assembly, until if until is not None else attributes.get("until"))
    state = _newest(path)
    rows = state.pop("recorder") if state else {"streams": {}, "evaluations": {}}
    loop = _build(assembly, allowed, None)
    try:
        streams = recording.streams(loop, attributes.get("recorded", assembly.get("record")), stop, Problems())
        recorder = Recorder(path, streams, {"until": str(stop), "ended": "running"}, resume=True, rows=rows)
        if state:
            loop.load(state)
        return _Session(assembly, loop, recorder, stop, show, prepare).execute()
    finally:
        loop.close()


def evaluate(path: Path, names: list[str] | None = None, *, changes: Mapping[str, Any] | None = None,
             allowed: Settings | None = None) -> dict[str, dict[str, Any]]:
    """Evaluate what a run has learned by its newest checkpoint; returns one row for each evaluation. Writes nothing."""
    path = Path(path)
    allowed = allowed or settings.read()
    assembly = identity.assembly_of(identity.read_attributes(path), allowed)
    if not assembly.get("evaluate"):
        assembly = assembly.set("evaluate.test", {"every": "1 episode", "episodes": 10, "without": _learners(assembly)})
    assembly = assembly.set(changes) if changes else assembly
    state = _newest(path)
    if state is None:
        raise RunError(f"{path} has no checkpoint to evaluate; run it to its end, or resume it first")
    state.pop("recorder")
    loop = _build(assembly, allowed, None)
    try:
        loop.load(state)
        for name in names or ():
            if name not in loop.evaluations:
                raise RunError(f"{path} has no evaluation {name!r}; it has {', '.join(loop.evaluations)}")
        return {name: evaluation.evaluate() for name, evaluation in loop.evaluations.items()
                if not names or name in names}
    finally:
        loop.close()


def _newest(path: Path) -> dict[str, Any] | None:
    state = checkpoint.newest(path / CHECKPOINTS)
    if state is not None and "recorder" not in state:
        raise RunError(f"the newest checkpoint in {path} says nothing of recorded rows; it was not written by a run")
    return state


def _learners(assembly: Assembly) -> list[str]:
    from ..catalogue.lookup import LookupFailed, find

    found = []
    for name in assembly.components:
        try:
            uses = find(assembly.get(f"{name}.type")).uses
        except LookupFailed:
            continue
        if any(use.changes for use in uses.values()):
            found.append(name)
    return found


def _build(assembly: Assembly, allowed: Settings, speed: float | None) -> Loop:
    from .wiring import build

    if speed is None:
        return build(assembly, allowed)
    from ..loops.realtime import RealtimeLoop

    return build(assembly, allowed, lambda system, problems: RealtimeLoop(system, speed, problems=problems))


def _stop(assembly: Assembly, until: str | int | None) -> Until:
    until = until if until is not None else assembly.until
    if until is None:
        raise AssemblyError([Problem("nothing says when to stop", "until", "Write until: 10 s, 30000 steps or 10 "
                                     "episodes in the file, or give --until.")], assembly.name)
    return Until.parse(until)


def _directory(folder: Path, assembly: Assembly) -> Path:
    """Make the run's own directory; nobody else can have it."""
    variant = assembly.origin.variant + ("_small" if assembly.origin.is_small else "")
    try:
        return new_run_directory(folder, assembly.name, variant, assembly.seed, assembly.hash)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error}. Choose another folder with --out") from error


class _Session:
    """One execution of a built loop into a recorder."""

    def __init__(self, assembly: Assembly, loop: Loop, recorder: Recorder, stop: Until, show: bool | None,
                 prepare: Callable[[Loop], None] | None) -> None:
        self.loop, self.recorder, self.stop = loop, recorder, stop
        self.asked: str | None = None  # the signal that asked to stop
        for key in recorder.streams:
            tap = recorder.tap(key)
            if tap is not None:
                loop.tap(key, tap)
        for evaluation in loop.evaluations.values():
            evaluation.sinks.append(recorder.write_evaluation)
        entry = assembly.get("checkpoint") or {}
        self.keep = entry.get("keep", _KEEP)
        self.amount, self.unit = entries.checkpoint_every(entry.get("every", _EVERY), "checkpoint.every", Problems())
        self.saves = all(component.resumes != "no" for component in loop.components.values())
        self.counter = loop.counter() if self.unit in ("steps", "episodes") else None
        self.progress = Progress(loop, stop, assembly.name, show)
        if prepare is not None:
            prepare(loop)

    def execute(self) -> Outcome:
        """Run to the stop, or to a signal; the recorder is closed whatever happens."""
        self._wall_saved = self._wall_polled = time.perf_counter()
        self._passed = self._count()
        reason = "failed"
        release = self.loop.attend(self._between)
        self.progress.begin()
        try:
            with self._signals():
                self.loop.run(self.stop)
            reason = "interrupted" if self.asked else "finished"
            self._save()
        finally:
            release()
            self.progress.close()
            facts = {**self.progress.facts(), **self._lateness()}
            self._close(reason, facts)
        return Outcome(self.recorder.path, reason, facts, list(self.loop.notices))

    def _lateness(self) -> dict[str, float]:
        """How late a real-time loop was at the ends of its instants, in milliseconds."""
        late = getattr(self.loop, "late", None)
        if late is None or not len(late):
            return {}
        import numpy as np

        return {f"late_ms_{name}": float(np.quantile(late, part)) / 1e6
                for name, part in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0))}

    def _close(self, reason: str, facts: Mapping[str, float]) -> None:
        self.recorder.annotate({"ended": reason, "now": self.loop.now,
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
        if self.saves:
            rows = self.recorder.commit()
            checkpoint.write({**self.loop.save(), "recorder": rows}, self.recorder.path / CHECKPOINTS, self.keep)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGUSR1 stop the loop after the present instant; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = signal.Signals(number).name
            self.loop.halt()

        before = {getattr(signal, name): signal.signal(getattr(signal, name), ask) for name in _SIGNALS
                  if hasattr(signal, name)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
