"""Bounds that a run is to reach and to hold: can it, by its stop and by how often it is evaluated?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...loops.errors import Problems, counted
from .measures import Name, Until, names

if TYPE_CHECKING:
    from ...loops.evaluation import Evaluation
    from ...loops.loop import Loop
    from ...loops.until import Until as Stop
    from .description import Description
    from .trials import Known

Runs = Mapping[str, Mapping[str, "Known"]]  # by stage and variant
Target = tuple[str, str]  # stage and variant of the run in which a bound is to be held


@dataclass(frozen=True)
class Reach:
    """How often an evaluation takes place in a run at most."""

    times: int
    told: str  # what that follows from: `until 60 steps, every 30 steps and once before the first`
    ends: tuple[int, int] | None = None  # the run's steps, and the most that its last instant may add; None: unknown
    every: int | None = None  # steps between two of them; None: it is not steps that are counted


def reach(loop: Loop, stop: Stop) -> dict[str, Reach]:
    """Return of each evaluation how often it can take place until a stop, as far as that is certain."""
    found = {name: _of(evaluation, loop, stop) for name, evaluation in loop.evaluations.items()}
    return {name: told for name, told in found.items() if told is not None}


def _of(evaluation: Evaluation, loop: Loop, stop: Stop) -> Reach | None:
    amount, unit = evaluation.plan.every
    kind = {"time": "ns"}.get(stop.kind, stop.kind)
    if kind != unit and (kind, unit) != ("steps", "episodes"):  # an episode has at least one step
        return None
    body, extra = stop.component or (loop.graph.bodies[0] if len(loop.graph.bodies) == 1 else None), 0
    if kind != "ns":
        if body is None or evaluation.body != body:
            return None
        extra = loop.graph.lanes(body) - 1  # the last instant adds at most one for each lane
    at_start = int(evaluation.plan.at_start)
    every = f"{amount / 1e9:g} s" if unit == "ns" else counted(amount, unit.removesuffix("s"))
    told = f"until {stop}, every {every}{' and once before the first' if at_start else ''}"
    return Reach(at_start + (stop.amount + extra) // amount, told, (stop.amount, extra) if kind == "steps" else None,
                 amount if unit == "steps" else None)


def check(study: Description, runs: Runs, small: bool, problems: Problems) -> None:
    """Add a problem for each bound that no run can hold, or not one of those that are judged; a notice for doubts.

    The small form shortens runs under measures that were written for the full one: there they are doubts at most.
    """
    for title, measure in study.measures.items():
        for name in dict.fromkeys(names(measure)):
            if isinstance(name.curve, Until):
                _Bound(study, title, name, name.curve, runs).check(small, problems)


class _Bound:
    """One bound of a measure, in all runs that have its evaluation."""

    def __init__(self, study: Description, title: str, name: Name, until: Until, runs: Runs) -> None:
        self.study, self.title, self.name, self.until = study, title, name, until
        here = [(stage, variant) for stage, known in runs.items() for variant in known]
        meant = dict.fromkeys(self._meant(*place) for place in here)
        self.runs = {(stage, variant): runs[stage][variant].reach.get(name.source, ())
                     for stage, variant in meant if variant in runs.get(stage, {})
                     and name.source in runs[stage][variant].evaluations}  # others have no such number at all

    def _meant(self, stage: str, variant: str) -> Target:
        return self.name.stage or stage, self.name.variant or variant

    def check(self, small: bool, problems: Problems) -> None:
        never = {target for target, told in self.runs.items()
                 if told and all(each.times < self.until.held for each in told)}
        judged = {self._meant(line.stage, variant): f"expect.{i}.measure" for i, line in enumerate(self.study.expect)
                  if line.measure == self.title for variant in (line.variant, line.above) if variant}
        for told, stage, variants in self._grouped():
            if told.times < self.until.held:
                targets = {(stage, variant) for variant in variants}
                where = [judged[target] for target in judged if target in targets & never]
                if small or (never != set(self.runs) and not where):
                    problems.notice(*self._cannot(told, stage, variants, f"measure.{self.title}"))
                else:
                    problems.add(*self._cannot(told, stage, variants,
                                               f"measure.{self.title}" if never == set(self.runs) else where[0]))
            elif not small:
                self._doubts(told, stage, variants, problems)

    def _grouped(self) -> Iterator[tuple[Reach, str, list[str]]]:
        """Return what can be reached, and the variants of a stage of which that is so."""
        found: dict[tuple[Reach, str], list[str]] = {}
        for (stage, variant), told in self.runs.items():
            for each in told:
                found.setdefault((each, stage), []).append(variant)
        for (each, stage), variants in found.items():
            yield each, stage, variants

    def _cannot(self, told: Reach, stage: str, variants: list[str], where: str) -> tuple[str, str, str]:
        fewer = f", or ask for {told.times} in a row" if told.times else ""
        return (f"{self.name}: asks for {counted(self.until.held, 'evaluation')} in a row, and a run of stage {stage} "
                f"({', '.join(variants)}) has {told.times or 'none'}{' at most' if told.times else ''} ({told.told}): "
                "it can never be held", where,
                f"Let stages.{stage} run longer (until), evaluate more often (evaluate.{self.name.source}.every)"
                f"{fewer}.")

    def _doubts(self, told: Reach, stage: str, variants: list[str], problems: Problems) -> None:
        runs, where = f"a run of stage {stage} ({', '.join(variants)})", f"measure.{self.title}"
        if told.times == self.until.held > 1:
            problems.notice(f"{self.name}: {runs} has {told.times} evaluations ({told.told}): only one that stands "
                            "there from the first on holds it", where,
                            f"Evaluate more often (evaluate.{self.name.source}.every).")
        if told.ends is None:
            return
        steps, extra = told.ends
        if self.until.limit > steps + extra:
            problems.notice(f"{self.name}: counts as {self.until.limit:g} steps where it is never held, but {runs} "
                            f"ends after {steps}", where, f"Write {steps} as the last number.")
        elif told.every and self.until.limit < (steps // told.every - self.until.held + 1) * told.every:
            problems.notice(f"{self.name}: counts as {self.until.limit:g} steps where it is never held, but {runs} "
                            f"may reach it later: that would count for more than never", where,
                            f"Write {steps} as the last number.")
