"""Small questions that components ask of their inputs: status as it is read, and whether their own time has come."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.time import Clock, next_tick


def latest(status: Any) -> np.ndarray:
    """Return the status in force [lanes], of an array (`now`) or of rows (arrival, array) (`all`)."""
    return status[-1][1] if isinstance(status, list) else status


def due(period: int | Clock, now: int) -> bool:
    """Is this instant on the grid of the period, whatever woke the component?"""
    return next_tick(period, now - 1) == now
