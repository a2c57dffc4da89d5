"""The journal of a run: checksummed JSON lines that say what has been committed."""

from __future__ import annotations

import json
import os
import time
import zlib
from pathlib import Path
from typing import Any

from ..errors import RunError
from .atomic import Hook, write_all


def encode_line(entry: dict[str, Any]) -> bytes:
    """Return one journal line: the entry as JSON, with a checksum of it as the last key."""
    body = json.dumps(entry, separators=(",", ":"))
    return f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line (without its newline), or None when the line is torn or altered."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest[8:] != b'"}' or f"{zlib.crc32(body + b'}'):08x}".encode() != rest[:8]:
        return None
    entry = json.loads(body + b"}")
    return entry if isinstance(entry, dict) else None


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the entries up to the first torn line, and how many bytes of the file they are."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return [], 0
    entries: list[dict[str, Any]] = []
    size = 0
    for line in content.split(b"\n")[:-1]:  # what follows the last newline is torn
        entry = decode_line(line)
        if entry is None:
            break
        entries.append(entry)
        size += len(line) + 1
    return entries, size


class Journal:
    """The journal opened for writing: holds the lock that says that somebody writes this run."""

    def __init__(self, path: Path, hook: Hook | None = None) -> None:
        self.path = Path(path)
        self._hook = hook
        self._descriptor = lock(self.path, create=True)
        self.entries, size = read_journal(self.path)
        if os.fstat(self._descriptor).st_size > size:
            os.ftruncate(self._descriptor, size)  # a torn last line was never committed

    def append(self, entry: dict[str, Any]) -> None:
        """Commit one entry."""
        parts = [encode_line(entry)]
        if self._hook is not None:
            self._hook(self.path, parts)
        write_all(self._descriptor, parts)

    def sync(self) -> None:
        """Force the journal to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file and its lock; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock(path: Path, *, create: bool = False) -> int:
    """Open a journal for appending and lock it against other writers; a killed writer's lock is gone with it.

    Raises RunError when somebody else writes the run.
    """
    import fcntl  # there is none on Windows: everything but writing works there

    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o666)
    for patience in (0.01, 0.1, 0.0):  # a reader that asks `is_locked` holds the lock for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not patience:
                os.close(descriptor)
                raise RunError(f"{path.parent} is being written by another process; wait for it, or stop "
                               "it") from error
            time.sleep(patience)
        else:
            break
    return descriptor


def is_locked(path: Path) -> bool:
    """Is some process writing this run now?"""
    try:
        descriptor = lock(Path(path))
    except RunError:
        return True
    except OSError:
        return False  # no journal, or one that only its owner may write: nobody can be asked
    os.close(descriptor)
    return False
