"""What a study would do, without doing it: its stages in order, their cells, and how long what is left may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...loops.until import Until
from .cells import Place, assembly_of, check_joins, point_text, points, swept
from .description import Stage
from .records import DONE, read
from .states import Cells
from .texts import count

if TYPE_CHECKING:
    from ...loops.errors import Problem
    from ..study import Study

SHOWN = 12  # cells of a stage that the text names one by one
WAITS = "waits for what earlier stages keep"
OVER = ("finished", "stale")


def plan(study: Study, notices: Sequence[Problem] = ()) -> dict[str, Any]:
    """Return the stages of a study in order, each with its cells, and how many runs and seconds are left."""
    stages = [_stage(study, stage) for stage in study.description.stages.values()]
    cells = [cell for stage in stages for cell in stage["cells"]]
    left = [cell for cell in cells if cell["state"] not in OVER]
    known = [cell["seconds"] for cell in left if cell["seconds"] is not None]
    return {"study": study.description.name, "about": study.description.about, "small": study.small,
            "folder": str(study.folder), "stages": stages, "runs": len(cells), "left": len(left),
            "seconds_left": sum(known), "runs_without_estimate": len(left) - len(known),
            "notices": [str(notice) for notice in notices]}


def _stage(study: Study, stage: Stage) -> dict[str, Any]:
    try:
        cells = study.cells(stage)
    except LookupError:
        cells = None
    found = _waiting(study, stage) if cells is None else _cells(cells)
    for cell, seconds in zip(found, _seconds(found), strict=True):
        cell["seconds"] = seconds
    return {"stage": stage.name, "assembly": stage.assembly, "given": dict(stage.given), "keeps": list(stage.keep),
            "skipped": bool(cells and cells.shipped), "why": study.reasons.get(stage.name, ""), "cells": found}


def _cells(cells: Cells) -> list[dict[str, Any]]:
    found = []
    for cell in cells.cells:
        path = cells.path(cell)
        found.append({**_told(cell.places), "until": _until(cell.assembly.until), "state": cells.state(cell),
                      "hash": cell.identity, "folder": str(path), "took": read(path / DONE).get("seconds")})
    return found


def _waiting(study: Study, stage: Stage) -> list[dict[str, Any]]:
    """Cells of a stage that waits for others: what they are given is not known yet, so some may come to the same."""
    check_joins(study.description, stage)
    base, found = assembly_of(stage.assembly, study.description.folder), []
    for point, variant in product(points(stage), stage.variants):
        resolved = base.resolve(sweep=swept(point), variant=variant, set=stage.set)
        found.append({**_told((Place(stage.name, variant, point),)), "until": _until(resolved.until), "state": WAITS,
                      "hash": None, "folder": None, "took": None})
    return found


def _told(places: tuple[Place, ...]) -> dict[str, Any]:
    return {"variants": list(dict.fromkeys(place.variant for place in places)), "at": swept(places[0].point)}


def _seconds(cells: list[dict[str, Any]]) -> list[float | None]:
    """Return how long each cell takes, from what finished ones of its stage took to a stop of the same kind."""
    stops = [_stop(cell["until"]) for cell in cells]
    rates: dict[str, list[float]] = {}
    for cell, (kind, amount) in zip(cells, stops, strict=True):
        if cell["took"] is not None:
            rates.setdefault(kind, []).append(cell["took"] / amount)
    return [fmean(rates[kind]) * amount if kind in rates else None for kind, amount in stops]


def _until(said: Any) -> str:
    """Return a stop as people write it: `1 episode`."""
    stop = Until.parse(said)
    if stop.kind not in ("steps", "episodes"):
        return str(stop)
    return count(stop.amount, stop.kind.removesuffix("s")) + (f" of {stop.component}" if stop.component else "")


def _stop(until: str) -> tuple[str, int]:
    """Return kind and amount of a stop; a stop at a port has no amount, and one is as far as another."""
    stop = Until.parse(until)
    return stop.kind, max(stop.amount, 1)


def text(planned: Mapping[str, Any]) -> str:
    """Return a plan as text."""
    from ..inspection import table

    form = " (small form)" if planned["small"] else ""
    lines = [f"{planned['study']}{form}: {count(len(planned['stages']), 'stage')}, {count(planned['runs'], 'run')}, "
             f"{planned['left']} left{_duration(planned)}"]
    for number, stage in enumerate(planned["stages"], 1):
        given = [f"given {address}: {name}" for address, name in stage["given"].items()]
        keeps = [f"keeps {', '.join(stage['keeps'])}"] if stage["keeps"] else []
        lines += ["", f"{number}. {stage['stage']} ({stage['assembly']})", *(f"   {part}" for part in given + keeps)]
        if stage["skipped"]:
            lines.append(f"   skipped: {stage['why']} (--retrain runs it)")
            continue
        lines += [f"   not skipped: {stage['why']}"] if stage["why"] else []
        rows = [{"variant": ", ".join(cell["variants"]), "at": point_text(cell["at"].items()), "until": cell["until"],
                 "state": cell["state"]} for cell in stage["cells"]]
        lines += [f"   {line}" for line in table(rows[:SHOWN]).splitlines()]
        lines += [f"   ... and {len(rows) - SHOWN} more (--json names all)"] if len(rows) > SHOWN else []
    notices = [f"notice: {notice}" for notice in planned["notices"]]
    return "\n".join([*lines, "", *notices, planned["folder"]])


def _duration(planned: Mapping[str, Any]) -> str:
    """Say how long what is left takes in one process, as far as finished cells tell."""
    if not planned["left"]:
        return ""
    unknown = planned["runs_without_estimate"]
    if unknown == planned["left"]:
        return "; how long is told when the first of them has finished"
    rest = f", and {count(unknown, 'run')} of which none alike has finished" if unknown else ""
    return f", about {planned['seconds_left'] / 60:.1f} min in one process{rest}"
