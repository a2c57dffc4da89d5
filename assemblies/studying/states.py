"""How far the cells of a study are, read from what lies in their folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem
from ..assembly import Assembly
from ..settings import Settings
from . import claims
from .cells import Cell, Place, Point
from .description import Keep, Stage
from .records import BEST, DONE, FAILED, read
from .shipping import Artifacts, without

STATES = ("finished", "stale", "failed", "running", "interrupted", "waiting")


@dataclass(frozen=True)
class Chosen:
    """Something that is kept: the file, the place whose cell it is of, and the moment of its run."""

    file: Path
    place: Place
    value: float | None  # of the measure by which it was the best; None: the end of the run
    moment: Mapping[str, Any]


class Cells:
    """The cells of one stage on the disk."""

    def __init__(self, folder: Path, cells: list[Cell], allowed: Settings, shipped: Artifacts | None = None,
                 why: str = "", made: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.folder, self.cells, self.allowed = folder, cells, allowed
        self.shipped = shipped or {}  # weights that stand for what the stage keeps, so that it has no cells
        self.why = why  # it is skipped, or not
        self.made = made or {}  # by identity and name, what a kept file says of its making
        self._codes: dict[str, dict[str, str]] = {}

    def path(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.folder / cell.identity

    def state(self, cell: Cell) -> str:
        """One of STATES; a finished cell is `stale` when the code of a component is another one now."""
        path = self.path(cell)
        if done := read(path / DONE):
            return "finished" if done.get("accepted") or done.get("code") == self.code(cell) else "stale"
        if claims.owner(path) is not None:
            return "running"
        if (path / FAILED).is_file():
            return "failed"
        return "interrupted" if any((path / "run").glob("*/*")) else "waiting"

    def code(self, cell: Cell) -> dict[str, str]:
        """Return what the code of each component is now: distribution and version, or the hash of its source."""
        if cell.identity not in self._codes:
            self._codes[cell.identity] = code_of(cell.assembly, self.allowed)
        return self._codes[cell.identity]

    def run_of(self, place: Place) -> Path | None:
        """Return the run of a place, if its cell has finished."""
        for cell in self.cells:
            if place in cell.places and (done := read(self.path(cell) / DONE)):
                return self.path(cell) / done["run"]
        return None

    def kept(self, stage: Stage) -> dict[tuple[str, Point], Path]:
        """Return the files that a stage keeps, by name and point (without what was chosen over)."""
        return {**self.shipped, **{key: chosen.file for key, chosen in self.chosen(stage).items()}}

    def chosen(self, stage: Stage) -> dict[tuple[str, Point], Chosen]:
        """Return what the finished cells of a stage keep, by name and point (without what was chosen over).

        Raises AssemblyError where a finished cell no longer holds what it kept.
        """
        found: dict[tuple[str, Point], Chosen] = {}
        for name, keep in stage.keep.items():
            for cell in self.cells:
                for place in cell.places:
                    if place.variant == keep.variant:
                        self._consider(name, keep, cell, place, found)
        return found

    def _consider(self, name: str, keep: Keep, cell: Cell, place: Place,
                  found: dict[tuple[str, Point], Chosen]) -> None:
        path = self.path(cell)
        done = read(path / DONE)
        if not done:
            return
        key = name, without(place.point, keep.over)
        file, best = path / done["kept"].get(name, f"{name}/best.safetensors"), path / name / BEST
        for needed in (file, best) if keep.best is not None else (file,):
            if not needed.is_file():
                raise AssemblyError([Problem(
                    f"{place} has finished, but what it kept as {name!r} is gone: {needed}",
                    f"stages.{place.stage}.keep.{name}",
                    f"Put the file back, or remove {path}, so that it is run anew.")])
        value = float(read(best)["value"]) if keep.best is not None else None
        before = found.get(key)
        if before is None or (value is not None and before.value is not None and value > before.value):
            found[key] = Chosen(file, place, value, done.get("moments", {}).get(name, {}))


def code_of(assembly: Assembly, allowed: Settings) -> dict[str, str]:
    """Return the code of every component of an assembly, as a run of it would say; nothing is built."""
    from ..identity import code_of_class

    folders = (assembly.origin.base, allowed.folder)
    return {name: code_of_class(class_of(assembly, name, allowed), assembly.get(f"{name}.params"), folders)
            for name in assembly.components}


def class_of(assembly: Assembly, name: str, allowed: Settings) -> type:
    """Return the class of a component of an assembly."""
    from ...catalogue.lookup import find

    kind = str(assembly.get(f"{name}.type"))
    return (assembly.origin.classes or {}).get(kind) or find(kind, allowed.allow,
                                                             (assembly.origin.base, allowed.folder))


def states(cells: Cells) -> Mapping[str, list[Cell]]:
    """Return the cells by state."""
    found: dict[str, list[Cell]] = {state: [] for state in STATES}
    for cell in cells.cells:
        found[cells.state(cell)].append(cell)
    return found
