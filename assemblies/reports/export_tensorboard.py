"""Scalars of a run as event files for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ...loops.storage.runs import Run
from .scalars import Point, Scalars
from .sinks import claim, failing, package

_MOST = (2 - 2**-23) * 2.0**127  # the largest number of single precision


class TensorBoard:
    """Writes event files into a folder, in place of those of an earlier export of the same run.

    What TensorBoard takes for the wall clock is simulated time here, so that its axis RELATIVE shows that.
    """

    def __init__(self, folder: Path, run: Run, scalars: Scalars) -> None:
        self.look = f"tensorboard --logdir {folder}"
        self._folder, self._about = folder, f"over {scalars.axis_in_words}"
        summary = package("tensorboard", "tensorboard.summary")
        with self._failing():
            claim(folder, run)
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = summary.Writer(str(folder))

    def _failing(self) -> AbstractContextManager[None]:
        return failing(self._folder, "Make room there, or name another folder with --out")

    def write(self, points: Sequence[Point]) -> None:
        """Add points, and force them to the files."""
        with self._failing():
            for point in points:
                self._writer.add_scalar(point.name, _storable(point.value), point.at, wall_time=point.time * 1e-9,
                                        description=self._about)
            self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        with self._failing():
            self._writer.close()


def _storable(value: float) -> float:
    """Return a number as event files hold it: what is too large for single precision is infinite there."""
    return math.copysign(math.inf, value) if abs(value) > _MOST else value
