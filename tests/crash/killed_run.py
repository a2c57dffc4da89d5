"""The stimloop command line, killed at a chosen place: `python killed_run.py PLACE COUNT run loop.yaml ...`.

PLACE is `nowhere`, or a word: the process kills itself at the COUNT-th thing that it does to a file whose path holds
that word (opens, writes, forces to the disk, renames, links, removes). A write is cut in half first.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree",
          "shutil.copyfile")


class Trap:
    """Counts what happens to the files of one place, and kills the process at a given count."""

    def __init__(self, place: str, count: int) -> None:
        self.place, self.left = place, count
        self._writev, self._fsync = os.writev, os.fsync
        os.writev, os.fsync = self.writev, self.fsync  # type: ignore[assignment]
        sys.addaudithook(self.heard)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and arguments and self.place in str(arguments[0]) and self.is_sprung():
            os.kill(os.getpid(), signal.SIGKILL)

    def writev(self, descriptor: int, views: list[Any]) -> int:
        if self.place in _path(descriptor) and self.is_sprung():
            whole = b"".join(bytes(view) for view in views)
            os.write(descriptor, whole[:len(whole) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return self._writev(descriptor, views)

    def fsync(self, descriptor: int) -> None:
        if self.place in _path(descriptor) and self.is_sprung():
            os.kill(os.getpid(), signal.SIGKILL)
        self._fsync(descriptor)

    def is_sprung(self) -> bool:
        self.left -= 1
        return self.left == 0


def _path(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


if __name__ == "__main__":
    if sys.argv[1] != "nowhere":
        Trap(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["stimloop", *sys.argv[3:]]
    sys.path[0] = str(Path(__file__).resolve().parent)  # for --allow killed_parts
    from stimloop.assemblies.cli import main
    from stimloop.loops.storage import checkpoint, chunks, stream

    stream._MOST_ROWS = 1024  # many chunks in a short run, and in a small checkpoint
    checkpoint.LARGE, chunks.CHUNK = 1 << 18, 1 << 16
    main()
