"""What the rewards that followed were worth: advantages over time, lane by lane."""

from __future__ import annotations

import numpy as np


def advantages(reward: np.ndarray, value: np.ndarray, following: np.ndarray, terminated: np.ndarray,
               follows: np.ndarray, made: np.ndarray, gamma: float, gae_lambda: float) -> np.ndarray:
    """Return generalised advantage estimates [time, lanes] (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    All arguments are [time, lanes]: reward of each step, value of the observation before and after it, whether it
    terminated (nothing comes after), and whether the lane's step before led up to it: where it did not, an episode
    ended in between or a step was left out, and what comes later is not counted for what came before. `made` is false
    where a lane made no step, which separates nothing by itself: such entries are passed over, and get 0.
    """
    surprise = reward + gamma * np.where(terminated, 0.0, following) - value  # temporal differences
    found = np.zeros(reward.shape, np.float64)
    later = np.zeros(reward.shape[1])
    for t in range(len(reward) - 1, -1, -1):
        now = surprise[t] + gamma * gae_lambda * later
        found[t] = np.where(made[t], now, 0.0)
        later = np.where(made[t], np.where(follows[t], now, 0.0), later)
    return found

