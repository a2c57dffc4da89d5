"""Claims on cells: any number of processes on one shared folder work on one study without a server.

A claim is a directory, which only one process can make. In it lies one file with the owner's host and process number,
and the owner touches the directory now and then. A claim whose owner is dead, or has not been heard of for long, is
taken over by renaming that very file: its name is its own, so that only one process can do it, to the claim it saw.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

HEARTBEAT = 10.0  # seconds between two signs of life
SILENT = 120.0  # seconds without one after which an owner on another machine counts as lost


class Claim:
    """One process's hold on a cell, from `take` to `release`; it shows signs of life by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            try:
                os.utime(self.path)
            except OSError:  # the folder is gone, or away for a moment
                continue

    def release(self) -> None:
        """Let go of the cell; may be called twice."""
        if not self._over.is_set():
            self._over.set()
            self._pulse.join()
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take(cell: Path) -> Claim | None:
    """Claim a cell's folder; None when a living process holds it."""
    path = cell / "claim"
    cell.mkdir(parents=True, exist_ok=True)
    return Claim(path) if _make(path) or _take_over(path) else None


def owner(cell: Path) -> dict[str, Any] | None:
    """Return who holds a cell: host, process number and when it was claimed; None when nobody does."""
    path = cell / "claim"
    file = _file(path)
    return None if file is None or _is_lost(path, file) else _read(file)


def _make(path: Path) -> bool:
    """Make a claim whole: written aside, then renamed into place, so that nobody ever sees one without its owner."""
    aside = path.with_name(f".claim-{uuid.uuid4().hex}")
    aside.mkdir()
    _write(aside)
    try:
        os.rename(aside, path)  # fails where a claim is there: a directory that is not empty
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        return False
    return True


def _take_over(path: Path) -> bool:
    """Become the owner of a claim whose owner is lost; of many that try, one succeeds."""
    file = _file(path)
    if file is None or not _is_lost(path, file):
        return False
    try:
        os.utime(path)  # whoever looks next finds it alive, should this process die before it has signed
        os.rename(file, path / f"taken-{uuid.uuid4().hex}")
    except OSError:  # somebody was quicker
        return False
    _write(path)
    for old in path.glob("taken-*"):
        old.unlink(missing_ok=True)
    return True


def _write(path: Path) -> None:
    """Sign a claim."""
    text = json.dumps({"host": platform.node(), "pid": os.getpid(), "since": time.time()})
    new = path / f".{uuid.uuid4().hex}"
    new.write_text(text)
    os.rename(new, path / f"owner-{uuid.uuid4().hex}.json")


def _file(path: Path) -> Path | None:
    """Return the file of a claim: its owner's, or what is left where one was taken over and never signed."""
    try:
        found = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError:
        return None
    return found[0] if found else None  # "owner-..." comes before "taken-..."


def _is_lost(path: Path, file: Path) -> bool:
    """Is the owner of a claim dead, or silent for too long?"""
    try:
        said, silent = _read(file), time.time() - path.stat().st_mtime
    except OSError:
        return False  # it has just been released
    signed = said is not None and file.name.startswith("owner-")
    if signed and said["host"] == platform.node() and not _lives(int(said["pid"])):  # type: ignore[index]
        return True
    return silent > SILENT  # also where another process has got the number of one that died


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True
