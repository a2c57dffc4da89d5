"""Small questions that components ask of their inputs: status as it is read, and whether their own time has come."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.status import begins
from ...loops.time import Clock, next_tick


def latest(status: Any) -> np.ndarray:
    """Return the status in force [lanes], of an array (`now`) or of rows (arrival, array) (`all`)."""
    return status[-1][1] if isinstance(status, list) else status


def due(period: int | Clock, now: int) -> bool:
    """Is this instant on the grid of the period, whatever woke the component?"""
    return next_tick(period, now - 1) == now


def begun(status: Any, previous: int | None) -> np.ndarray:
    """Return the lanes [lanes] bool in which an episode began since the previous step, of a status that is new.

    Of rows (arrival, array) the first is what was in force before: where it arrived before that step, it was heard.
    """
    if not isinstance(status, list):
        return begins(status)
    fresh = [begins(row) for arrival, row in status if previous is None or arrival >= previous]
    return np.any(fresh, axis=0) if fresh else np.zeros(status[-1][1].shape, bool)
