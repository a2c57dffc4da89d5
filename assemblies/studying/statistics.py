"""What few runs say together: interquartile means with bootstrap intervals (Agarwal et al. 2021, arXiv:2108.13264)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

RESAMPLES = 10_000
EPISODE_RESAMPLES = 2_000  # each computes a whole measure


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half along the last axis: a quarter, rounded down, is left out at either end."""
    ordered = np.sort(np.asarray(values, np.float64), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut:ordered.shape[-1] - cut].mean(axis=-1)


T = TypeVar("T")


def interval_over_episodes(columns: Mapping[T, np.ndarray], measure: Callable[[Mapping[T, float]], float],
                           level: float = 0.95) -> tuple[float, float]:
    """Return the bootstrap interval of a measure of one cell, over the episodes of its evaluation.

    Episodes are drawn together from all columns [episodes], which began in the same start states.
    """
    count = len(next(iter(columns.values())))
    drawn = np.random.default_rng(0).integers(0, count, (EPISODE_RESAMPLES, count))
    means = {name: column[drawn].mean(axis=1) for name, column in columns.items()}
    told = np.array([measure({name: float(mean[i]) for name, mean in means.items()})
                     for i in range(EPISODE_RESAMPLES)])
    if not np.isfinite(told).all():
        return float("nan"), float("nan")
    low, high = np.percentile(told, (50 * (1 - level), 50 * (1 + level)))
    return float(low), float(high)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the bootstrap interval of the interquartile mean; the same for the same values, whatever their order."""
    ordered = np.sort(np.asarray(values, np.float64))
    if ordered.size == 0 or not np.isfinite(ordered).all():
        return float("nan"), float("nan")
    rows = np.random.default_rng(0).integers(0, ordered.size, (RESAMPLES, ordered.size))
    means = interquartile_mean(ordered[rows])
    low, high = np.percentile(means, (50 * (1 - level), 50 * (1 + level)))
    return float(low), float(high)
