"""The names in a study's measures, in what it keeps and expects, against what runs of its stages will say."""

from __future__ import annotations

from collections.abc import Mapping

from ...loops.errors import Problem, Problems, nearest
from .cells import frozen, joined, points
from .description import Description, Expectation, Keep, Stage
from .measures import Measure, Name, names
from .trials import Known

Runs = Mapping[str, Mapping[str, Known]]  # by stage and variant


def check(study: Description, runs: Runs, problems: Problems) -> None:
    """Add a problem for every name that no run can have."""
    for stage in study.stages.values():
        for name, keep in stage.keep.items():
            _keep(keep, runs[stage.name][keep.variant], f"stages.{stage.name}.keep.{name}", problems)
    empty = set()
    for name, measure in study.measures.items():
        told = [min((_measure(measure, stage, variant, study, runs) for variant in runs[stage]), key=len)
                for stage in runs]
        if told and all(told):  # it means something in no stage; the one that comes closest says why
            empty.add(name)
            problems.found += [_at(problem, f"measure.{name}") for problem in min(reversed(told), key=len)]
    for i, line in enumerate(study.expect):
        if line.measure not in empty:
            _line(line, study, runs, f"expect.{i}", problems)


def _at(problem: Problem, where: str) -> Problem:
    return Problem(problem.what, where, problem.fix)


def _keep(keep: Keep, known: Known, where: str, problems: Problems) -> None:
    if keep.component not in known.components:
        problems.add(f"there is no component {keep.component!r} to keep what it learned", f"{where}.from",
                     nearest(keep.component, known.learned or known.components))
    elif known.learned is not None and keep.component not in known.learned:
        problems.add(f"{keep.component} has no learned part that could be kept", f"{where}.from",
                     f"These have: {', '.join(sorted(known.learned)) or 'none'}.")
    elif keep.component in known.by_chance:
        problems.add(f"nobody fits {keep.component}, and it is given no weights: what would be kept is drawn by chance",
                     f"{where}.from", "Add a learner that uses it, such as learners.model_fit, to the assembly.")
    asked = list(dict.fromkeys(names(keep.best))) if keep.best is not None else []
    for name in asked:
        if name.source not in known.evaluations:
            problems.add(f"there is no evaluation {name.source!r}", f"{where}.at",
                         nearest(name.source, known.evaluations))
        elif problem := _unknown(name, known):
            problems.found.append(_at(problem, f"{where}.at"))
    if len({known.rhythms[name.source] for name in asked if name.source in known.rhythms}) > 1:
        problems.add("its evaluations do not take place at the same moments, so that no moment has all their numbers",
                     f"{where}.at", "Give them the same `every` and `at_start`, or name one evaluation only.")


def _line(line: Expectation, study: Description, runs: Runs, where: str, problems: Problems) -> None:
    measure = study.measures[line.measure]
    for variant in filter(None, (line.variant, line.above)):
        for problem in _measure(measure, line.stage, variant, study, runs):
            told = _at(problem, f"{where}.measure")
            if told not in problems.found:
                problems.found.append(told)
    known = runs[line.stage][line.variant]
    if line.after and not any(name.source in known.evaluations for name in names(measure)):
        problems.add("`after` chooses a row of an evaluation, and this measure names none", f"{where}.after",
                     "Leave it out, or measure a column of an evaluation.")


def _measure(measure: Measure, stage: str, variant: str, study: Description, runs: Runs) -> list[Problem]:
    """Return why a measure means nothing to a variant of a stage."""
    found = []
    for name in dict.fromkeys(names(measure)):
        whose = name.stage or stage
        if whose not in runs:
            found.append(Problem(f"{name}: there is no stage {whose!r}", "", nearest(whose, runs)))
        elif (chosen := name.variant or variant) not in runs[whose]:
            found.append(Problem(f"{name}: stage {whose} has no variant {chosen!r}", "", nearest(chosen, runs[whose])))
        elif problem := _unknown(name, runs[whose][chosen]):
            found.append(Problem(f"{problem.what} in stage {whose}", "", problem.fix))
        elif whose != stage and (address := _unjoined(study.stages[stage], study.stages[whose])):
            found.append(Problem(
                f"{name}: stage {whose} has a cell for each {address}, and nothing says which is meant in {stage}",
                "", f"Sweep the same values of {address} in both, or write joins: {{{address}: ADDRESS}} in stage "
                f"{stage}."))
    return found


def _unjoined(here: Stage, there: Stage) -> str | None:
    """Return an address that another stage sweeps, but of which a point here says no value that is swept there."""
    for point in points(here):
        told = joined(here, point)
        for address, values in there.sweep.items():
            if address not in told or told[address] not in map(frozen, values):
                return address
    return None


def _unknown(name: Name, known: Known) -> Problem | None:
    """Say why a run cannot have a number."""
    if name.source in known.evaluations:
        columns = known.evaluations[name.source]
        if name.column == "success" and name.column not in columns:
            return Problem(f"{name}: the body of evaluation {name.source} does not say when it is solved", "",
                           "Choose another column, such as return.")
        return None if name.column in columns else Problem(
            f"{name}: evaluation {name.source} has no column {name.column!r}", "", nearest(name.column, columns))
    if name.curve is not None:
        return Problem(f"{name}: there is no evaluation {name.source!r}", "", nearest(name.source, known.evaluations))
    if name.source not in known.components:
        return Problem(f"{name}: there is no evaluation or component {name.source!r}", "",
                       nearest(name.source, known.sources))
    key = f"{name.source}.{name.column}"
    if known.recorded is None or key in known.recorded:
        return None
    if key in known.outputs:
        return Problem(f"{name}: {key} is not recorded", "", f"Add {key} to `record` of the assembly.")
    ports = [port.partition(".")[2] for port in known.outputs or known.recorded
             if port.startswith(f"{name.source}.")]
    return Problem(f"{name}: {name.source} has no output {name.column!r}", "", nearest(name.column, ports))
