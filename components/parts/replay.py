"""Remembering what was done in each lane's present episode, so that a world without a readable state can be resumed."""

from __future__ import annotations

from typing import Any

import numpy as np


class ActionLog:
    """The actions of the running episode of each lane, in one array that doubles when it is full."""

    def __init__(self, lanes: int, shape: tuple[int, ...], dtype: str) -> None:
        self._actions = np.zeros((lanes, 16, *shape), dtype)  # [lanes, steps, ...]
        self.count = np.zeros(lanes, np.int64)  # [lanes] steps so far

    def append(self, actions: np.ndarray, lanes: Any) -> None:
        """Note `actions` [lanes, ...] of the lanes that acted (indices)."""
        if self.count.max() == self._actions.shape[1]:
            self._actions = np.concatenate((self._actions, np.zeros_like(self._actions)), axis=1)
        self._actions[lanes, self.count[lanes]] = actions[lanes]
        self.count[lanes] += 1

    def forget(self, lanes: np.ndarray) -> None:
        """Begin anew in some lanes (mask or indices)."""
        self.count[lanes] = 0

    def of(self, lane: int) -> np.ndarray:
        """Return the actions of one lane, oldest first."""
        return self._actions[lane, :self.count[lane]]

    def state_dict(self) -> dict[str, Any]:
        kept = self._actions[:, :int(self.count.max())].copy()
        kept[np.arange(kept.shape[1]) >= self.count[:, None]] = 0  # what earlier episodes left behind
        return {"actions": kept, "count": self.count.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        kept = np.asarray(state["actions"], self._actions.dtype)
        self.count = np.array(state["count"], np.int64)
        self._actions = np.zeros((kept.shape[0], max(16, kept.shape[1]), *kept.shape[2:]), kept.dtype)
        self._actions[:, :kept.shape[1]] = kept
