"""Whole episodes, as networks that remember learn from them: kept lane by lane until they end."""

from __future__ import annotations

from typing import Any

import numpy as np

from .transitions import Rows


class WholeEpisodes:
    """Keeps episodes that ended, as rows one below the other, and what each lane has of the one that runs.

    Args:
        lanes: number of lanes.
        size: numbers of a row.
        most: episodes that are kept, the latest; 0: all.
    """

    def __init__(self, lanes: int, size: int, most: int = 0) -> None:
        self.lanes, self.size, self.most = lanes, size, most
        self.forget()

    def forget(self) -> None:
        """Keep nothing."""
        self.ended: list[np.ndarray] = []  # of each episode that ended [steps, size]
        self._open: list[list[np.ndarray]] = [[] for _ in range(self.lanes)]

    def add(self, rows: Rows, values: np.ndarray) -> int:
        """Take values [rows, size] of these steps; return how many episodes they ended.

        Of an episode in which a step was left out, what came before it is left out too.
        """
        count = 0
        for lane, value, over, follows in zip(rows.lane.tolist(), values, rows.ended, rows.follows, strict=True):
            kept = self._open[lane] if follows else []
            kept.append(value)
            self._open[lane] = [] if over else kept
            if over:
                self.ended.append(np.stack(kept).astype(np.float32))
                count += 1
        if self.most:
            self.ended = self.ended[-self.most:]
        return count

    def padded(self, latest: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return the episodes [episodes, time, size], zeros behind their ends, and which steps there were [.., time].

        Args:
            latest: so many, the latest, alone; 0: all.
        """
        chosen = self.ended[-latest:]
        time = max(len(episode) for episode in chosen)
        values, there = np.zeros((len(chosen), time, self.size), np.float32), np.zeros((len(chosen), time), bool)
        for i, episode in enumerate(chosen):
            values[i, :len(episode)], there[i, :len(episode)] = episode, True
        return values, there

    def state_dict(self) -> dict[str, Any]:
        return {"ended": _joined(self.ended, self.size),
                "lengths": np.array([len(one) for one in self.ended], np.int64),
                "open": _joined([np.array(one, np.float32) for one in self._open if one], self.size),
                "steps": np.array([len(one) for one in self._open], np.int64)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ended = _parted(np.array(state["ended"], np.float32), state["lengths"])
        self._open = [list(one) for one in _parted(np.array(state["open"], np.float32), state["steps"])]


def _joined(parts: list[np.ndarray], size: int) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, size), np.float32)


def _parted(rows: np.ndarray, lengths: Any) -> list[np.ndarray]:
    ends = np.cumsum(lengths).tolist()
    return [rows[end - int(length):end] for end, length in zip(ends, lengths, strict=True)]
