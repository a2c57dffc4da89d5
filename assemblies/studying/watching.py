"""A study at a terminal: one bar for the stage under way, and a line for each cell that has ended, whoever ran it."""

from __future__ import annotations

import threading
from typing import Any

from .far import Far, far
from .records import DONE, FAILED
from .states import Cells
from .working import ended_line

EVERY = 1.0  # seconds between two looks


class Watch:
    """Draws how far a stage is from `__enter__` to `__exit__`; it reads what lies in the folders of the cells."""

    def __init__(self, name: str, cells: Cells, console: Any = None) -> None:
        from rich import progress
        from rich.console import Console

        self.name, self.cells = name, cells
        self._ended = self._look()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"), progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[text]}"), console=console or Console(stderr=True), auto_refresh=False)
        self._task = self._bar.add_task(name, total=max(1, len(cells.cells)), text="")

    def __enter__(self) -> Watch:
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._update()
        self._bar.stop()

    def _draw(self) -> None:
        while not self._over.wait(EVERY):
            self._update()

    def _look(self) -> set[str]:
        return {cell.identity for cell in self.cells.cells
                if any((self.cells.path(cell) / name).is_file() for name in (DONE, FAILED))}

    def _update(self) -> None:
        now, ended = far(self.cells), self._look()
        new = [cell for cell in self.cells.cells if cell.identity in ended - self._ended]
        for number, cell in enumerate(new, len(self._ended) + 1):
            self._bar.console.print(ended_line(self.cells, cell, f"({number}/{now.of})"), markup=False,
                                    highlight=False, soft_wrap=True)
        self._ended = ended
        self._bar.update(self._task, completed=_done(now), text=str(now), refresh=True)


def _done(now: Far) -> float:
    return now.ended + sum(each.fraction or 0.0 for each in now.running)
