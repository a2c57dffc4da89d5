"""The tail of a run: rows that do not fill a chunk yet, in frames with checksums.

    file  = magic, frame, frame, ...
    frame = "ROWS", size of the rest, checksum of the rest, number of segments, segments, columns
    segment = stream number, first row, number of rows

A frame counts whole or not at all. The file is never edited: rows are added at its end, and it is cut by writing a
new one and renaming it, so that a reader always sees frames that belong together.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from .atomic import Hook, replace_file, write_all
from .stream import Layout

MAGIC = b"stimtail1\n\0\0\0\0\0\0"
_FRAME = struct.Struct("<4sIQ")  # mark, checksum of what follows, size of what follows
_SEGMENT = struct.Struct("<IIQ")  # stream, rows, first row
_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one stream, as one array per column."""

    stream: int
    first: int
    count: int
    columns: tuple[np.ndarray, ...]


def frame(segments: Sequence[Rows]) -> list[Any]:
    """Return the buffers of one frame."""
    head = b"".join([_COUNT.pack(len(segments)), *(_SEGMENT.pack(s.stream, s.count, s.first) for s in segments)])
    body: list[Any] = [head, *(column for s in segments for column in s.columns if column.nbytes)]
    checksum = 0
    for part in body:
        checksum = zlib.crc32(part, checksum)
    return [_FRAME.pack(b"ROWS", checksum, sum(memoryview(part).nbytes for part in body)), *body]


class Tail:
    """The tail opened for writing; knows which of its rows no chunk holds yet."""

    def __init__(self, path: Path, hook: Hook | None = None) -> None:
        self.path = Path(path)
        self._hook = hook
        self._descriptor = -1
        self._live: dict[int, Rows] = {}  # by stream: all its rows that no chunk holds yet
        self.size = 0

    def begin(self, segments: Sequence[Rows] = ()) -> None:
        """Put a new tail in place that holds just these rows."""
        self.close()
        parts = [MAGIC, *(frame(segments) if segments else [])]
        replace_file(self.path, parts, hook=self._hook)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.size = sum(memoryview(part).nbytes for part in parts)
        self._live = {segment.stream: segment for segment in segments}

    def append(self, segments: Sequence[Rows]) -> None:
        """Add what is new in these rows: each segment holds everything of its stream that no chunk holds yet."""
        fresh = []
        for segment in segments:
            old = self._live.get(segment.stream)
            skip = old.first + old.count - segment.first if old else 0
            if skip < segment.count:
                fresh.append(Rows(segment.stream, segment.first + skip, segment.count - skip,
                                  tuple(column[skip:] for column in segment.columns)))
            self._live[segment.stream] = segment
        if fresh:
            parts = frame(fresh)
            if self._hook is not None:
                self._hook(self.path, parts)
            self.size += write_all(self._descriptor, parts)

    def committed(self, stream: int) -> None:
        """Note that every row so far of a stream is in a chunk; the file is cut when most of it is of no more use."""
        self._live.pop(stream, None)
        if self.size > 1 << 22:
            live = sum(column.nbytes for rows in self._live.values() for column in rows.columns)
            if self.size > (1 << 22) + 2 * live:
                self.begin(list(self._live.values()))

    def sync(self) -> None:
        """Force the tail to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def tail_content(path: Path) -> bytes:
    """Return the bytes of a tail; to be read before the journal, so that no row falls between the two."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""


def read_tail(content: bytes, layouts: Sequence[Layout]) -> list[Rows]:
    """Return every verified row of a tail, oldest first; reading ends at the first frame that is not whole."""
    return [rows for body in _frames(content)[0] for rows in _segments(body, layouts)]


def is_damaged(content: bytes) -> bool:
    """Was a tail altered after it was written? A kill only takes away its end, and is no damage."""
    if not content.startswith(MAGIC):
        return bool(content)
    place = _frames(content)[1]
    rest = memoryview(content)[place:]
    if len(rest) < _FRAME.size:
        return not b"ROWS".startswith(rest[:4])
    mark, checksum, size = _FRAME.unpack_from(rest)
    body = rest[_FRAME.size:]
    if mark != b"ROWS" or len(body) >= size or zlib.crc32(body) == checksum:
        return True
    while (place := content.find(b"ROWS", place + 1)) >= 0:  # the size itself may be what was altered
        if _frames(content, place)[0]:
            return True
    return False


def _frames(content: bytes, place: int = len(MAGIC)) -> tuple[list[memoryview], int]:
    """Return the verified frames from a place on, and where the first that is not whole begins."""
    found: list[memoryview] = []
    while content.startswith(MAGIC) and place + _FRAME.size <= len(content):
        mark, checksum, size = _FRAME.unpack_from(content, place)
        body = memoryview(content)[place + _FRAME.size:place + _FRAME.size + size]
        if mark != b"ROWS" or len(body) < size or zlib.crc32(body) != checksum:
            break
        found.append(body)
        place += _FRAME.size + size
    return found, place


def _segments(body: memoryview, layouts: Sequence[Layout]) -> list[Rows]:
    (count,) = _COUNT.unpack_from(body, 0)
    place = _COUNT.size + count * _SEGMENT.size
    found = []
    for i in range(count):
        stream, rows, first = _SEGMENT.unpack_from(body, _COUNT.size + i * _SEGMENT.size)
        if stream >= len(layouts) or place + rows * layouts[stream].row_bytes > len(body):
            raise RunError(f"tail.bin does not belong to the journal beside it: it holds rows of stream {stream}")
        columns = []
        for column in layouts[stream].columns:
            size = rows * column.row_bytes
            flat = np.frombuffer(body[place:place + size], column.numpy)
            columns.append(flat.reshape((rows, *column.shape)))
            place += size
        found.append(Rows(stream, first, rows, tuple(columns)))
    return found


def join_rows(segments: Sequence[Rows], stream: int, start: int, layout: Layout) -> tuple[np.ndarray, ...]:
    """Return the rows of one stream from row `start` on, one array per column, up to the first gap."""
    pieces: list[tuple[np.ndarray, ...]] = []
    reached = start
    for segment in segments:
        end = segment.first + segment.count
        if segment.stream != stream or end <= reached:
            continue
        if segment.first > reached:
            break
        pieces.append(tuple(column[reached - segment.first:] for column in segment.columns))
        reached = end
    if not pieces:
        return tuple(column.empty(0) for column in layout.columns)
    return tuple(np.concatenate(columns) for columns in zip(*pieces, strict=True))
