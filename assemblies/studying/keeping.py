"""What a cell keeps of what it learns: at the best moment of its evaluations, or at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...components.parts.dynamics_ensemble import never_fitted
from ...loops.errors import StimloopError
from ...loops.loop import Loop
from ...loops.storage import artifact, checkpoint
from ...loops.storage.runs import Run
from ..assembly import Assembly
from ..session import CHECKPOINTS
from .description import Keep
from .measures import Name, names, value
from .records import BEST, read, write
from .shipping import note

MOMENT = "moment.json"  # numbers of an instant of which not all evaluations have come yet


@dataclass(frozen=True)
class Work:
    """What a worker needs to know of a cell."""

    folder: Path  # of the cell
    assembly: Assembly
    keep: Mapping[str, Keep]  # what of it later stages may want
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what each kept file says of its making


def watch(work: Work, loop: Loop) -> None:
    """Keep what is learned at the best moment of each evaluation that somebody asked for."""
    for name, keep in work.keep.items():
        if keep.best is not None:
            best = Best(work, name, keep, loop)
            for source in best.sources:
                loop.evaluations[source].sinks.append(best.look)


class Best:
    """Keeps the learned part of one component while a run is under way, whenever a moment is the best so far."""

    def __init__(self, work: Work, name: str, keep: Keep, loop: Loop) -> None:
        assert keep.best is not None
        self.work, self.name, self.keep, self.loop, self.measure = work, name, keep, loop, keep.best
        self.parts = list(dict.fromkeys(names(keep.best)))
        self.sources = list(dict.fromkeys(part.source for part in self.parts))
        self.folder = work.folder / name

    def look(self, evaluation: str, row: dict[str, Any]) -> None:
        """Take a row's numbers; when all of its moment are there, keep what is learned if none was better."""
        numbers = self._numbers(evaluation, row)
        if any(part not in numbers for part in map(str, self.parts)):
            return
        now, best = value(self.measure, lambda part: numbers[str(part)]), read(self.folder / BEST)
        if np.isfinite(now) and (not best or now > best["value"] or not best["steps"]):  # taught once, taught it is
            if never_fitted(self.loop.components[self.keep.component].state_dict().get("learned") or {}):
                return  # a model of which nothing is known yet is at its best at no moment
            self._save({"value": now, "steps": int(row["steps"])}, int(row["time"]))

    def _numbers(self, evaluation: str, row: Mapping[str, Any]) -> dict[str, float]:
        """Return what is known of the moment of a row: each name from its own evaluation.

        With several evaluations that is written down, for a run may be interrupted between two of them.
        """
        found = {str(part): _mean(row, part) for part in self.parts if part.source == evaluation}
        if len(self.sources) == 1:
            return found
        before, time = read(self.folder / MOMENT), int(row["time"])
        found = {**(before["numbers"] if before.get("time") == time else {}), **found}
        write(self.folder / MOMENT, {"time": time, "numbers": found})
        return found

    def _save(self, moment: dict[str, Any], time: int) -> None:
        work, keep = self.work, self.keep
        made = {**work.made[self.name], **moment} if self.name in work.made else {}
        artifact.save(self.folder / "best.safetensors", self.loop.components[keep.component],
                      work.assembly.get(f"{keep.component}.type"), note(made, str(keep.best)) if made else "", made)
        write(self.folder / BEST, {**moment, "time": time})


def _mean(row: Mapping[str, Any], part: Name) -> float:
    return float(np.mean(np.asarray(row[part.column], np.float64)))


def kept(work: Work, name: str, keep: Keep, run: Path) -> tuple[Path, dict[str, Any]]:
    """Return the artifact that a finished cell keeps under a name, and of which moment it is ({}: of the end)."""
    if keep.best is not None and (work.folder / name / BEST).is_file():
        return work.folder / name / "best.safetensors", _moment(work.folder / name, keep, run)
    state = checkpoint.newest(run / CHECKPOINTS)
    learned = (state or {"components": {}})["components"].get(keep.component, {}).get("learned")
    if learned and never_fitted(learned):
        raise StimloopError(f"{keep.component} was never fitted, so that it cannot be kept as {name}: what it predicts "
                            f"is drawn by chance. Let {run} run longer, or let a learner fit it earlier")
    if keep.best is not None:
        raise StimloopError(f"no moment of the run could be kept as {name}: {keep.best} was never a finite number, or "
                            f"was never evaluated{_since(learned)}. {run} has the rows of its evaluations")
    if not learned:
        raise StimloopError(f"{keep.component} has learned nothing that could be kept as {name}: "
                            f"{run} holds {'no checkpoint' if state is None else 'no learned part of it'}")
    end = work.folder / name / "end.safetensors"
    made = work.made.get(name, {})
    artifact.write(end, learned, work.assembly.get(f"{keep.component}.type"), {}, note(made, "") if made else "", made)
    return end, {}


def _since(learned: Mapping[str, Any] | None) -> str:
    """Say from when on an evaluation counts: of a model, when it is fitted."""
    return " after the first fit" if learned and "holdout" in learned else ""


def _moment(folder: Path, keep: Keep, run: Path) -> dict[str, Any]:
    """Return the best moment of a run, and which row of the evaluation it was."""
    best = read(folder / BEST)
    evaluation = next(names(keep.best)).source  # type: ignore[arg-type]
    times = [int(row["time"]) for row in Run(run).stored.evaluations[evaluation]]
    return {"measure": str(keep.best), "value": best["value"], "steps": best["steps"], "evaluation": evaluation,
            "row": times.index(best["time"]) + 1, "rows": len(times)}
