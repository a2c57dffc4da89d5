"""One cell of a study, from its claim to its record: begun, or gone on with where it was left."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import StimloopError
from ...loops.loop import Loop
from ...loops.storage import artifact, checkpoint
from ...loops.storage.run_directories import list_runs
from ..assembly import Assembly
from ..identity import read_attributes
from ..session import CHECKPOINTS
from ..settings import Settings
from .description import Keep
from .measures import Name, names, value
from .records import BEST, DONE, FAILED, read, write
from .shipping import note


@dataclass(frozen=True)
class Work:
    """What a worker needs to know of a cell."""

    folder: Path  # of the cell
    assembly: Assembly
    keep: Mapping[str, Keep]  # what of it later stages may want
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what each kept file says of its making


def run(work: Work, allowed: Settings) -> str:
    """Run a claimed cell to its end; returns `finished`, `interrupted` or `failed`, and leaves the record of it."""
    began, whole = time.monotonic(), not _begun(work)
    try:
        outcome = _go(work, allowed)
    except (StimloopError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
        write(work.folder / FAILED, {"error": f"{type(error).__name__}: {error}",
                                      "traceback": traceback.format_exc()})
        return "failed"
    if outcome.reason == "interrupted":
        return "interrupted"
    attributes = read_attributes(outcome.path)
    kept = {name: str(_kept(work, name, keep, outcome.path).relative_to(work.folder))
            for name, keep in work.keep.items()}
    write(work.folder / DONE, {"run": str(outcome.path.relative_to(work.folder)), "code": attributes.get("code", {}),
                                "versions": attributes.get("versions", {}), "kept": kept,
                                "seconds": time.monotonic() - began if whole else None})
    (work.folder / FAILED).unlink(missing_ok=True)
    return "finished"


def _go(work: Work, allowed: Settings) -> Any:
    """Begin the run of a cell, or resume the one that was begun."""
    from ..execute import start
    from ..resuming import resume

    prepare = partial(_watch, work)
    if begun := _begun(work):
        return resume(begun[-1], show=False, allowed=allowed, prepare=prepare)
    return start(work.assembly, folder=work.folder / "run", show=False, allowed=allowed, prepare=prepare)


def _begun(work: Work) -> list[Path]:
    """Return the runs of a cell that can be gone on with."""
    return [path for path in list_runs(work.folder / "run") if checkpoint.newest(path / CHECKPOINTS) is not None]


def _watch(work: Work, loop: Loop) -> None:
    """Keep what is learned at the best moment of each evaluation that somebody asked for."""
    for name, keep in work.keep.items():
        if keep.best is None:
            continue
        sources = {part.source for part in _names(keep)}
        for source in sources & loop.evaluations.keys():
            loop.evaluations[source].sinks.append(_better(work, name, keep, loop))


def _better(work: Work, name: str, keep: Keep, loop: Loop) -> Callable[[str, dict[str, Any]], None]:
    def look(evaluation: str, row: dict[str, Any]) -> None:
        now = value(keep.best, lambda part: _mean(row, part))  # type: ignore[arg-type]
        best = read(work.folder / name / BEST)
        if np.isfinite(now) and (not best or now > best["value"] or not best["steps"]):  # taught once, taught it is
            component = loop.components[keep.component]
            moment = {"value": now, "steps": int(row["steps"])}
            made = {**work.made[name], **moment} if name in work.made else {}
            artifact.save(work.folder / name / "best.safetensors", component,
                          work.assembly.get(f"{keep.component}.type"), note(made, str(keep.best)) if made else "", made)
            write(work.folder / name / BEST, {**moment, "time": int(row["time"])})

    return look


def _mean(row: Mapping[str, Any], part: Name) -> float:
    return float(np.mean(np.asarray(row[part.column], np.float64))) if part.column in row else float("nan")


def _names(keep: Keep) -> list[Name]:
    return list(names(keep.best)) if keep.best is not None else []


def _kept(work: Work, name: str, keep: Keep, run: Path) -> Path:
    """Return the artifact that a finished cell keeps under a name: of its best moment, or of its end."""
    best = work.folder / name / "best.safetensors"
    if keep.best is not None and best.is_file():
        return best
    state = checkpoint.newest(run / CHECKPOINTS)
    learned = (state or {"components": {}})["components"].get(keep.component, {}).get("learned")
    if not learned:
        raise StimloopError(f"{keep.component} has learned nothing that could be kept as {name}: "
                            f"{run} holds {'no checkpoint' if state is None else 'no learned part of it'}")
    end = work.folder / name / "end.safetensors"
    made = work.made.get(name, {})
    artifact.write(end, learned, work.assembly.get(f"{keep.component}.type"), {}, note(made, "") if made else "", made)
    return end

