"""Something to record whose every row can be told from its number, and a plain list of what was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stimloop.loops.events import Events
from stimloop.loops.port import Port
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stored import Stored
from stimloop.loops.storage.stream import Stream

LANES = 2
MILLISECOND = 1_000_000

STREAMS = [
    Stream("brain", "rates", Port("firing rate", (3,), ("neuron",), "1/s"), LANES,
           {"neuron": {"region": ["M1", "S1", "µ"], "depth": [0.1, 0.2, 0.3]}, "muscle": ["unused"]}),
    Stream("body", "choice", Port("what was chosen", choices=4), LANES),
    Stream("body", "camera", Port("picture", (4, 5), dtype="uint8", low=0, high=255), LANES),
    Stream("body", "solved", Port("reached", (), dtype="bool"), LANES),
    Stream("brain", "spikes", Port("spikes", (0,), ("neuron",), kind="event", indices=3), LANES,
           {"neuron": ["a", "b", "c"]}),
    Stream("stimulator", "pulses", Port("pulses", (2,), ("phase",), "uA", kind="event", indices=8), LANES),
    Stream("learner", "loss", Port("loss", per_lane=False), LANES, metric=True),
]


def value(stream: Stream, row: int) -> np.ndarray:
    """The signal that stands in a row of a stream."""
    shape = stream.port.full_shape(stream.lanes)
    numbers = np.arange(int(np.prod(shape))).reshape(shape) * 7 + row * 13 + len(stream.key)
    return (numbers % {"bool": 2, "uint8": 251, "int64": 4}.get(stream.port.dtype, 9973)).astype(stream.port.dtype)


def batch(stream: Stream, now: int, row: int) -> Events:
    """The events that a stream says in its `row`-th message: none, or a few."""
    count = row * 5 % 4
    shape = stream.port.shape
    payload = np.arange(count * int(np.prod(shape)), dtype=np.float32).reshape(count, *shape) + row
    return Events.of(now - np.arange(count), np.arange(count) % LANES, row % 3, payload)


@dataclass
class Truth:
    """Records and remembers: `say` publishes a row on every stream (or on some)."""

    recorder: Recorder
    columns: dict[str, list[list[np.ndarray]]] = field(default_factory=dict)
    row: int = 0

    def say(self, keys: list[str] | None = None) -> None:
        now = self.row * MILLISECOND
        for key, stream in self.recorder.streams.items():
            if keys is None or key in keys:
                tap = self.recorder.tap(key)
                said: Any = batch(stream, now, self.row) if stream.kind == "event" else value(stream, self.row)
                tap(now, said)
                columns = ([said.time, said.lane, said.index, said.value] if stream.kind == "event"
                           else [np.array([now]), said[None]])
                self.columns.setdefault(key, []).append(columns)
        self.row += 1

    def rows(self, key: str) -> list[np.ndarray]:
        """Everything said on a stream, one array per column."""
        return [np.concatenate(column) for column in zip(*self.columns[key], strict=True)]


def same(stored: Stored, truth: Truth) -> None:
    """Hold every row of a run against what was said."""
    for i, layout in enumerate(stored.layouts):
        if layout.key in truth.columns:
            for column, expected in zip(stored.columns(i).values(), truth.rows(layout.key), strict=True):
                assert column.dtype == expected.dtype or column.column.name in ("time",)
                np.testing.assert_array_equal(column.read(), expected, err_msg=f"{layout.key} {column.column.name}")
        else:
            assert stored.rows[i] == 0


def small_chunks(monkeypatch: Any, rows: int = 8) -> None:
    """Let chunks be so many rows, so that few rows make many chunks."""
    monkeypatch.setattr("stimloop.loops.storage.stream._chunk_rows", lambda row_bytes, streams: rows)


def content(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*"))
            if path.is_file()}
