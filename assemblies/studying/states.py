"""How far the cells of a study are, read from what lies in their folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, RunError
from ...loops.storage import artifact
from ...loops.storage.run_directories import is_run
from ..assembly import Assembly
from ..settings import Settings
from . import claims
from .cells import Cell, Place, Point
from .description import Keep, Stage
from .records import BEST, DONE, FAILED, read
from .shipping import Artifacts, without

STATES = ("finished", "stale", "damaged", "failed", "running", "interrupted", "waiting")
ENDED = ("finished", "stale", "damaged", "failed")  # what nobody goes on with by itself


@dataclass(frozen=True)
class Chosen:
    """Something that is kept: the file, the place whose cell it is of, and the moment of its run."""

    file: Path
    place: Place
    value: float | None  # of the measure by which it was the best; None: the end of the run
    moment: Mapping[str, Any]


class Cells:
    """The cells of one stage on the disk."""

    def __init__(self, stage: Stage, folder: Path, cells: list[Cell], allowed: Settings,
                 shipped: Artifacts | None = None, made: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.stage, self.folder, self.cells, self.allowed = stage, folder, cells, allowed
        self.shipped = shipped or {}  # weights that stand for what the stage keeps, so that it has no cells
        self.made = made or {}  # by identity and name, what a kept file says of its making
        self._codes: dict[str, dict[str, str]] = {}
        self._whole: set[str] = set()  # identities of finished cells of which nothing is lost

    def path(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.folder / cell.identity

    def state(self, cell: Cell) -> str:
        """One of STATES.

        A finished cell is `damaged` when its run or what it kept is lost, and `stale` when the code of a component is
        another one now.
        """
        path = self.path(cell)
        if done := read(path / DONE):
            if self.damage(cell):
                return "damaged"
            return "finished" if done.get("accepted") or done.get("code") == self.code(cell) else "stale"
        if claims.owner(path) is not None:
            return "running"
        if (path / FAILED).is_file():
            return "failed"
        return "interrupted" if any((path / "run").glob("*/*")) else "waiting"

    def error(self, cell: Cell) -> str:
        """Say what is wrong with a failed or damaged cell; empty where nothing is."""
        return self.damage(cell) or str(read(self.path(cell) / FAILED).get("error", ""))

    def damage(self, cell: Cell) -> str:
        """Say what of a finished cell is gone or cannot be read; empty where nothing is, or it has not finished."""
        done = read(self.path(cell) / DONE)
        if not done or cell.identity in self._whole:
            return ""
        if self.run(cell) is None:
            return f"its run is gone: {self.path(cell) / done['run']}"
        for name, keep in self.keep(cell).items():
            if lost := _lost(name, keep, *self._files(cell, name)):
                return lost
        self._whole.add(cell.identity)
        return ""

    def keep(self, cell: Cell) -> dict[str, Keep]:
        """Return what of a cell later stages may want."""
        variants = {place.variant for place in cell.places}
        return {name: keep for name, keep in self.stage.keep.items() if keep.variant in variants}

    def _files(self, cell: Cell, name: str) -> tuple[Path, Path]:
        """Return the file in which a finished cell keeps something, and the record of its best moment."""
        path = self.path(cell)
        return path / read(path / DONE)["kept"].get(name, f"{name}/best.safetensors"), path / name / BEST

    def code(self, cell: Cell) -> dict[str, str]:
        """Return what the code of each component is now: distribution and version, or the hash of its source."""
        if cell.identity not in self._codes:
            self._codes[cell.identity] = code_of(cell.assembly, self.allowed)
        return self._codes[cell.identity]

    def run(self, cell: Cell) -> Path | None:
        """Return the run of a cell that has finished, if it is still there."""
        done = read(self.path(cell) / DONE)
        return run if done and is_run(run := self.path(cell) / done["run"]) else None

    def run_of(self, place: Place) -> Path | None:
        """Return the run of a place, if its cell has finished and the run is still there."""
        return next((self.run(cell) for cell in self.cells if place in cell.places), None)

    def kept(self) -> dict[tuple[str, Point], Path]:
        """Return the files that the stage keeps, by name and point (without what was chosen over)."""
        return {**self.shipped, **{key: chosen.file for key, chosen in self.chosen().items()}}

    def chosen(self) -> dict[tuple[str, Point], Chosen]:
        """Return what the stage keeps, by name and point (without what was chosen over).

        What is chosen from several cells is there once all of them have finished.
        """
        found: dict[tuple[str, Point], Chosen] = {}
        lacking: set[tuple[str, Point]] = set()
        for name, keep in self.stage.keep.items():
            for cell in self.cells:
                for place in (place for place in cell.places if place.variant == keep.variant):
                    key = name, without(place.point, keep.over)
                    one = self._one(name, keep, cell, place)
                    if one is None:
                        lacking.add(key)
                    elif key not in found or _is_better(one, found[key]):
                        found[key] = one
        return {key: one for key, one in found.items() if key not in lacking}

    def _one(self, name: str, keep: Keep, cell: Cell, place: Place) -> Chosen | None:
        """Return what one cell keeps; None where it has not finished, or it is lost."""
        done = read(self.path(cell) / DONE)
        if not done or self.damage(cell):
            return None
        file, best = self._files(cell, name)
        value = float(read(best)["value"]) if keep.best is not None else None
        return Chosen(file, place, value, done.get("moments", {}).get(name, {}))


def _is_better(one: Chosen, other: Chosen) -> bool:
    return one.value is not None and other.value is not None and one.value > other.value


def _lost(name: str, keep: Keep, file: Path, best: Path) -> str:
    """Say why something that was kept cannot be given to anybody; empty where it can."""
    for needed in (file, best) if keep.best is not None else (file,):
        if not needed.is_file():
            return f"what it kept as {name!r} is gone: {needed}"
    try:
        artifact.load(file)
        if keep.best is not None:
            read(best)
    except AssemblyError as error:
        return f"what it kept as {name!r} cannot be read: {file} {error.problems[0].what}"
    except RunError as error:
        return f"what it kept as {name!r} cannot be read: {error}"
    return ""


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
