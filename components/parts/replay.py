"""Remembering what was done in each lane's present episode, so that a world without a readable state can be resumed."""

from __future__ import annotations

from typing import Any

import numpy as np


class ActionLog:
    """The actions of the running episode of each lane.

    A lane that runs has acted at every tick since it began, so the log is one list of the arrays that arrived, as they
    are (nobody writes to them any more), and for each lane the place in it where its episode begins.
    """

    def __init__(self, lanes: int, shape: tuple[int, ...], dtype: str) -> None:
        self._lanes, self._shape, self._dtype = lanes, shape, dtype
        self.clear()

    def clear(self) -> None:
        """Forget every lane's episode."""
        self._rows: list[np.ndarray] = []  # [lanes, ...] of each tick at which a lane acted
        self._begin = np.zeros(self._lanes, np.int64)  # [lanes] first row of the episode

    def append(self, actions: np.ndarray) -> None:
        """Note `actions` [lanes, ...] of one tick."""
        self._rows.append(actions.copy() if actions.flags.writeable else actions)

    def begin(self, lanes: np.ndarray, running: np.ndarray) -> None:
        """Begin anew in the lanes `lanes` [lanes] bool; what no lane in `running` needs is let go."""
        self._begin[lanes] = len(self._rows)
        unneeded = int(self._begin[running].min())
        del self._rows[:unneeded]
        self._begin -= unneeded

    def of(self, lane: int) -> np.ndarray:
        """Return the actions of one running lane, oldest first, [steps, ...]."""
        rows = self._rows[self._begin[lane]:]
        return np.array([row[lane] for row in rows], self._dtype).reshape(len(rows), *self._shape)

    def state_dict(self, running: np.ndarray) -> dict[str, Any]:
        """Return the actions [lanes, steps, ...] of the lanes in `running` [lanes] bool; zeros where there are none."""
        count = np.where(running, len(self._rows) - self._begin, 0)  # [lanes]
        actions = np.zeros((self._lanes, int(count.max(initial=0)), *self._shape), self._dtype)
        for lane in np.flatnonzero(count).tolist():
            actions[lane, :count[lane]] = self.of(lane)
        return {"actions": actions, "count": count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        actions, count = np.asarray(state["actions"], self._dtype), np.asarray(state["count"], np.int64)
        longest = actions.shape[1]
        self._begin = longest - count
        rows = np.zeros((longest, self._lanes, *self._shape), self._dtype)
        for lane in range(self._lanes):  # all episodes end at the present
            rows[longest - count[lane]:, lane] = actions[lane, :count[lane]]
        self._rows = list(rows)
