"""What a run directory holds: rows in chunks, rows in the tail, evaluations; read, folded together and finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from .atomic import Hook, replace_file
from .damage import check_journal, journal_damage
from .journal import Journal, read_journal
from .stream import Column, Layout
from .tail import is_damaged, join_rows, read_tail, tail_content
from .zarr_files import (
    DOCUMENT,
    Compressor,
    array_files,
    check_path,
    chunk_name,
    consolidated,
    encode,
    fill_value,
    group_document,
    plain,
    read_document,
)

FORMAT = 1
JOURNAL = "journal.jsonl"
TAIL = "tail.bin"
DAMAGED = "tail.damaged"  # a tail that could not be read to its end when the run was recovered


@dataclass
class Stored:
    """The content of a run directory as of one moment."""

    directory: Path
    layouts: list[Layout] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)  # rows in chunks, by stream
    tail: list[tuple[np.ndarray, ...]] = field(default_factory=list)  # the rows after those
    evaluations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closed: str | None = None  # why it ended, when it was closed or recovered
    damage: str = ""  # what can no longer be read, for people

    @property
    def rows(self) -> list[int]:
        """Rows of each stream, in chunks and tail together."""
        return [rows + len(tail[0]) for rows, tail in zip(self.committed, self.tail, strict=True)]

    def columns(self, stream: int) -> dict[str, StoredColumn]:
        """Return the columns of a stream, to be read from."""
        layout, tail = self.layouts[stream], self.tail[stream]
        return {column.name: StoredColumn(self.directory / layout.path, column, layout.chunk_rows,
                                          self.committed[stream], rows)
                for column, rows in zip(layout.columns, tail, strict=True)}


def read_stored(directory: Path) -> Stored:
    """Read what has been committed, and what the tail holds beyond that; works while the run is being written.

    Raises RunError when the directory holds no run, or one of a later format.
    """
    directory = Path(directory)
    if not (directory / JOURNAL).is_file():
        raise RunError(f"{directory} holds no run any more: it was moved or removed. Name it where it lies now")
    content = tail_content(directory / TAIL)  # before the journal: what leaves the tail is in the journal by then
    entries, size = read_journal(directory / JOURNAL)
    stored = replay_journal(directory, entries)
    segments = read_tail(content, stored.layouts) if entries else []
    stored.tail = [join_rows(segments, i, stored.committed[i], layout) for i, layout in enumerate(stored.layouts)]
    harmed = (directory / DAMAGED).exists() or (stored.closed is None and is_damaged(content))
    stored.damage = journal_damage(directory / JOURNAL, size) or (
        f"{TAIL} was altered after it was written: rows behind that place are lost" if harmed else "")
    return stored


def replay_journal(directory: Path, entries: Sequence[Mapping[str, Any]]) -> Stored:
    """Return what the entries of a journal add up to (the tail apart)."""
    stored = Stored(directory)
    try:
        for i, entry in enumerate(entries):
            if (i == 0) != ("format" in entry):
                raise RunError(f"{directory / JOURNAL} does not begin with its streams")
            _apply(stored, entry)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{directory / JOURNAL} has an entry that was not written here ({error!r})") from error
    return stored


def _apply(stored: Stored, entry: Mapping[str, Any]) -> None:
    stored.closed = entry.get("closed")
    if "format" in entry:
        if entry["format"] != FORMAT:
            raise RunError(f"{stored.directory} has format {entry['format']!r}; this version reads {FORMAT}")
        stored.layouts = [Layout.of_entry(layout) for layout in entry["streams"]]
        stored.committed = [0] * len(stored.layouts)
        stored.tail = [tuple(column.empty(0) for column in layout.columns) for layout in stored.layouts]
    elif "stream" in entry:
        stored.committed[entry["stream"]] = int(entry["rows"])
    elif "evaluation" in entry:
        stored.evaluations.setdefault(check_path(entry["evaluation"]), []).append(entry["row"])
    elif "cut" in entry:
        stored.committed = [int(rows) for rows in entry["cut"]]
        for name, rows in stored.evaluations.items():
            del rows[int(entry["evaluations"].get(name, 0)):]


class StoredColumn:
    """One array of a stream, read chunk by chunk when asked: committed rows from Zarr, the rest from the tail."""

    def __init__(self, directory: Path, column: Column, chunk_rows: int, committed: int, tail: np.ndarray) -> None:
        self.column = column
        self.shape = (committed + len(tail), *column.shape)
        self.dtype = np.dtype(column.dtype)
        self._directory = directory / column.name
        self._chunk_rows, self._committed, self._tail = chunk_rows, committed, tail
        self._cached: tuple[int, np.ndarray] = (-1, tail)
        self._compressor: Compressor | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows [start, stop)."""
        stop = len(self) if stop is None else min(stop, len(self))
        start = min(max(start, 0), stop)
        values = np.empty((stop - start, *self.column.shape), self.dtype)
        place = start
        while place < min(stop, self._committed):
            chunk, offset = divmod(place, self._chunk_rows)
            end = min(stop, self._committed, (chunk + 1) * self._chunk_rows)
            values[place - start:end - start] = self._chunk(chunk)[offset:offset + end - place]
            place = end
        if place < stop:
            values[place - start:] = self._tail[place - self._committed:stop - self._committed]
        return values

    def _chunk(self, chunk: int) -> np.ndarray:
        if self._cached[0] != chunk:
            shape = (self._chunk_rows, *self.column.shape)
            if self.column.stored:
                self._compressor = self._compressor or Compressor()
                raw = self._compressor.decompress(self._directory / chunk_name(chunk, len(shape)),
                                                  self._chunk_rows * self.column.row_bytes)
                self._cached = (chunk, raw.view(self.column.numpy).reshape(shape))
            else:
                self._cached = (chunk, np.empty(shape, self.dtype))
        return self._cached[1]


def write_chunk(directory: Path, layout: Layout, chunk: int, columns: Sequence[np.ndarray], compressor: Compressor,
                hook: Hook | None = None) -> None:
    """Put one chunk of every column in place; the buffers are `chunk_rows` long."""
    for column, values in zip(layout.columns, columns, strict=True):
        if column.stored:
            path = directory / layout.path / column.name / chunk_name(chunk, 1 + len(column.shape))
            replace_file(path, [compressor.compress(values)], hook=hook)


def fold(stored: Stored, journal: Journal, compressor: Compressor, hook: Hook | None = None) -> None:
    """Write the rows of the tail into chunks and commit them."""
    for i, layout in enumerate(stored.layouts):
        rows, total = stored.committed[i], stored.rows[i]
        columns = stored.columns(i)
        while rows < total:
            chunk = rows // layout.chunk_rows
            start, end = chunk * layout.chunk_rows, min(total, (chunk + 1) * layout.chunk_rows)
            buffers = []
            for column in layout.columns:
                buffer = column.empty(layout.chunk_rows)
                buffer[:end - start] = columns[column.name].read(start, end)
                buffer[end - start:] = fill_value(column.dtype)
                buffers.append(buffer)
            write_chunk(stored.directory, layout, chunk, buffers, compressor, hook)
            journal.append({"stream": i, "rows": end})
            rows = end
        stored.committed[i] = total
        stored.tail[i] = tuple(column.empty(0) for column in layout.columns)


def finish(stored: Stored, journal: Journal, reason: str, compressor: Compressor, hook: Hook | None = None) -> None:
    """Trim and consolidate a run whose rows are all in chunks, so that xarray opens it; then remove the tail."""
    directory = stored.directory
    groups = {"": read_document(directory)}
    arrays: dict[str, dict[str, Any]] = {}
    for name, rows in stored.evaluations.items():
        _write_table(directory, f"evaluations/{name}", rows, compressor, hook)
    paths = [layout.path for layout in stored.layouts] + [f"evaluations/{name}" for name in stored.evaluations]
    for path in paths:
        for parent in (path.rsplit("/", level)[0] for level in range(path.count("/"), -1, -1)):
            groups.setdefault(parent, read_document(directory / parent))
        for child in sorted((directory / path).iterdir()):
            if (child / DOCUMENT).is_file():
                arrays[f"{path}/{child.name}"] = read_document(child)
    set_lengths(stored, dict(enumerate(stored.committed)), arrays, hook)
    for path, content in reversed(consolidated(groups, arrays).items()):
        replace_file(directory / path / DOCUMENT, [content], hook=hook)
    journal.append({"closed": reason})
    stored.closed = reason
    (directory / TAIL).unlink(missing_ok=True)


def recover_stored(directory: Path) -> None:
    """Fold the tail of an interrupted run into its arrays and finish it; a run that is whole is left as it is."""
    check_journal(directory / JOURNAL)
    journal = Journal(directory / JOURNAL)
    try:
        stored = read_stored(directory)
        if stored.closed is not None:
            (directory / TAIL).unlink(missing_ok=True)
        elif journal.entries:  # else it was killed before it began
            compressor = Compressor()
            fold(stored, journal, compressor)
            if stored.damage and (directory / TAIL).exists():
                os.replace(directory / TAIL, directory / DAMAGED)
            finish(stored, journal, "recovered", compressor)
    except OSError as error:
        raise RunError(f"{directory} cannot be recovered: {error}. Nothing is lost; make room and try again") from error
    finally:
        journal.close()


def set_lengths(stored: Stored, lengths: Mapping[int, int], arrays: dict[str, dict[str, Any]],
                hook: Hook | None = None) -> None:
    """Let the arrays of the streams show so many rows to whoever opens them as plain Zarr."""
    for i, rows in lengths.items():
        for column in stored.layouts[i].columns:
            path = f"{stored.layouts[i].path}/{column.name}"
            document = arrays.setdefault(path, read_document(stored.directory / path))
            document["shape"][0] = rows
            replace_file(stored.directory / path / DOCUMENT, [encode(document)], hook=hook)


def _write_table(directory: Path, path: str, rows: list[dict[str, Any]], compressor: Compressor,
                 hook: Hook | None) -> None:
    here = directory / path
    for folder in (here.parent, here):
        folder.mkdir(exist_ok=True)
        replace_file(folder / DOCUMENT, [encode(group_document())], hook=hook)
    fields = list(dict.fromkeys(name for row in rows for name in row))
    for child in [child for child in here.iterdir() if child.is_dir() and child.name not in fields]:
        shutil.rmtree(child)  # a field that only rows cut away since had
    for name in fields:
        values = table_column([row.get(name) for row in rows])
        (here / check_path(name)).mkdir(exist_ok=True)
        dimensions = ("evaluation", "episode")[:values.ndim]
        attributes = {"units": "ns"} if name == "time" else {}
        for file, content in array_files(here / name, values, dimensions, compressor, attributes):
            replace_file(file, [content], hook=hook)


def table_column(values: list[Any]) -> np.ndarray:
    """Return one field of all rows as an array [rows] or [rows, episodes]; what is missing is NaN."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values], object)
    if any(isinstance(value, list) for value in values):
        lists = [value if isinstance(value, list) else [value] for value in values]
        width = max(map(len, lists))
        table = np.full((len(lists), width), np.nan)
        for row, items in zip(table, lists, strict=True):
            row[:len(items)] = [np.nan if item is None else item for item in items]
        whole = not np.isnan(table).any() and all(type(item) is int for items in lists for item in items)
        return table.astype(np.int64) if whole else table
    if all(type(value) is int for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def episode_means(values: np.ndarray) -> np.ndarray:
    """Return a field with one number an evaluation: the mean over its episodes of what is known."""
    if values.ndim == 1:
        return values
    known = ~np.isnan(values)
    return np.divide(np.where(known, values, 0).sum(axis=1), known.sum(axis=1),
                     out=np.full(len(values), np.nan), where=known.any(axis=1))


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of an evaluation as JSON keeps it: numbers, texts and lists of numbers."""
    return {check_path(str(name)): plain(value) if isinstance(value, (np.ndarray, np.generic)) else value
            for name, value in row.items()}
