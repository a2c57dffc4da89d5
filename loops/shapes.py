"""Shape flow: unknown sizes are filled from the other end of a wire, in both directions and through components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .component import Component
from .errors import AssemblyError, Problems, doing, under
from .port import Port, Reads, Size
from .system import Source

_MOST_NARROWED = 16


@dataclass(frozen=True)
class Wire:
    """One input joined to one output, with everything the page lets a wiring say."""

    receiver: str
    input: str
    source: Source
    reads: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.receiver}.{self.input}"


def adopt_open_ports(components: Mapping[str, Component], parts: Mapping[str, Any]) -> None:
    """Give open components the ports that the wiring asks of them."""
    changed = True
    while changed:
        changed = False
        for name, part in parts.items():
            if name not in components:
                continue
            for key, source in part.inputs.items():
                sender, receiver = components.get(source.component), components[name]
                if sender is None:
                    continue
                if source.port not in sender.outputs and sender.open_outputs and key in receiver.inputs:
                    sender.outputs[source.port] = _neutral(receiver.inputs[key])
                    changed = True
                if source.port in sender.outputs and key not in receiver.inputs and listens(receiver, key):
                    port = replace(_neutral(sender.outputs[source.port]), wakes=True)
                    receiver.inputs[key] = receiver.adopt(key, port)
                    changed = True


def listens(component: Component, key: str) -> bool:
    """Does an open component want to hear a wire to an input that it does not declare?"""
    return component.open_inputs and component.adopt(key, Port("anything", wakes=True)).wakes


def _neutral(port: Port) -> Port:
    """The same values, without what the other side's role adds; sizes are left to flow."""
    unnamed = port.sized(tuple(size if isinstance(size, int) else None for size in port.sizes))
    also: tuple[Reads, ...] = ("all",) if port.kind == "event" else ("hold", "mean", "all")
    return replace(unnamed, reads="now", also=also, wakes=False, initial=0.0, optional=True, guarded=False)


def flow(components: Mapping[str, Component], wires: list[Wire], problems: Problems) -> list[Wire]:
    """Fill sizes until nothing changes; report wires whose ends disagree; return those through which nothing flowed."""
    clashes: dict[str, str] = {}
    failed: set[str] = set()  # whoever could not say its sizes has told why
    touching: dict[str, list[Wire]] = {name: [] for name in components}
    for wire in wires:
        touching[wire.receiver].append(wire)
        if wire.source.component != wire.receiver:
            touching[wire.source.component].append(wire)
    narrowed: dict[str, int] = {}  # how often a component's bounds alone changed; a ring may narrow them for ever
    todo = dict.fromkeys(components)  # an ordered set: components some port of which may have news
    while todo:
        name = next(iter(todo))
        del todo[name]
        _tell_peers(name, components, touching[name])
        before = _facts(components[name])
        try:
            with doing("sizing", name, components[name]):
                components[name].infer()
        except AssemblyError as error:
            problems.found += [each for each in under(name, error.problems) if each not in problems.found]
            failed.add(name)
        for wire in touching[name]:
            todo.update(dict.fromkeys(_join(components, wire, clashes)))
        after = _facts(components[name])
        if after[0] == before[0] and after != before:  # bounds come from everything downwards, so any of them is true
            narrowed[name] = narrowed.get(name, 0) + 1
        if after != before and narrowed.get(name, 0) <= _MOST_NARROWED:
            neighbours = {other: None for w in touching[name] for other in (w.receiver, w.source.component)}
            todo.update({name: None, **neighbours})
    for where, what in clashes.items():
        problems.add(what, where, "Change one side, or put basics.select or basics.concat between them.")
    return [wire for wire in wires if f"{wire.receiver}.inputs.{wire.input}" in clashes
            or failed & {wire.receiver, wire.source.component}
            or components[wire.source.component].outputs[wire.source.port].kind
            != components[wire.receiver].inputs[wire.input].kind]


def _facts(component: Component) -> tuple[list[Any], list[Any]]:
    """What others may learn from a component's ports: their forms, and the bounds of its outputs."""
    forms = [(key, port.sizes, port.dtype, port.choices, port.kind)
             for side in (component.inputs, component.outputs) for key, port in side.items()]
    return forms, [_plain(end) for port in component.outputs.values() for end in (port.low, port.high)]


def _plain(end: Any) -> Any:
    return end if isinstance(end, int | float) else np.asarray(end).tobytes()  # arrays do not compare


def _tell_peers(name: str, components: Mapping[str, Component], touching: list[Wire]) -> None:
    component = components[name]
    peers: dict[str, list[Port]] = {}
    for wire in touching:
        if wire.source.component == name:
            peers.setdefault(wire.source.port, []).append(components[wire.receiver].inputs[wire.input])
    component.peers = peers
    component.peers_in = {wire.input: components[wire.source.component].outputs[wire.source.port]
                          for wire in touching if wire.receiver == name}


def _join(components: Mapping[str, Component], wire: Wire, clashes: dict[str, str]) -> list[str]:
    """Compare the two ends of a wire and fill what one knows and the other does not; return who changed."""
    sender, receiver = components[wire.source.component], components[wire.receiver]
    left, right = sender.outputs[wire.source.port], receiver.inputs[wire.input]
    where = f"{wire.receiver}.inputs.{wire.input}"
    clashes.pop(where, None)  # either end may have changed since it was told
    if left.kind != right.kind:
        return []  # told elsewhere
    if choice_meets_vector(left, right):
        takes = f"one of {right.choices} choices" if right.choices else f"shape {_say(right.shape)}"
        clashes[where] = (f"{wire.source} is " + (f"one of {left.choices} choices" if left.choices else
                          f"of shape {_say(left.shape)}") + f", the input takes {takes}")
        return []
    if len(left.shape) != len(right.shape):
        clashes[where] = f"shape {_say(right.shape)} is wired to {wire.source} of shape {_say(left.shape)}"
        return []
    changed = []
    for axis, (a, b) in enumerate(zip(left.sizes, right.sizes, strict=True)):
        if isinstance(a, int) and isinstance(b, int):
            if a != b:
                clashes[where] = f"shape {_say(right.sizes)} is wired to {wire.source} of shape {_say(left.sizes)}"
        elif isinstance(a, int):
            _fill(receiver, receiver.inputs, wire.input, axis, b, a)
            changed.append(wire.receiver)
        elif isinstance(b, int):
            _fill(sender, sender.outputs, wire.source.port, axis, a, b)
            changed.append(wire.source.component)
    return changed


def choice_meets_vector(left: Port, right: Port) -> bool:
    """Is a choice wired to numbers of another shape, or the other way round? Then nothing else of them need fit."""
    return bool(left.choices) != bool(right.choices) and len(left.shape) != len(right.shape)


def _fill(component: Component, side: dict[str, Port], key: str, axis: int, name: Size, size: int) -> None:
    """Write a size where it was found, and wherever the component uses the same name."""
    sizes = list(side[key].sizes)
    sizes[axis] = size
    side[key] = side[key].sized(tuple(sizes))
    if name is not None:
        for ports in (component.inputs, component.outputs):
            for other, port in ports.items():
                ports[other] = port.sized(tuple(size if s == name else s for s in port.sizes))


def _say(sizes: tuple[Size, ...]) -> str:
    return "(" + ", ".join("?" if s is None else str(s) for s in sizes) + ("," if len(sizes) == 1 else "") + ")"
