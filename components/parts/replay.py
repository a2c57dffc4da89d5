"""Remembering what was done in each lane's present episode, so that a world without a readable state can be resumed."""

from __future__ import annotations

from typing import Any

import numpy as np


class ActionLog:
    """The actions of the running episode of each lane, in one array that doubles when it is full."""

    def __init__(self, lanes: int, shape: tuple[int, ...], dtype: str) -> None:
        self._actions = np.zeros((lanes, 16, *shape), dtype)  # [lanes, steps, ...]
        self.count = np.zeros(lanes, np.int64)  # [lanes] steps so far

    def append(self, actions: np.ndarray, lanes: np.ndarray) -> None:
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
        return {"actions": self._actions[:, :max(int(self.count.max()), 1)].copy(), "count": self.count.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._actions = np.array(state["actions"], self._actions.dtype)
        self.count = np.array(state["count"], np.int64)
