"""Status flags: where each lane stands in its episode.

FIRST begins an episode, TERMINATED and TRUNCATED end one, WAITING stands between two; 0 is an ordinary step.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .port import Port

FIRST = 1
TERMINATED = 2
TRUNCATED = 4
WAITING = 8
ENDED = TERMINATED | TRUNCATED


def status_output() -> Port:
    """The port on which every body publishes its status."""
    return Port("episode flags: FIRST 1, TERMINATED 2, TRUNCATED 4, WAITING 8", (), dtype="int64", low=0, high=15)


def status_input(reads: Literal["now", "hold", "mean", "all"] = "now", *, wakes: bool = False,
                 optional: bool = False) -> Port:
    """The port on which anyone listens to status; before the first arrival every lane is WAITING."""
    return Port("episode flags of the body", (), dtype="int64", low=0, high=15, reads=reads, wakes=wakes,
                initial=WAITING, optional=optional)


_ordinary: np.ndarray | None = None  # the last read-only status without flags: a body publishes one tick after tick


def calm(status: np.ndarray) -> bool:
    """Is this an ordinary step in every lane? (Looking at the bytes is ten times as quick as a reduction.)"""
    global _ordinary
    if status is _ordinary:
        return True
    if status.tobytes().strip(b"\0"):
        return False
    if not status.flags.writeable:
        _ordinary = status
    return True


# Of each of the 16 statuses; looking one up is one operation where working it out takes up to four.
_FLAGS = np.arange(16)
_BEGINS = (_FLAGS & FIRST) != 0
_ENDED = (_FLAGS & ENDED) != 0
_IDLE = (_FLAGS >= TERMINATED) & ~_BEGINS
_STEP = (_FLAGS != FIRST) & ((_FLAGS & WAITING) == 0)


def begins(status: np.ndarray) -> np.ndarray:
    """Lanes whose episode begins at this instant."""  # [lanes] bool
    return _BEGINS[status]


def ended(status: np.ndarray) -> np.ndarray:
    """Lanes whose episode ended at this instant (a new one may begin at once)."""
    return _ENDED[status]


def idle(status: np.ndarray) -> np.ndarray:
    """Lanes in which nobody acts: they wait, or have ended and not begun anew."""
    return _IDLE[status]


def is_step(status: np.ndarray) -> np.ndarray:
    """Lanes in which this instant counts as a step: status is neither exactly FIRST nor WAITING."""
    return _STEP[status]


def count_steps(status: np.ndarray) -> int:
    """Number of steps in one published status."""
    if calm(status):
        return status.size
    return int(np.count_nonzero(is_step(status)))


def count_ended(status: np.ndarray) -> int:
    """Number of episodes that ended in one published status."""
    return 0 if calm(status) else int(np.count_nonzero(ended(status)))
