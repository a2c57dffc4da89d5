"""Seeds and counter-based random numbers keyed by lane, so that a lane draws the same whoever runs beside it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from .lanes import Lanes

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_WORD = 1 << 64


def derive(seed: int, *names: object) -> int:
    """Return a seed in [0, 2^63) that depends on `seed` and the names, and on nothing else."""
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64 bits (the output function of SplitMix64; Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


class LaneRandom:
    """Random numbers for each lane from its own counter: SplitMix64 streams, one a lane.

    Draw i of global lane n depends only on (seed, n, i). A lane left out by `lanes` (a bool mask) draws nothing and
    its counter stands still, as a frozen lane's must.
    """

    def __init__(self, seed: int, lanes: Lanes, name: str = "") -> None:
        key = np.uint64(derive(seed, "lane-random", name))
        self._origin = _mix(_mix(lanes.numbers.astype(np.uint64) * _GAMMA + _GAMMA) ^ key)  # [lanes]
        self._count = np.zeros(lanes.count, np.uint64)  # [lanes] numbers drawn so far

    def bits(self, shape: tuple[int, ...] = (), lanes: np.ndarray | None = None) -> np.ndarray:
        """Return uint64 [lanes, *shape]; lanes that do not draw get zeros."""
        size = int(np.prod(shape)) if shape else 1
        steps = np.arange(1, size + 1, dtype=np.uint64)
        drawn = _mix(self._origin[:, None] + (self._count[:, None] + steps) * _GAMMA)
        if lanes is None:
            self._count += np.uint64(size)
        else:
            self._count += lanes * np.uint64(size)
            drawn *= lanes[:, None]
        return drawn.reshape(len(drawn), *shape)

    def one(self, lane: int) -> int:
        """Return the next 64 bits of one lane, those that `bits` would give it: quicker where few lanes draw."""
        self._count[lane] += np.uint64(1)
        x = (int(self._origin[lane]) + int(self._count[lane]) * int(_GAMMA)) % _WORD
        x = (x ^ (x >> 30)) * int(_MIX1) % _WORD
        x = (x ^ (x >> 27)) * int(_MIX2) % _WORD
        return x ^ (x >> 31)

    def uniform(self, shape: tuple[int, ...] = (), lanes: np.ndarray | None = None) -> np.ndarray:
        """Return float64 [lanes, *shape] in [0, 1)."""
        return (self.bits(shape, lanes) >> np.uint64(11)) * (1.0 / (1 << 53))

    def normal(self, shape: tuple[int, ...] = (), lanes: np.ndarray | None = None) -> np.ndarray:
        """Return float64 [lanes, *shape], standard normal (Box and Muller 1958); zeros where a lane does not draw."""
        value = _box_muller(self.uniform((*shape, 2), lanes))
        if lanes is not None:
            value[~lanes] = 0.0
        return value

    def uniform_each(self, numbers: np.ndarray, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Return float64 [sum(numbers), *shape] in [0, 1): `numbers` [lanes] rows for each lane, lane after lane."""
        size = int(np.prod(shape)) if shape else 1
        drawn = np.asarray(numbers, np.int64) * size  # [lanes]
        lane = np.repeat(np.arange(drawn.size), drawn)
        steps = np.arange(1, lane.size + 1) - np.repeat(np.cumsum(drawn) - drawn, drawn)
        bits = _mix(self._origin[lane] + (self._count[lane] + steps.astype(np.uint64)) * _GAMMA)
        self._count += drawn.astype(np.uint64)
        return ((bits >> np.uint64(11)) * (1.0 / (1 << 53))).reshape(int(np.sum(numbers)), *shape)

    def normal_each(self, numbers: np.ndarray, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Return float64 [sum(numbers), *shape], standard normal: `numbers` [lanes] rows for each lane."""
        return _box_muller(self.uniform_each(numbers, (*shape, 2)))

    def poisson(self, mean: float, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Return int64 [lanes, *shape], Poisson distributed: by inversion, in parts of a mean up to 16 that add up."""
        parts = max(int(np.ceil(mean / 16)), 1)
        part = mean / parts
        below = np.cumsum(np.exp(-part) * np.cumprod([1.0, *(part / k for k in range(1, 128))]))  # P(count <= k)
        return np.searchsorted(below, self.uniform((*shape, parts)), side="right").sum(axis=-1)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self._count.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._count[:] = state["count"]


def _box_muller(uniform: np.ndarray) -> np.ndarray:
    """Standard normal [...] from uniform [..., 2]."""
    return np.sqrt(-2.0 * np.log1p(-uniform[..., 0])) * np.cos((2 * np.pi) * uniform[..., 1])
