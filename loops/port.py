"""Ports: the named, typed places where values enter or leave a component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Reads = Literal["now", "hold", "mean", "all"]
Size = int | str | None  # a number, a name shared within the component, or not known yet


@dataclass(frozen=True)
class Port:
    """What a value at this place looks like and means.

    `shape` leaves out the lane axis; a name in it means the same size everywhere in the component and None a size
    that the other end of the wire fills in. For an event port, `shape` is the shape of one payload (`(0,)` for events
    without any, such as spikes) and `indices` the number of neurons, channels or electrodes that can speak. `regions`
    names parts of the last axis in their order, each with its size, where there are any: (("M1", 100), ("F5", 100)).
    """

    about: str
    shape: tuple[Size, ...] = ()
    axes: tuple[str, ...] = ()
    units: str = ""
    dtype: str = "float32"
    low: Any = -np.inf
    high: Any = np.inf
    choices: int = 0
    kind: Literal["signal", "event"] = "signal"
    per_lane: bool = True
    reads: Reads = "now"
    also: tuple[Reads, ...] = ()
    wakes: bool = False
    initial: float = 0.0
    optional: bool = False
    guarded: bool = False
    indices: Size = 1
    regions: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            object.__setattr__(self, "dtype", "int64")
            object.__setattr__(self, "low", 0)
            object.__setattr__(self, "high", self.choices - 1)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Every size of the port, the number of event indices last."""
        return (*self.shape, self.indices) if self.kind == "event" else self.shape

    @property
    def known(self) -> bool:
        """Are all sizes numbers?"""
        return all(isinstance(size, int) for size in self.sizes)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value that the port allows anywhere."""
        if isinstance(self.low, float | int) and isinstance(self.high, float | int):
            return float(self.low), float(self.high)
        return float(np.min(self.low)), float(np.max(self.high))

    def sized(self, sizes: tuple[Size, ...]) -> Port:
        """Return the port with its sizes replaced (in the order of `sizes`)."""
        if sizes == self.sizes:
            return self
        other = object.__new__(Port)  # five times as quick as `replace`: sizes flow through every port of a graph
        vars(other).update(vars(self), shape=tuple(sizes))
        if self.kind == "event":
            vars(other).update(shape=tuple(sizes[:-1]), indices=sizes[-1])
        return other

    def full_shape(self, lanes: int) -> tuple[int, ...]:
        """Shape of a value of this signal port, lanes first: `[lanes, *shape]`, or `shape` when it has no lanes."""
        shape: tuple[Any, ...] = self.shape
        return (lanes, *shape) if self.per_lane else shape

    def start(self, lanes: int) -> np.ndarray:
        """Return what an input reads before anything arrived, read-only."""
        value = np.full(self.full_shape(lanes), self.initial, dtype=self.dtype)
        value.setflags(write=False)
        return value
