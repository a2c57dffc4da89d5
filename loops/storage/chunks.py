"""Files of a checkpoint: what the one before it holds already is linked, and large arrays are cut into chunks.

A chunk is a fixed number of bytes along the flattened array, in a file named by its content. A buffer of a million
transitions of which a hundredth changed thus costs about a hundredth of itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from .atomic import DirectoryWriter, read_manifest

LARGE = 1 << 22  # bytes; an array above this is cut
CHUNK = 1 << 20  # bytes; a change within a chunk costs all of it
_NAME = re.compile(r"chunk\.[0-9a-f]{64}\.safetensors")


class Files:
    """Puts files into a directory that is being written, beside a finished one that may hold some of them already."""

    def __init__(self, folder: DirectoryWriter, before: Path | None) -> None:
        self._folder, self._before = folder, before
        try:
            self._entries = read_manifest(before, verify=False)["files"] if before is not None else {}
        except RunError:
            self._entries = {}  # it is damaged: nothing is taken from there

    def put(self, name: str, content: bytes) -> None:
        """Add a file; linked when the directory before holds the same under this name."""
        entry = self._entries.get(name)
        same = entry and entry["sha256"] == hashlib.sha256(content).hexdigest()
        if not (same and self._link(name)):
            self._folder.write(name, content)

    def put_array(self, array: np.ndarray) -> dict[str, Any]:
        """Add a large array as chunks; returns what `read_array` needs."""
        from safetensors.numpy import save

        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        names = []
        for start in range(0, flat.size, CHUNK):
            piece = flat[start:start + CHUNK]
            name = f"chunk.{hashlib.sha256(piece.tobytes()).hexdigest()}.safetensors"
            names.append(name)
            if name not in self._folder.files and not self._link(name):
                self._folder.write(name, save({"bytes": piece}))
        return {"dtype": array.dtype.str, "shape": list(array.shape), "chunks": names}

    def _link(self, name: str) -> bool:
        """Link a file from the directory before; False when it is not there, or not whole."""
        entry = self._entries.get(name)
        if entry is None or self._before is None:
            return False
        source = self._before / name
        try:
            if source.is_symlink() or source.stat().st_size != entry["size"]:
                return False
        except OSError:
            return False  # it was lost since: it is written again
        self._folder.link(name, source, entry)
        return True


def read_array(folder: Path, entry: Mapping[str, Any], files: Container[str]) -> np.ndarray:
    """Put together an array that `put_array` cut; `files` are those that the manifest vouches for."""
    from safetensors.numpy import load

    dtype, shape, names = np.dtype(entry["dtype"]), tuple(map(int, entry["shape"])), entry["chunks"]
    if dtype.kind not in "biuf" or any(not _NAME.fullmatch(name) or name not in files for name in names):
        raise RunError(f"{folder} describes an array of {dtype} in chunks that it does not hold")
    pieces = [load((folder / name).read_bytes())["bytes"] for name in names]
    return np.concatenate([*pieces, np.empty(0, np.uint8)]).view(dtype).reshape(shape)
