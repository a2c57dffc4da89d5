"""Working on the cells of a stage, beside any number of other processes, and saying what begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..settings import Settings
from . import claims, running
from .cells import Cell
from .description import Stage
from .far import far, lasting
from .keeping import Work
from .records import DONE, FAILED, read
from .states import Cells
from .texts import moment

POLL_SECONDS = 0.5  # between two looks at cells that others run
ENDED = ("finished", "failed")
SAVED = "saved; the same command goes on with it"
Say = Callable[[str], None]


def work_on(cells: Cells, stage: Stage, shard: tuple[int, int], allowed: Settings, say: Say) -> None:
    """Run cells until none is left that nobody has ended: one's own share first, then whatever is free.

    A cell whose process is lost is free again, so that of several processes any one may be killed.
    """
    ordered = own_first(cells.cells, shard)
    while left := [cell for cell in ordered if cells.state(cell) not in ENDED]:
        if not any(_run_if_free(cells, cell, stage, allowed, say) for cell in left):
            time.sleep(POLL_SECONDS)


def own_first(cells: list[Cell], shard: tuple[int, int]) -> list[Cell]:
    """Return cells in the order in which one of several processes takes them: its own share, then the others'."""
    return [cell for own in (True, False) for i, cell in enumerate(cells) if (i % shard[1] == shard[0]) is own]


def _run_if_free(cells: Cells, cell: Cell, stage: Stage, allowed: Settings, say: Say) -> bool:
    """Run a cell unless somebody else does or has; says whether it did."""
    ended = run_free(cells, cell, stage, allowed, say)
    if ended == "interrupted":
        raise KeyboardInterrupt(SAVED)
    if ended in ENDED:
        now = far(cells)
        say(ended_line(cells, cell, f"({now.ended}/{now.of})"))
    return ended in ENDED


def run_free(cells: Cells, cell: Cell, stage: Stage, allowed: Settings, say: Say) -> str:
    """Run a cell if it is free; returns how it ended, `held` where somebody else runs it, `over` where one has."""
    claim = claims.take(cells.path(cell))
    if claim is None:
        return "held"
    with claim:
        if cells.state(cell) in ENDED:  # between the look and the claim
            return "over"
        now = far(cells)
        say(f"{cell.called}: begins ({now.ended + len(now.running)}/{now.of})")
        variants = {place.variant for place in cell.places}
        keep = {name: keep for name, keep in stage.keep.items() if keep.variant in variants}
        return running.run(Work(cells.path(cell), cell.assembly, keep, cells.made.get(cell.identity, {})), allowed)


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
    """Let a cell be run anew; what it recorded before is kept aside, not deleted."""
    for name in (DONE, FAILED):
        (path / name).unlink(missing_ok=True)
    if (path / "run").is_dir():
        (path / "run").rename(path / f"run.before-{time.time_ns()}")
