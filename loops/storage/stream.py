"""What is recorded of one output port: its columns, where they lie in the run, and how they describe themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..port import Port
from .zarr_files import (
    DOCUMENT,
    Compressor,
    array_document,
    array_files,
    check_path,
    encode,
    group_document,
    units_text,
)

_CHUNK = 1 << 20  # bytes that a chunk aims at
_LARGEST = 1 << 23
_MOST_ROWS = 1 << 15  # so that a tiny port has its rows in Zarr after 11 minutes at 50 Hz
_METRIC_ROWS = 1 << 12  # often one an episode: a larger buffer would fill for hours, and memory grow with it


@dataclass(frozen=True)
class Column:
    """One array of a stream: its name, its type, the shape of a row and the names of all axes."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    dimensions: tuple[str, ...] = ("time",)

    @property
    def numpy(self) -> np.dtype:
        """The stored type, little-endian on every machine."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.numpy.itemsize

    @property
    def stored(self) -> bool:
        """Are there numbers at all? (Spikes have payloads of size zero.)"""
        return self.row_bytes > 0

    def empty(self, rows: int) -> np.ndarray:
        """Return a buffer for so many rows; memory is taken when they are written."""
        return np.empty((rows, *self.shape), self.numpy)


@dataclass(frozen=True)
class Layout:
    """Where a stream lies and how its rows are cut into chunks: all that reading needs."""

    key: str
    path: str
    kind: str  # "signal", "event" or "metric"
    chunk_rows: int
    columns: tuple[Column, ...]

    @property
    def row_bytes(self) -> int:
        return sum(column.row_bytes for column in self.columns)

    def to_entry(self) -> dict[str, Any]:
        """Return the layout as the journal's first line keeps it."""
        return {"key": self.key, "path": self.path, "kind": self.kind, "chunk_rows": self.chunk_rows,
                "columns": [[c.name, c.dtype, list(c.shape), list(c.dimensions)] for c in self.columns]}

    @staticmethod
    def of_entry(entry: Mapping[str, Any]) -> Layout:
        """Read what `to_entry` wrote."""
        columns = tuple(Column(check_path(name), str(np.dtype(dtype)), tuple(map(int, shape)), tuple(dimensions))
                        for name, dtype, shape, dimensions in entry["columns"])
        chunk_rows = int(entry["chunk_rows"])
        if chunk_rows < 1 or any(size < 0 for column in columns for size in column.shape):
            raise RunError(f"the journal describes {entry['key']!r} with sizes below one; it was not written here")
        return Layout(str(entry["key"]), check_path(entry["path"]), str(entry["kind"]), chunk_rows, columns)


@dataclass(frozen=True)
class Stream:
    """One output port to be recorded; `port` has all its sizes, `labels` are its component's."""

    component: str
    port_name: str
    port: Port
    lanes: int
    labels: Mapping[str, Any] = field(default_factory=dict)
    metric: bool = False

    @property
    def key(self) -> str:
        return f"{self.component}.{self.port_name}"

    @property
    def kind(self) -> str:
        return "event" if self.port.kind == "event" else "metric" if self.metric else "signal"

    def layout(self, streams: int = 1) -> Layout:
        """Return where and how it is kept, as one of so many streams."""
        folder = {"event": "events", "metric": "metrics", "signal": "streams"}[self.kind]
        path = check_path(f"{folder}/{self.component}/{self.port_name}")
        if not self.port.known:
            raise RunError(f"{self.key} cannot be recorded: its size {self.port.sizes} is not known yet")
        columns = self._event_columns() if self.kind == "event" else self._signal_columns()
        rows = _chunk_rows(sum(c.row_bytes for c in columns), streams)
        return Layout(self.key, path, self.kind, min(rows, _METRIC_ROWS) if self.kind == "metric" else rows, columns)

    def _signal_columns(self) -> tuple[Column, ...]:
        shape = self.port.full_shape(self.lanes)
        axes = ("lane",) if self.port.per_lane else ()
        names = _unlike(("time", *axes), self.port.axes, len(shape) - len(axes))
        return (Column("time", "int64"), Column("value", str(np.dtype(self.port.dtype)), shape, names))

    def _event_columns(self) -> tuple[Column, ...]:
        shape: tuple[Any, ...] = self.port.shape
        axes = self.port.axes if len(self.port.axes) == len(shape) and shape != (0,) else ()
        names = _unlike(("event",), axes, len(shape), "payload")
        first = ("event",)
        return (Column("time", "int64", (), first), Column("lane", "int32", (), first),
                Column("index", "int32", (), first), Column("value", str(np.dtype(self.port.dtype)), shape, names))

    def coordinates(self, layout: Layout) -> dict[str, tuple[str, np.ndarray]]:
        """Return labels along axes as (axis, values) by name, and the lane numbers."""
        value = layout.columns[-1]
        sizes: dict[str, Any] = dict(zip(value.dimensions[1:], value.shape, strict=True))
        if self.kind == "event":
            sizes |= dict.fromkeys(self.port.axes[:1], self.port.indices)
        found: dict[str, tuple[str, np.ndarray]] = {}
        if "lane" in sizes:
            found["lane"] = ("lane", np.arange(self.lanes))
        for axis, label in self.labels.items():
            for name, values in (label.items() if isinstance(label, Mapping) else ((axis, label),)):
                if axis in sizes:
                    found[self._label_name(name, layout)] = (axis, self._label(axis, values, sizes[axis]))
        return found

    def _label_name(self, name: str, layout: Layout) -> str:
        return check_path(f"{name}_label" if name in {c.name for c in layout.columns} else name)

    def _label(self, axis: str, values: Any, size: int) -> np.ndarray:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            array = np.asarray([str(value) for value in values], object)
        if array.shape != (size,):
            raise RunError(f"{self.component}.labels() gives {array.shape} names along {axis!r}; {self.key} has {size}")
        return array

    def files(self, directory: Path, layout: Layout, compressor: Compressor) -> list[tuple[Path, Any]]:
        """Return the files (path, content) that describe the stream before it has any row."""
        here = directory / layout.path
        port, coordinates = self.port, self.coordinates(layout)
        facts = {"about": port.about, "units": port.units, "kind": port.kind, "lanes": self.lanes,
                 "per_lane": port.per_lane, "choices": port.choices, "low": _bound(port.low), "high": _bound(port.high),
                 **({"indices": port.indices} if self.kind == "event" else {})}
        files: list[tuple[Path, Any]] = [(here / DOCUMENT, encode(group_document(facts)))]
        for name, (axis, values) in coordinates.items():
            files += array_files(here / name, values, [axis], compressor)
        beside = " ".join(name for name, (axis, _) in coordinates.items() if name != axis)
        for column in layout.columns:
            attributes: dict[str, Any] = {"units": "ns"} if column.name == "time" else {}
            if column.name == "value":
                attributes = {"long_name": port.about, "units": units_text(port.units)}
                if beside and self.kind != "event":
                    attributes["coordinates"] = beside
            files.append((here / column.name / DOCUMENT, encode(column_document(column, 0, layout, attributes))))
        return files


def column_document(column: Column, rows: int, layout: Layout, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the zarr.json of a column that shows so many rows."""
    document = array_document((rows, *column.shape), column.dtype, layout.chunk_rows, column.dimensions, attributes)
    grid = document["chunk_grid"]["configuration"]
    grid["chunk_shape"] = [max(1, size) for size in grid["chunk_shape"]]
    return document


def _chunk_rows(row_bytes: int, streams: int) -> int:
    aim = min(_CHUNK, max(_CHUNK >> 3, (1 << 28) // max(streams, 1)))  # all buffers together stay near 256 MB
    rows = aim // max(row_bytes, 1)
    if rows < 16:  # wide rows: a few megabytes rather than a file for every row
        rows = max(1, min(16, _LARGEST // row_bytes))
    rows = min(rows, _MOST_ROWS)
    return rows - rows % 256 if rows > 256 else rows


def _unlike(taken: tuple[str, ...], axes: tuple[str, ...], count: int, other: str = "axis") -> tuple[str, ...]:
    """Return `taken` and `count` further axis names, no name twice."""
    names = list(taken)
    for i in range(count):
        name = wanted = axes[i] if i < len(axes) else other if count == 1 else f"{other}_{i}"
        number = 2
        while name in names or name == "value":
            name, number = f"{wanted}_{number}", number + 1
        names.append(name)
    return tuple(names)


def _bound(bound: Any) -> Any:
    array = np.asarray(bound, float)
    return array.tolist() if np.isfinite(array).all() else None
