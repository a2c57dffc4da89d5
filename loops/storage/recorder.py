"""The recorder: taps output ports and keeps what they said, so that a kill costs at most the last second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError, nearest
from ..events import Events
from . import checkpoint
from .atomic import Hook, replace_file
from .damage import check_journal, rows_kept
from .journal import Journal
from .stored import DAMAGED, FORMAT, JOURNAL, TAIL, Stored, finish, plain_row, read_stored, set_lengths
from .stream import Layout, Stream
from .stream_writer import StreamWriter
from .tail import Rows, Tail
from .zarr_files import DOCUMENT, Compressor, encode, group_document, read_document

POLL_SECONDS = 0.5  # how often the loop calls `poll`: half of what a kill may cost

Tap = Callable[[int, Any], None]


class Recorder:
    """Writes the values of output ports into a run directory.

    `tap(key)` gives the function that takes the values of one port; `poll` brings to the tail file what is new;
    `commit` forces everything to the disk and returns the row counts that a checkpoint must keep; `close` trims and
    consolidates. With `resume` the recorder goes on where the directory ends, or, given the `rows` that `commit`
    returned, where it stood then: what came later is cut off, so that the same values can be recorded again.
    """

    def __init__(self, path: Path, streams: list[Stream], attributes: Mapping[str, Any], *, resume: bool = False,
                 rows: Mapping[str, Any] | None = None, store_hook: Hook | None = None) -> None:
        self.path = Path(path)
        self.streams = {stream.key: stream for stream in streams}
        self._layouts = [stream.layout(len(self.streams)) for stream in self.streams.values()]
        self._hook, self._compressor = store_hook, Compressor()
        self._closed = False
        self.path.mkdir(parents=True, exist_ok=True)
        check_journal(self.path / JOURNAL)
        self._journal = Journal(self.path / JOURNAL, store_hook)
        self._tail = Tail(self.path / TAIL, store_hook)
        try:
            partial = self._begin(attributes, resume, rows)
        except OSError as error:
            self._journal.close()
            raise RunError(f"{self.path} cannot be written: {error}. Make room, or choose another directory") from error
        except BaseException:
            self._journal.close()
            raise
        self._writer = StreamWriter(self.path, self._layouts, self._journal, self._tail, self._compressor, store_hook)
        self._buffers = {layout.key: (_EventBuffer if layout.kind == "event" else _SignalBuffer)(
            i, layout, self._writer, partial[i]) for i, layout in enumerate(self._layouts)}

    # -- beginning -----------------------------------------------------------------------------------------------------

    def _begin(self, attributes: Mapping[str, Any], resume: bool, rows: Mapping[str, Any] | None) -> list[Rows]:
        if self._journal.entries and not resume:
            raise RunError(f"{self.path} holds a run already; record into a new directory, or resume it")
        if self._journal.entries:
            return self._resume(attributes, rows)
        if rows is not None and any((*rows["streams"].values(), *rows["evaluations"].values())):
            raise RunError(f"{self.path} holds no rows, so nothing can be resumed there; begin the run anew")
        self.attributes = dict(attributes)
        self._evaluations: dict[str, int] = {}
        self._describe()
        self._tail.begin()
        self._journal.append({"format": FORMAT, "streams": [layout.to_entry() for layout in self._layouts]})
        return [Rows(i, 0, 0, ()) for i in range(len(self._layouts))]

    def _describe(self) -> None:
        """Write the documents of groups and arrays, before the journal says that there is a run."""
        files: list[tuple[Path, Any]] = []
        folders = {Path(layout.path).parent for layout in self._layouts}
        for folder in sorted(folders | {folder.parent for folder in folders}):
            files.append((self.path / folder / DOCUMENT, encode(group_document())))
        for stream, layout in zip(self.streams.values(), self._layouts, strict=True):
            files += stream.files(self.path, layout, self._compressor)
        files.append((self.path / DOCUMENT, encode(group_document(self.attributes))))
        for path, content in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, [content], hook=self._hook)

    def _resume(self, attributes: Mapping[str, Any], rows: Mapping[str, Any] | None) -> list[Rows]:
        stored = read_stored(self.path)
        self._layouts = _same_streams(self.path, stored, self._layouts)
        target = rows_kept(stored, rows)
        kept = {} if rows is None else rows["evaluations"]
        self._evaluations = {name: len(found) if rows is None else min(int(kept.get(name, 0)), len(found))
                             for name, found in stored.evaluations.items()}
        partial = []
        for i, layout in enumerate(self._layouts):
            first = target[i] // layout.chunk_rows * layout.chunk_rows
            columns = tuple(column.read(first, target[i]) for column in stored.columns(i).values())
            partial.append(Rows(i, first, target[i] - first, columns))
        # The tail first, then the entry that cuts, then the documents: whenever a kill comes, no row is missing.
        self._tail.begin([segment for segment in partial if segment.count])
        self._journal.append({"cut": [segment.first for segment in partial], "evaluations": self._evaluations})
        if rows is not None:
            (self.path / DAMAGED).unlink(missing_ok=True)  # what was lost is recorded again
        if stored.closed is not None:
            set_lengths(stored, dict.fromkeys(range(len(self._layouts)), 0), {}, self._hook)
        self.attributes = {**read_document(self.path).get("attributes", {}), **attributes}
        replace_file(self.path / DOCUMENT, [encode(group_document(self.attributes))], hook=self._hook)
        return partial

    # -- recording -----------------------------------------------------------------------------------------------------

    def tap(self, key: str) -> Tap | None:
        """Return the function that takes the values of a port as (now, value); None when it is not recorded."""
        buffer = self._buffers.get(key)
        return None if buffer is None else buffer.tap

    def poll(self) -> None:
        """Bring what is new to the tail file; the loop calls it every `POLL_SECONDS` between two instants.

        Raises RunError when writing has failed.
        """
        segments = [segment for buffer in self._buffers.values() if (segment := buffer.fresh()) is not None]
        if segments:
            self._writer.rows(segments)
        else:
            self._writer.check()

    def write_evaluation(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to `evaluations/<name>`: numbers, and arrays with one number an episode."""
        self._evaluations[name] = self._evaluations.get(name, 0) + 1
        self._writer.entry({"evaluation": name, "row": plain_row(row)})

    def annotate(self, attributes: Mapping[str, Any]) -> None:
        """Add or change attributes of the run; a disk that fails here is told by `close`."""
        self.attributes.update(attributes)
        self._writer.document(self.path / DOCUMENT, encode(group_document(self.attributes)))

    def row_counts(self) -> dict[str, Any]:
        """Return how many rows each stream and evaluation has: what a checkpoint keeps to come back here."""
        return {"streams": {key: buffer.rows for key, buffer in self._buffers.items()},
                "evaluations": dict(self._evaluations)}

    def commit(self) -> dict[str, Any]:
        """Force every row so far to the disk, then return `row_counts`."""
        self.poll()
        self._writer.wait(sync=True)
        return self.row_counts()

    def close(self, reason: str = "finished") -> None:
        """Write what is left, trim and consolidate; may be called twice. Raises RunError when writing has failed."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._writer.told:
                return  # the loop has stopped on that error already
            for buffer in self._buffers.values():
                buffer.hand_over()
            self._writer.stop()
            self._writer.check()
            finish(read_stored(self.path), self._journal, reason, self._compressor, self._hook)
        except OSError as error:
            on = (f"go on with: stimloop resume {self.path}" if checkpoint.has_any(self.path / "checkpoints") else
                  "open it with stimloop.loops.storage.runs.recover, for it has no checkpoint to go on from")
            raise RunError(f"{self.path} could not be finished: {error}. What was recorded is intact; make room and "
                           f"{on}") from error
        finally:
            self._writer.stop()
            self._tail.close()
            self._journal.close()


class _SignalBuffer:
    """The rows (time, value) of one signal port that do not fill a chunk yet."""

    def __init__(self, stream: int, layout: Layout, writer: StreamWriter, partial: Rows) -> None:
        self._stream, self._layout, self._writer = stream, layout, writer
        self._told = partial.count  # rows of the present buffer that the tail knows
        self._first = partial.first
        self.tap, self._look, self._swap = self._make(partial)

    def _make(self, partial: Rows) -> tuple[Tap, Callable[[], tuple[int, tuple[np.ndarray, ...]]], Callable]:
        # A closure over plain locals: half the time of a method that looks them up on self.
        limit, filled, full = self._layout.chunk_rows, partial.count, self.hand_over
        columns = _new_columns(self._layout, self._writer, self._stream, partial)
        times, values = columns

        def tap(now: int, value: np.ndarray) -> None:
            nonlocal filled
            values[filled] = value
            times[filled] = now
            filled += 1
            if filled == limit:
                full()

        def look() -> tuple[int, tuple[np.ndarray, ...]]:
            return filled, (times, values)

        def swap(columns: tuple[np.ndarray, ...]) -> None:
            nonlocal filled, times, values
            filled = 0
            times, values = columns

        return tap, look, swap

    @property
    def rows(self) -> int:
        return self._first + self._look()[0]

    def fresh(self) -> Rows | None:
        """Return all rows of the present buffer when some are new since the last call."""
        filled, columns = self._look()
        if filled == self._told:
            return None
        self._told = filled
        return Rows(self._stream, self._first, filled, tuple(column[:filled] for column in columns))

    def hand_over(self) -> None:
        """Give the buffer to the writer as a chunk and begin another."""
        filled, columns = self._look()
        if filled:
            self._writer.chunk(Rows(self._stream, self._first, filled, columns))
            self._first += filled
            self._told = 0
            self._swap(_new_columns(self._layout, self._writer, self._stream))


class _EventBuffer(_SignalBuffer):
    """The rows (time, lane, index, value) of one event port."""

    def _make(self, partial: Rows) -> tuple[Tap, Callable[[], tuple[int, tuple[np.ndarray, ...]]], Callable]:
        limit, filled, full = self._layout.chunk_rows, partial.count, self.hand_over
        columns = _new_columns(self._layout, self._writer, self._stream, partial)

        def tap(now: int, events: Events) -> None:
            nonlocal filled
            done, count = 0, events.time.size
            while done < count:
                room = min(limit - filled, count - done)
                there, here = slice(filled, filled + room), slice(done, done + room)
                time, lane, index, value = columns
                time[there] = events.time[here]
                lane[there] = events.lane[here]
                index[there] = events.index[here]
                value[there] = events.value[here]
                filled += room
                done += room
                if filled == limit:
                    full()

        def look() -> tuple[int, tuple[np.ndarray, ...]]:
            return filled, columns

        def swap(others: tuple[np.ndarray, ...]) -> None:
            nonlocal filled, columns
            filled = 0
            columns = others

        return tap, look, swap


def _new_columns(layout: Layout, writer: StreamWriter, stream: int, partial: Rows | None = None
                 ) -> tuple[np.ndarray, ...]:
    spare = writer.spare[stream]
    columns = spare.popleft() if spare else tuple(column.empty(layout.chunk_rows) for column in layout.columns)
    if partial is not None and partial.count:
        for column, values in zip(columns, partial.columns, strict=True):
            column[:partial.count] = values
    return columns


def _same_streams(path: Path, stored: Stored, wanted: list[Layout]) -> list[Layout]:
    """Return the layouts of the run when it has just these streams; else say which differ."""
    there = {layout.key: layout for layout in stored.layouts}
    for layout in wanted:
        other = there.get(layout.key)
        if other is None:
            raise RunError(f"{path} does not record {layout.key}. {nearest(layout.key, there)}")
        if (other.path, other.columns) != (layout.path, layout.columns):
            raise RunError(f"{path} records {layout.key} as {other.columns}, now it is {layout.columns}; "
                           "a resumed run has the ports it began with")
    if len(there) != len(wanted):
        missing = sorted(set(there) - {layout.key for layout in wanted})
        raise RunError(f"{path} also records {', '.join(missing)}; a resumed run records the same ports")
    return stored.layouts
