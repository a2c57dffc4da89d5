"""Where runs lie: `root/<assembly>/<date>T<hhmmss>_<variant>_s<seed>_<hash8>.zarr`."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from ..errors import RunError
from .stored import JOURNAL


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


def list_runs(root: str | os.PathLike[str]) -> list[Path]:
    """Return the directories of all runs in `root` and its folders, oldest first."""
    found = {path.parent for depth in ("*", "*/*") for path in Path(root).glob(f"{depth}/{JOURNAL}")}
    return sorted(found, key=lambda path: (path.name, str(path)))
