"""Lanes: the parallel worlds that one component serves, always axis 0 of every value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Lanes:
    """How many worlds there are, and their global numbers (which key every random draw)."""

    count: int
    numbers: np.ndarray  # [lanes] int64

    @staticmethod
    def of(count: int, first: int = 0) -> Lanes:
        """Return `count` lanes numbered from `first`."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        numbers.setflags(write=False)
        return Lanes(count, numbers)

    def __len__(self) -> int:
        return self.count
