"""Asking for many rows in blocks of one size, so that a row's answer does not hang on its neighbours.

Products of matrices choose their way by the number of rows, and elementwise functions treat the last few of an array
apart: a row's last bits differ with how many rows stand beside it. In blocks of one size, at the same place of its
block, a row is answered alike whatever the others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

ROWS = 16  # of a block: many lanes cost a sixteenth of the calls, one lane hardly more than a row
Arrays = dict[str, np.ndarray]


def in_blocks(ask: Callable[[Arrays], Arrays], columns: Mapping[str, np.ndarray], places: np.ndarray) -> Arrays:
    """Return what `ask` answers for columns [rows, ...], by name, each row asked at its own place.

    Args:
        ask: answers columns of exactly ROWS rows; it must treat each row by itself.
        columns: of any number of rows, one or more.
        places: number of each row [rows], no two alike: row n is asked at place n % ROWS of its block.
    """
    answers: Arrays = {}
    blocks, seats = np.divmod(places, ROWS)
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        for name, said in ask({name: _seated(column[rows], seats[rows]) for name, column in columns.items()}).items():
            if name not in answers:
                answers[name] = np.empty((len(places), *said.shape[1:]), said.dtype)
            answers[name][rows] = said[seats[rows]]
    return answers


def _seated(values: np.ndarray, seats: np.ndarray) -> np.ndarray:
    """Return values [rows, ...] at their seats of a full block; an empty seat repeats the first of them."""
    full = np.repeat(values[:1], ROWS, axis=0)
    full[seats] = values
    return full
