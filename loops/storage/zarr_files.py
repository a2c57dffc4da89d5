"""Zarr version 3 on plain files: array and group documents, whole chunks, consolidated metadata.

Written here rather than through zarr-python because that library resizes before it writes (a kill then leaves rows
that never were) and hands each chunk through several threads: twice the time per row beside a busy loop. Tests hold
the documents equal to zarr-python's own and read every array back with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError

DOCUMENT = "zarr.json"
_ZSTD = {"name": "zstd", "configuration": {"level": 0, "checksum": True}}
_CHUNK_LIMIT = 1 << 31  # bytes; a document that asks for more was not written here
# xarray turns numbers with these units into dates and durations; the short form says the same and stays a number
_UNITS = {"days": "d", "hours": "h", "minutes": "min", "seconds": "s", "milliseconds": "ms", "microseconds": "us",
          "nanoseconds": "ns"}


def units_text(units: str) -> str:
    """Return units in the form that xarray leaves alone."""
    return _UNITS.get(units, units.replace(" since ", " from "))


def group_document(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of a group."""
    return {"attributes": dict(attributes or {}), "zarr_format": 3, "node_type": "group"}


def array_document(shape: Sequence[int], dtype: str, chunk_rows: int, dimensions: Sequence[str],
                   attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of an array whose chunks are whole along every axis but the first."""
    text = dtype == "string"
    codec: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    if text:
        codec = {"name": "vlen-utf8", "configuration": {}}
    elif np.dtype(dtype).itemsize == 1:
        codec = {"name": "bytes"}
    return {
        "shape": list(shape), "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk_rows, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "" if text else _fill(dtype), "codecs": [codec, _ZSTD], "attributes": dict(attributes or {}),
        "dimension_names": list(dimensions), "zarr_format": 3, "node_type": "array", "storage_transformers": []}


def _fill(dtype: str) -> Any:
    kind = np.dtype(dtype).kind
    return "NaN" if kind == "f" else False if kind == "b" else 0


def fill_value(dtype: str) -> Any:
    """Return what stands in a chunk behind the last row."""
    return np.nan if np.dtype(dtype).kind == "f" else 0


def chunk_name(chunk: int, axes: int) -> str:
    """Return the file name of a chunk of an array with so many axes."""
    return f"c.{chunk}" + ".0" * (axes - 1)


def encode(document: dict[str, Any]) -> bytes:
    """Return the bytes of a zarr.json."""
    return json.dumps(document, indent=2, default=plain).encode()


def plain(value: Any) -> Any:
    """Turn NumPy values and other foreign objects in attributes into what JSON knows."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def read_document(directory: Path) -> dict[str, Any]:
    """Return the zarr.json of an array or group; RunError when there is none that can be read."""
    try:
        document = json.loads((directory / DOCUMENT).read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{directory} is not a Zarr group or array of a run ({error})") from error
    if not isinstance(document, dict) or document.get("zarr_format") != 3:
        raise RunError(f"{directory / DOCUMENT} is not a Zarr version 3 document")
    return document


class Compressor:
    """The zstd codec of every chunk, with its checksum: an altered file is an error, never a wrong number."""

    def __init__(self) -> None:
        from numcodecs.zstd import Zstd  # comes with zarr; slow to import, so only when a chunk is at hand

        self._codec = Zstd(level=0, checksum=True)

    def compress(self, values: Any) -> Any:
        """Return the bytes of a chunk."""
        return self._codec.encode(values)

    def decompress(self, path: Path, size: int) -> Any:
        """Return the `size` bytes held by a chunk file; RunError when it is missing or damaged."""
        if not 0 <= size < _CHUNK_LIMIT:
            raise RunError(f"{path} claims a chunk of {size} bytes; that was not written here")
        target = np.empty(size, np.uint8)
        self._decode(path, target)
        return target

    def decompress_text(self, path: Path) -> bytes:
        """Return the bytes held by a chunk of strings."""
        return bytes(self._decode(path, None))

    def _decode(self, path: Path, target: np.ndarray | None) -> Any:
        try:
            return self._codec.decode(path.read_bytes(), out=target)
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"{path} cannot be read back ({error}); the rows in it are lost") from error


def encode_text(values: Iterable[str]) -> bytes:
    """Return a chunk of strings (the vlen-utf8 codec: a count, then length and bytes of each)."""
    items = [value.encode() for value in values]
    lengths = [len(items).to_bytes(4, "little")]
    for item in items:
        lengths += [len(item).to_bytes(4, "little"), item]
    return b"".join(lengths)


def array_files(directory: Path, values: np.ndarray, dimensions: Sequence[str], compressor: Compressor,
                attributes: Mapping[str, Any] | None = None) -> list[tuple[Path, Any]]:
    """Return the files (path, content) of a small array kept in one chunk: a coordinate, a column of a table."""
    text = values.dtype.kind in "UO"
    dtype = "string" if text else values.dtype.name
    document = array_document(values.shape, dtype, max(1, len(values)), dimensions, attributes)
    files: list[tuple[Path, Any]] = [(directory / DOCUMENT, encode(document))]
    if values.size:
        content = encode_text(map(str, values)) if text else np.ascontiguousarray(values)
        files.insert(0, (directory / chunk_name(0, values.ndim), compressor.compress(content)))
    return files


_LEVELS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)*")


def consolidated(groups: Mapping[str, dict[str, Any]], arrays: Mapping[str, dict[str, Any]]) -> dict[str, bytes]:
    """Return the documents of all groups by path, each carrying the metadata of everything below it.

    With that xarray opens any of them in one read. "" is the root; every group on the way must be among `groups`.
    """
    nodes = {**groups, **arrays}
    result = {}
    for path, document in groups.items():
        start = f"{path}/" if path else ""
        below = {name[len(start):]: {**node, **({"consolidated_metadata": _inline({})} if name in groups else {})}
                 for name, node in sorted(nodes.items()) if name and name != path and name.startswith(start)}
        result[path] = encode({**document, "consolidated_metadata": _inline(below)})
    return result


def _inline(metadata: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "inline", "must_understand": False, "metadata": metadata}


def check_path(path: str) -> str:
    """Return a path inside a run, or raise RunError when it could lead out of it."""
    if not _LEVELS.fullmatch(path):
        raise RunError(f"{path!r} cannot name a stream; use letters, digits, _ and - with one / between names")
    return path


def read_coordinate(directory: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return axes and values of a small array that `array_files` wrote."""
    document = read_document(directory)
    try:
        shape = tuple(map(int, document["shape"]))
        dimensions = tuple(map(str, document["dimension_names"]))
        path = directory / chunk_name(0, len(shape))
        if document["data_type"] == "string":
            return dimensions, _text(path)
        dtype = np.dtype(document["data_type"]).newbyteorder("<")
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{directory / DOCUMENT} was not written here ({error})") from error
    if not all(shape):
        return dimensions, np.empty(shape, dtype)
    raw = Compressor().decompress(path, int(np.prod(shape)) * dtype.itemsize)
    return dimensions, raw.view(dtype).reshape(shape)


def _text(path: Path) -> np.ndarray:
    content = Compressor().decompress_text(path)
    count, place, values = int.from_bytes(content[:4], "little"), 4, []
    for _ in range(min(count, len(content))):
        size = int.from_bytes(content[place:place + 4], "little")
        values.append(content[place + 4:place + 4 + size].decode())
        place += 4 + size
    return np.array(values, object)
