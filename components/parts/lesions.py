"""Lesions: which connections or neurons of a network a stroke has silenced.

A lesion is described by a `Lesion` and drawn once, into masks of ones and zeros; the mask drawn belongs to what a brain
has learned, so it survives a reset, an artifact and an evaluation. Counts truncate: int(fraction * size), as in
Pan et al. 2024 (arXiv:2406.06714); `count: round` rounds to the nearest instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Share
from ...loops.errors import StimloopError
from ...loops.seeds import derive


class LesionError(StimloopError, ValueError):
    """A lesion is described in a way that cannot be carried out."""


@dataclass(frozen=True)
class Lesion:
    """Describes a lesion.

    Args:
        kind: `weights` silences connections of one weight matrix chosen by a shuffle of all of them (biases stay);
            `connections` those between the neurons `source` and `target`; `neurons` silences neurons, listed or drawn
            from all; `region` draws them from one region; `mask` says for every neuron whether it lives or not.
        fraction: how much of what `kind` names is silenced.
        seed: of the draw; left out, the brain's own seed decides.
        neurons: numbers of the neurons to silence, all of them; left out, they are drawn.
        mask: 1 for each neuron that lives, 0 for each that does not.
        region: name of the region that neurons are drawn from.
        source: neurons, or the region, that the silenced connections come from.
        target: neurons, or the region, that they go to.
        count: how `fraction` of a number becomes whole: cut off, or rounded.
    """

    kind: Literal["weights", "neurons", "mask", "region", "connections"] = "weights"
    fraction: Share = 1.0
    seed: int | None = None
    neurons: list[int] | None = None
    mask: list[int] | None = None
    region: str | None = None
    source: str | list[int] | None = None
    target: str | list[int] | None = None
    count: Literal["truncate", "round"] = "truncate"

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise LesionError(f"a lesion of fraction {self.fraction:g} is outside [0, 1]")
        takes = {"neurons": ("neurons",), "mask": ("mask",), "region": ("region",), "connections": ("source", "target")}
        allowed = takes.get(self.kind, ())
        for name in ("neurons", "mask", "region", "source", "target"):
            if getattr(self, name) is not None and name not in allowed:
                raise LesionError(f"a lesion of kind {self.kind!r} takes no {name!r}: leave it out, or choose the kind "
                                  f"that takes it")
        for name in ("mask", "region"):
            if self.kind == name and getattr(self, name) is None:
                raise LesionError(f"a lesion of kind {name!r} must say its {name!r}")
        if self.neurons is not None and self.fraction != 1:
            raise LesionError("listed neurons are silenced all of them: leave `fraction` out, or the list")

    @property
    def of_neurons(self) -> bool:
        """Does it silence neurons (and not connections)?"""
        return self.kind in ("neurons", "mask", "region")

    @property
    def key(self) -> int:
        """A number of 24 bits that stands for the description: equal descriptions, equal keys."""
        return derive(0, *(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))) & 0xFFFFFF

    def killed(self, size: int) -> int:
        """Return how many of `size` it silences."""
        exact = self.fraction * size
        return int(np.floor(exact + 0.5)) if self.count == "round" else int(exact)


def draw_connections(lesion: Lesion, shape: tuple[int, int], seed: int,
                     regions: Mapping[str, Sequence[int]] | None = None) -> np.ndarray:
    """Return a float32 mask [targets, sources] of connections that live, for kinds `weights` and `connections`."""
    targets = _members(lesion.target, shape[0], regions, "target")
    sources = _members(lesion.source, shape[1], regions, "source")
    rows, columns = (grid.ravel() for grid in np.meshgrid(targets, sources, indexing="ij"))
    order = np.random.default_rng(seed if lesion.seed is None else lesion.seed).permutation(rows.size)
    dead = order[:lesion.killed(rows.size)]
    mask = np.ones(shape, np.float32)
    mask[rows[dead], columns[dead]] = 0
    return mask


def draw_neurons(lesion: Lesion, size: int, seed: int,
                 regions: Mapping[str, Sequence[int]] | None = None) -> np.ndarray:
    """Return a float32 mask [neurons] of neurons that live, for kinds `neurons`, `region` and `mask`."""
    if lesion.kind == "mask":
        given = np.asarray(lesion.mask, np.float32)
        if given.shape != (size,) or not np.isin(given, (0, 1)).all():
            raise LesionError(f"a lesion mask must hold {size} ones and zeros, one for each neuron; this one has "
                              f"{given.size} entries")
        return given
    mask = np.ones(size, np.float32)
    if lesion.neurons is not None:
        mask[_members(lesion.neurons, size, regions, "neurons")] = 0
        return mask
    pool = _members(lesion.region, size, regions, "region")
    rng = np.random.default_rng(seed if lesion.seed is None else lesion.seed)
    mask[rng.choice(pool, lesion.killed(pool.size), replace=False)] = 0
    return mask


def keep(lesion: Lesion | None, mask: np.ndarray | None) -> dict[str, dict[str, np.ndarray]]:
    """Return what a brain with this lesion drawn adds to what it has learned."""
    if lesion is None or mask is None:
        return {}
    return {"lesion": {"mask": mask.copy(), "key": np.array([lesion.key], np.float32)}}


def recall(lesion: Lesion | None, mask: np.ndarray | None, learned: Mapping[str, Any]) -> np.ndarray | None:
    """Return the mask in what was learned, if it was drawn from this very description; else the brain's own."""
    drawn = learned.get("lesion")
    if drawn is not None and lesion is not None and int(drawn["key"][0]) == lesion.key:
        return np.array(drawn["mask"], np.float32)
    return mask


def numbers(shape: tuple[int, ...]) -> int:
    """Return how many numbers `keep` adds for a mask of this shape."""
    return 1 + int(np.prod(shape))


def _members(who: str | list[int] | None, size: int, regions: Mapping[str, Sequence[int]] | None,
             name: str) -> np.ndarray:
    """Return the indices that a region's name, a list or nothing (everyone) stands for."""
    if who is None:
        return np.arange(size)
    if isinstance(who, str):
        if not regions or who not in regions:
            known = f"its regions are {', '.join(regions)}" if regions else "it has no regions"
            raise LesionError(f"this brain knows no region {who!r} ({name} of the lesion): {known}")
        return np.asarray(regions[who], int)
    indices = np.asarray(who, int)
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        wrong = indices[(indices < 0) | (indices >= size)][0]
        raise LesionError(f"{name} of the lesion names neuron {wrong}; there are {size}, numbered from 0")
    return indices
