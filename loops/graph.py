"""From a system to a plan: components made and sized, wires checked, and the order of an instant found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import checks
from .component import Component
from .errors import AssemblyError, Problems, StimloopError, reason
from .latency import Chain, analyse
from .order import cycles, reference_edges, same_instant, sort
from .port import Port
from .references import check_alike, check_references, sound
from .seeds import derive
from .shapes import Wire, adopt_open_ports, flow
from .system import ANY, System
from .time import Clock
from .views import check_views
from .wiring import Wiring, check_sizes, check_wires, in_the_dark, incomplete, unsized

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Graph:
    """A checked system: its components (not yet built), its wires, and who steps before whom."""

    system: System
    components: dict[str, Component]
    wires: list[Wire]
    order: list[str]  # scheduled components, in the order of one instant
    edges: set[tuple[str, str]]
    problems: Problems = field(default_factory=Problems)
    chains: list[Chain] = field(default_factory=list)  # closed chains with their latency

    @property
    def uses(self) -> dict[str, Mapping[str, str]]:
        """References by component name."""
        return {name: part.uses for name, part in self.system.parts.items() if part.uses}

    @property
    def bodies(self) -> list[str]:
        """Scheduled components that publish `status` and `reward`, sorted by name."""
        return sorted(name for name in self.order if {"status", "reward"} <= set(self.components[name].outputs))

    def seed(self, name: str) -> int:
        """Seed of one component: its own, or one derived from the system's seed and its name."""
        own = self.system.parts[name].seed
        return derive(self.system.seed, name) if own is None else own

    def lanes(self, name: str) -> int:
        """Number of lanes of one component."""
        return self.system.parts[name].lanes or self.system.lanes

    def build_order(self) -> list[str]:
        """Every component, used ones before their users."""
        edges = {(target, name) for name, targets in self.uses.items() for target in targets.values()}
        return sort(self.components, edges)[0]


def check(system: System, problems: Problems | None = None, injected: tuple[str, ...] = ()) -> Graph:
    """Make the components of a system and check everything that can be checked before it is built.

    Problems found earlier (unknown types, bad parameters) may be passed in; all are raised together as AssemblyError.
    `injected` names event inputs that the caller feeds.
    """
    problems = problems if problems is not None else Problems()
    components = _make(system, problems)
    system = _name_sole_inputs(system, components)
    adopt_open_ports(components, system.parts)
    wires = check_wires(system, components, problems)
    _check_shapes(system, components, wires, problems)
    check_references(system, components, problems)
    check_alike(system, components, problems)
    checks.check_lanes(system, components, problems)
    checks.check_stepped(system, components, wires.whole, injected, problems)
    checks.check_injected(components, injected, problems)
    checks.check_guarded(components, wires.whole, wires.doubtful(system), problems)
    checks.check_sources(components, wires.whole, problems)
    check_views(system, components, wires.read(system), problems)
    order, edges = _order(system, components, wires, problems)
    _check_told(system, problems)
    problems.raise_if_any(system.name)
    graph = Graph(system, components, wires.whole, order, edges, problems)
    _notice_unused(graph)
    graph.chains = analyse(graph)
    return graph


def _make(system: System, problems: Problems) -> dict[str, Component]:
    components = {}
    for name, part in system.parts.items():
        if part.create is None:
            continue  # told already
        try:
            component = part.create()
        except AssemblyError as error:  # it says itself what is wrong and where
            problems.found += [replace(each, where=f"{name}.{each.where}".rstrip(".")) for each in error.problems]
            continue
        except (TypeError, ValueError, OSError, ArithmeticError, LookupError, ImportError, RuntimeError,
                MemoryError, StimloopError, SystemExit) as error:
            problems.add(f"{part.type or 'component'} cannot be made: {reason(error)}", name)
            continue
        sides: list[Any] = [getattr(component, side, None) for side in ("inputs", "outputs")]
        if not all(isinstance(side, dict) and all(isinstance(p, Port) for p in side.values()) for side in sides):
            problems.add("declares no ports", name, "Set self.inputs and self.outputs in __init__.")
            continue
        if odd := [port for side in sides for port in side if not _WORD.fullmatch(str(port))]:
            problems.add(f"{odd[0]!r} cannot name a port", name, "Use a word of letters, digits and _.")
            continue
        if not isinstance(component.period, int | Clock | None) or (
                isinstance(component.period, int) and component.period <= 0):
            problems.add(f"its period is {component.period!r}", name, "A period is whole nanoseconds, a Clock or None.")
            continue
        component.inputs = dict(component.inputs)  # sizes are filled in here, never in a shared declaration
        component.outputs = dict(component.outputs)
        components[name] = component
    return components


def _check_told(system: System, problems: Problems) -> None:
    """What could not be read is never passed over in silence, whoever was to tell it."""
    for name, part in system.parts.items():
        if not problems.errors and (part.create is None or part.unread):
            problems.add("its description could not be read", name)


def _check_shapes(system: System, components: Mapping[str, Component], wires: Wiring, problems: Problems) -> None:
    """Let sizes flow, and compare the two ends of each wire of components that know all their own ports."""
    unclear = incomplete(system, components, wires)
    clear = {name: component for name, component in components.items() if name not in unclear}
    whole, lost = list[Wire](), list(wires.broken)
    for wire in wires.whole:
        (lost if {wire.receiver, wire.source.component} & unclear else whole).append(wire)
    lost += flow(clear, whole, problems)
    if any(unsized(component) for component in clear.values()):
        check_sizes(clear, whole, in_the_dark(system, clear, whole, lost), problems)
    checks.check_ports(whole, clear, problems)


def _name_sole_inputs(system: System, components: Mapping[str, Component]) -> System:
    """Let `inputs: [coprocessor.action]` reach a gain, whose one input is called `input`."""
    parts = dict(system.parts)
    for name, part in parts.items():
        if name in components and set(components[name].inputs) == {"input"}:
            inputs = {"input": next(iter(part.inputs.values()))} if len(part.inputs) == 1 else part.inputs
            parts[name] = replace(part, inputs=inputs, unread=frozenset(
                f"inputs.{ANY}" if entry.startswith("inputs.") else entry for entry in part.unread))
    return replace(system, parts=parts)


def _order(system: System, components: dict[str, Component], wires: Wiring,
           problems: Problems) -> tuple[list[str], set[tuple[str, str]]]:
    scheduled = {name for name in components if name not in system.rehearsed}
    links = [wire for wire in wires.read(system) if same_instant(wire, components)]
    wired = {(wire.source.component, wire.receiver) for wire in links}
    unsure = wires.unsure(system) if problems.errors else set()
    edges = wired | reference_edges(components, sound(system, components), wired, scheduled, problems, unsure)
    order, cycle = sort(scheduled, edges)
    for each in cycles(scheduled, edges, edges - wired) if cycle else ():
        _report_loop(each, links, components, problems)
    return order, edges


def _report_loop(cycle: list[str], links: list[Wire], components: Mapping[str, Component], problems: Problems) -> None:
    hops = [(a, b, [w for w in links if (w.source.component, w.receiver) == (a, b)])
            for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
    ports = {wire: components[wire.receiver].inputs[wire.input] for _, _, wires in hops for wire in wires}
    signals = [i for i, (_, _, wires) in enumerate(hops) if wires and all(ports[w].kind == "signal" for w in wires)]
    last = max(signals or [i for i, (_, _, wires) in enumerate(hops) if wires], default=-1)
    hops = hops[last + 1:] + hops[:last + 1]  # what is easiest to cut comes last
    names = {wire: str(wire).split(" -> ") for wire in ports}
    wide = [max((len(pair[side]) for pair in names.values()), default=0) for side in (0, 1)]
    lines = []
    for before, after, wires in hops:
        if not wires:
            lines.append(f"{before} -> {after}   by reference: who changes an object steps before or after its readers")
        for wire in wires:
            wakes = " and wakes" if wire.reads != "now" and ports[wire].wakes else ""
            lines.append(f"{names[wire][0]:<{wide[0]}} -> {names[wire][1]:<{wide[1]}}   reads {wire.reads}{wakes}")
    problems.add("loop without delay\n  " + "\n  ".join(lines), "", _way_out(hops[-1][2], bool(signals)))


def _way_out(wires: list[Wire], signals: bool) -> str:
    if not wires:
        return "Let one of them listen on a wire instead of holding a reference."
    ways = ("hold", "delay", "delay: 1 ms") if signals else ("read all", "delay of its sender's period", "reads: all")
    inputs = ", ".join(f"{wire.input}: {{from: {wire.source}, {ways[2]}}}" for wire in wires)
    return (f"Cut it: let one of these inputs {ways[0]}, or give one wire a {ways[1]}:\n"
            f"  {wires[0].receiver}: {{inputs: {{{inputs}}}}}")


def _notice_unused(graph: Graph) -> None:
    heard = {(w.source.component, w.source.port) for w in graph.wires}
    for name in graph.order:
        for key, port in graph.components[name].outputs.items():
            if (name, key) not in heard and port.per_lane:
                graph.problems.notice(f"nobody listens to {name}.{key}", name)
