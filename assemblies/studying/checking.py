"""What is wrong with a study beyond its form: assemblies that cannot be built, and names that no run will have."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from ...loops.errors import Problem, Problems, nearest
from . import names, reaching, trials
from .cells import Point, assembly_of, check_joins, lacking_of, point_text, points, swept
from .description import Stage
from .states import class_of
from .texts import count
from .trials import Known, Trial

if TYPE_CHECKING:
    from ..assembly import Assembly
    from ..study import Study


@dataclass(frozen=True)
class Try:
    """One assembly that is tried for the cells of a variant: all of them, or those with one value of a sweep."""

    variant: str
    assembly: Assembly
    at: str = ""  # the value that it is tried for
    cells: int = 1  # that share it
    lacking: tuple[str, ...] = ()  # addresses of what earlier stages have yet to keep
    known: Known | None = None  # told by its finished run: nothing to try


@dataclass
class Checks:
    """Trials of one study, each assembly built once."""

    study: Study
    done: dict[tuple[str, tuple[str, ...]], Trial] = field(default_factory=dict)

    def check(self) -> list[Problem]:
        """Return notices of what is doubtful, before anything runs.

        Raises AssemblyError with all that would make a cell fail, a number be missing, or a bound never be held.
        """
        problems, runs = Problems(), {}
        for stage in self.study.description.stages.values():
            runs[stage.name] = self._stage(stage, problems)
        names.check(self.study.description, runs, problems)
        reaching.check(self.study.description, runs, self.study.small, problems)
        problems.raise_if_any(self.study.description.name)
        return problems.notices

    def check_stage(self, stage: Stage) -> None:
        """Raise AssemblyError where a cell of a stage cannot be built with what it is given by now."""
        problems = Problems()
        self._stage(stage, problems)
        problems.raise_if_any(self.study.description.name)

    def _stage(self, stage: Stage, problems: Problems) -> dict[str, Known]:
        hit: dict[Problem, list[Try]] = {}
        known: dict[str, Known] = {}
        base: dict[str, tuple[Problem, ...]] = {}  # by variant, what is wrong already at the first point
        for each in self._tries(stage):
            trial = Trial((), each.known) if each.known is not None else self._trial(each)
            known[each.variant] = known[each.variant].beside(trial.known) if each.variant in known else trial.known
            if each.known is not None:
                continue
            before = base.setdefault(each.variant, () if each.at else trial.problems)
            for problem in trial.problems:
                if not each.at or problem not in before:
                    hit.setdefault(problem, []).append(each)
        problems.found += [replace(problem, where=f"{_whose(stage, tries)}: {problem.where}".removesuffix(": "))
                           for problem, tries in hit.items()]
        return known

    def _trial(self, each: Try) -> Trial:
        key = each.assembly.hash, each.lacking
        if key not in self.done:
            if told := _not_taken(each, self.study):
                self.done[key] = Trial(tuple(told), trials.read(each.assembly))
            else:
                self.done[key] = trials.attempt(each.assembly, self.study.allowed, each.lacking)
        return self.done[key]

    def _tries(self, stage: Stage) -> Iterator[Try]:
        """Every variant at the first point of the sweep, then with each further value of anything swept but a seed."""
        try:
            cells = self.study.cells(stage)
        except LookupError:  # an earlier stage has not finished
            cells = None
            check_joins(self.study.description, stage)
        by_place = {(place.variant, place.point): cell for cell in (cells.cells if cells else ())
                    for place in cell.places}
        for (point, at, shared), variant in product(_chosen(stage), stage.variants):
            cell = by_place.get((variant, point))
            if cells is not None and cell is not None:
                run = cells.run(cell)
                yield Try(variant, cell.assembly, at, shared, known=trials.read(cell.assembly, run) if run else None)
                continue
            assembly, lacking = _waiting(self.study, stage, variant, point)
            yield Try(variant, assembly, at, shared, lacking,  # a skipped stage has no cells, and nothing to try
                      trials.read(assembly) if cells is not None else None)


def _chosen(stage: Stage) -> list[tuple[Point, str, int]]:
    """Return the points that are tried, what is new at each, and how many points share it."""
    every = list(points(stage))
    first = every[0]
    found = [(first, "", len(every))]
    for i, (address, value) in enumerate(first):
        if address == "seed" or address.endswith(".seed"):
            continue
        for other in dict.fromkeys(point[i][1] for point in every):
            if other != value:
                shared = sum(point[i][1] == other for point in every)
                found.append(((*first[:i], (address, other), *first[i + 1:]), point_text([(address, other)]), shared))
    return found


def _waiting(study: Study, stage: Stage, variant: str, point: Point) -> tuple[Assembly, tuple[str, ...]]:
    """Return the assembly of a cell that waits for what earlier stages keep, and the addresses that wait."""
    described = study.description
    base = assembly_of(stage.assembly, described.folder)
    resolved = base.resolve(given=stage.given, sweep=swept(point), variant=variant, set=stage.set)
    wait = [address for address, wanted in stage.given.items() if resolved.get(address) == wanted]  # not set above it
    return resolved, tuple(dict.fromkeys([*wait, *lacking_of(resolved, described, stage)]))


def _not_taken(each: Try, study: Study) -> list[Problem]:
    """Return a problem for each parameter to be given that its component does not have."""
    found = []
    for address in each.lacking:
        name, _, rest = address.partition(".params.")
        cls = class_of(each.assembly, name, study.allowed) if rest else None
        known = dict(inspect.signature(cls).parameters) if cls else {}
        if cls and rest.partition(".")[0] not in known and not _takes_any(known):
            found.append(Problem(f"{each.assembly.get(f'{name}.type')} has no parameter "
                                 f"{rest.partition('.')[0]!r}", address, nearest(rest, known)))
    return found


def _takes_any(parameters: Mapping[str, Any]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _whose(stage: Stage, tries: list[Try]) -> str:
    """Say which cells of a stage a problem hits."""
    variants = ", ".join(dict.fromkeys(each.variant for each in tries))
    at = ", ".join(dict.fromkeys(each.at for each in tries if each.at))
    return (f"stage {stage.name}, {count(sum(each.cells for each in tries), 'cell')} "
            f"({variants}{f' at {at}' if at else ''})")
