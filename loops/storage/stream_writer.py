"""The one thread that writes a run: chunks, then the journal, then the tail."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..errors import RunError
from .atomic import Hook, replace_file, sync_path
from .journal import Journal
from .stored import write_chunk
from .stream import Layout
from .tail import Rows, Tail
from .zarr_files import Compressor, chunk_name, fill_value

_MOST_OWED = 1 << 24  # bytes of chunks not yet written at which the loop has to wait: they are never dropped
_SPARE = 16  # buffers kept for further chunks, shared out among the streams


class StreamWriter:
    """Takes rows from the loop over a bounded queue and puts them on the disk in an order that a kill cannot harm.

    A loop that is faster than the disk waits until half of what it handed over is written: many short waits would
    cost more, as the interpreter changes threads at each.

    The jobs are done one after another, so rows that the loop handed over are never overwritten by it: a buffer
    comes back through `spare` only after its chunk is committed. After the first error nothing more is written; the
    error is raised in the loop's thread by `check`.
    """

    def __init__(self, directory: Path, layouts: Sequence[Layout], journal: Journal, tail: Tail,
                 compressor: Compressor, hook: Hook | None) -> None:
        self.directory, self.layouts, self.journal, self.tail = directory, layouts, journal, tail
        kept = max(2, _SPARE // max(1, len(layouts)))
        self.spare: list[deque[tuple[np.ndarray, ...]]] = [deque(maxlen=kept) for _ in layouts]
        self.error: BaseException | None = None
        self.told = False  # has the loop heard of it?
        self._compressor, self._hook = compressor, hook
        self._unsynced: dict[int, list[int]] = {}  # by stream: first and last chunk not yet forced to the disk
        self._queue: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._owed = 0
        self._paid = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"recorder {directory.name}", daemon=True)
        self._thread.start()

    # -- called in the loop's thread -----------------------------------------------------------------------------------

    def rows(self, segments: list[Rows]) -> None:
        """Add to the tail what is new in these rows."""
        self._put((self._write_rows, segments))

    def chunk(self, segment: Rows) -> None:
        """Commit a chunk; its buffers belong to the writer until they come back through `spare`."""
        size = sum(column.nbytes for column in segment.columns)
        with self._paid:
            if self._owed >= _MOST_OWED:
                self._paid.wait_for(lambda: self._owed <= _MOST_OWED // 2)
            self._owed += size
        self._put((self._write_chunk, segment))

    def entry(self, entry: dict[str, Any]) -> None:
        """Commit a journal entry."""
        self._put((self.journal.append, entry))

    def document(self, path: Path, content: bytes) -> None:
        """Put a small file in place, if nothing has failed yet."""
        self._queue.put((self._replace, path, content))

    def wait(self, *, sync: bool = False) -> None:
        """Wait until everything handed over so far is written (with `sync`: forced to the disk)."""
        done = threading.Event()
        if sync:
            self._put((self._sync,))
        self._queue.put((done.set,))
        done.wait()
        self.check()

    def stop(self) -> None:
        """Write what was handed over and end the thread; may be called twice."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def check(self) -> None:
        """Raise RunError when writing has failed."""
        if self.error is not None:
            self.told = True
            raise RunError(f"{self.directory}: recording stopped: {self.error}. What was committed before is intact; "
                           "make room or repair the disk, then resume the run") from self.error

    def _put(self, job: tuple[Any, ...]) -> None:
        self.check()
        self._queue.put(job)

    # -- the writer's own thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            action, *arguments = job
            # After an error the rest is dropped, so that the loop is never held up by a dead disk.
            if self.error is None or getattr(action, "__self__", None) not in (self, self.journal):
                try:
                    action(*arguments)
                except Exception as error:  # whatever it is, the loop must hear of it
                    self.error = error
            if action == self._write_chunk:
                with self._paid:
                    self._owed -= sum(column.nbytes for column in arguments[0].columns)
                    if self._owed <= _MOST_OWED // 2:
                        self._paid.notify()
            del job, arguments  # the buffers may be the last of their kind

    def _write_rows(self, segments: list[Rows]) -> None:
        self.tail.append(segments)

    def _write_chunk(self, segment: Rows) -> None:
        stream, layout = segment.stream, self.layouts[segment.stream]
        chunk = segment.first // layout.chunk_rows
        for column, buffer in zip(layout.columns, segment.columns, strict=True):
            buffer[segment.count:] = fill_value(column.dtype)
        write_chunk(self.directory, layout, chunk, segment.columns, self._compressor, self._hook)
        self.journal.append({"stream": stream, "rows": segment.first + segment.count})
        self._unsynced.setdefault(stream, [chunk, chunk])[1] = chunk
        self.tail.committed(stream)
        self.spare[stream].append(segment.columns)

    def _replace(self, path: Path, content: bytes) -> None:
        replace_file(path, [content], hook=self._hook)

    def _sync(self) -> None:
        for stream, (first, last) in self._unsynced.items():
            layout = self.layouts[stream]
            for column in layout.columns:
                if column.stored:
                    here = self.directory / layout.path / column.name
                    for chunk in range(first, last + 1):
                        sync_path(here / chunk_name(chunk, 1 + len(column.shape)))
                    sync_path(here)
        self._unsynced.clear()
        self.tail.sync()
        self.journal.sync()
