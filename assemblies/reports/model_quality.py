"""How good a learned model is on steps that were really made: errors some steps ahead, and honesty about its doubt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

# inputs [rows, observation + action] -> mean, variance [members, rows, 1 + observation], the reward first
Say = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of intervals
_STARTS, _ROWS = 1000, 4000  # steps from which errors are followed, and of which intervals are counted, at most
_FEWEST = 10  # starts of a mean


@dataclass(frozen=True)
class Steps:
    """Real steps, lane after lane in the order of time."""

    observation: np.ndarray  # [steps, observation]
    action: np.ndarray  # [steps, action]
    reward: np.ndarray  # [steps]
    successor: np.ndarray  # [steps, observation]
    follows: np.ndarray  # [steps] does the next row go on from where this one led?

    def __len__(self) -> int:
        return len(self.reward)

    @staticmethod
    def of(table: Mapping[str, np.ndarray]) -> Steps:
        """Take them from the columns of `loops.storage.trials.transitions`, without those whose end nobody saw."""
        rows = {name: table[name].reshape(len(table["lane"]), math.prod(table[name].shape[1:])).astype(np.float64)
                for name in ("observation", "action", "next_observation")}
        # where an episode begins at once, the end of the one before is not published and stands there as no change
        seen = ~(table["terminated"] & (rows["observation"] == rows["next_observation"]).all(axis=1))
        before, after = rows["observation"][seen], rows["next_observation"][seen]
        lane, over = table["lane"][seen], (table["terminated"] | table["truncated"])[seen]
        follows = ~over
        follows[:-1] &= (lane[1:] == lane[:-1]) & (before[1:] == after[:-1]).all(axis=1)
        follows[-1:] = False
        return Steps(before, rows["action"][seen], table["reward"][seen].astype(np.float64), after, follows)


@dataclass(frozen=True)
class Ahead:
    """Errors of a model k = 1, 2, ... steps ahead, as shares of each number's deviation (NaN: it never changes)."""

    error: np.ndarray  # [k, observation] root mean square
    still: np.ndarray  # [k, observation] of saying that nothing changes
    reward: np.ndarray  # [k] of the reward of the k-th step
    starts: np.ndarray  # [k] from how many steps it was followed so far


def deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column; NaN where it is constant."""
    found = values.std(axis=0)
    return np.where(np.ptp(values, axis=0) > 0, found, np.nan) if len(values) else np.full(values.shape[1], np.nan)


def ahead(say: Say, steps: Steps, horizon: int, scale: np.ndarray, reward_scale: float, most: int = _STARTS) -> Ahead:
    """Follow the mean of what the members expect, given the actions that were taken, and compare with what came.

    Each k is judged from every start after which so many steps of the same episode follow; it ends where fewer than
    10 are left.

    Args:
        say: the model.
        steps: what came.
        horizon: the largest k.
        scale: [observation] deviations of which errors are shares.
        reward_scale: that of the reward.
        most: starts, spread evenly over the steps.
    """
    start = np.unique(np.linspace(0, len(steps) - 1, most).astype(int)) if len(steps) else np.zeros(0, int)
    now, found = steps.observation[start], []
    for k in range(horizon):
        if k:
            going = steps.follows[start + k - 1]
            start, now = start[going], now[going]
        if len(start) < _FEWEST:
            break
        row = start + k
        mean = say(np.concatenate([now, steps.action[row]], axis=1))[0].mean(axis=0)
        now, came = now + mean[:, 1:], steps.successor[row]
        found.append((_size(now - came) / scale, _size(steps.observation[start] - came) / scale,
                      _size(mean[:, 0] - steps.reward[row]) / reward_scale, len(start)))
    size = steps.observation.shape[1]
    error, still, reward, starts = zip(*found, strict=True) if found else ([], [], [], [])
    return Ahead(np.reshape(error, (-1, size)), np.reshape(still, (-1, size)), np.array(reward, float),
                 np.array(starts, int))


def _size(values: np.ndarray) -> np.ndarray:
    """Root mean square over the rows."""
    return np.sqrt(np.square(values).mean(axis=0))


def coverage(say: Say, steps: Steps, most: int = _ROWS) -> dict[str, list[float]]:
    """Return which share of what came lies in the intervals that should hold a `nominal` share of it.

    The intervals are those of a normal with mean and variance of the members' mixture, about the change of each number
    of the observation that changes at all (`observation`) and about the reward (`reward`).
    """
    came, mean, claimed = _told(say, steps, most)
    away = np.abs(came - mean) / claimed  # [rows, 1 + seen]
    moves = 1 + np.flatnonzero(np.ptp(came[:, 1:], axis=0) > 0)
    ends = [NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS]
    return {"nominal": list(LEVELS), "observation": [_share(away[:, moves] <= end) for end in ends],
            "reward": [_share(away[:, 0] <= end) for end in ends]}


def doubt(say: Say, steps: Steps, scale: np.ndarray, reward_scale: float, most: int = _ROWS) -> dict[str, float]:
    """Return the deviation that the members' mixture claims of one step, as a share of `scale` [observation].

    Of the observation it is the mean over its numbers that have a scale; NaN where there is none.
    """
    claimed = _size(_told(say, steps, most)[2])  # [1 + seen]
    shares = claimed[1:] / scale
    shares = shares[np.isfinite(shares)]
    return {"observation": float(shares.mean()) if len(shares) else float("nan"),
            "reward": float(claimed[0] / reward_scale)}


def _told(say: Say, steps: Steps, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what came, reward first, and mean and deviation of the members' mixture about it [rows, 1 + seen]."""
    row = np.unique(np.linspace(0, len(steps) - 1, most).astype(int))
    mean, variance = say(np.concatenate([steps.observation[row], steps.action[row]], axis=1))
    came = np.concatenate([steps.reward[row, None], steps.successor[row] - steps.observation[row]], axis=1)
    return came, mean.mean(axis=0), np.sqrt(variance.mean(axis=0) + mean.var(axis=0))


def _share(within: np.ndarray) -> float:
    return float(within.mean()) if within.size else float("nan")
