"""Where runs lie: `root/<assembly>/<date>T<hhmmss>_<variant>_s<seed>_<hash8>.zarr`."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from ..errors import RunError, closest
from .stored import JOURNAL

_LISTED = "`stimloop list runs` names those that are there"


def new_run_directory(root: str | os.PathLike[str], name: str, variant: str, seed: int, hash: str) -> Path:
    """Make `root/name/<date>T<hhmmss>_<variant>_s<seed>_<hash8>.zarr`, which nobody else has, and return it."""
    for part in (name, variant):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,=+-]*", part):
            raise RunError(f"{part!r} cannot be part of a directory's name; use letters, digits and _ . , = + -")
    begun = datetime.now()
    while True:
        path = Path(root) / name / f"{begun:%Y-%m-%dT%H%M%S}_{variant}_s{seed}_{hash[:8]}.zarr"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            begun += timedelta(seconds=1)  # the name is taken: one of the next seconds is free
        else:
            return path


def is_run(path: Path) -> bool:
    """Does a run lie here?"""
    return (path / JOURNAL).is_file()


def check_run(path: str | os.PathLike[str]) -> Path:
    """Return the path of a run; raises RunError that says where one lies, where this is none."""
    path = Path(path)
    if is_run(path):
        return path
    if not path.exists():
        meant = closest(path.name, (run.name for run in list_runs(path.parent)))
        raise RunError(f"{path} does not exist. " + (f'Did you mean "{meant}"?' if meant else _LISTED))
    if below := runs_below(path):
        number = "one lies" if len(below) == 1 else f"{len(below)} lie"
        raise RunError(f"{path} is no run; {number} below it, such as {below[-1]}")
    raise RunError(f"{path} is no run: there is no {JOURNAL} in it. {_LISTED}")


def list_runs(root: str | os.PathLike[str]) -> list[Path]:
    """Return the directories of all runs in `root` and its folders, oldest first."""
    return _runs(Path(root), 2)


def runs_below(folder: Path) -> list[Path]:
    """Return the directories of all runs in a folder, which may also be the one that `runs/` lies in, oldest first."""
    return _runs(folder, 3)


def _runs(root: Path, depth: int) -> list[Path]:
    found = {path.parent for level in range(depth) for path in root.glob("*/" * level + f"*/{JOURNAL}")}
    return sorted(found, key=lambda path: (path.name, str(path)))
