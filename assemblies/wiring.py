"""From an assembly to a system: types looked up, parameters checked, wires and evaluations written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..catalogue.lookup import LookupFailed, find
from ..components.parts.allowed import allow
from ..loops.errors import AssemblyError, Problems, StimloopError, nearest
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
        told = [problem for problem in error.problems if not _repeated(problem.what)]
        raise AssemblyError(placed(told, assembly.origin), assembly.name) from error


def check(assembly: Assembly, allowed: Settings | None = None) -> Problems:
    """Return everything that is wrong with an assembly, and the notices, without building it."""
    from ..loops.graph import check as check_graph

    problems = Problems(list(assembly.notices))
    made = system(assembly, problems, allowed)
    try:
        check_graph(made, problems)
    except AssemblyError as error:
        problems.found = [*problems.notices, *(problem for problem in error.problems if not _repeated(problem.what))]
    problems.found = placed(problems.found, assembly.origin)
    return problems


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
    document = overrides.apply(dict(assembly.form), entry.get("set", {}), trial, removed=assembly.origin.removed)
    for problem in trial.errors:
        problems.add(problem.what, f"{where}.set: {problem.where}", problem.fix)
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
