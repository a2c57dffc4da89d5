"""One cell of a study, from its claim to its record: begun, or gone on with where it was left."""

from __future__ import annotations

import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from ...loops.errors import StimloopError, notes
from ...loops.loop import Loop
from ...loops.storage import checkpoint
from ...loops.storage.run_directories import list_runs
from ..identity import read_attributes
from ..session import CHECKPOINTS
from ..settings import Settings
from . import keeping
from .far import tell_how_far
from .keeping import Work
from .records import DONE, FAILED, write


def run(work: Work, allowed: Settings) -> str:
    """Run a claimed cell to its end; returns `finished`, `interrupted` or `failed`, and leaves the record of it."""
    began, whole = time.monotonic(), not _begun(work)
    try:
        outcome = _go(work, allowed)
        if outcome.reason == "interrupted":
            return "interrupted"
        kept = {name: keeping.kept(work, name, keep, outcome.path) for name, keep in work.keep.items()}
    except (StimloopError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
        said = " ".join([f"{type(error).__name__}: {error}", *(f"({note})" for note in notes(error))])
        write(work.folder / FAILED, {"error": said,
                                      "traceback": traceback.format_exc()})
        return "failed"
    attributes = read_attributes(outcome.path)
    write(work.folder / DONE, {"run": str(outcome.path.relative_to(work.folder)), "code": attributes.get("code", {}),
                                "versions": attributes.get("versions", {}),
                                "kept": {name: str(file.relative_to(work.folder)) for name, (file, _) in kept.items()},
                                "moments": {name: moment for name, (_, moment) in kept.items()},
                                "seconds": time.monotonic() - began if whole else None})
    (work.folder / FAILED).unlink(missing_ok=True)
    return "finished"


def _go(work: Work, allowed: Settings) -> Any:
    """Begin the run of a cell, or resume the one that was begun."""
    from ..execute import start
    from ..resuming import resume

    prepare = partial(_watch, work)
    if begun := _begun(work):
        return resume(begun[-1], show=False, allowed=allowed, prepare=prepare)
    return start(work.assembly, folder=work.folder / "run", show=False, allowed=allowed, prepare=prepare)


def _begun(work: Work) -> list[Path]:
    """Return the runs of a cell that can be gone on with."""
    return [path for path in list_runs(work.folder / "run") if checkpoint.newest(path / CHECKPOINTS) is not None]


def _watch(work: Work, loop: Loop) -> None:
    keeping.watch(work, loop)
    tell_how_far(work, loop)
