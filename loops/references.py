"""Checks of references: they exist, they offer what their user asks for, and they do not run in circles."""

from __future__ import annotations

from collections.abc import Mapping

from .component import Component, Use
from .errors import Problems, closest, nearest
from .order import cycles
from .system import System


def check_references(system: System, components: Mapping[str, Component], problems: Problems) -> None:
    """Check that references exist, offer what their user asks for, and do not run in circles."""
    for name, part in system.parts.items():
        wanted = components[name].uses if name in components else None
        for key, target in part.uses.items():
            where = f"{name}.uses.{key}"
            if wanted is not None and key not in wanted:
                problems.add(f"{part.type or name} has no reference {key!r}", where, nearest(key, wanted))
            elif target not in system.parts:
                problems.add(f"there is no component {target!r}", where, nearest(target, system.parts))
            elif wanted is not None and target in components:
                _check_role(wanted[key].role, components[target], target, where, problems)
                if _is_wired_world(wanted[key], target, system):
                    problems.add(f"{target} is used as a world to rehearse in, so it may not be wired", where,
                                 "Add a second body to the assembly for rehearsal.")
        misspelt = {closest(key, wanted or ()) for key in part.uses if key not in (wanted or ())}
        for key, use in (wanted or {}).items():
            if not use.optional and key not in {*part.uses, *misspelt} and not part.is_unread("uses", key):
                problems.add(f"needs a reference {key!r} to a {use.role.__name__}", name,
                             f"Write: {name}: {{uses: {{{key}: component}}}}")
    held = {(name, target) for name, part in system.parts.items() for target in part.uses.values()
            if target in system.parts}
    for circle in cycles(system.parts, held):
        first = circle.index(min(circle, key=list(system.parts).index))
        names = [*circle[first:], *circle[:first], circle[first]]
        problems.add(f"references run in a circle: {' -> '.join(names)}", f"{names[0]}.uses",
                     "Let one of them listen on a wire instead.")


def check_alike(system: System, components: Mapping[str, Component], problems: Problems) -> None:
    """Check, once sizes have flowed, that what is used is as wide as its user says where it has to be."""
    for name, references in sound(system, components).items():
        mine = {**components[name].inputs, **components[name].outputs}
        for key, target in references.items():
            theirs = {**components[target].inputs, **components[target].outputs}
            for port, own in components[name].uses[key].alike:
                if port not in theirs or own not in mine or not (theirs[port].known and mine[own].known):
                    continue
                if theirs[port].shape != mine[own].shape:
                    remedy = "Give it the parameters of the body that it stands for."
                    problems.add(f"{target}.{port} has shape {theirs[port].shape}, and {name}.{own} {mine[own].shape}: "
                                 "they speak of the same thing", f"{name}.uses.{key}",
                                 remedy if components[name].uses[key].is_world else "Wire both to the same source.")


def sound(system: System, components: Mapping[str, Component]) -> dict[str, dict[str, str]]:
    """Return the references by component that an order can be derived from: both ends are there, and may be joined."""
    found = {}
    for name, part in system.parts.items():
        wanted = components[name].uses if name in components else {}
        kept = {key: target for key, target in part.uses.items()
                if key in wanted and target in components and not _is_wired_world(wanted[key], target, system)}
        if kept:
            found[name] = kept
    return found


def _is_wired_world(use: Use, target: str, system: System) -> bool:
    return use.is_world and target in system.wired


def _check_role(role: type, component: Component, target: str, where: str, problems: Problems) -> None:
    needed = [m for m in getattr(role, "__protocol_attrs__", _members(role)) if not m.startswith("_")]
    missing = sorted(m for m in needed if not hasattr(component, m) and m not in ("lanes", "seed"))
    if missing:
        problems.add(f"{target} ({type(component).__name__}) is no {role.__name__}: it lacks {', '.join(missing)}",
                     where)


def _members(role: type) -> list[str]:
    return [*(k for k in vars(role) if callable(getattr(role, k))), *getattr(role, "__annotations__", {})]
