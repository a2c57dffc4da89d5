"""Episodes that still run, lane by lane, until they are whole: what learners of sequences learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .transitions import Rows

Episode = dict[str, np.ndarray]  # observation [steps + 1, ...], action [steps, ...], reward and terminated [steps]
STEPS = ("action", "reward", "terminated")  # one row a step; an observation more than these belongs to an episode
_ROOM = 64  # steps for which there is room at first


class Unfolding:
    """Strings the steps of each lane together, and hands an episode out when it has ended.

    A step that does not follow on the one before (`Rows.follows`) begins another; what it breaks off is an episode too,
    of which nobody saw the end. A learner that is stopped in the middle goes on in the middle.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.forget()

    def forget(self) -> None:
        """Let no episode run."""
        self._length = np.zeros(self.lanes, np.int64)  # [lanes] steps of the running episode
        self._columns: dict[str, np.ndarray] = {}  # [steps, lanes, ...]; observations have one row more

    def add(self, rows: Rows) -> list[Episode]:
        """Add the steps of one instant; return the episodes that are whole now, lane after lane."""
        lane = rows.lane
        broken = lane[~rows.follows & (self._length[lane] > 0)]
        done = [self._take(each) for each in broken.tolist()]
        at = self._length[lane]
        self._make_room(rows, int(at.max(initial=0)) + 1)
        for name in ("observation", *STEPS):
            self._columns[name][at, lane] = getattr(rows, name)
        self._columns["observation"][at + 1, lane] = rows.successor
        self._length[lane] += 1
        return done + [self._take(each) for each in lane[rows.ended].tolist()]

    def _take(self, lane: int) -> Episode:
        steps = int(self._length[lane])
        self._length[lane] = 0
        return {name: column[:steps + (name == "observation"), lane].copy() for name, column in self._columns.items()}

    def _make_room(self, rows: Rows, steps: int) -> None:
        room = len(self._columns["reward"]) if self._columns else 0
        if steps <= room:
            return
        wider = max(_ROOM, 2 * room)
        for name in ("observation", *STEPS):
            part = getattr(rows, name)
            made = np.zeros((wider + (name == "observation"), self.lanes, *part.shape[1:]), part.dtype)
            if room:
                made[:room + (name == "observation")] = self._columns[name]
            self._columns[name] = made

    def state_dict(self) -> dict[str, Any]:
        most = int(self._length.max(initial=0))
        return {"length": self._length.copy(), "columns": {} if not most else {
            name: column[:most + (name == "observation")].copy() for name, column in self._columns.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._length = np.array(state["length"], np.int64)
        self._columns = {name: np.array(column) for name, column in state.get("columns", {}).items()}
