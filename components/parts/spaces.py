"""The door between Gymnasium's spaces and ports: actions scaled on the way in, observations laid out on the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from ...loops.errors import PortError, short
from ...loops.port import Port

_LOW, _HIGH = np.array(-1, np.float32), np.array(1, np.float32)  # as arrays: half the cost of a call


class ActionDoor:
    """Turns values of an `action` port into actions of a space.

    A bounded box is scaled from [-1, 1]; what is already [-1, 1] passes unchanged. A discrete space is a choice.
    """

    def __init__(self, space: spaces.Space, scale: float | None = None, axis: str = "", clips: bool = False,
                 unscaled: bool = False) -> None:
        """Open a door to `space`; `scale` is what 1 means where it has no bounds, `clips` that its owner clips.

        An `unscaled` door hands on what it is given, within the bounds: 1 is 1, not the bound.
        """
        self.space = space
        self._clips = clips
        self._as_it_is = False
        if isinstance(space, spaces.Discrete):
            self._first = int(space.start)
            self.port = Port("which action to take", choices=int(space.n), reads="hold", also=("now",))
        elif isinstance(space, spaces.Box):
            self._middle, self._half = _middle_and_half(space, scale)
            if unscaled:
                self._middle, self._half = np.zeros(space.shape), np.ones(space.shape)
            self._plain = not unscaled and bool((self._middle == 0).all() and (self._half == 1).all())
            self._as_it_is = clips and self._plain and space.dtype == np.float32
            axes = (axis,) if axis and len(space.shape) == 1 else ()
            self.port = Port("action, scaled to the environment's bounds at its door", space.shape, axes, low=-1.0,
                             high=1.0, reads="hold", also=("now", "mean"))
        else:
            raise ValueError(f"actions of the kind {type(space).__name__} cannot arrive on one port; Box and Discrete "
                             "can. Wrap the environment so that it takes one of these")

    def __call__(self, values: np.ndarray) -> Any:
        """Return one action per lane for `values` [lanes, ...]."""
        if self._as_it_is:
            return values
        if self.port.choices:
            return [int(value) + self._first for value in values]
        inside = values if self._clips else np.minimum(np.maximum(values, _LOW), _HIGH)
        if not self._plain:
            inside = self._middle + inside * self._half
            if not self._clips:
                inside = np.minimum(np.maximum(inside, self.space.low), self.space.high)  # type: ignore[attr-defined]
        return inside.astype(self.space.dtype, copy=False)

    def nothing(self) -> Any:
        """Return one action of the space that a port value of 0 means."""
        return self(np.zeros((1, *self.port.shape), self.port.dtype))[0]  # type: ignore[arg-type]


def _middle_and_half(space: spaces.Box, scale: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half width of each entry of a box; an unbounded one takes `scale`."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    bounded = np.isfinite(low) & np.isfinite(high)
    if not bounded.all() and scale is None:
        raise ValueError(f"{int((~bounded).sum())} of the {low.size} actions of this environment have no bounds, so "
                         "[-1, 1] cannot be scaled to them; say what 1 means there: action_scale: 1.0")
    low, high = np.where(bounded, low, -(scale or 0.0)), np.where(bounded, high, scale or 0.0)
    return (low + high) / 2, (high - low) / 2


@dataclass(frozen=True)
class _Leaf:
    name: str  # of its port
    path: tuple[Any, ...]  # keys from the root of the space
    space: Any
    image: bool
    place: slice  # in the flat observation

    @cached_property
    def vector(self) -> bool:
        """Is the value one row of numbers already?"""
        return isinstance(self.space, spaces.Box) and len(self.space.shape) == 1

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """Shape with which an array is known to fit; None where its numbers have to be looked at too."""
        return self.space.shape if isinstance(self.space, spaces.Box) else None


class ObservationDoor:
    """Lays observations of a space out on ports: a flat `observation`, and one port for each key of a dictionary.

    Images stay images: a single one is the observation itself, those in a dictionary are left out of the flat vector.
    """

    def __init__(self, space: spaces.Space, whose: str = "the environment") -> None:
        """Lay out observations of `space`; `whose` they are is told where they are other than declared."""
        self._whose = whose
        self._leaves: list[_Leaf] = []
        size = 0
        for path, leaf in _leaves(space):
            image = _is_image(leaf)
            width = 0 if image else spaces.flatdim(leaf)
            name = "_".join(["observation", *(plain_name(str(key)) for key in path)])
            self._leaves.append(_Leaf(name, path, leaf, image, slice(size, size + width)))
            size += width
        names = [leaf.name for leaf in self._leaves]
        if len(set(names)) < len(names):
            raise ValueError(f"two keys of the observation get the same port name ({', '.join(sorted(names))}); rename "
                             "one of them in a wrapper")
        self._size = size
        self.ports = self._make_ports()

    def _make_ports(self) -> dict[str, Port]:
        leaves = self._leaves
        ports: dict[str, Port] = {}
        if leaves[0].path or not leaves[0].image:
            low, high = _bounds([leaf.space for leaf in leaves if not leaf.image])
            ports["observation"] = Port("what the environment shows", (self._size,), low=low, high=high)
        for leaf in leaves:
            if leaf.image:
                ports[leaf.name] = Port("image", leaf.space.shape, _image_axes(leaf.space), dtype="uint8", low=0,
                                        high=255)
            elif leaf.path and isinstance(leaf.space, spaces.Discrete):
                ports[leaf.name] = Port(_about(leaf), choices=int(leaf.space.n))
            elif leaf.path:
                shape = leaf.space.shape if isinstance(leaf.space, spaces.Box) else (spaces.flatdim(leaf.space),)
                low, high = _bounds([leaf.space])
                ports[leaf.name] = Port(_about(leaf), shape, low=low, high=high)
        return ports

    def check(self, observation: Any) -> None:
        """Raise PortError where an observation is not what the space declares."""
        self.write(observation, 0, {name: np.zeros(port.full_shape(1), port.dtype)
                                    for name, port in self.ports.items()})

    def write(self, observation: Any, lane: int, out: dict[str, np.ndarray]) -> None:
        """Write one environment's observation into row `lane` of arrays by port name.

        Raises PortError where it is not what the space declares: NumPy would repeat or cut it in silence.
        """
        for leaf in self._leaves:
            value = self._find(leaf, observation) if leaf.path else observation
            if (type(value) is not np.ndarray or value.shape != leaf.shape) and not _fits(leaf.space, value):
                raise PortError(f"{self._whose} shows {_brief(value)}{_under(leaf)}, where its observation_space says "
                                f"{_declared(leaf.space)}: let reset and step return what is declared")
            if leaf.image:
                out[leaf.name][lane] = value
                continue
            flat: Any = value if leaf.vector else spaces.flatten(leaf.space, value)
            out["observation"][lane, leaf.place] = flat
            if leaf.path and isinstance(leaf.space, spaces.Discrete):
                out[leaf.name][lane] = int(value) - int(leaf.space.start)
            elif leaf.path:
                out[leaf.name][lane] = np.reshape(flat, out[leaf.name].shape[1:])


    def _find(self, leaf: _Leaf, observation: Any) -> Any:
        value = observation
        try:
            for key in leaf.path:
                value = value[key]
        except (LookupError, TypeError):
            raise PortError(f"{self._whose} shows nothing{_under(leaf)}, which its observation_space declares, but "
                            f"{_brief(observation)}: let reset and step return every key") from None
        return value


def plain_name(name: str) -> str:
    """Make a port name of any text: what is neither letter, digit nor underscore becomes an underscore."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _leaves(space: spaces.Space, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from _leaves(inner, (*path, index))
    elif isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        yield path, space
    else:
        raise ValueError(f"observations of the kind {type(space).__name__} have no fixed size; Box, Discrete, Dict and "
                         "Tuple of these have. Wrap the environment so that it shows one of these")


def _is_image(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _image_axes(space: Any) -> tuple[str, ...]:
    return ("row", "column", "colour")[:len(space.shape)]


def _about(leaf: _Leaf) -> str:
    return f"what the environment shows{_under(leaf)}"


def _under(leaf: _Leaf) -> str:
    return f" under {'/'.join(map(str, leaf.path))}" if leaf.path else ""


def _fits(space: Any, value: Any) -> bool:
    """Is a value of the shape that a leaf declares, and one of its choices where it is a choice?"""
    if isinstance(space, spaces.Discrete) and isinstance(value, int | np.integer):  # the usual case, quickly
        return 0 <= int(value) - int(space.start) < int(space.n)
    try:
        numbers = np.asarray(value)
    except ValueError:  # rows of unlike length
        return False
    if numbers.dtype.kind not in "biuf" or numbers.shape != (space.shape or ()):
        return False
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return True
    places = numbers - space.start
    return bool(((places >= 0) & (places < (space.n if isinstance(space, spaces.Discrete) else space.nvec))
                 & (places == places.astype(np.int64))).all())


def _declared(space: Any) -> str:
    return f"Box of shape {space.shape}" if isinstance(space, spaces.Box) else str(space)


def _brief(value: Any) -> str:
    """Tell a value by its shape where it has one, by its keys, or by itself."""
    if isinstance(value, Mapping):
        return f"a dictionary of {', '.join(map(str, value)) or 'nothing'}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}" + (f" ({short(value.tolist())})" if value.size < 10 else "")
    return short(value)


def _bounds(leaves: Sequence[Any]) -> tuple[float, float]:
    """Widest bounds of several spaces, rounded as the float32 values will be."""
    low, high = np.inf, -np.inf
    for space in leaves:
        box = isinstance(space, spaces.Box)
        low = min(low, float(np.float32(space.low.min())) if box and space.low.size else 0.0)
        high = max(high, float(np.float32(space.high.max())) if box and space.high.size else 1.0)
    return (low, high) if leaves else (0.0, 0.0)
