"""Building assemblies on trial: can they be built, and what could be read of their runs?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...assemblies import recording
from ...components.parts.dynamics_ensemble import never_fitted
from ...loops.errors import AssemblyError, Problem, Problems
from ...loops.evaluation import COLUMNS
from ...loops.loop import Loop
from ...loops.realtime import LATENESS
from ...loops.stops import impossible
from ...loops.storage.runs import Run
from ..assembly import Assembly
from ..checking import build
from ..execute import stop_of
from ..settings import Settings
from .reaching import Reach, reach


@dataclass(frozen=True)
class Known:
    """What can be named in the runs of an assembly; None where only a build, or nothing any more, could tell."""

    evaluations: Mapping[str, frozenset[str]]  # columns of each
    rhythms: Mapping[str, tuple[Any, Any]]  # when each takes place
    components: frozenset[str]
    recorded: frozenset[str] | None = None  # outputs whose last value can be read
    outputs: frozenset[str] = frozenset()  # all there are, as far as it was built
    learned: frozenset[str] | None = None  # components with a learned part
    reach: Mapping[str, tuple[Reach, ...]] = field(default_factory=dict)  # of evaluations, at each point tried
    by_chance: frozenset[str] = frozenset()  # models that nobody fits: what they predict is drawn by chance

    @property
    def sources(self) -> list[str]:
        """What may stand before the dot of a number's name."""
        return [*self.evaluations, *self.components]

    def beside(self, other: Known) -> Known:
        """Return this, with how often evaluations take place at another point of the sweep too."""
        shared = [name for name in self.reach if name in other.reach]
        return replace(self, reach={name: tuple(dict.fromkeys((*self.reach[name], *other.reach[name])))
                                    for name in shared})


@dataclass(frozen=True)
class Trial:
    """How building an assembly went."""

    problems: tuple[Problem, ...]
    known: Known


def read(assembly: Assembly, run: Path | None = None) -> Known:
    """Return what is known of an assembly that is not built, and of its run where there is one."""
    entries = assembly.get("evaluate") or {}
    return Known({name: frozenset(COLUMNS) for name in entries},
                 {name: (entry.get("every", "1 episode"), entry.get("at_start", True))
                  for name, entry in entries.items()},
                 frozenset(assembly.components), None if run is None else frozenset(Run(run).streams))


def attempt(assembly: Assembly, allowed: Settings, lacking: Collection[str] = ()) -> Trial:
    """Build an assembly and close it again; `lacking` are addresses whose values only a run will make.

    Evaluations are built for one episode: more of them cost time and can be wrong in nothing else.
    """
    known = read(assembly)
    one = {f"evaluate.{name}.episodes": 1 for name in known.evaluations}
    tried = assembly.set({**one, **dict.fromkeys(lacking)}) if one or lacking else assembly
    try:
        with build(tried, allowed) as loop:
            return _looked_at(tried, loop, known, lacking)
    except AssemblyError as error:
        left = [problem for problem in error.problems
                if not any(problem.where.partition(" (")[0].startswith(address) for address in lacking)]
        return Trial(tuple(left), known)


def _looked_at(assembly: Assembly, loop: Loop, known: Known, lacking: Collection[str]) -> Trial:
    stop, problems, outputs = stop_of(assembly, None), Problems(), {key: cell.port for key, cell in loop.cells.items()}
    if problem := impossible(stop, loop.graph.bodies, outputs):
        problems.found.append(problem)
    problems.found += recording.missing(assembly.get("record"), [*outputs, LATENESS])
    problems.raise_if_any(assembly.name)
    recorded = {stream.key for stream in recording.streams(loop, assembly.get("record"), stop, Problems())}
    unsolved = {name for name, evaluation in loop.evaluations.items()
                if f"{evaluation.body}.solved" not in evaluation.loop.cells}
    learned = {name: part for name, component in loop.components.items()
               if (part := component.state_dict().get("learned"))}
    chance = {name for name, part in learned.items() if never_fitted(part) and not _is_fitted(name, assembly, loop)
              and f"{name}.params.weights" not in lacking}
    return Trial((), Known({name: columns - {"success"} if name in unsolved else columns
                            for name, columns in known.evaluations.items()}, known.rhythms, known.components,
                           frozenset(recorded), frozenset(outputs), frozenset(learned),
                           {name: (told,) for name, told in reach(loop, stop).items()}, frozenset(chance)))


def _is_fitted(model: str, assembly: Assembly, loop: Loop) -> bool:
    """May somebody fit a model: does anybody use it who does not only act by it?"""
    return any(model in used.values() and not str(assembly.get(f"{name}.type")).startswith("brains.")
               for name, used in loop.graph.uses.items())
