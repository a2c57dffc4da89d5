"""Distributions over actions: a Gaussian squashed into [-1, 1], and a choice. NumPy acts, torch learns."""

from __future__ import annotations

from typing import Any

import numpy as np

LOG_DEVIATION = (-20.0, 2.0)  # bounds of the logarithm of a standard deviation (Haarnoja et al. 2018)
_EDGE = 1 - 1e-6  # an action of exactly 1 has no finite counterpart before squashing
_LOG_2 = float(np.log(2))
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def squash(mean: np.ndarray, log_deviation: np.ndarray | None, noise: np.ndarray | None) -> np.ndarray:
    """Return actions [batch, actions] in [-1, 1]; without noise the deterministic one."""
    if noise is None or log_deviation is None:
        return np.tanh(mean)
    deviation = np.exp(np.clip(log_deviation, *LOG_DEVIATION))
    return np.tanh(mean + deviation * noise).astype(np.float32)


def squashed_log_prob(mean: Any, log_deviation: Any, action: Any) -> Any:
    """Return the log-probability density [batch] of actions in [-1, 1] (Haarnoja et al. 2018, eq. 21).

    It is a function of the action as published, so that acting and learning agree on it to rounding.
    """
    if isinstance(mean, np.ndarray):
        before = np.arctanh(np.clip(action.astype(np.float64), -_EDGE, _EDGE))
        log_deviation = np.clip(log_deviation.astype(np.float64), *LOG_DEVIATION)
        z = (before - mean) * np.exp(-log_deviation)
        slope = 2 * (_LOG_2 - before - np.logaddexp(0, -2 * before))  # log(1 - tanh^2)
        return (-0.5 * z * z - log_deviation - _HALF_LOG_2PI - slope).sum(axis=-1)
    from .densities import gaussian

    before = action.detach().double().clamp(-_EDGE, _EDGE).atanh()
    constant = (_HALF_LOG_2PI + _log_slope(before)).sum(dim=-1)
    return gaussian(mean, log_deviation, before, *LOG_DEVIATION) - constant


def _log_slope(before: Any) -> Any:
    """Return log(1 - tanh(before)^2) of tensors, without loss far from 0."""
    import torch

    return 2 * (_LOG_2 - before - torch.nn.functional.softplus(-2 * before))


def squashed_sample(mean: Any, log_deviation: Any, noise: Any) -> tuple[Any, Any]:
    """Return tensors (action, log-probability [batch]) through which gradients reach mean and deviation."""
    log_deviation = log_deviation.clamp(*LOG_DEVIATION)
    before = mean + log_deviation.exp() * noise
    log_prob = (-0.5 * noise * noise - _HALF_LOG_2PI) - log_deviation - _log_slope(before)
    return before.tanh(), log_prob.sum(dim=-1)


def gaussian_entropy(log_deviation: Any) -> Any:
    """Return the entropy [batch] of the Gaussian before squashing (that of the squashed one has no closed form)."""
    return (log_deviation.clamp(*LOG_DEVIATION) + 0.5 + _HALF_LOG_2PI).sum(dim=-1)


def choose(scores: np.ndarray, uniform: np.ndarray | None) -> np.ndarray:
    """Return choices [batch] int64: the highest score, or a draw by inverse distribution from uniform numbers."""
    if uniform is None:
        return scores.argmax(axis=-1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True), dtype=np.float64)
    sums = weights.cumsum(axis=-1)
    below = sums <= (uniform * sums[:, -1])[:, None]
    return np.minimum(below.sum(axis=-1), scores.shape[-1] - 1)


def choice_log_prob(scores: Any, choice: Any) -> Any:
    """Return the log-probability [batch] of choices."""
    if isinstance(scores, np.ndarray):
        shifted = scores - scores.max(axis=-1, keepdims=True)
        all_log = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return np.take_along_axis(all_log, choice[:, None], axis=-1)[:, 0]
    return scores.log_softmax(dim=-1).gather(-1, choice[:, None])[:, 0]


def choice_entropy(scores: Any) -> Any:
    """Return the entropy [batch] of choices, from tensors."""
    log = scores.log_softmax(dim=-1)
    return -(log.exp() * log).sum(dim=-1)
