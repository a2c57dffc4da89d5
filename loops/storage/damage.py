"""Damage to what was recorded: bytes that changed after they were written, told rather than passed over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RunError
from .journal import decode_line, read_journal

if TYPE_CHECKING:
    from .stored import Stored


def journal_damage(path: Path, size: int) -> str:
    """Say whether a journal of which `size` bytes can be read was altered; a torn end is what a kill leaves."""
    if not path.is_file() or path.stat().st_size <= size:
        return ""
    line, newline, _ = path.read_bytes()[size:].partition(b"\n")
    altered = newline and decode_line(line) is None
    said = f"{path.name} was altered after it was written: what stands behind that place is not shown"
    return said if altered else ""


def check_journal(path: Path) -> None:
    """Raise RunError when a line within the journal was altered: to go on would cut off what stands behind it."""
    damage = journal_damage(path, read_journal(path)[1])
    if damage:
        raise RunError(f"{path.parent}: {damage}. Nothing was changed; bring back a copy of that file, or begin a new "
                       "run")


def rows_kept(stored: Stored, rows: Mapping[str, Any] | None) -> list[int]:
    """Return how many rows of each stream stay when a run goes on from a checkpoint that was taken after `rows`."""
    if rows is None:
        return stored.rows
    target = [int(rows["streams"].get(layout.key, 0)) for layout in stored.layouts]
    for layout, wanted, there in zip(stored.layouts, target, stored.rows, strict=True):
        if wanted > there:
            why = stored.damage or "they do not belong together, or files were removed"
            raise RunError(f"{stored.directory} holds {there} rows of {layout.key}, the checkpoint was taken after "
                           f"{wanted}: {why}. Nothing was changed. Delete the newest directory in checkpoints/ to go "
                           "on from the one before it, or begin a new run")
    return target
