"""How far the cells of a stage are: each running one says it in its folder, so that whoever sees the folder knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ...loops.loop import Loop
from ...loops.until import Until
from ..progress import Progress
from . import claims
from .cells import Cell
from .keeping import Work
from .records import DONE, FAILED, read, write
from .states import Cells
from .texts import count

FAR = "far.json"
EVERY = 2.0  # seconds between two times that a running cell says how far it is


def tell_how_far(work: Work, loop: Loop) -> None:
    """Let a loop write now and then, between two instants, how far it is."""
    progress = Progress(loop, Until.parse(work.assembly.until), "", show=False)
    first: float | None = None  # where this process begins, which is known once a saved state is loaded
    began: float | None = None
    last = -EVERY

    def look(now: int) -> None:
        nonlocal first, began, last
        clock = time.monotonic()
        if clock - last < EVERY:
            return
        if began is None:
            began, first = clock, progress.fraction
        last = clock
        write(work.folder / FAR, {"fraction": progress.fraction, "first": first, "seconds": clock - began})

    loop.attend(look)


@dataclass(frozen=True)
class Running:
    """A cell under way: its share of the whole run, and how long the whole takes at this pace; None: nobody knows."""

    cell: Cell
    fraction: float | None
    whole: float | None


@dataclass(frozen=True)
class Far:
    """How far a stage is."""

    ended: int
    of: int
    running: tuple[Running, ...]
    took: tuple[float, ...]  # seconds of cells that were run in one go

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes, as many at once as now; None while nothing tells."""
        wholes = [*self.took, *(each.whole for each in self.running if each.whole is not None)]
        if not wholes or not self.running:
            return None
        rest = self.of - self.ended - sum(each.fraction or 0.0 for each in self.running)
        return rest * sum(wholes) / len(wholes) / len(self.running)

    def __str__(self) -> str:
        under_way = [f"{each.cell.places[0]}" + ("" if each.fraction is None else f" {each.fraction:.0%}")
                     for each in self.running]
        left = self.seconds_left
        return ", ".join([f"{self.ended}/{count(self.of, 'cell')}", *under_way,
                          *([] if left is None else [f"about {lasting(left)} left"])])


def lasting(seconds: float) -> str:
    """Return a time for people: `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def far(cells: Cells) -> Far:
    """Return how far a stage is, from what lies in the folders of its cells."""
    ended, running, took = 0, [], []
    for cell in cells.cells:
        path = cells.path(cell)
        if done := read(path / DONE):
            ended += 1
            took += [float(done["seconds"])] if done.get("seconds") else []
        elif (path / FAILED).is_file():
            ended += 1
        elif claims.owner(path) is not None:
            running.append(_running(cell, read(path / FAR)))
    return Far(ended, len(cells.cells), tuple(running), tuple(took))


def _running(cell: Cell, said: dict[str, Any]) -> Running:
    fraction, first = said.get("fraction"), said.get("first") or 0.0
    if fraction is None:
        return Running(cell, None, None)
    return Running(cell, fraction, said["seconds"] / (fraction - first) if fraction > first else None)
