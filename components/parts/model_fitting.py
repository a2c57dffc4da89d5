"""What learners share that fit a model to real steps: when, to which of them, and what is told of it.

A row of the replay buffer is a transition and whether its successor was `reached`: where an episode was cut and begun
anew at once, nobody saw what came of its last step, and that row is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...loops.errors import AssemblyError, Problem
from .transitions import Rows

if TYPE_CHECKING:
    import torch

    from .ensemble_fit import EnsembleFit
    from .replay_buffer import ReplayBuffer

_FEWEST = 5  # real steps from which on a model can be fitted: one of them is held out
MEASURES = {"model_loss": "mean squared error of the elites on steps held out",
            "model_steps": "steps of fitting this time"}


def as_columns(rows: Rows) -> dict[str, np.ndarray]:
    """Return real steps as columns of their buffer."""
    from . import replay_buffer

    return {**replay_buffer.as_columns(rows), "reached": rows.reached}


def times_due(steps: int, starts: int, every: int) -> int:
    """Return how often fitting has fallen due: after `starts` steps for the first time, then each time `every` more."""
    return max(0, (steps - starts) // every + 1)


def check_memory(size: int) -> None:
    """Refuse a memory of real steps that never holds enough of them."""
    if size < _FEWEST:
        raise AssemblyError([Problem(f"{size} steps are too few to fit a model to: it takes {_FEWEST}, of which one is "
                                     "held out", "buffer_size", f"Write at least {_FEWEST}; a model gets better with "
                                     "thousands.")])


def by_the_clock(max_seconds: float | None) -> list[str]:
    """Say where fits are as long as the machine lets them be."""
    return [] if max_seconds is None else [
        f"max_model_t: {max_seconds:g} stops a fit by the clock, so no two runs of this assembly need be alike"]


def enough(buffer: ReplayBuffer) -> bool:
    """Are there steps enough to fit a model to?"""
    return int(buffer.columns["reached"][:len(buffer)].sum()) >= _FEWEST


def fit_to(buffer: ReplayBuffer, fit: EnsembleFit, generator: torch.Generator, max_seconds: float | None
           ) -> dict[str, float]:
    """Fit a model to all steps of a buffer; return what `MEASURES` names."""
    import torch

    kept = {name: column[:len(buffer)] for name, column in buffer.columns.items()}
    if not kept["reached"].all():  # where it began anew at once, nobody saw how the episode ended
        kept = {name: column[kept["reached"]] for name, column in kept.items()}
    inputs = torch.cat([kept["observation"], kept["action"]], dim=1)
    targets = torch.cat([kept["reward"][:, None], kept["successor"] - kept["observation"]], dim=1)
    report = fit.fit(inputs, targets, generator, max_seconds)
    return {"model_loss": report.val_loss, "model_steps": report.steps}
