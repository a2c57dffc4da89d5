"""Working on the cells of a stage, beside any number of other processes, and saying what begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from . import claims, running
from .cells import Cell
from .far import far, lasting
from .keeping import Work
from .records import DONE, FAILED, read
from .states import ENDED, Cells
from .texts import moment

POLL_SECONDS = 0.5  # between two looks at cells that others run
SAVED = "interrupted, and saved"
Say = Callable[[str], None]


def work_on(cells: Cells, shard: tuple[int, int], say: Say) -> None:
    """Run cells until none is left that nobody has ended: one's own share first, then whatever is free.

    A cell whose process is lost is free again, so that of several processes any one may be killed.
    """
    ordered = own_first(cells.cells, shard)
    while left := [cell for cell in ordered if cells.state(cell) not in ENDED]:
        if not any(_run_if_free(cells, cell, say) for cell in left):
            time.sleep(POLL_SECONDS)


def own_first(cells: list[Cell], shard: tuple[int, int]) -> list[Cell]:
    """Return cells in the order in which one of several processes takes them: its own share, then the others'."""
    return [cell for own in (True, False) for i, cell in enumerate(cells) if (i % shard[1] == shard[0]) is own]


def _run_if_free(cells: Cells, cell: Cell, say: Say) -> bool:
    """Run a cell unless somebody else does or has; says whether it did."""
    ended = run_free(cells, cell, say)
    if ended == "interrupted":
        raise KeyboardInterrupt(SAVED)
    if ended in ENDED:
        now = far(cells)
        say(ended_line(cells, cell, f"({now.ended}/{now.of})"))
    return ended in ENDED


def run_free(cells: Cells, cell: Cell, say: Say) -> str:
    """Run a cell if it is free; returns how it ended, `held` where somebody else runs it, `over` where one has."""
    claim = claims.take(cells.path(cell))
    if claim is None:
        return "held"
    with claim:
        if cells.state(cell) in ENDED:  # between the look and the claim
            return "over"
        now = far(cells)
        say(f"{cell.called}: begins ({now.ended + len(now.running)}/{now.of})")
        work = Work(cells.path(cell), cell.assembly, cells.keep(cell), cells.made.get(cell.identity, {}))
        return running.run(work, cells.allowed)


def ended_line(cells: Cells, cell: Cell, counted: str) -> str:
    """Say how a cell ended, and what was kept of it."""
    path = cells.path(cell)
    done = read(path / DONE)
    if not done:
        error = str(read(path / FAILED).get("error", ""))
        return f"{cell.called}: failed {counted}: {error.partition(chr(10))[0]}"
    took = f" in {lasting(done['seconds'])}" if done.get("seconds") else ""
    kept = [f"; kept {name}: {moment(each)}" for name, each in done.get("moments", {}).items()]
    return f"{cell.called}: finished{took} {counted}{''.join(kept)}"


def forget(path: Path) -> None:
    """Let a cell be run anew, unless somebody does already; what it recorded and kept before is put aside."""
    claim = claims.take(path)
    if claim is None:
        return
    with claim:
        aside = path / f"before-{time.time_ns()}"
        aside.mkdir()
        for name in (DONE, FAILED):  # first: from now on it counts as not run
            if (path / name).exists():
                (path / name).rename(aside / name)
        for left in list(path.iterdir()):
            if left != claim.path and not left.name.startswith((".", "before-")):
                left.rename(aside / left.name)
