"""A few threads that step lanes of worlds whose libraries leave the interpreter free meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any


class Workers:
    """A few threads that share the items of one piece of work; the caller works too."""

    def __init__(self, threads: int) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"mujoco-{i}", daemon=True)
                         for i in range(1, threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            self._done.put(None)

    def each(self, work: Callable[[int], Any], items: Sequence[int]) -> None:
        """Do `work` for every item; the error of the first item that failed is raised when all are done."""
        if not self._threads or len(items) < 2:
            for item in items:
                work(item)
            return
        failed: list[tuple[int, Exception]] = []
        waiting = iter(items)  # `next` on it is one step of the interpreter: no item is handed out twice
        helpers = self._threads[:len(items) - 1]
        for _ in helpers:
            self._tasks.put(lambda: _share(work, waiting, failed))
        _share(work, waiting, failed)
        for _ in helpers:
            self._done.get()
        if failed:
            raise min(failed, key=lambda pair: pair[0])[1]

    def close(self) -> None:
        """Let the threads end; may be called twice."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []


def _share(work: Callable[[int], Any], waiting: Iterator[int], failed: list[tuple[int, Exception]]) -> None:
    """Take items until none is left; a failure is kept for the caller, who raises it."""
    for item in waiting:
        try:
            work(item)
        except Exception as error:
            failed.append((item, error))
