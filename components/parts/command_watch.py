"""A watchdog for commands: which lanes may not trust the command in force."""

from __future__ import annotations

from typing import Any

import numpy as np

from .stimulation_limits import Rule


class CommandWatch:
    """Tells stale commands (nothing new within `stale` ns) and late ones (the first after a stale time) by lane.

    A lane whose episode begins is excused: its first command is not late. Without `stale` every command is good.
    """

    def __init__(self, lanes: int, stale: int | None) -> None:
        self.stale = stale
        self.last = 0  # instant of the latest command
        self.tripped = np.zeros(lanes, bool)  # [lanes] stale now
        self.late = np.zeros(lanes, bool)  # [lanes] the command in force came too late
        self.excused = np.ones(lanes, bool)  # [lanes] the next command is not late
        self.doubtful = False  # is any lane tripped or late?

    def is_in_time(self, now: int) -> bool:
        """Note a command at `now` and answer yes, unless any lane is stale or late, or this command would be."""
        if self.doubtful or (self.stale is not None and now > self.last + self.stale):
            return False
        self.last = now
        if self.stale is not None:
            self._excuse_nobody()
        return True

    def arrived(self, now: int) -> None:
        """Note a command that came in time (only while nothing is doubtful)."""
        self.last = now
        if self.stale is not None:
            self._excuse_nobody()

    def _excuse_nobody(self) -> None:
        if np.count_nonzero(self.excused):
            self.excused = np.zeros_like(self.excused)

    def doubts(self, now: int) -> bool:
        """Is any lane stale or late, or would a command at `now` be?"""
        return self.doubtful or (self.stale is not None and now > self.last + self.stale)

    def excuse(self, lanes: np.ndarray) -> None:
        """Let the next command of these lanes (bool [lanes]) count as in time."""
        self.excused = self.excused | lanes

    def look(self, now: int, new: bool, behind: bool = False) -> np.ndarray | None:
        """Return a rule for each lane whose command must not be delivered (else 0), or None where all are good.

        `behind` says that the loop itself lags behind the wall clock.
        """
        overdue = self.stale is not None and now > self.last + self.stale
        if new:
            self.last = now
            if behind or overdue or self.doubtful:
                self.late = np.ones_like(self.late) if behind else (self.tripped | overdue) & ~self.excused
                self.tripped = np.zeros_like(self.tripped)
            if self.stale is not None:
                self._excuse_nobody()
        elif self.stale is not None and now >= self.last + self.stale:
            self.tripped = np.ones_like(self.tripped)
        elif not self.doubtful:
            return None
        self.doubtful = bool(self.tripped.any() or self.late.any())
        if not self.doubtful:
            return None
        return np.where(self.tripped, np.int16(Rule.STALE), np.where(self.late, np.int16(Rule.LATE), np.int16(0)))

    def deadline(self) -> int | None:
        """Return the instant at which the command in force becomes stale, or None if it is or never will."""
        if self.stale is None or (self.doubtful and self.tripped.any()):
            return None
        return self.last + self.stale

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "tripped": self.tripped.copy(), "late": self.late.copy(),
                "excused": self.excused.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last = int(state["last"])
        self.tripped, self.late, self.excused = (np.array(state[name], bool) for name in ("tripped", "late", "excused"))
        self.doubtful = bool(self.tripped.any() or self.late.any())
