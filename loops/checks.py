"""Build-time checks of ports, lanes and safety; each says what is wrong, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import isfinite

import numpy as np

from .component import Component
from .errors import Problem, Problems, counted, nearest, under
from .external import External
from .port import Port
from .shapes import Wire, choice_meets_vector
from .system import System

_COMPONENTS = f"{__package__.rpartition('.')[0]}.components."
GUARDS = {f"{_COMPONENTS}links.safety_limiter.SafetyLimiter"}  # what may feed a stimulator, by full name


def is_guard(component: Component) -> bool:
    """Is this the safety limiter itself? Saying `guard = True` in a class of one's own is not enough."""
    kind = type(component)
    return kind.guard and f"{kind.__module__}.{kind.__qualname__}" in GUARDS


def is_transparent(component: Component) -> bool:
    """Is this one of our own that neither adds to a current nor keeps it? Others may do anything with it."""
    return component.transparent and type(component).__module__.startswith(_COMPONENTS)


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
    elif wire.reads == "mean" and wire.source.port == "reward":
        problems.add("the mean over time of rewards does not count them", where, "Read all: each one counts once.")
    elif port.kind == "event" and wire.reads not in ("now", "all"):
        problems.add(f"events cannot be read by {wire.reads!r}", where, "Read now or all.")


def _check_values(wire: Wire, left: Port, right: Port, where: str, problems: Problems) -> None:
    if left.units and right.units and left.units != right.units:
        problems.add(f"{wire.source} is in {left.units}, the input wants {right.units}", where,
                     "Units are never converted silently: put a basics.gain " +
                     ("before the limiter." if right.guarded else "between them."))
    if choice_meets_vector(left, right):
        return  # told with the shapes
    if np.dtype(left.dtype).kind != np.dtype(right.dtype).kind:
        problems.add(f"{wire.source} carries {left.dtype}, the input takes {right.dtype}", where)
    elif left.choices and right.choices and left.choices != right.choices:
        problems.add(f"{wire.source} chooses among {left.choices}, the input among {right.choices}", where)
    elif left.dtype != right.dtype:
        problems.add(f"{wire.source} carries {left.dtype}, the input takes {right.dtype}", where,
                     f"Nothing is converted silently: declare and publish {right.dtype} there, or take {left.dtype} "
                     "here.")
    _check_bounds(wire, left, right, where, problems)


def _check_bounds(wire: Wire, left: Port, right: Port, where: str, problems: Problems) -> None:
    if left.low is right.low and left.high is right.high:
        return  # as most have none
    (low, high), (least, most) = left.range, right.range
    if (isfinite(low) and low < least) or (isfinite(high) and high > most):
        problems.add(f"{wire.source} lies in [{low:g}, {high:g}], the input takes [{least:g}, {most:g}]", where,
                     "Narrow the sender, or put a basics.gain between them." if not right.guarded else
                     "Gains belong before the limiter: narrow what commands it, or write its peak.")
    elif isfinite(least) and isfinite(most) and not (isfinite(low) and isfinite(high)) and not left.choices:
        told = f"{wire.source} declares no bounds, the input takes [{least:g}, {most:g}]"
        if right.guarded:
            problems.add(told, where, "Write peak in the limiter, for example peak: "
                                      f"{max(abs(least), abs(most)):g}.")
        else:
            problems.notice(f"{told}: what lies outside is passed on as it is", where)


def check_lanes(system: System, components: Mapping[str, Component], problems: Problems) -> None:
    """Check that every component can serve the lanes asked for."""
    for name, component in components.items():
        own = system.parts[name].lanes
        if own is not None and name not in system.rehearsed:
            problems.add("only a component that is used and not wired may have lanes of its own", f"{name}.lanes")
        lanes = own or system.lanes
        if component.max_lanes is not None and lanes > component.max_lanes:
            problems.add(f"serves at most {counted(component.max_lanes, 'lane')}, asked for {lanes}", name,
                         f"Write `lanes: {component.max_lanes}`, or run several loops.")


def check_stepped(system: System, components: Mapping[str, Component], wires: list[Wire], injected: tuple[str, ...],
                  problems: Problems) -> None:
    """Report components that listen but would never be stepped."""
    listening: dict[str, list[Wire]] = {}
    for wire in wires:
        listening.setdefault(wire.receiver, []).append(wire)
    for name, component in components.items():
        part, heard = system.parts[name], listening.get(name, [])
        if not component.inputs or component.period is not None or name in system.used:
            continue  # without inputs it is a source, which speaks at t = 0
        if any(key in injected or f"{name}.{key}" in injected for key in component.inputs):
            continue
        if len(heard) < len(part.inputs) or part.is_unread("inputs"):
            continue  # a wire of it is wrong, and that is told
        if any(port.wakes and not port.optional and key not in part.inputs for key, port in component.inputs.items()):
            continue  # what would wake it is not wired, and that is told
        own = type(component).next_wake is not Component.next_wake
        if not own and not any(component.inputs[w.input].wakes for w in heard):
            what = "nothing it listens to wakes it" if heard else "nothing is wired to it"
            problems.add(f"is never stepped: it has no period and {what}", name,
                         "Give it a period, for example params: {period: 20 ms}.")


def check_injected(components: Mapping[str, Component], injected: tuple[str, ...], problems: Problems) -> None:
    """Report what the caller cannot feed: inputs that are not there, signals, and what stimulation safety guards."""
    for given in injected:
        if not isinstance(given, str):
            problems.add(f"{given!r} is no address", "injected", "Write body.begin, or begin for every such input.")
            continue
        owner, _, key = given.rpartition(".")
        named = [owner] if owner else [name for name, component in components.items() if key in component.inputs]
        if owner and key not in getattr(components.get(owner), "inputs", {}):
            every = [f"{name}.{own}" for name, component in components.items() for own in component.inputs]
            problems.add(f"there is no input {given!r}", "injected", nearest(given, every))
            continue
        for name in named:
            port = components[name].inputs[key]
            if port.guarded:
                problems.add(f"{name}.{key} is guarded: nothing reaches it past the safety limiter", "injected",
                             "Wire it, or feed an input before the limiter.")
            elif port.kind != "event":
                problems.add(f"{name}.{key} takes signals, and only events can be injected", "injected",
                             "Put a component there whose output you answer for: loops.external.External.")


def check_guarded(components: Mapping[str, Component], wires: list[Wire], unknown: Set[str],
                  problems: Problems) -> None:
    """Stimulation safety: a stimulator hears only a limiter, a brain's current comes only from a guarded stimulator.

    `unknown` are components some wires of which have a problem that is told already: what feeds them is not known.
    """
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
            continue
        sources = _CurrentSources(components, by_input, unknown)
        if not sources.follow(source):
            problems.add(f"{wire.source} is not the current of a guarded stimulator" + sources.why, where, sources.fix)


def check_sources(components: Mapping[str, Component], wires: list[Wire], problems: Problems) -> None:
    """Let components that offer `check_source(input, component)` say what is wrong with whom they hear."""
    for wire in wires:
        ask = getattr(components[wire.receiver], "check_source", None)
        if ask is not None:
            problems.found += under(wire.receiver, ask(wire.input, components[wire.source.component]))


def check_built_sources(components: Mapping[str, Component], wires: list[Wire], failed: Set[str]) -> list[Problem]:
    """Let components that offer `check_built_source(input, component)` judge whom they hear, now that both are built.

    Returns problems and notices; who could not be built (`failed`) neither judges nor is judged.
    """
    found: list[Problem] = []
    for wire in wires:
        ask = getattr(components[wire.receiver], "check_built_source", None)
        if ask is not None and not failed & {wire.receiver, wire.source.component}:
            found += under(wire.receiver, ask(wire.input, components[wire.source.component]))
    return found


def _no_word(stimulator: Component) -> list[Problem]:
    return []


def _commanded(component: Component) -> bool:
    return any(port.guarded and key == "command" for key, port in component.inputs.items())


class _CurrentSources:
    """Where a brain's current comes from: is all that is known of it the current of guarded stimulators, each once?"""

    fix = ("Wire a stimulator whose command comes from a links.safety_limiter; to ablate it, remove this wire (write "
           "null) or silence the command before the limiter.")

    def __init__(self, components: Mapping[str, Component], by_input: Mapping[tuple[str, str], Wire],
                 unknown: Set[str]) -> None:
        self._components, self._unknown = components, unknown
        self._feeding: dict[str, list[str]] = {}
        for (receiver, _), wire in by_input.items():
            self._feeding.setdefault(receiver, []).append(wire.source.component)
        self._passed: set[str] = set()
        self.why = ""

    def follow(self, name: str) -> bool:
        component = self._components[name]
        if isinstance(component, External):
            return False  # whoever plays it may answer anything
        again, stimulator = name in self._passed, _commanded(component)
        self._passed.add(name)
        if again or not (stimulator or is_transparent(component)):
            return self._refuse(name, again)
        feeding = self._feeding.get(name, [])
        return stimulator or ((bool(feeding) or name in self._unknown) and all(map(self.follow, feeding)))

    def _refuse(self, name: str, again: bool) -> bool:
        if again:
            self.why = f": what {name} gives would reach the brain twice"
        elif any(_commanded(self._components[source]) for source in self._feeding.get(name, ())):
            self.why = f": {name} may add up a current, strengthen it or keep it longer than the limiter allowed"
            self.fix = f"Put {name} before the limiter, or remove it; a wire may have a delay."
        return False
