"""`stimloop evaluate`: the episodes that are asked for, their statistics, and a video of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..assemblies import identity
from ..components.parts import rendering
from ..loops.errors import RunError
from ..loops.evaluation import Evaluation
from .inspection import table
from .loading import assembly_of
from .reports import video
from .resuming import evaluate

if TYPE_CHECKING:
    from .assembly import Assembly
    from .filming import Film
    from .settings import Settings

_STATISTICS = {"mean": np.mean, "sd": np.std, "min": np.min, "max": np.max}


@dataclass(frozen=True)
class Options:
    """What is asked for beside what the assembly says; None: as it says."""

    episodes: int | None = None
    seed: int | None = None  # of the first episode; the next ones count up
    steps: int | None = None  # after which an episode is cut off
    explore: bool | None = None

    def entries(self) -> dict[str, Any]:
        """Return the entries of an evaluation that these options replace."""
        longest = f"{self.steps} steps" if self.steps is not None else None
        given = {"episodes": self.episodes, "seeds": self.seed, "longest": longest}
        return {name: value for name, value in given.items() if value is not None}


def command(path: Path, names: Sequence[str], options: Options, sets: Mapping[str, Any], allowed: Settings,
            film: Film | None = None) -> tuple[dict[str, dict[str, Any]], str]:
    """Evaluate a run's newest checkpoint as the options say; returns a row for each evaluation, and a table."""
    changes = dict(sets)
    if film is not None:
        rendering.choose()
    assembly = assembly_of(identity.read_attributes(path), allowed).set(sets)
    if not assembly.get("evaluate") and options.episodes is not None:
        changes["evaluate.test"] = {"every": "1 episode", "episodes": options.episodes}
        assembly = assembly.set("evaluate.test", changes["evaluate.test"])
    chosen = {name: entry for name, entry in (assembly.get("evaluate") or {}).items() if not names or name in names}
    if film is not None and len(chosen) > 1:
        raise RunError(f"a video is of one evaluation; say which: --name {' or --name '.join(chosen)}")
    for name, entry in chosen.items():
        changes |= {f"evaluate.{name}.{key}": value for key, value in options.entries().items()}
        if options.explore is not None:
            explores = dict.fromkeys(_explorers(assembly, entry), options.explore)
            changes[f"evaluate.{name}.set"] = {**entry.get("set", {}), **explores}
    rows = evaluate(path, list(names), changes=changes, allowed=allowed,
                    how=Evaluation.evaluate if film is None else film.of)
    for row in rows.values():
        row["summary"] = summary(row)
    return rows, text(rows)


def _explorers(assembly: Assembly, entry: Mapping[str, Any]) -> list[str]:
    """Return the addresses that say whether a component of an evaluation explores."""
    from ..catalogue import index

    known = index.load()
    found = [f"{name}.params.explore" for name, part in assembly.form["components"].items()
             if name not in entry.get("without", ()) and ("explore" in part["params"] or "explore" in known.get(
                 part["type"], {}).get("parameters", {}).get("properties", {}))]
    if not found:
        raise RunError("nothing in this evaluation has a parameter `explore`; leave out --explore and --no-explore")
    return found


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean, standard deviation (of these episodes), least and most of return and length, and what was solved."""
    found: dict[str, Any] = {"episodes": len(row["return"])}
    for key in ("return", "length"):
        values = np.asarray(row[key], float)
        found[key] = {name: float(of(values)) for name, of in _STATISTICS.items()}
    solved = np.asarray(row["success"], float)
    found["success"] = None if np.isnan(solved).all() else float(np.nanmean(solved))
    return found


def text(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of two lines for each evaluation, and a line for each video."""
    lines = [{"evaluation": name, "of": key, **row["summary"][key], "episodes": row["summary"]["episodes"],
              "solved": row["summary"]["success"], "steps so far": row["steps"]}
             for name, row in rows.items() for key in ("return", "length")]
    made = table(lines if any(line["solved"] is not None for line in lines) else
                 [{key: value for key, value in line.items() if key != "solved"} for line in lines])
    return "\n".join([made, *(video.told(row["video"]) for row in rows.values() if "video" in row)])
