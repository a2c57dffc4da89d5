"""Shipped weights and the studies that made them: what a kept file says of its making, and when it stands for a stage.

A file stands for what a stage keeps when that stage of that study made it, at the one point of the sweep that is asked
for, and from the very assembly that the stage has now in its full form: `small` only says how to do it quickly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...assemblies import settings
from ...loops.errors import AssemblyError, Problem
from ...loops.storage import artifact
from ...loops.storage.atomic import replace_shared
from .cells import Cell, Point, expand, frozen, point_text, points
from .description import Description, Stage

Artifacts = Mapping[tuple[str, Point], Path]
RETRAIN = "learn anew with --retrain"


def without(point: Point, over: Collection[str]) -> Point:
    """Return a point of a sweep without the addresses over whose values the best was chosen."""
    return tuple((address, value) for address, value in point if address not in over)


def recipe(stage: Stage, name: str, point: Point, cells: list[Cell]) -> str:
    """Return a hash of how something kept at a point comes about: the assemblies chosen among, and what is kept."""
    keep = stage.keep[name]
    among = sorted({cell.recipe for cell in cells for place in cell.places
                    if place.variant == keep.variant and without(place.point, keep.over) == point})
    text = json.dumps([among, keep.component, str(keep.best)])
    return hashlib.sha256(text.encode()).hexdigest()


def stamps(study: Description, stage: Stage, cells: list[Cell], small: bool) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by a cell's identity and the name of what it keeps, what the file will say of its making."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, keep in stage.keep.items():
        known: dict[Point, str] = {}
        for cell in cells:
            for place in cell.places:
                if place.variant == keep.variant:
                    point = without(place.point, keep.over)
                    known[point] = known.get(point) or recipe(stage, name, point, cells)
                    found.setdefault(cell.identity, {})[name] = {
                        "study": study.name, "stage": stage.name, "keep": name, "variant": place.variant,
                        "point": dict(place.point), "recipe": known[point], "small": small}
    return found


def note(made: Mapping[str, Any], measure: str) -> str:
    """Say for people what made a file."""
    where = point_text(made["point"].items())
    form = " in its small form" if made["small"] else ""
    moment = f": {measure} {made['value']:.1f} after {made['steps']} steps" if "value" in made else ", at its end"
    return f"study {made['study']}{form}, stage {made['stage']}, {where or 'one cell'}{moment}"


def stand_in(study: Description, full: Description, stage: Stage, given: Artifacts, root: Path
             ) -> tuple[dict[tuple[str, Point], Path], str]:
    """Return the shipped weights that stand for all that a stage keeps, and why; nothing where they do not.

    `study` is the form that is run, `full` the full one. Raises AssemblyError where they are this stage's, but the
    assembly that made them was another one.
    """
    if not stage.keep:
        return {}, ""
    found: dict[tuple[str, Point], Path] = {}
    changed: list[Problem] = []
    for name in stage.keep:
        point, why = _point_of(study, stage, name)
        if point is None:
            return {}, why
        there = _only(full.stages[stage.name], name, point)
        if there is None:
            return {}, f"the full form does not sweep the point of the shipped weights {name}"
        path = _file(name)
        cells = expand(full, there, given, root)
        if artifact.load(path)[1]["made"].get("recipe") != recipe(there, name, point, cells):
            changed.append(_changed(study, stage, name))
        found[name, point] = path
    if changed:
        raise AssemblyError(changed, study.name)
    return found, f"shipped weights {', '.join(stage.keep)}"


def _point_of(study: Description, stage: Stage, name: str) -> tuple[Point | None, str]:
    """Return the point at which shipped weights were kept, where it is the only one that the stage asks for."""
    path, keep = _file(name), stage.keep[name]
    if not path.is_file():
        return None, f"no weights {name} are shipped"
    made = artifact.load(path)[1]["made"]
    if [made.get(key) for key in ("study", "stage", "keep")] != [study.name, stage.name, name]:
        return None, f"the shipped weights {name} were not made by this stage"
    point = without(tuple((address, frozen(value)) for address, value in made["point"].items()), keep.over)
    if {frozenset(without(each, keep.over)) for each in points(stage)} != {frozenset(point)}:
        return None, f"shipped weights {name} are there for {point_text(point)} only"
    return point, ""


def _only(stage: Stage, name: str, point: Point) -> Stage | None:
    """Return a stage swept over nothing but what is chosen over; None where it does not come to this point."""
    over, here = stage.keep[name].over, dict(point)
    sweep = {address: tuple(value for value in values if address in over or here.get(address, ()) == frozen(value))
             for address, values in stage.sweep.items()}
    if not all(sweep.values()) or here.keys() != {address for address in sweep if address not in over}:
        return None
    return replace(stage, sweep=sweep, variants=(stage.keep[name].variant,))


def _changed(study: Description, stage: Stage, name: str) -> Problem:
    return Problem(
        f"the shipped weights {name} are not what this stage learns now: the stage, its assembly {stage.assembly} or "
        "what it is given was changed after they were made", f"stages.{stage.name}.keep.{name}",
        f"Undo the change, or {RETRAIN}; `stimloop study {study.name} --retrain --ship FOLDER` makes all weights of "
        "the study anew.")


def _file(name: str) -> Path:
    return settings.WEIGHTS / f"{name}.safetensors"


def ship(stage: Stage, kept: Artifacts, folder: Path) -> list[Path]:
    """Copy what a stage keeps at the first point of its sweep into a folder, under the names that it is kept by."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, keep in stage.keep.items():
        source = kept[name, without(next(points(stage)), keep.over)]
        written.append(folder / f"{name}.safetensors")
        replace_shared(written[-1], source.read_bytes())
    return written
