"""Build-time checks of wires, references and safety; each says what is wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .component import Component
from .errors import Problem, Problems, nearest
from .external import External
from .port import Port
from .shapes import Wire, listens
from .system import Source, System

_COMPONENTS = f"{__package__.rpartition('.')[0]}.components."
GUARDS = {f"{_COMPONENTS}links.safety_limiter.SafetyLimiter"}  # what may feed a stimulator, by full name


def is_guard(component: Component) -> bool:
    """Is this the safety limiter itself? Saying `guard = True` in a class of one's own is not enough."""
    kind = type(component)
    return kind.guard and f"{kind.__module__}.{kind.__qualname__}" in GUARDS


def is_transparent(component: Component) -> bool:
    """Is this one of our own gains, sums or delays? Others may do anything with a current."""
    return component.transparent and type(component).__module__.startswith(_COMPONENTS)


def check_wires(system: System, components: Mapping[str, Component], problems: Problems) -> list[Wire]:
    """Return the wires whose two ends exist; report unknown ports and required inputs left unwired."""
    wires = []
    for name, part in system.parts.items():
        component = components.get(name)
        if component is None:
            continue
        for key, source in part.inputs.items():
            where = f"{name}.inputs.{key}"
            sender = components.get(source.component)
            if key not in component.inputs and not component.open_inputs:
                problems.add(f"{part.type or name} has no input {key!r}", where, nearest(key, component.inputs))
            if sender is None:
                if source.component not in system.parts:
                    problems.add(f"there is no component {source.component!r}", where,
                                 nearest(source.component, system.parts))
            elif source.port not in sender.outputs:
                _tell_no_output(component, sender, source, key, where, problems)
            elif key in component.inputs:
                wires.append(Wire(name, key, source, source.reads or component.inputs[key].reads))
        for key, port in component.inputs.items():
            if not port.optional and key not in part.inputs and name not in system.rehearsed:
                problems.add(f"input {key!r} ({port.about}) is not wired", name,
                             f"Write for example: {name}: {{inputs: [{{{key}: component.port}}]}}")
    return wires


def in_the_dark(system: System, components: Mapping[str, Component], wires: list[Wire]) -> set[str]:
    """Components joined, near or far, to one that could not be made or wired: what they lack follows from that."""
    whole = {(wire.receiver, wire.input) for wire in wires}
    joined: dict[str, set[str]] = {name: set() for name in system.parts}
    todo = [name for name in system.parts if name not in components]
    for name, part in system.parts.items():
        for key, source in part.inputs.items():
            if source.component in joined:
                joined[name].add(source.component)
                joined[source.component].add(name)
            if (name, key) not in whole:
                todo.append(name)
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(joined[name])
    return found


def _tell_no_output(component: Component, sender: Component, source: Source, key: str, where: str,
                    problems: Problems) -> None:
    if not sender.open_outputs:
        problems.add(f"{source.component} has no output {source.port!r}", where, nearest(source.port, sender.outputs))
    elif component.open_inputs and listens(component, key):
        problems.add(f"nothing says what {source} carries: both ends take any port", where,
                     "Wire one of them to a component that declares its ports.")


def check_ports(wires: list[Wire], components: Mapping[str, Component], problems: Problems) -> None:
    """Compare kind, dtype, bounds and units of the two ends of each wire, and how the input reads."""
    for wire in wires:
        left = components[wire.source.component].outputs[wire.source.port]
        right = components[wire.receiver].inputs[wire.input]
        where = f"{wire.receiver}.inputs.{wire.input}"
        if left.kind != right.kind:
            problems.add(f"{wire.source} carries {left.kind}s, the input takes {right.kind}s", where)
            continue
        _check_reads(wire, right, where, problems)
        if left.per_lane != right.per_lane:
            sides = ("one value for all lanes", "one value per lane")
            problems.add(f"{wire.source} publishes {sides[left.per_lane]}, the input takes {sides[right.per_lane]}",
                         where)
        _check_values(wire, left, right, where, problems)


def _check_reads(wire: Wire, port: Port, where: str, problems: Problems) -> None:
    allowed = (port.reads, *port.also)
    if wire.reads not in allowed:
        problems.add(f"this input cannot read {wire.reads!r}", where, f"It offers {', '.join(dict.fromkeys(allowed))}.")
    elif wire.reads == "mean" and np.dtype(port.dtype).kind != "f":
        problems.add(f"the mean of a port of {port.dtype} has no meaning", where, "Read now, hold or all.")
    elif port.kind == "event" and wire.reads not in ("now", "all"):
        problems.add(f"events cannot be read by {wire.reads!r}", where, "Read now or all.")


def _check_values(wire: Wire, left: Port, right: Port, where: str, problems: Problems) -> None:
    if left.units and right.units and left.units != right.units:
        problems.add(f"{wire.source} is in {left.units}, the input wants {right.units}", where,
                     "Units are never converted silently: put a basics.gain between them.")
    if np.dtype(left.dtype).kind != np.dtype(right.dtype).kind:
        problems.add(f"{wire.source} carries {left.dtype}, the input takes {right.dtype}", where)
    elif left.choices and right.choices and left.choices != right.choices:
        problems.add(f"{wire.source} chooses among {left.choices}, the input among {right.choices}", where)
    elif left.dtype != right.dtype:
        problems.notice(f"{wire.source} carries {left.dtype}, the input declares {right.dtype}; nothing is converted",
                        where)
    low, high = float(np.min(left.low)), float(np.max(left.high))
    below = np.isfinite(low) and low < float(np.min(right.low))
    above = np.isfinite(high) and high > float(np.max(right.high))
    if below or above:
        problems.add(f"{wire.source} lies in [{low:g}, {high:g}], the input takes "
                     f"[{float(np.min(right.low)):g}, {float(np.max(right.high)):g}]", where,
                     "Narrow the sender, or put a basics.gain between them.")


def check_references(system: System, components: Mapping[str, Component], problems: Problems) -> None:
    """Check that references exist, offer what their user asks for, and do not run in circles."""
    for name, part in system.parts.items():
        if name not in components:
            continue
        wanted = components[name].uses
        for key, target in part.uses.items():
            where = f"{name}.uses.{key}"
            if key not in wanted:
                problems.add(f"{part.type or name} has no reference {key!r}", where, nearest(key, wanted))
            elif target not in system.parts:
                problems.add(f"there is no component {target!r}", where, nearest(target, system.parts))
            elif target in components:
                _check_role(wanted[key].role, components[target], target, where, problems)
                if wanted[key].role.__name__ == "Body" and target in system.wired:
                    problems.add(f"{target} is used as a world to rehearse in, so it may not be wired", where,
                                 "Add a second body to the assembly for rehearsal.")
        for key, use in wanted.items():
            if not use.optional and key not in part.uses:
                problems.add(f"needs a reference {key!r} to a {use.role.__name__}", name,
                             f"Write: {name}: {{uses: {{{key}: component}}}}")
    for name in system.parts:
        if _holds(name, name, system):
            problems.add("references run in a circle", f"{name}.uses", "Let one of them listen on a wire instead.")
            return


def _check_role(role: type, component: Component, target: str, where: str, problems: Problems) -> None:
    needed = [m for m in getattr(role, "__protocol_attrs__", _members(role)) if not m.startswith("_")]
    missing = sorted(m for m in needed if not hasattr(component, m) and m not in ("lanes", "seed"))
    if missing:
        problems.add(f"{target} ({type(component).__name__}) is no {role.__name__}: it lacks {', '.join(missing)}",
                     where)


def _members(role: type) -> list[str]:
    return [*(k for k in vars(role) if callable(getattr(role, k))), *getattr(role, "__annotations__", {})]


def _holds(start: str, goal: str, system: System) -> bool:
    seen: set[str] = set()
    todo = list(system.parts[start].uses.values())
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen and name in system.parts:
            seen.add(name)
            todo.extend(system.parts[name].uses.values())
    return False


def check_lanes(system: System, components: Mapping[str, Component], problems: Problems) -> None:
    """Check that every component can serve the lanes asked for."""
    for name, component in components.items():
        own = system.parts[name].lanes
        if own is not None and name not in system.rehearsed:
            problems.add("only a component that is used and not wired may have lanes of its own", f"{name}.lanes")
        lanes = own or system.lanes
        if component.max_lanes is not None and lanes > component.max_lanes:
            problems.add(f"serves at most {component.max_lanes} lanes, asked for {lanes}", name,
                         f"Write `lanes: {component.max_lanes}`, or run several loops.")


def check_stepped(system: System, components: Mapping[str, Component], wires: list[Wire], injected: tuple[str, ...],
                  problems: Problems) -> None:
    """Report components that listen but would never be stepped."""
    for name, component in components.items():
        heard = [w for w in wires if w.receiver == name]
        if not component.inputs or component.period is not None or name in system.used:
            continue  # without inputs it is a source, which speaks at t = 0
        if any(key in injected or f"{name}.{key}" in injected for key in component.inputs):
            continue
        if len(heard) < len(system.parts[name].inputs):
            continue  # a wire of it is wrong, and that is told
        own = type(component).next_wake is not Component.next_wake
        if not own and not any(component.inputs[w.input].wakes for w in heard):
            what = "nothing it listens to wakes it" if heard else "nothing is wired to it"
            problems.add(f"is never stepped: it has no period and {what}", name,
                         "Give it a period, for example params: {period: 20 ms}.")


def check_guarded(system: System, components: Mapping[str, Component], wires: list[Wire], problems: Problems) -> None:
    """Stimulation safety: a stimulator hears only a limiter, a brain's current comes only from a guarded stimulator."""
    by_input = {(w.receiver, w.input): w for w in wires}
    for wire in wires:
        port = components[wire.receiver].inputs[wire.input]
        if not port.guarded:
            continue
        where = f"{wire.receiver}.inputs.{wire.input}"
        source = wire.source.component
        if wire.input == "command":
            if not is_guard(components[source]) or wire.source.port != "command":
                problems.add(f"{wire.source} would command a stimulator without a safety limiter", where,
                             "Put a links.safety_limiter directly before it (gains belong before the limiter):\n"
                             f"limiter: {{type: links.safety_limiter, params: {{peak: 5}}, inputs: [{{command: "
                             f"{wire.source}}}]}}\n{wire.receiver}: {{inputs: [limiter.command]}}")
                continue
            for found in getattr(components[source], "check_stimulator", _no_word)(components[wire.receiver]):
                problems.add(found.what, f"{source}.params.{found.where}" if found.where else source, found.fix)
        elif not _safe_current(source, components, by_input, set()):
            problems.add(f"{wire.source} is not the current of a guarded stimulator", where,
                         "Wire a stimulator whose command comes from a links.safety_limiter; to ablate it, remove this "
                         "wire (write null) or silence the command before the limiter.")


def _no_word(stimulator: Component) -> list[Problem]:
    return []


def _safe_current(name: str, components: Mapping[str, Component], by_input: Mapping[tuple[str, str], Wire],
                  seen: set[str]) -> bool:
    component = components[name]
    if isinstance(component, External):
        return False  # whoever plays it may answer anything
    if any(port.guarded and key == "command" for key, port in component.inputs.items()):
        return True
    if not is_transparent(component) or name in seen:
        return False
    feeding = [w.source.component for (receiver, _), w in by_input.items() if receiver == name]
    return bool(feeding) and all(_safe_current(f, components, by_input, seen | {name}) for f in feeding)


def check_views(system: System, components: Mapping[str, Component], wires: list[Wire], problems: Problems) -> None:
    """A learner must see what the thing it changes sees, and read its action as the body does."""
    by_input = {(w.receiver, w.input): w for w in wires}
    for name, part in system.parts.items():
        for role, target in part.uses.items():
            if name not in components or target not in components:
                continue
            if not any(use.changes for use in components[name].uses.values()):
                continue  # it only reads: a coprocessor may look at the world as it likes
            for key in components[target].inputs:
                mine, theirs = by_input.get((name, key)), by_input.get((target, key))
                if mine and theirs and _view(mine) != _view(theirs):
                    verb = "changes" if components[name].uses[role].changes else "learns from"
                    problems.add(f"{name} {verb} {target} but sees another {key!r}: {_seen(mine)}, "
                                 f"not {_seen(theirs)}",
                                 f"{name}.inputs.{key}", f"Write {{{key}: {{like: {target}.{key}}}}}.")
            _check_action(name, target, by_input, components, problems)


def _check_action(name: str, target: str, by_input: Mapping[tuple[str, str], Wire],
                  components: Mapping[str, Component], problems: Problems) -> None:
    mine = by_input.get((name, "action"))
    if mine is None or mine.source.component != target:
        return
    for (receiver, key), wire in by_input.items():
        body = key == "action" and {"status", "reward"} <= set(components[receiver].outputs)
        if body and str(wire.source) == str(mine.source) and wire.reads != mine.reads:
            problems.add(f"reads {mine.source} by {mine.reads!r}, but {receiver} acts on it by {wire.reads!r}",
                         f"{name}.inputs.action", f"Write {{action: {{from: {mine.source}, reads: {wire.reads}}}}}.")


def _view(wire: Wire) -> tuple[str, int]:
    return str(wire.source), wire.source.delay


def _seen(wire: Wire) -> str:
    return f"{wire.source}" + (f" after {wire.source.delay} ns" if wire.source.delay else "")
