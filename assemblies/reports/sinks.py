"""Where the scalars of a run may go: what every sink offers, the folder it owns, and how its failures are told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ...loops.errors import RunError, StimloopError, reason
from ...loops.storage.runs import Run
from .scalars import Point

MARK = "stimloop.json"  # says of which run a folder is the export


class Sink(Protocol):
    """Takes the points of a run; everything it raises is a RunError."""

    look: str  # how the user sees what was written

    def write(self, points: Sequence[Point]) -> None:
        """Put points where they can be seen."""

    def close(self) -> None:
        """Write what is left."""


@contextmanager
def failing(where: object, remedy: str) -> Iterator[None]:
    """Tell whatever goes wrong in a sink as its own failure, with what to do; the run was only read."""
    try:
        yield
    except (StimloopError, MemoryError):
        raise
    except Exception as error:  # a sink's library may raise anything
        raise RunError(f"{where} takes nothing more: {reason(error)}. The run was only read and is as it was. "
                       f"{remedy}, and export again; it is written from the start") from error


def package(name: str, module: str) -> Any:
    """Import what a sink needs; raises RunError with the way to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise RunError(f'--to {name} needs the package {name} ({error}); install it: pip install "stimloop[{name}]"'
                       ) from error


def claim(folder: Path, run: Run) -> None:
    """Make a folder for the export of a run, or take the one that held an earlier export of the same run."""
    mark, own = folder / MARK, {"run": str(run.attributes.get("id"))}
    if run.path.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise RunError(f"{folder} lies in the run, which is only read; name another folder with --out")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder; name another with --out")
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != json.dumps(own):
            raise RunError(f"{folder} holds the export of another run; name another folder with --out")
    elif folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder} is there already and holds no export of this run; name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(own), encoding="utf-8")
