"""When a current last began in each direction of each contact: what the rate of pulses is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np

_LONG_AGO = -(1 << 60)


class Onsets:
    """Remembers beginnings [2, lanes, channels] and tells which would come sooner than `interval` ns after the last.

    A current begins wherever nothing flowed that way just before, however short the pause or the reversal was.
    The latest beginnings wait outside the array as long as nobody asks for them: mostly they grow too old to matter.
    """

    def __init__(self, shape: tuple[int, ...], interval: int) -> None:
        self.interval = interval
        self.last = np.full(shape, _LONG_AGO, np.int64)
        self.bound = _LONG_AGO  # no current began later
        self._waiting: tuple[int, np.ndarray, np.ndarray] | None = None  # when, and what flowed before and after

    def too_soon(self, now: int, before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
        """Where a change of what flows [2, lanes, channels] would begin a current too soon; None for nowhere."""
        if now - self.bound >= self.interval:
            return None
        self._write()
        soon = (after > before) & (now - self.last < self.interval)
        return soon if np.count_nonzero(soon) else None

    def note(self, now: int, before: np.ndarray, after: np.ndarray) -> None:
        """Remember what begins now; the arrays are kept as they are."""
        if self._waiting is not None and now - self._waiting[0] < self.interval:
            self._write()
        self._waiting, self.bound = (now, before, after), now

    def _write(self) -> None:
        if self._waiting is not None:
            when, before, after = self._waiting
            np.copyto(self.last, when, where=after > before)
            self._waiting = None

    def state_dict(self) -> dict[str, Any]:
        self._write()
        return {"last": self.last.copy(), "bound": self.bound}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last, self.bound, self._waiting = np.array(state["last"], np.int64), int(state["bound"]), None
