"""The scalars of a run into a sink, once or for as long as the run is being written."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from ...loops.errors import RunError, counted
from ...loops.storage.runs import Run
from ...loops.storage.stored import JOURNAL
from ...loops.time import say
from .export_tensorboard import TensorBoard
from .export_wandb import Wandb
from .scalars import Scalars
from .sinks import Sink

SINKS: dict[str, Callable[[Path, Run, Scalars], Sink]] = {"tensorboard": TensorBoard, "wandb": Wandb}
PAUSE = 2.0  # seconds between two looks at a run; longer where a look takes longer


def export_scalars(path: Path, to: str, out: Path | None, follow: bool, tell: Callable[[str], None]
                   ) -> tuple[dict[str, Any], str]:
    """Write the scalars of a run into a sink; returns what was written, and its text.

    The run is only read. With `follow` it goes on until the run has ended or somebody interrupts it.
    """
    run = Run(path)
    while follow and _is_to_begin(run):
        time.sleep(0.1)
    run.refresh()  # it may have begun since it was opened
    if not run.attributes:
        raise RunError(f"{path} was stopped before it began; there is nothing to export")
    where = out or run.path.absolute().parent / f"{run.path.absolute().stem}.{to}"
    scalars = Scalars(run)
    sink = SINKS[to](where, run, scalars)
    written = _Written(path, scalars, sink)
    try:
        if follow:
            tell(f"following {path} over {scalars.axis_in_words}; Ctrl-C ends it, and harms nothing\n{sink.look}")
        with _asked_to_stop() as asked:
            _write(run, written, follow, asked)
    except KeyboardInterrupt:
        sink.close()
        raise KeyboardInterrupt(f"stopped following: {written.text()}\nfollow again, from the start: stimloop export "
                                f"{path} --to {to} --follow") from None
    except BaseException:
        with suppress(RunError):  # the first failure is the one to tell
            sink.close()
        raise
    sink.close()
    return {**written.facts(), "to": str(where), "look": sink.look}, f"{written.text()}\n{where}\n{sink.look}"


def _is_to_begin(run: Run) -> bool:
    """Is somebody about to write this run, who has not said yet what it holds?"""
    return run.state == "running" and not (run.path / JOURNAL).stat().st_size


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """While this lasts, Ctrl-C is taken note of: in the middle of a sink's own locks it could leave one closed."""
    asked: list[int] = []  # signals so far
    if current_thread() is not main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _write(run: Run, written: _Written, follow: bool, asked: list[int]) -> None:
    while True:
        begun = time.monotonic()
        ended = run.state != "running"  # asked before the look, which then misses nothing
        try:
            written.add(ended)
        except RunError as error:
            if (run.path / JOURNAL).is_file():
                raise
            raise RunError(f"{run.path} was moved or removed while it was followed, after "
                           f"{counted(written.points, 'point')}. If it was moved, export it from where it lies now"
                           ) from error
        if ended or not follow:
            return
        until = time.monotonic() + max(PAUSE, time.monotonic() - begun)
        while not asked and time.monotonic() < until:
            time.sleep(0.05)
        if asked:
            raise KeyboardInterrupt


class _Written:
    """What has reached the sink so far."""

    def __init__(self, path: Path, scalars: Scalars, sink: Sink) -> None:
        self._path, self._scalars, self._sink = path, scalars, sink
        self._names: set[str] = set()
        self.points = 0

    def add(self, whole: bool) -> None:
        """Take what is new in the run to the sink."""
        points = self._scalars.look(whole)
        self._sink.write(points)
        self._names |= {point.name for point in points}
        self.points += len(points)

    def facts(self) -> dict[str, Any]:
        run = self._scalars.run
        return {"run": str(self._path), "state": run.state, "damage": run.damage, "scalars": sorted(self._names),
                "points": self.points, "axis": self._scalars.axis_in_words, "reached_ns": self._scalars.reached,
                "reached": self._scalars.at(self._scalars.reached)}

    def text(self) -> str:
        """Say in words where it stands."""
        return (f"{counted(self.points, 'point')} of {counted(len(self._names), 'scalar')} over "
                f"{self._scalars.axis_in_words}, up to "
                f"{self._scalars.at(self._scalars.reached)} ({say(self._scalars.reached)}) of a run that is "
                f"{self._scalars.run.state}")
