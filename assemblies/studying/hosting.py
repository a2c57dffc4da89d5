"""Working on the cells of a stage with a fleet, whose processes may be lost at any moment.

The folders of the cells are the one truth here too: a process of the fleet claims its cell as any other does, and this
side only looks for cells that nobody holds, has a process started for each, and says what begins and ends.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...loops.errors import StimloopError
from ...loops.fleet import Ended, Fleet
from .. import hearing
from ..settings import Settings
from . import claims
from .cells import Cell
from .far import far
from .records import FAILED, STUDY, write
from .states import ENDED, Cells
from .working import POLL_SECONDS, SAVED, Say, ended_line, own_first

LOSSES = 3  # in a row, without a new checkpoint between, after which a cell counts as failed
SEEN_WITHIN = 60.0  # seconds within which a network disk shows here what was written elsewhere
RunCell = Callable[["Told", str, str], "Report"]
_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")  # SIGINT too: a job in the background is begun with it ignored


class HostingError(StimloopError, RuntimeError):
    """Machines of a fleet do not share the folder of the study, or not its code."""


@dataclass(frozen=True)
class Report:
    """What a process of the fleet says of its cell: how it ended (`working.run_free`), and on which machine."""

    ended: str
    machine: str


@dataclass(frozen=True)
class Told:
    """What a process on whatever machine is told of a study."""

    study: str  # its name, or the path of its file
    small: bool
    retrain: bool
    folder: Path  # of the cells
    allowed: Settings
    here: Path = field(default_factory=Path.cwd)  # where the command was given: relative paths begin there

    def enter(self) -> None:
        """Go where the command was given; raises HostingError where this machine does not share its folders."""
        for needed in (self.here, self.folder / STUDY):
            if not needed.exists():
                raise HostingError(f"{platform.node()} does not see {needed}. All machines of a cluster must share "
                                   "the folder where the command is given, and the one of the cells (--out), by the "
                                   "same paths")
        os.chdir(self.here)

    def cell(self, cells: Cells, stage: str, identity: str) -> Cell:
        """Return a cell of a stage as this machine reads it; raises HostingError where it reads another study."""
        found = next((cell for cell in cells.cells if cell.identity == identity), None)
        if found is None:
            raise HostingError(f"{platform.node()} reads {self.study} otherwise than the machine where the command was "
                               f"given: stage {stage} has no cell {identity}. The files of the study must be the same "
                               "everywhere, and stay as they are while it runs")
        return found

    def report(self, ended: str) -> Report:
        """Return what is answered."""
        return Report(ended, platform.node())


class Hosted:
    """A fleet that works on the stages of one study."""

    def __init__(self, fleet: Fleet, told: Told) -> None:
        self.fleet, self.told = fleet, told

    def work_on(self, cells: Cells, stage: str, shard: tuple[int, int], run_cell: RunCell, say: Say) -> None:
        """Have the fleet run cells until none is left that nobody has ended.

        Ctrl-C, SIGTERM and SIGUSR1 let every running cell save and stop; a second one stops at once.
        """
        hosting = Hosting(cells, shard, self.fleet, partial(run_cell, self.told, stage), say)
        if not hosting.unended():
            return
        if self.fleet.connect():  # before the signals: Ray sets its own
            say(str(self.fleet))
        _host(hosting, self.fleet)


def _host(hosting: Hosting, fleet: Fleet) -> None:
    with _signals_as_interrupt():
        try:
            while (left := hosting.unended()) or fleet.running:  # a folder may show an end before the fleet tells it
                hosting.start(left)
                hosting.look(POLL_SECONDS)
        except BaseException as stopped:
            fleet.interrupt()
            while fleet.running:
                fleet.ended(POLL_SECONDS)
            if isinstance(stopped, KeyboardInterrupt):
                raise KeyboardInterrupt(SAVED) from None
            raise


class Hosting:
    """What is known on this side of the cells under way."""

    def __init__(self, cells: Cells, shard: tuple[int, int], fleet: Fleet, work: Callable[[str], Report],
                 say: Say) -> None:
        self.cells, self.fleet, self.work, self.say = cells, fleet, work, say
        self.ordered = own_first(cells.cells, shard)
        self.named = {cell.identity: cell for cell in cells.cells}
        self._silent: set[str] = set()  # identities of cells that were started, and have not been seen to begin
        self._untold: set[str] = set()  # of those that were started, and whose end has not been said
        self._losses: dict[str, tuple[list[str], int]] = {}  # by identity: checkpoints then, and how often in a row
        self._given_up: dict[str, str] = {}  # by identity, why

    def unended(self) -> list[Cell]:
        """Return the cells that nobody has ended yet."""
        return [cell for cell in self.ordered if self.cells.state(cell) not in ENDED]

    def start(self, left: list[Cell]) -> None:
        """Start what nobody holds, as far as there is room."""
        for cell in left:
            name = cell.identity
            if name in self.fleet.running or claims.owner(self.cells.path(cell)) is not None:
                continue
            if name in self._given_up:
                self._fail(cell)
            elif self.fleet.has_room:
                self.fleet.start(name, self.work, name)
                self._silent.add(name)
                self._untold.add(name)

    def look(self, seconds: float) -> None:
        """Wait a while for cells to end, and say what has begun, ended, or was lost."""
        over = self.fleet.ended(seconds)
        for name in sorted(self._silent):
            if claims.owner(self.cells.path(self.named[name])) is not None:
                self._begins(name)
        for ended in over:
            self._ended(self.named[ended.name], ended)

    def _begins(self, name: str) -> None:
        self._silent.remove(name)
        now = far(self.cells)
        number = self._ends(self._silent) + sum(each.cell.identity not in self._silent for each in now.running)
        self.say(f"{self.named[name].called}: begins ({number}/{now.of})")

    def _ends(self, aside: set[str]) -> int:
        """Return how many cells have ended, but some of which people have not been told yet."""
        return sum(cell.identity not in aside and self.cells.state(cell) in ENDED for cell in self.cells.cells)

    def _ended(self, cell: Cell, ended: Ended) -> None:
        if ended.error is not None:
            raise ended.error
        behind = bool(ended.lost) and self.cells.state(cell) in ENDED  # its process went when its work was done
        if ended.lost and not behind:
            self._lost(cell, ended.lost)
        elif behind or (not ended.cancelled and ended.answer.ended in ENDED):
            if not behind:
                self._wait_until_seen(cell, ended.answer)
            if cell.identity in self._silent:  # it took less than a look
                self._begins(cell.identity)
            self._tell_end(cell)
        self._silent.discard(cell.identity)
        self._untold.discard(cell.identity)

    def _tell_end(self, cell: Cell) -> None:
        self._untold.discard(cell.identity)
        self.say(ended_line(self.cells, cell, f"({self._ends(self._untold)}/{len(self.cells.cells)})"))

    def _lost(self, cell: Cell, why: str) -> None:
        """Note that the process of a cell is gone; the cell is free as soon as its claim counts as lost."""
        saved = sorted(str(each) for each in self.cells.path(cell).glob("run/*/*/checkpoints/[0-9]*"))
        before, times = self._losses.get(cell.identity, ([], 0))
        times = times + 1 if saved == before else 1
        self._losses[cell.identity] = saved, times
        if times == LOSSES:
            self._given_up[cell.identity] = (
                f"its process was lost {times} times without a new checkpoint between: {why}. Look whether the machine "
                "has enough memory for so many cells at once (--workers), or save more often (`checkpoint`)")
        self.say(f"{cell.called}: lost its process, and goes on from its last checkpoint: {why}")

    def _fail(self, cell: Cell) -> None:
        claim = claims.take(self.cells.path(cell))
        if claim is not None:
            with claim:
                write(self.cells.path(cell) / FAILED, {"error": self._given_up.pop(cell.identity)})
            self._tell_end(cell)

    def _wait_until_seen(self, cell: Cell, report: Report) -> None:
        """Wait until the end of a cell is to be seen from here; elsewhere than on a network disk it is at once."""
        path, until = self.cells.path(cell), time.monotonic() + SEEN_WITHIN
        while (state := self.cells.state(cell)) != report.ended:
            if state == "stale":
                raise HostingError(f"{cell.called} was run on {report.machine}, where the code of its components is "
                                   "another than here. Install the same on all machines, then --rerun stale")
            if time.monotonic() > until:
                raise HostingError(f"{cell.called} has ended on {report.machine}, but nothing of it is to be seen in "
                                   f"{path}. All machines must share that folder: name one that they do with --out")
            time.sleep(POLL_SECONDS)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let signals stop what is done meanwhile as Ctrl-C does, whatever was made of them before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    heard = False

    def stop(number: int, frame: Any) -> None:
        nonlocal heard
        if not heard:
            hearing.answer(number, "every running cell stops after its present instant, and saves")
        heard = True
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
