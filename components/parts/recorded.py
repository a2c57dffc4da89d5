"""Recorded streams: one port of an earlier run, read in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.errors import RunError
from ...loops.events import Events
from ...loops.port import Port
from ...loops.storage import runs
from ...loops.storage.zarr_files import read_document

_BLOCK = 1024  # rows read at once


class Recorded:
    """The rows of one recorded port, in order of time."""

    def __init__(self, columns: Any, facts: dict[str, Any]) -> None:
        self.time = np.asarray(columns["time"].read(), np.int64)  # [rows]
        self.lanes = int(facts.get("lanes", 1))
        self.indices = int(facts.get("indices", 0))
        self.per_lane = bool(facts.get("per_lane", True))
        self._columns = {name: columns[name] for name in ("lane", "index", "value") if name in columns}
        self._block: tuple[int, np.ndarray] = (-1, np.zeros(0))

    def sizes(self, port: Port) -> tuple[int, ...]:
        """Sizes of one value without lanes; for events those of the payload, then the number of indices."""
        shape = tuple(int(size) for size in self._columns["value"].shape[1:])
        return (*shape, self.indices) if port.kind == "event" else shape[self.per_lane:]

    def rows(self, after: int, until: int) -> range:
        """Rows with a time in (after, until]."""
        return range(int(np.searchsorted(self.time, after, "right")), int(np.searchsorted(self.time, until, "right")))

    def next_time(self, now: int) -> int | None:
        """Time of the first row after `now`."""
        row = int(np.searchsorted(self.time, now, "right"))
        return int(self.time[row]) if row < self.time.size else None

    def value(self, row: int) -> np.ndarray:
        """The value of a signal in one row, [lanes, ...] or without lanes."""
        block = row // _BLOCK
        if self._block[0] != block:
            self._block = (block, self._columns["value"].read(block * _BLOCK, (block + 1) * _BLOCK))
        return self._block[1][row - block * _BLOCK]

    def events(self, rows: range) -> Events:
        """Some rows of an event port as one batch."""
        lane, index, value = (self._columns[name].read(rows.start, rows.stop) for name in ("lane", "index", "value"))
        return Events(self.time[rows.start:rows.stop], lane, index, value)


def open_recording(run: str, component: str, port: str, kind: str) -> Recorded:
    """Open one recorded port of a run; raises RunError, with the names that are there, where it cannot be played."""
    opened = runs.open(run)
    key = f"{component}.{port}"
    try:
        columns = opened.columns(key)
    except KeyError as missing:
        raise RunError(str(missing.args[0])) from None
    recorded = opened.streams[key].kind
    if (recorded == "event") != (kind == "event"):
        raise RunError(f"{key} was recorded as {recorded}, but is asked for as {kind}")
    folder = {"event": "events", "metric": "metrics", "signal": "streams"}[recorded]
    facts = read_document(opened.path / folder / component / port).get("attributes", {})
    return Recorded(columns, dict(facts))
