"""From an assembly to a system: types looked up, parameters checked, wires and evaluations written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..assemblies import entries, overrides, settings
from ..catalogue.lookup import LookupFailed, find, foreign
from ..components.parts.allowed import allow_only
from ..loops.component import Component
from ..loops.errors import AssemblyError, Problem, Problems, StimloopError, nearest
from ..loops.system import EvaluationPlan, Part, Source, System
from ..loops.time import parse_duration
from .doubts import Doubts
from .origin import placed
from .settings import Settings

if TYPE_CHECKING:
    from .assembly import Assembly

_NOT_EVALUATED = ("name", "about", "lanes", "until", "record", "checkpoint", "evaluate")  # what `set` cannot change
_SEEDS = 1000  # seed of the first test episode, where the file names none


def system(assembly: Assembly, problems: Problems | None = None, allowed: Settings | None = None,
           form: Problems | None = None) -> System:
    """Return the parts of an assembly; without `problems`, what is wrong raises AssemblyError at once.

    `form` are problems of its form: they are put where they belong in the order of the checks, and what only follows
    from them is left out.
    """
    found = problems if problems is not None else Problems()
    allowed = allowed or settings.read()
    folders = (assembly.origin.base, allowed.folder)
    allow_only(allowed.allow, lambda module, attribute: foreign(module, attribute, allowed.allow, folders))
    form = form or Problems()
    made = _system(assembly, found, allowed, form)
    plans = {name: _evaluation(assembly, name, entry, found, allowed, form)
             for name, entry in assembly.form.get("evaluate", {}).items()}
    if problems is None and found.errors:
        raise AssemblyError(placed(found.errors, assembly.origin), assembly.name)
    return replace(made, evaluations=plans)


def _system(assembly: Assembly, problems: Problems, allowed: Settings, form: Problems) -> System:
    """Look up types, then check parameters, then wires, as the order of the checks wants it."""
    components, doubts = assembly.form["components"], Doubts(form.errors)
    wired = [problem for problem in form.found if ".inputs" in problem.where.partition(" (")[0]]
    problems.found += [problem for problem in form.found if problem not in wired]
    types = {name: _type(assembly, name, entry["type"], problems, allowed, doubts)
             for name, entry in components.items()}
    makers = {name: _creator(assembly, name, entry, types[name], problems, allowed, doubts)
              for name, entry in components.items()}
    problems.found += wired
    parts = {name: _part(assembly, name, entry, makers[name], problems, doubts) for name, entry in components.items()}
    parts |= {name: Part(None) for name in doubts.components() - parts.keys()}
    document = assembly.form
    return System(parts, document["lanes"], document["seed"], assembly.name, document.get("check") == "always")


def _part(assembly: Assembly, name: str, entry: Mapping[str, Any], create: Callable[[], Component] | None,
          problems: Problems, doubts: Doubts) -> Part:
    trial = Problems()
    wires = assembly.wires(name, trial)
    problems.found += [problem for problem in trial.errors if not _is_like_unread(problem, entry["inputs"], doubts)]
    inputs = {key: Source.of(wire["from"], parse_duration(wire.get("delay", 0)), wire.get("reads"))
              for key, wire in wires.items()}
    unread = doubts.unread(name) | {f"inputs.{key}" for key in entry["inputs"] if key not in wires}
    return Part(create, inputs, entry["uses"], entry.get("seed"), entry.get("lanes"), entry["type"], unread)


def _is_like_unread(problem: Problem, inputs: Mapping[str, Any], doubts: Doubts) -> bool:
    """Is this about a wire that is to be like one which could not be read?"""
    other, _, port = inputs[problem.where.split(".")[2]]["like"].partition(".")
    return doubts.touch(f"{other}.inputs.{port}")


def _type(assembly: Assembly, name: str, kind: str, problems: Problems, allowed: Settings,
          doubts: Doubts) -> type | None:
    if doubts.cover(f"{name}.type"):
        return None
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
             allowed: Settings, doubts: Doubts) -> Callable[[], Component] | None:
    """Return what makes a fresh instance; None where it cannot be made, which is told."""
    from ..catalogue.schema import fresh, validate

    if cls is None:
        return None
    trial, where = Problems(), f"{name}.params"
    params = settings.guard(cls, entry["params"], where, assembly.origin.base, allowed, trial)
    values = validate(cls, params, trial, where, entry["type"])
    problems.found += [problem for problem in trial.found if not doubts.cover(problem.where)]
    if trial.errors or values is None or doubts.touch(where):
        return None
    arguments = values

    def create() -> Component:
        try:
            return cls(**fresh(arguments))  # type: ignore[no-any-return]
        except AssemblyError as error:  # it names its arguments, the file has them under params
            raise AssemblyError([replace(problem, where=f"params.{problem.where}")
                                 if problem.where.partition(".")[0] in arguments else problem
                                 for problem in error.problems]) from None
        except StimloopError as error:
            if isinstance(error, ValueError | RuntimeError):
                raise
            raise ValueError(str(error)) from error

    create.max_lanes = getattr(cls, "max_lanes", None)  # type: ignore[attr-defined]
    create.learns = any(use.changes and not use.is_world  # type: ignore[attr-defined]
                        for use in getattr(cls, "uses", {}).values())
    return create


def _evaluation(assembly: Assembly, name: str, entry: Mapping[str, Any], problems: Problems,
                allowed: Settings, form: Problems) -> EvaluationPlan:
    where, doubts = f"evaluate.{name}", Doubts(form.errors)
    known = {*assembly.components, *assembly.origin.removed, *doubts.components()}
    for left_out in entry.get("without", ()):
        if left_out not in known:
            problems.add(f"there is no component {left_out!r} to leave out", f"{where}.without",
                         nearest(left_out, assembly.components))
    trial = Problems()
    for address in entry.get("set", {}):
        if address.partition(".")[0] in _NOT_EVALUATED and address.partition(".")[0] not in assembly.components:
            trial.add("means nothing to an evaluation", address,
                      "It has `episodes` lanes, ends when each has ended one (longest: 60 s cuts them off) and records "
                      "a row. Set addresses of components, seed or check.")
    document = overrides.apply(dict(assembly.form), entry.get("set", {}), trial, names=_names(assembly),
                               removed=assembly.origin.removed)
    problems.found += [replace(problem, where=f"{where}.set: {problem.where}") for problem in trial.found
                       if not doubts.cover(problem.where)]
    second, own, learners = _second(assembly.derived(document), entry, allowed, form)
    told = {(problem.what, problem.where) for problem in problems.errors}
    for problem in own.errors:  # only what is wrong in the evaluation and not in the assembly itself
        if (problem.what, problem.where) not in told:
            problems.add(problem.what, f"{where}: {problem.where}", problem.fix)
    episodes = entry.get("episodes", 1)  # where it or `every` could not be read, that is told and nothing will run
    second = replace(second, lanes=_lanes(second, episodes))
    return EvaluationPlan(second, entries.every(entry.get("every", "1 episode"), f"{where}.every", problems), episodes,
                          entry.get("seeds", _SEEDS), entry.get("at_start", True),
                          *entries.longest(entry.get("longest"), f"{where}.longest", Problems()), learners)


def _second(assembly: Assembly, entry: Mapping[str, Any], allowed: Settings, form: Problems
            ) -> tuple[System, Problems, tuple[str, ...]]:
    """Return the system of an evaluation, what is wrong with it, and what is left out of it because it learns."""
    gone, learners = set(entry.get("without", ())), ()
    while True:
        problems, document = Problems(), {**assembly.form, "components": without(assembly, gone)}
        second = _system(assembly.derived(document), problems, allowed, form)
        more = tuple(name for name, part in second.parts.items() if getattr(part.create, "learns", False))
        if entry.get("learning") or not more:
            return second, problems, learners
        gone, learners = gone | set(more), learners + more


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
    wires = {name: {**entry["inputs"], **assembly.wires(name)} for name, entry in components.items()}
    sources = {name: {_sender(wire) for wire in wires[name].values()} for name in components}
    gone = gone & components.keys()
    while True:
        kept = components.keys() - gone
        used = {target for name in gone for target in components[name]["uses"].values()} & kept
        still = {target for name in kept for target in components[name]["uses"].values()}
        heard = {source for name in kept for source in sources[name] if source != name}
        orphans = used - still - heard
        if not orphans:
            return {name: {**entry, "inputs": {key: wire for key, wire in wires[name].items()
                                               if _sender(wire) not in gone}}
                    for name, entry in components.items() if name in kept}
        gone |= orphans


def _sender(wire: Mapping[str, Any]) -> str:
    """The component a wire comes from; none where it is like a wire that is not there, which is told."""
    return str(wire.get("from", "")).partition(".")[0]
