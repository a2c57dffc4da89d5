"""Searching for the stimulation that promises most: a full grid, the gradient from many places, or cross-entropy.

Each search is pure: the same scores, the same answer, whoever asked before. What is random (places to begin at) is
drawn once from a seed and used again at every question. The published search is the grid (Pan et al. 2024,
arXiv:2406.06714), 100 points for each channel; its cost grows as 100^channels, which is why there are the others.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal, Protocol

import numpy as np
import torch

from ...loops.errors import AssemblyError, Problem

Kind = Literal["grid", "gradient", "cem"]
Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # rows [n] of the batch, commands [n, channels] -> [n]
Climb = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # the same, and slopes [n, channels]
MOST = 2_000_000  # commands of a grid: beyond, one question takes minutes
_CHUNK = 20_000  # commands that are scored at once: what they need stays far below a gigabyte


class StimulusSearch(Protocol):
    """Finds, for each row of a batch, the command of the highest score."""

    def best(self, score: Score, batch: int, climb: Climb | None = None) -> torch.Tensor:
        """Return commands [batch, channels] within the bounds; `climb` says slopes, else autograd finds them."""


def make(kind: Kind, low: np.ndarray, high: np.ndarray, points: int, starts: int, iterations: int, seed: int
         ) -> StimulusSearch:
    """Return a search between bounds [channels].

    Args:
        kind: which.
        low: least command of each channel.
        high: largest.
        points: of the grid, for each channel.
        starts: places at which the gradient begins, or draws of cross-entropy in each iteration.
        iterations: of gradient or cross-entropy.
        seed: of the draws.
    """
    bounds = (torch.from_numpy(np.asarray(low, np.float32)), torch.from_numpy(np.asarray(high, np.float32)))
    if kind == "grid":
        return Grid(*bounds, points)
    return (Gradient if kind == "gradient" else CrossEntropy)(*bounds, starts, iterations, seed)


class Grid:
    """Tries every point of a full factorial grid, both ends included; of equals, the first."""

    def __init__(self, low: torch.Tensor, high: torch.Tensor, points: int) -> None:
        if points ** len(low) > MOST:
            raise AssemblyError([Problem(f"a grid of {points} points in {len(low)} channels has "
                                         f"{points ** len(low):.3g} commands to try at each step", "search",
                                         "Write search: gradient or search: cem, or fewer points.")])
        lines = [torch.linspace(float(a), float(b), points).tolist() for a, b in zip(low, high, strict=True)]
        self.commands = torch.tensor(list(product(*lines)), dtype=torch.float32)  # [points^channels, channels]

    @torch.no_grad()
    def best(self, score: Score, batch: int, climb: Climb | None = None) -> torch.Tensor:
        found = [self._of_row(score, row) for row in range(batch)]
        return self.commands[torch.tensor(found, dtype=torch.long)]

    def _of_row(self, score: Score, row: int) -> int:
        """Return which command scores most for one row of the batch: its last bits hang on no other row."""
        scores = torch.cat([score(torch.full((len(part),), row), part) for part in self.commands.split(_CHUNK)])
        return int(scores.argmax())


class Gradient:
    """Climbs from several places at once by Adam, held within the bounds, and keeps the best place that was visited.

    Steps begin at a tenth of the range and shrink to a hundredth of that. Places to begin at: the middle, the corners
    (some of them, drawn, where there are many), and others drawn uniformly.
    """

    def __init__(self, low: torch.Tensor, high: torch.Tensor, starts: int, iterations: int, seed: int) -> None:
        self._low, self._high, self._iterations = low, high, iterations
        self.starts = low + (high - low) * _places(starts, len(low), seed)  # [starts, channels]

    def best(self, score: Score, batch: int, climb: Climb | None = None) -> torch.Tensor:
        rows = torch.arange(batch).repeat_interleave(len(self.starts))
        at = self.starts.repeat(batch, 1)
        first, second = torch.zeros_like(at), torch.zeros_like(at)
        top, place = torch.full((len(at),), -torch.inf), at
        for i in range(self._iterations + 1):
            scores, slope = differentiated(score, rows, at) if climb is None else climb(rows, at)
            better = scores > top
            top, place = torch.where(better, scores, top), torch.where(better[:, None], at, place)
            at = self._moved(at, slope, first, second, i)
        return _first_best(top, place, batch)

    def _moved(self, at: torch.Tensor, slope: torch.Tensor, first: torch.Tensor, second: torch.Tensor, i: int
               ) -> torch.Tensor:
        """Return the places after step i of Adam (Kingma and Ba 2015, algorithm 1), whose moments change in place."""
        first.lerp_(slope, 0.2)
        second.lerp_(slope * slope, 0.05)
        direction = (first / (1 - 0.8 ** (i + 1))) / ((second / (1 - 0.95 ** (i + 1))).sqrt() + 1e-12)
        size = 0.1 * 0.01 ** (i / max(self._iterations - 1, 1))
        return (at + size * (self._high - self._low) * direction).clamp(self._low, self._high)


class CrossEntropy:
    """Draws commands around a mean, moves mean and deviation to the best eighth of them, and again.

    (Rubinstein 1999, the cross-entropy method; the draws are the same standard normals at every question.) The best
    command ever drawn is the answer. It begins in the middle, as wide as half the range.
    """

    def __init__(self, low: torch.Tensor, high: torch.Tensor, draws: int, iterations: int, seed: int) -> None:
        self._low, self._high = low, high
        generator = torch.Generator().manual_seed(seed)
        self._noise = torch.randn((iterations, draws, len(low)), generator=generator)
        self._elites = max(draws // 8, 2)

    @torch.no_grad()
    def best(self, score: Score, batch: int, climb: Climb | None = None) -> torch.Tensor:
        draws, channels = self._noise.shape[1:]
        mean = ((self._low + self._high) / 2).expand(batch, channels)
        deviation = ((self._high - self._low) / 2).expand(batch, channels)
        rows = torch.arange(batch).repeat_interleave(draws)
        top, place = torch.full((batch,), -torch.inf), mean
        for noise in self._noise:
            tried = (mean[:, None] + deviation[:, None] * noise).clamp(self._low, self._high)
            scores = score(rows, tried.flatten(0, 1)).view(batch, draws)
            order = scores.topk(self._elites, dim=1)
            chosen = tried.gather(1, order.indices[..., None].expand(-1, -1, channels))
            better = order.values[:, 0] > top
            top = torch.where(better, order.values[:, 0], top)
            place = torch.where(better[:, None], chosen[:, 0], place)
            mean, deviation = chosen.mean(1), chosen.std(1, correction=0)
        return place


def differentiated(score: Score, rows: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores [n] and their slopes [n, channels] by autograd."""
    with torch.enable_grad():
        here = at.detach().requires_grad_()
        scores = score(rows, here)
        return scores.detach(), torch.autograd.grad(scores.sum(), here)[0]


def _places(count: int, channels: int, seed: int) -> torch.Tensor:
    """Return places [count, channels] in [0, 1] to begin at: the middle, corners, and others."""
    rng = np.random.default_rng(seed)
    corners = np.array(list(product((0.0, 1.0), repeat=channels)) if channels <= 8 else
                       rng.integers(0, 2, (count, channels)), np.float64)
    some = corners[rng.permutation(len(corners))[:max((count - 1) // 2, 1)]]
    rest = rng.uniform(size=(max(count - 1 - len(some), 0), channels))
    return torch.from_numpy(np.concatenate([np.full((1, channels), 0.5), some, rest])[:count].astype(np.float32))


def _first_best(scores: torch.Tensor, places: torch.Tensor, batch: int) -> torch.Tensor:
    """Return of each row's places the one of the highest score, the first of equals."""
    by_row = scores.view(batch, -1)
    return places.view(batch, by_row.shape[1], -1)[torch.arange(batch), by_row.argmax(1)]
