"""From an assembly to a system: types looked up, parameters checked, wires and evaluations written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..catalogue.lookup import LookupFailed, find
from ..components.parts.allowed import allow
from ..loops.errors import AssemblyError, Problem, Problems, StimloopError, nearest
from ..loops.system import EvaluationPlan, Part, Source, System
from ..loops.time import parse_duration
from . import entries, overrides, settings
from .origin import placed
from .settings import Settings

if TYPE_CHECKING:
    from ..loops.loop import Loop
    from .assembly import Assembly

_SEEDS = 1000  # seed of the first test episode, where the file names none


class _Unmade(ValueError):
    """A component whose type or parameters were reported already."""


def system(assembly: Assembly, problems: Problems | None = None, allowed: Settings | None = None) -> System:
    """Return the parts of an assembly; without `problems`, what is wrong raises AssemblyError at once."""
    found = problems if problems is not None else Problems()
    allowed = allowed or settings.read()
    for module in allowed.allow:
        allow(module)
    document = assembly.form
    made = _system(assembly, document, found, allowed)
    plans = {name: plan for name, entry in document.get("evaluate", {}).items()
             if (plan := _evaluation(assembly, name, entry, found, allowed)) is not None}
    if problems is None and found.errors:
        raise AssemblyError(placed(found.errors, assembly.origin), assembly.name)
    return replace(made, evaluations=plans)


def build(assembly: Assembly, allowed: Settings | None = None,
          make: Callable[[System, Problems], Loop] | None = None) -> Loop:
    """Return a loop; every problem, found here or by the kernel, is reported together."""
    from ..loops.loop import Loop

    problems = Problems(list(assembly.notices))
    made = system(assembly, problems, allowed)
    try:
        return (make or Loop)(made, problems)
    except AssemblyError as error:
        told = check(assembly, allowed).errors  # says of each problem whether it lies in an evaluation
        told = told or placed([problem for problem in error.problems if not _repeated(problem.what)], assembly.origin)
        raise AssemblyError(told, assembly.name) from error


def check(assembly: Assembly, allowed: Settings | None = None) -> Problems:
    """Return all that is wrong with an assembly and its evaluations, and the notices; they are built, not run."""
    problems = Problems(list(assembly.notices))
    made = system(assembly, problems, allowed)
    problems.found = [problem for problem in _look(made, problems) if not _repeated(problem.what)]
    for name, plan in made.evaluations.items():
        told = {(problem.what, problem.where.removeprefix(f"evaluate.{name}: ")) for problem in problems.errors}
        for problem in _look(plan.system, Problems(), ("begin",)):
            if not problem.notice and (problem.what, problem.where) not in told and not _repeated(problem.what):
                where = f"evaluate.{name}: {problem.where}" if problem.where else f"evaluate.{name}"
                problems.add(problem.what, where, problem.fix)
    problems.found = placed(problems.found, assembly.origin)
    return problems


def _look(made: System, problems: Problems, injected: tuple[str, ...] = ()) -> list[Problem]:
    """Check a system, build it and close it; returns what was found. Some component must have the injected inputs."""
    from ..loops.graph import check as check_graph
    from ..loops.joining import build_components

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
    if any(not any(key in graph.components[name].inputs for name in graph.order) for key in injected):
        problems.add("no body here can begin an episode on request", "",
                     "Give the body an optional event input `begin`.")
    return problems.found


def _repeated(what: str) -> bool:
    return what.endswith(_UNMADE)


_UNMADE = "its description has errors"


def _system(assembly: Assembly, document: Mapping[str, Any], problems: Problems, allowed: Settings) -> System:
    types = {name: _type(assembly, name, entry["type"], problems, allowed)
             for name, entry in document["components"].items()}
    parts: dict[str, Part] = {}
    for name, entry in document["components"].items():
        before = len(problems.errors)
        create = _creator(assembly, name, entry, types[name], problems, allowed)
        inputs = {key: Source.of(wire["from"], parse_duration(wire.get("delay", 0)), wire.get("reads"))
                  for key, wire in assembly.wires(name, problems).items()}
        if types[name] is None or len(problems.errors) > before:
            _check_sources(name, inputs, document["components"], problems)
        parts[name] = Part(create, inputs, entry["uses"], entry.get("seed"), entry.get("lanes"), entry["type"])
    return System(parts, document["lanes"], document["seed"], assembly.name, document.get("check") == "always")


def _check_sources(name: str, inputs: Mapping[str, Source], components: Mapping[str, Any], problems: Problems) -> None:
    """Look at the wires of a component that cannot be made: the kernel will not get to see them."""
    for key, source in inputs.items():
        if source.component not in components:
            problems.add(f"there is no component {source.component!r}", f"{name}.inputs.{key}",
                         nearest(source.component, components))


def _type(assembly: Assembly, name: str, kind: str, problems: Problems, allowed: Settings) -> type | None:
    given = (assembly.origin.classes or {}).get(kind)
    if given is not None:
        return given
    try:
        return find(kind, allowed.allow, (assembly.origin.base, allowed.folder))
    except LookupFailed as error:
        problems.add(error.what, f"{name}.type", error.fix)
    except (ImportError, SyntaxError, AttributeError) as error:
        problems.add(f"{kind} cannot be imported: {type(error).__name__}: {error}", f"{name}.type")
    return None


def _creator(assembly: Assembly, name: str, entry: Mapping[str, Any], cls: type | None, problems: Problems,
             allowed: Settings) -> Any:
    from ..catalogue.schema import fresh, validate

    values = None
    if cls is not None:
        before = len(problems.errors)
        params = settings.guard(entry["params"], f"{name}.params", assembly.origin.base, allowed, problems)
        values = validate(cls, params, problems, f"{name}.params", entry["type"])
        if len(problems.errors) > before:
            values = None
    if cls is None or values is None:
        def unmade() -> Any:
            raise _Unmade(_UNMADE)

        return unmade
    made, arguments = cls, values

    def create() -> Any:
        try:
            return made(**fresh(arguments))
        except StimloopError as error:
            if isinstance(error, ValueError | RuntimeError):
                raise
            raise ValueError(str(error)) from error

    create.max_lanes = getattr(cls, "max_lanes", None)  # type: ignore[attr-defined]
    return create


def _evaluation(assembly: Assembly, name: str, entry: Mapping[str, Any], problems: Problems,
                allowed: Settings) -> EvaluationPlan | None:
    where = f"evaluate.{name}"
    if not {"every", "episodes"} <= entry.keys():
        return None  # reported where the file was read
    known = {*assembly.components, *assembly.origin.removed}
    for left_out in entry.get("without", ()):
        if left_out not in known:
            problems.add(f"there is no component {left_out!r} to leave out", f"{where}.without",
                         nearest(left_out, assembly.components))
    trial = Problems()
    document = overrides.apply(dict(assembly.form), entry.get("set", {}), trial, names=_names(assembly),
                               removed=assembly.origin.removed)
    problems.found += [replace(problem, where=f"{where}.set: {problem.where}") for problem in trial.found]
    document = {**document, "components": without(assembly.derived(document), set(entry.get("without", ())))}
    own = Problems()
    second = _system(assembly.derived(document), document, own, allowed)
    told = {(problem.what, problem.where) for problem in problems.errors}
    for problem in own.errors:  # only what is wrong in the evaluation and not in the assembly itself
        if (problem.what, problem.where) not in told:
            problems.add(problem.what, f"{where}: {problem.where}", problem.fix)
    second = replace(second, lanes=_lanes(second, entry["episodes"]))
    return EvaluationPlan(second, entries.every(entry["every"], f"{where}.every", problems), entry["episodes"],
                          entry.get("seeds", _SEEDS), entry.get("at_start", True))


def _names(assembly: Assembly) -> overrides.PortNames:
    from ..catalogue.index import input_names

    classes = assembly.origin.classes or {}
    return lambda kind: input_names(kind, classes.get(kind))


def _lanes(system: System, episodes: int) -> int:
    """As many lanes as episodes, or as the component with the fewest allows."""
    limits = [getattr(part.create, "max_lanes", None) for part in system.parts.values()]
    return min([episodes, *(limit for limit in limits if limit)])


def without(assembly: Assembly, gone: set[str]) -> dict[str, Any]:
    """Return the components but some, what only those used, and every wire from any of them."""
    components = assembly.form["components"]
    wires = {name: assembly.wires(name) for name in components}
    sources = {name: {wire["from"].partition(".")[0] for wire in wires[name].values()} for name in components}
    gone = gone & components.keys()
    while True:
        kept = components.keys() - gone
        used = {target for name in gone for target in components[name]["uses"].values()} & kept
        still = {target for name in kept for target in components[name]["uses"].values()}
        heard = {source for name in kept for source in sources[name] if source != name}
        orphans = used - still - heard
        if not orphans:
            return {name: {**entry, "inputs": {key: wire for key, wire in wires[name].items()
                                               if wire["from"].partition(".")[0] not in gone}}
                    for name, entry in components.items() if name in kept}
        gone |= orphans
