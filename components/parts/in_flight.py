"""Messages under way: values that each lane will receive at an instant of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

ABSENT = -1  # due time of a message that a lane has received already, or never will


class InFlight:
    """A queue of messages [messages, lanes, n] with a due instant for each message and lane."""

    def __init__(self, lanes: int, size: int, dtype: str = "float32") -> None:
        self.due = np.zeros((0, lanes), np.int64)  # [messages, lanes]
        self.value = np.zeros((0, lanes, size), dtype)  # [messages, lanes, n]

    def push(self, due: np.ndarray, value: np.ndarray) -> None:
        """Add a message; `due` [lanes] is ABSENT in lanes that will not get it."""
        if (due >= 0).any():
            self.due = np.concatenate([self.due, due[None]])
            self.value = np.concatenate([self.value, value[None]])

    def waiting(self) -> np.ndarray:
        """Return how many messages are under way in each lane, [lanes]."""
        return np.count_nonzero(self.due >= 0, axis=0)

    def replace_last(self, lanes: np.ndarray, value: np.ndarray) -> None:
        """Put another value into the latest message under way of some lanes (bool [lanes]); its due time stays."""
        last = self.due.shape[0] - 1 - np.argmax((self.due >= 0)[::-1], axis=0)  # [lanes]
        which = np.flatnonzero(lanes)
        self.value[last[which], which] = value[which]

    def take(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Remove what is due; return which lanes received something [lanes] and the latest value of each [lanes, n].

        Of two messages due at one instant, the one sent later counts.
        """
        ripe = (self.due >= 0) & (self.due <= now)  # [messages, lanes]
        got = np.asarray(ripe.any(axis=0))
        if not got.any():
            return got, np.zeros(self.value.shape[1:], self.value.dtype)
        latest = self.due.shape[0] - 1 - np.argmax(np.where(ripe, self.due, ABSENT)[::-1], axis=0)
        value = self.value[latest, np.arange(got.size)]
        due = np.where(ripe, ABSENT, self.due)
        keep = (due >= 0).any(axis=1)
        self.due, self.value = due[keep], self.value[keep]
        return got, value

    def next_due(self) -> int | None:
        """Return the first instant at which something arrives."""
        under_way = self.due[self.due >= 0]
        return int(under_way.min()) if under_way.size else None

    def state_dict(self) -> dict[str, Any]:
        return {"due": self.due.copy(), "value": self.value.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.due, self.value = np.array(state["due"], np.int64), np.array(state["value"], self.value.dtype)
