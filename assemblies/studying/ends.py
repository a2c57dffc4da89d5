"""How the cells of a stage have ended: what stops a study, and what the user said of it."""

from __future__ import annotations

from ...loops.errors import StimloopError
from .cells import Cell
from .records import DONE, read, write
from .states import Cells, states
from .texts import count
from .working import forget


class StudyStopped(StimloopError, RuntimeError):
    """A study could not be brought to its end: failed, damaged or stale cells, which the message lists."""


def clear(cells: Cells, rerun: tuple[str, ...], accept_stale: bool) -> None:
    """Do as the user said of cells that have ended; raises StudyStopped where damaged or stale ones are left."""
    now = states(cells)
    for state in rerun:
        for cell in now.get(state, ()):
            forget(cells.path(cell))
    for cell in states(cells)["stale"] if accept_stale else ():
        file = cells.path(cell) / DONE
        write(file, {**read(file), "accepted": True})
    _check_finished(cells)


def check_ended(cells: Cells) -> None:
    """Raise StudyStopped where not all cells have finished well."""
    if failed := states(cells)["failed"]:
        raise StudyStopped(f"{count(len(failed), 'cell')} of stage {cells.stage.name} failed. Mend what is wrong "
                           f"and go on with --rerun failed{_errors(cells, failed)}")
    _check_finished(cells)


def _check_finished(cells: Cells) -> None:
    """Raise StudyStopped where a finished cell is damaged or stale."""
    now = states(cells)
    if damaged := now["damaged"]:
        raise StudyStopped(f"{count(len(damaged), 'finished cell')} of stage {cells.stage.name} "
                           f"{'is' if len(damaged) == 1 else 'are'} damaged. Put back what is lost, or run anew with "
                           f"--rerun damaged{_errors(cells, damaged)}")
    if stale := now["stale"]:
        raise StudyStopped(f"the code of {count(len(stale), 'finished cell')} has changed since. Run anew with "
                           "--rerun stale, or take them as they are with --accept-stale\n  "
                           + "\n  ".join(cell.called for cell in stale))


def _errors(cells: Cells, among: list[Cell]) -> str:
    """List what is wrong with cells, each error once."""
    why: dict[str, list[str]] = {}
    for cell in among:
        why.setdefault(cells.error(cell), []).append(cell.called)
    return "".join(f"\n  {', '.join(called)}: {error}" for error, called in why.items())
