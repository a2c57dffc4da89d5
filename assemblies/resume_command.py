"""`stimloop resume` of several runs: which are meant, and going on with each in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from ..loops.errors import RunError, counted
from ..loops.storage.run_directories import check_run, is_run, runs_below
from .resuming import resume
from .session import Outcome
from .settings import Settings


def is_one(places: Sequence[str]) -> bool:
    """Is a single run named, rather than several, a folder of runs or a pattern?"""
    path = Path(places[0])
    return len(places) == 1 and (is_run(path) or not (runs_below(path) if path.exists() else has_magic(places[0])))


def runs_meant(places: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the runs that paths and patterns name, each once, and what was found that is none.

    A folder stands for the runs below it; what lies within a run that is meant is nothing of its own. Raises RunError
    before anything goes on where a path does not exist, a pattern matches nothing, or no run is left.
    """
    found: dict[Path, Path] = {}
    none: list[Path] = []
    for place in (path for text in places for path in _matches(text)):
        runs = [place] if is_run(place) else runs_below(place) if place.is_dir() else []
        found.update({run.resolve(): run for run in runs if run.resolve() not in found})
        none += [] if runs else [place]
    if not found:
        raise RunError(f"there is no run in {', '.join(map(str, none))}. `stimloop list runs` names those that are "
                       "there")
    return list(found.values()), [str(place) for place in none if found.keys().isdisjoint(place.resolve().parents)]


def _matches(text: str) -> list[Path]:
    path = Path(text)
    if path.exists():
        return [path]
    if not has_magic(text):
        check_run(path)  # says what is wrong, and which may be meant
    matches = sorted(glob(text, recursive=True))
    if not matches:
        raise RunError(f"nothing matches {text!r}. Runs lie in runs/NAME/, so a pattern for all of some assemblies is "
                       "'runs/NAME*/*.zarr'")
    return [Path(match) for match in matches]


def in_turn(runs: Sequence[Path], until: str | None, allowed: Settings, show: bool | None,
            begin: Callable[[Path], None]) -> Iterator[tuple[Path, Outcome | Exception]]:
    """Go on with each run and yield how that ended; an error ends only the run that it belongs to.

    Interrupted, it has saved the run in hand, and leaves those after it as they are.
    """
    for path in runs:
        begin(path)
        try:
            ended: Outcome | Exception = resume(path, until, allowed=allowed, show=show)
        except Exception as error:  # it is told, and the others have nothing to do with it
            ended = error
        yield path, ended
        if isinstance(ended, Outcome) and ended.reason == "interrupted":
            return


def summary(reasons: Sequence[str], total: int) -> str:
    """Return how many runs ended how: `3 runs: 1 finished, 1 already there, 1 failed`."""
    parts = [f"{number} {reason}" for reason, number in Counter(reasons).items()]
    parts += [f"{total - len(reasons)} not gone on with"] if total > len(reasons) else []
    return f"{counted(total, 'run')}: {', '.join(parts)}"
