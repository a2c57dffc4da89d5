"""Are two recordings the same? A hash over every row, and the first place where two runs part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .stored import Stored

_BLOCK = 4096
_WALL = ("wall",)  # fields of evaluations that the clock on the wall writes
_WALL_STREAMS = ("loop.lateness",)  # of real-time loops


def log_hash(stored: Stored, rename: Mapping[str, str] | None = None, without: Iterable[str] = ()) -> str:
    """Return a hash over all streams, events, metrics and evaluations, in the order of their names.

    `rename` maps names of components to those under which they are to be compared; `without` leaves out components
    or single ports. What the clock on the wall says never counts: `loop.lateness`, wall-time fields of evaluations.
    """
    digest = hashlib.sha256()
    for name, stream in sorted(_names(stored, rename, without).items()):
        layout = stored.layouts[stream]
        digest.update(f"{name} {layout.kind}\n".encode())
        for column, values in stored.columns(stream).items():
            digest.update(f"{column} {values.dtype.name} {values.shape}\n".encode())
            for start in range(0, len(values), _BLOCK):
                digest.update(np.ascontiguousarray(values.read(start, start + _BLOCK)).tobytes())
    for name, rows in sorted(stored.evaluations.items()):
        for row in rows:
            kept = {key: value for key, value in row.items() if key not in _WALL}
            digest.update(json.dumps([name, kept], sort_keys=True).encode())
    return digest.hexdigest()


def first_difference(one: Stored, other: Stored, rename: Mapping[str, str] | None = None,
                     without: Iterable[str] = ()) -> tuple[int, str] | None:
    """Return the first instant (ns) and port at which two runs part, or None when no row differs.

    `rename` and `without` are as in `log_hash`; the renamed components are those of `one`. A stream that only one of
    them has counts from its first row.
    """
    ones, others = _names(one, rename, without), _names(other, None, without)
    found: list[tuple[int, str]] = []
    for name in sorted(ones.keys() | others.keys()):
        sides = [(stored, names[name]) for stored, names in ((one, ones), (other, others)) if name in names]
        when = _parting(*(stored.columns(stream) for stored, stream in sides)) if len(sides) == 2 else 0
        if when is not None:
            found.append((when, name))
    return min(found, default=None)


def _names(stored: Stored, rename: Mapping[str, str] | None, without: Iterable[str]) -> dict[str, int]:
    left_out = {*without, *_WALL_STREAMS}
    names = {}
    for i, layout in enumerate(stored.layouts):
        component, _, port = layout.key.partition(".")
        if not {component, layout.key} & left_out:
            names[f"{(rename or {}).get(component, component)}.{port}"] = i
    return names


def _parting(one: dict[str, Any], other: dict[str, Any]) -> int | None:
    """Return the first instant at which two streams differ."""
    if [(c.dtype, c.shape[1:]) for c in one.values()] != [(c.dtype, c.shape[1:]) for c in other.values()]:
        return 0
    rows, longer = min(len(one["time"]), len(other["time"])), max(one["time"], other["time"], key=len)
    for start in range(0, rows, _BLOCK):
        end = min(start + _BLOCK, rows)
        differs = np.zeros(end - start, bool)
        for column, values in one.items():
            a, b = values.read(start, end), other[column].read(start, end)
            same = (a == b) | ((a != a) & (b != b))  # NaN is the same as NaN
            differs |= ~same.all(axis=tuple(range(1, same.ndim)))
        if differs.any():
            row = start + int(np.argmax(differs))
            return min(int(one["time"].read(row, row + 1)[0]), int(other["time"].read(row, row + 1)[0]))
    return int(longer.read(rows, rows + 1)[0]) if len(longer) > rows else None
