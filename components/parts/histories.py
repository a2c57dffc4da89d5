"""What a model that remembers is fitted to: stretches of one episode each, from the memory that it has before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...loops.errors import Problem
from .roles import remembers


def no_memory(used: Mapping[str, Any]) -> list[Problem]:
    """Say that an inverse model cannot remember: it would hear what the brain did, not what was done to it."""
    if not remembers(used.get("inverse_model")):
        return []
    return [Problem("an inverse model that remembers would hear the history of what the brain did, while what "
                    "electrodes still deliver hangs on the stimulation, which is what it is to find",
                    "uses.inverse_model", "Write memory: 0 for it, or method: qmax and a remembering action_model.")]


def stretches(lane: np.ndarray, follows: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the rows of each stretch in which one follows the other, in order.

    Args:
        lane: of each row [rows].
        follows: did its lane's row before it lead up to it, in the same episode [rows]?
    """
    order = np.argsort(lane, kind="stable")
    begins = ~follows[order]
    begins[1:] |= lane[order][1:] != lane[order][:-1]
    begins[:1] = True
    return np.split(order, np.flatnonzero(begins)[1:])


def side_by_side(parts: list[np.ndarray]) -> torch.Tensor:
    """Return rows of several lengths as [parts, longest], filled with -1."""
    found = np.full((len(parts), max(map(len, parts))), -1, np.int64)
    for row, part in zip(found, parts, strict=True):
        row[:len(part)] = part
    return torch.from_numpy(found)


class Histories:
    """Rows of a patient in the order in which they were lived, cut to pieces to learn from.

    Gradients reach back to the beginning of a piece. What the model remembers there is worked out anew by `refresh`,
    at each pass through all rows, from the beginning of the episode (stored state: Kapturowski et al. 2019, R2D2).

    Args:
        model: role Remembering.
        given: what it is given [rows, inputs].
        target: what it is to say [rows, targets].
        lane: of each row [rows].
        follows: did its lane's row before it lead up to it, in the same episode [rows]?
        length: rows of a piece, at most.
    """

    def __init__(self, model: Any, given: torch.Tensor, target: torch.Tensor, lane: np.ndarray, follows: np.ndarray,
                 length: int) -> None:
        self._model, self._given, self._target = model, given, target
        whole = stretches(lane, follows)
        self._whole = side_by_side(whole)
        self._pieces = side_by_side([part for each in whole
                                     for part in np.split(each, range(length, len(each), length))])
        self.refresh()

    def __len__(self) -> int:
        return len(self._pieces)

    def refresh(self) -> None:
        """Work out what the model remembers before each row."""
        there = self._whole >= 0
        told = self._model.memories(self._given[self._whole.clamp_min(0)])
        self.memory = {name: torch.empty((len(self._given), *part.shape[2:])) for name, part in told.items()}
        for name, part in told.items():
            self.memory[name][self._whole[there]] = part[there]

    def loss(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row of some pieces, by their numbers."""
        rows = self._pieces[chosen]
        there = rows >= 0
        rows = rows.clamp_min(0)
        before = {name: part[rows[:, 0]] for name, part in self.memory.items()}
        return self._model.sequence_loss(self._given[rows], self._target[rows], before)[there]
