"""Recorded streams: one port of one closed run, read in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.errors import RunError
from ...loops.events import Events
from ...loops.port import Port

_BLOCK = 1024  # rows read at once


class RecordedSignal:
    """The rows (time, value) of a signal port."""

    def __init__(self, group: Any) -> None:
        self.time = np.asarray(group["time"][:], np.int64)  # [rows]
        self._value = group["value"]  # [rows, lanes, ...]
        self._block: tuple[int, np.ndarray] = (-1, np.zeros(0))

    def sizes(self, port: Port) -> tuple[int, ...]:
        """Sizes of one value, without lanes."""
        return tuple(self._value.shape[1 + port.per_lane:])

    def rows(self, after: int, until: int) -> range:
        """Rows published in (after, until]."""
        return range(int(np.searchsorted(self.time, after, "right")), int(np.searchsorted(self.time, until, "right")))

    def next_time(self, now: int) -> int | None:
        """Instant of the first row after `now`."""
        row = int(np.searchsorted(self.time, now, "right"))
        return int(self.time[row]) if row < self.time.size else None

    def read(self, row: int) -> np.ndarray:
        """Return the value of one row."""
        block = row // _BLOCK
        if self._block[0] != block:
            self._block = (block, np.asarray(self._value[block * _BLOCK:(block + 1) * _BLOCK]))
        return self._block[1][row - block * _BLOCK]


class RecordedEvents:
    """The rows (time, lane, index, value) of an event port."""

    def __init__(self, group: Any) -> None:
        self.time = np.asarray(group["time"][:], np.int64)  # [events]
        self._columns = [group[name] for name in ("lane", "index", "value")]
        self.lanes = int(group.attrs["lanes"]) if "lanes" in group.attrs else self._count_lanes()

    def sizes(self, port: Port) -> tuple[int, ...]:
        """Sizes of one payload, then the number of indices (not in the recording: the port's own)."""
        return (*self._columns[2].shape[1:], *(s for s in (port.indices,) if isinstance(s, int)))

    def rows(self, after: int, until: int) -> range:
        """Rows of the events in (after, until]."""
        return range(int(np.searchsorted(self.time, after, "right")), int(np.searchsorted(self.time, until, "right")))

    def next_time(self, now: int) -> int | None:
        """Instant of the first event after `now`."""
        row = int(np.searchsorted(self.time, now, "right"))
        return int(self.time[row]) if row < self.time.size else None

    def read(self, rows: range) -> Events:
        """Return some rows as one batch."""
        lane, index, value = (np.asarray(column[rows.start:rows.stop]) for column in self._columns)
        return Events(self.time[rows.start:rows.stop], lane, index, value)

    def _count_lanes(self) -> int:
        lane = self._columns[0][:]
        return int(np.max(lane)) + 1 if lane.size else 1


def open_recording(run: str, component: str, port: str, kind: str) -> RecordedSignal | RecordedEvents:
    """Open one recorded port of a closed run; a missing one raises KeyError with the names that are there."""
    import zarr

    try:
        root: Any = zarr.open_group(run, mode="r")
    except (OSError, ValueError) as error:
        raise RunError(f"{run} is not a run that can be opened: {error}") from error
    folders = ("events",) if kind == "event" else ("streams", "metrics")
    for folder in folders:
        path = f"{folder}/{component}/{port}"
        if path in root:
            return RecordedEvents(root[path]) if kind == "event" else RecordedSignal(root[path])
    there = [name for folder in folders if f"{folder}/{component}" in root for name in root[f"{folder}/{component}"]]
    raise KeyError(there)
