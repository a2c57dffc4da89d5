"""Bringing observations to one scale by what was observed so far."""

from __future__ import annotations

from typing import Any

import numpy as np

CLIP = 10.0  # standard deviations beyond which an observation is cut off
_LEAST = 1e-8  # added to the variance, so that what never changes is not divided by 0
NAMES = ("mean", "variance", "count")


def start(size: int) -> dict[str, np.ndarray]:
    """Return the statistics of nothing: mean 0, variance 1, count 0."""
    return {"mean": np.zeros(size), "variance": np.ones(size), "count": np.zeros(1)}


def apply(values: Any, mean: Any, variance: Any) -> Any:
    """Return values [batch, size] less the mean, in standard deviations, cut off at CLIP; arrays or tensors.

    Statistics count as far as single precision holds them, for so they travel on a `learned` wire: a network that
    acts answers as the one that learns, whose statistics are double.
    """
    if isinstance(values, np.ndarray):
        mean, variance = (each.astype(np.float32).astype(np.float64) for each in (mean, variance))
        return np.clip((values - mean) / np.sqrt(variance + _LEAST), -CLIP, CLIP).astype(values.dtype)
    mean, variance = mean.float().double(), variance.float().double()
    return ((values - mean) / (variance + _LEAST).sqrt()).clip(-CLIP, CLIP).to(values.dtype)


def update(statistics: dict[str, np.ndarray], values: np.ndarray) -> None:
    """Take in values [rows, size], in place; the same whatever the rows came in (Chan et al. 1979, eq. 2.1)."""
    rows, known = len(values), float(statistics["count"][0])
    if not rows:
        return
    wide = values.astype(np.float64)
    mean, variance, whole = wide.mean(axis=0), wide.var(axis=0), known + rows
    apart = mean - statistics["mean"]
    squares = known * statistics["variance"] + rows * variance + apart * apart * (known * rows / whole)
    statistics["mean"] += apart * (rows / whole)
    statistics["variance"][...] = squares / whole
    statistics["count"][...] = whole
