"""Writing that either happened or did not: files and directories put in place by one rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import RunError

MANIFEST = "manifest.json"
Hook = Callable[[Path, list[Any]], None]  # called before each write with the file and what it will get; may raise
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def write_all(descriptor: int, parts: list[Any]) -> int:
    """Write buffers one after another to a file, going on after short writes; returns the number of bytes."""
    views = [memoryview(part).cast("B") for part in parts if memoryview(part).nbytes]
    total = 0
    while views:
        written = os.writev(descriptor, views[:512])
        if written == 0:
            raise OSError(errno.EIO, "the file takes no more bytes")
        total += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]
    return total


def replace_file(path: Path, parts: list[Any], *, sync: bool = False, hook: Hook | None = None) -> None:
    """Put a file in place whole: written aside, then renamed; with `sync` it also survives a power failure."""
    if hook is not None:
        hook(path, parts)
    aside = f"{path}.partial"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(descriptor, parts)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(aside, path)
    if sync:
        sync_path(path.parent)


def replace_shared(path: Path, data: bytes) -> None:
    """Put a file in place whole that several processes may write at once: each aside, under a name of its own."""
    aside = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Force a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryWriter:
    """Gathers the files of a directory that is not yet in place, and the hash of each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {}  # further entries of the manifest

    def write(self, name: str, content: Any) -> None:
        """Add a file made of bytes (or of a list of buffers)."""
        parts = content if isinstance(content, list) else [content]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        target = self._target(name)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            size = write_all(descriptor, parts)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.files[name] = {"sha256": digest.hexdigest(), "size": size}

    def link(self, name: str, source: Path, entry: dict[str, Any]) -> None:
        """Add a file that another finished directory holds already, under the manifest entry it has there."""
        target = self._target(name)
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links: the copy is the same
            shutil.copyfile(source, target)
            sync_path(target)
        self.files[name] = dict(entry)

    def _target(self, name: str) -> Path:
        if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST or name in self.files:
            raise RunError(f"{name!r} cannot be a file of {self.path.name}; use each plain name once")
        return self.path / name


@contextmanager
def atomic_directory(target: Path) -> Iterator[DirectoryWriter]:
    """Make a directory that appears whole, with a manifest of hashes, or not at all.

    The files are written aside, forced to the disk and renamed into place when the block ends; an error inside the
    block leaves nothing behind. `target` must not exist yet.
    """
    target = Path(target)
    if target.exists():
        raise RunError(f"{target} exists already; a finished directory is never written again")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.partial"
    shutil.rmtree(aside, ignore_errors=True)  # what a killed process left
    aside.mkdir()
    writer = DirectoryWriter(aside)
    try:
        yield writer
        manifest = {**writer.facts, "files": writer.files}
        replace_file(aside / MANIFEST, [json.dumps(manifest, indent=1).encode()], sync=True)
        os.rename(aside, target)
        sync_path(target.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_directory(directory: Path) -> None:
    """Remove a finished directory: at once gone from its place, whenever a kill comes."""
    aside = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(directory, aside)
    shutil.rmtree(aside)


def clear_unfinished(parent: Path) -> None:
    """Remove what killed processes left half written or half removed; only for whoever alone writes here."""
    for left in Path(parent).glob(".*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def read_manifest(directory: Path, *, verify: bool = True) -> dict[str, Any]:
    """Return the manifest of a finished directory; with `verify`, every file's size and hash are checked.

    Raises RunError that names the file when something is missing or altered.
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        files = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{directory} has no readable {MANIFEST} ({error}); it was never finished") from error
    if verify:
        verify_files(directory, files)
    return manifest


def verify_files(directory: Path, files: Mapping[str, Any]) -> None:
    """Hold files of a finished directory against their entries in its manifest.

    Raises RunError that names the file which is missing or altered.
    """
    for name, entry in files.items():
        path = directory / name
        if not _PLAIN_NAME.fullmatch(name) or path.is_symlink() or not isinstance(entry, dict):
            raise RunError(f"{directory / MANIFEST} lists {name!r}, which is not a plain file beside it")
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"{path} is missing or unreadable ({error})") from error
        if digest != entry.get("sha256"):
            raise RunError(f"{path} is not what was written: its hash differs from {MANIFEST}; use an older one")
