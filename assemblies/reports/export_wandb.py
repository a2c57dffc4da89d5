"""Scalars of a run for Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path

from ...loops.storage.runs import Run
from .scalars import Point, Scalars
from .sinks import claim, failing, package

_KEPT = ("variant", "seed", "lanes", "hash", "versions", "assembly")  # of the run's attributes


class Wandb:
    """Logs to one W&B run with an id of the run's own, which is begun anew at each export.

    Where it goes is W&B's own affair: WANDB_PROJECT (left out: the assembly's name), WANDB_MODE and the like.
    """

    def __init__(self, folder: Path, run: Run, scalars: Scalars) -> None:
        self._axis = scalars.axis
        wandb = package("wandb", "wandb")
        with self._failing():
            claim(folder, run)
            attributes = run.attributes
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or str(attributes.get("name", run.name)), name=run.name,
                id=str(attributes.get("id")), dir=str(folder), config={key: attributes.get(key) for key in _KEPT})
            self._run.define_metric(self._axis)
            self._run.define_metric("*", step_metric=self._axis)
        self.look = getattr(self._run, "url", None) or f"wandb sync {Path(self._run.dir).parent}"

    @staticmethod
    def _failing() -> AbstractContextManager[None]:
        return failing("W&B", "Look at `wandb login`, the network and the disk (WANDB_MODE=offline needs no network)")

    def write(self, points: Sequence[Point]) -> None:
        """Log points; those of one instant together."""
        with self._failing():
            for (at, _), group in groupby(points, lambda point: (point.at, point.time)):
                self._run.log({**{point.name: point.value for point in group}, self._axis: at})

    def close(self) -> None:
        """Send what is left."""
        with self._failing():
            self._run.finish()
