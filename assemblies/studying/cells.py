"""The cells of a study: every variant at every point of a stage's sweep, and what earlier stages keep for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem, Problems
from ...loops.storage import artifact
from ..assembly import Assembly
from ..loading import load
from .description import Description, Stage

UNLEARNT = ("name", "about", "record", "checkpoint")  # entries of an assembly that change nothing that is learned
ROOT = "study"  # how assemblies name the folder of their study
Point = tuple[tuple[str, Any], ...]  # swept address and value, in the order of the sweep


@dataclass(frozen=True)
class Place:
    """Where a cell stands in its study."""

    stage: str
    variant: str
    point: Point

    def __str__(self) -> str:
        return f"{self.stage}:{self.variant}" + (f" at {point_text(self.point)}" if self.point else "")


@dataclass(frozen=True)
class Cell:
    """One run of a study: the places it stands for (cells that come to the same run once), and what is to run."""

    identity: str  # of the resolved assembly and the artifacts given
    places: tuple[Place, ...]
    assembly: Assembly
    recipe: str  # hash of what decides what it learns: all of it but what is only recorded or saved

    @property
    def called(self) -> str:
        """Its places, for people."""
        return " = ".join(map(str, self.places))


def points(stage: Stage) -> Iterator[Point]:
    """Every point of a sweep, the last address fastest."""
    for values in product(*stage.sweep.values()):
        yield tuple(zip(stage.sweep, map(frozen, values), strict=True))


def frozen(value: Any) -> Any:
    """A swept list as a tuple, so that points can be looked up."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def thawed(value: Any) -> Any:
    """A swept value as the file has it: a tuple as a list."""
    return list(map(thawed, value)) if isinstance(value, tuple) else value


def swept(point: Point) -> dict[str, Any]:
    """Return the values of a point by address, as the file has them."""
    return {address: thawed(value) for address, value in point}


def point_text(point: Iterable[tuple[str, Any]]) -> str:
    """Say where in a sweep something stands: `seed=0, brain.params.hidden=[8, 8]`."""
    return ", ".join(f"{address}={thawed(value)}" for address, value in point)


def assembly_of(name: str, folder: Path) -> Assembly:
    """Load the assembly of a stage: shipped, or a file named from the folder of the study's own."""
    return load(folder / name if name.endswith((".yaml", ".yml")) else name)


def joined(stage: Stage, point: Point) -> dict[str, Any]:
    """Return the values of a point by the addresses that earlier stages sweep."""
    here = dict(point)
    return here | {there: here[own] for there, own in stage.joins.items()}


def kept_at(study: Description, stage: Stage, wanted: str, point: Point) -> tuple[str, Point]:
    """Return the stage that keeps an artifact, and the point of its sweep that joins one of `stage`.

    Stages join on equal values of the addresses that both sweep, or that `joins` says; what only the earlier one sweeps
    must be chosen over.
    """
    for earlier in study.stages.values():
        if wanted not in earlier.keep:
            continue
        own, here = earlier.keep[wanted].over, joined(stage, point)
        if lacking := [address for address in earlier.sweep if address not in own and address not in here]:
            raise AssemblyError([Problem(
                f"stage {earlier.name} keeps one {wanted!r} for each {lacking[0]}: nothing says which is meant here",
                f"stages.{stage.name}", f"Sweep {lacking[0]} here too, say which address here stands for it "
                f"(joins: {{{lacking[0]}: ADDRESS}}), or keep the best (over: [{lacking[0]}]).")])
        there = tuple((address, here[address]) for address in earlier.sweep if address not in own)
        for address, value in there:
            if value not in map(frozen, earlier.sweep[address]):
                raise AssemblyError([Problem(
                    f"stage {earlier.name} keeps no {wanted!r} at {point_text([(address, value)])}: it sweeps "
                    f"{', '.join(map(str, earlier.sweep[address]))}", f"stages.{stage.name}.sweep.{address}",
                    f"Leave {thawed(value)} out here, or add it to stages.{earlier.name}.sweep.{address}.")])
        return earlier.name, there
    raise LookupError(wanted)


def check_joins(study: Description, stage: Stage) -> None:
    """Raise AssemblyError where something given cannot be found at a point of the sweep, or at more than one."""
    problems = Problems()
    for wanted, point in product(stage.given.values(), points(stage)):
        try:
            kept_at(study, stage, wanted, point)
        except AssemblyError as error:
            problems.found += [problem for problem in error.problems if problem not in problems.found]
    problems.raise_if_any(study.name)


def name_of(wanted: str, path: Path, root: Path) -> str:
    """Return how an assembly names an artifact: from the folder of its study, or shipped weights by their name."""
    return f"{ROOT}:{path.relative_to(root)}" if path.is_relative_to(root) else wanted


def expand(study: Description, stage: Stage, artifacts: Mapping[tuple[str, Point], Path], root: Path) -> list[Cell]:
    """Return the cells of a stage; `artifacts` holds what earlier stages kept, by name and the point they kept it at.

    They are named from the folder of the study, `root`, as `study:...`, and shipped weights by their name. Raises
    AssemblyError with everything that is wrong in any of them.
    """
    check_joins(study, stage)
    base, problems, found = assembly_of(stage.assembly, study.folder), Problems(), {}
    for point, variant in product(points(stage), stage.variants):
        place, told = Place(stage.name, variant, point), {}
        try:
            def file(wanted: str, point: Point = point, told: dict[str, Path] = told) -> str:
                path = artifacts[wanted, kept_at(study, stage, wanted, point)[1]]
                told[name_of(wanted, path, root)] = path
                return name_of(wanted, path, root)

            given = {address: file(wanted) for address, wanted in stage.given.items()}
            resolved = base.resolve(given=given, sweep=swept(point), variant=variant, set=stage.set)
            named = {address: file(wanted) for address, wanted in _named(resolved, study, stage)}
            resolved = resolved.set(named) if named else resolved
        except AssemblyError as error:
            problems.found += [problem for problem in error.problems if problem not in problems.found]
            continue
        key = identity(resolved, told)
        before = found[key].places if key in found else ()
        found[key] = Cell(key, (*before, place), resolved, hashed(resolved, told, UNLEARNT))
    problems.raise_if_any(study.name)
    return list(found.values())


def _named(assembly: Assembly, study: Description, stage: Stage) -> Iterator[tuple[str, str]]:
    """Parameters that name what an earlier stage keeps, as `command: best_constant`: address and name."""
    kept: set[str] = set()
    for earlier in study.stages.values():
        if earlier.name == stage.name:
            break
        kept |= set(earlier.keep)
    for name in assembly.components:
        for key, told in (assembly.get(f"{name}.params") or {}).items():
            if isinstance(told, str) and told in kept:
                yield f"{name}.params.{key}", told


def lacking_of(assembly: Assembly, study: Description, stage: Stage) -> list[str]:
    """Return the addresses of parameters that name what an earlier stage keeps."""
    return [address for address, _ in _named(assembly, study, stage)]


def identity(assembly: Assembly, given: Mapping[str, Path]) -> str:
    """Return a hash of what will run; artifacts count by what they hold, not by where they lie."""
    return hashed(assembly, given, ("name", "about"))[:16]


def hashed(assembly: Assembly, given: Mapping[str, Path], without: Collection[str]) -> str:
    """Return a hash of an assembly without some of its entries, and with artifacts by what they hold."""
    contents = {told: f"artifact {artifact.load(path)[1]['hash']}" for told, path in given.items()}
    document = _told({key: part for key, part in assembly.document().items() if key not in without}, contents)
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _told(value: Any, contents: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(part, contents) for key, part in value.items()}
    if isinstance(value, list):
        return [_told(part, contents) for part in value]
    return contents.get(value, value) if isinstance(value, str) else value
