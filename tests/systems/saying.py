"""Whether a short life has said all that it has to, in finite numbers: what the smoke checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

EVALUATED = ("return", "length", "steps", "episodes", "updates", "wall")


def unsaid(run: Any, keys: Iterable[str]) -> Iterator[str]:
    """Name each stream of a run that never said anything, or something that is not finite."""
    for key in keys:
        said = values(run, key)
        if not said.size or not np.isfinite(said).all():
            yield f"{key} {'was never said' if not said.size else 'is not finite'}"


def values(run: Any, key: str) -> np.ndarray:
    """Return all that a stream said; nothing where there is no such stream."""
    return run.columns(key)["value"].read() if key in run.streams and run.streams[key].rows else np.empty(0)


def untested(run: Any, columns: Iterable[str] = EVALUATED, name: str = "test") -> Iterator[str]:
    """Name each column of an evaluation that is not there or not finite."""
    table = run.evaluations(name)
    yield from (f"{name}.{column} is not there or not finite" for column in columns
                if column not in table or not np.isfinite(np.asarray(table[column], float)).all())


def live(lives: Iterable[tuple[str, Callable[[Path], list[str]]]]) -> int:
    """Live each in a folder of its own, print what it did not say, and return how many did not say all."""
    wrong = 0
    for name, lived in lives:
        began = perf_counter()
        with TemporaryDirectory() as folder:
            found = lived(Path(folder))
        wrong += bool(found)
        print(f"{name}: {'; '.join(found) or 'all said'} ({perf_counter() - began:.0f} s)", flush=True)
    return wrong
