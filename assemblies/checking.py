"""Everything that can be wrong with an assembly, told together: form, components, wiring, evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..assemblies import overrides
from ..loops.errors import AssemblyError, Problem, Problems
from ..loops.system import System
from .doubts import Doubts
from .origin import placed
from .settings import Settings
from .wiring import system

if TYPE_CHECKING:
    from ..loops.loop import Loop
    from .assembly import Assembly


def build(assembly: Assembly, allowed: Settings | None = None,
          make: Callable[[System, Problems], Loop] | None = None) -> Loop:
    """Return a loop; every problem, found here or by the kernel, is reported together."""
    from ..loops.loop import Loop

    problems = Problems(list(assembly.notices))
    made = system(assembly, problems, allowed)
    try:
        problems.raise_if_any()
        return (make or Loop)(made, problems)
    except AssemblyError as error:
        told = check(assembly, allowed).errors  # says of each problem whether it lies in an evaluation
        raise AssemblyError(told or placed(error.problems, assembly.origin), assembly.name) from None


def check(assembly: Assembly, allowed: Settings | None = None, form: Problems | None = None) -> Problems:
    """Return all that is wrong with an assembly and its evaluations, and the notices; they are built, not run.

    `form` are problems of its form, found when it was read: what only follows from them is left out.
    """
    problems = Problems(list(assembly.notices))
    doubts = Doubts(form.errors if form else ())
    made = system(assembly, problems, allowed, form)
    problems.found = _look(made, problems, record=assembly.get("record"), until=assembly.until)
    for name, plan in made.evaluations.items():
        if any(doubts.touch(f"evaluate.{name}.{part}") for part in ("set", "without")):
            continue
        told = {(problem.what, problem.where.removeprefix(f"evaluate.{name}: ")) for problem in problems.errors}
        for problem in _look(plan.system, Problems(list(problems.errors)), ("begin",)):
            if not problem.notice and (problem.what, problem.where) not in told and problem not in problems.found:
                where = f"evaluate.{name}: {problem.where}" if problem.where else f"evaluate.{name}"
                problems.add(problem.what, where, problem.fix + _missed(assembly, plan.learners, problem))
    evaluations_last = sorted(problems.found, key=lambda problem: problem.where.startswith("evaluate."))
    problems.found = placed(evaluations_last, assembly.origin)
    return problems


def _missed(assembly: Assembly, learners: Sequence[str], problem: Problem) -> str:
    """Say to whom listens to a learner why it is not there in an evaluation."""
    name = problem.where.partition(".")[0]
    wires = assembly.wires(name).values() if name in assembly.components else ()
    heard = sorted({wire["from"].partition(".")[0] for wire in wires} & set(learners))
    if not heard:
        return ""
    return (f"\n{', '.join(heard)} is left out of tests, because it learns: leave out {name} too (without: [{name}]), "
            "or write learning: true where learning is what is tested.")


def raise_all(assembly: Assembly, form: Problems, allowed: Settings | None) -> None:
    """Raise the problems of an assembly's form, its variants' and its `small`'s, together with all others it has."""
    doubts, layers = Doubts(form.errors), Problems()
    for entry, changes in [("small", assembly.form.get("small", {})), *(
            (f"variants.{name}", changes) for name, changes in assembly.form.get("variants", {}).items())]:
        layers.found += layer_problems(assembly.form, entry, changes, doubts)
    if not form.errors and not layers.errors:
        return
    raise AssemblyError([*check(assembly, allowed, form).errors, *placed(layers.errors, assembly.origin)],
                        assembly.origin.path.name if assembly.origin.path else assembly.name)


def layer_problems(document: Mapping, entry: str, changes: Mapping, doubts: Doubts) -> list[Problem]:
    """Return why changes cannot be put in, each with the entry that makes them."""
    trial = Problems()
    overrides.apply(dict(document), changes, trial)
    return [Problem(problem.what, f"{entry}: {problem.where}", problem.fix) for problem in trial.errors
            if not doubts.cover(problem.where)]


def _look(made: System, problems: Problems, injected: tuple[str, ...] = (), record: Any = None,
          until: str | int | None = None) -> list[Problem]:
    """Check a system, build it and close it; returns what was found.

    Some component must have the injected inputs, and what is to be recorded or stopped at must be there.
    """
    from ..loops.graph import check as check_graph
    from ..loops.joining import build_components
    from ..loops.realtime import LATENESS
    from ..loops.stops import impossible
    from ..loops.until import Until
    from .recording import missing

    try:
        graph = check_graph(made, problems, injected)
    except AssemblyError as error:
        return [*problems.notices, *error.problems]
    try:
        build_components(graph)
    except AssemblyError as error:
        problems.found += error.problems
    finally:
        for component in graph.components.values():
            component.close()
    outputs = {f"{name}.{key}": port for name, component in graph.components.items()
               for key, port in component.outputs.items()}
    problems.found += missing(record, [*outputs, LATENESS])
    if until is not None and (problem := impossible(Until.parse(until), graph.bodies, outputs)):
        problems.found.append(problem)
    if any(not any(key in graph.components[name].inputs for name in graph.order) for key in injected):
        problems.add("no body here can begin an episode on request", "",
                     "Give the body an optional event input `begin`.")
    return problems.found
