"""Which wires of a system are whole, and what cannot be known because the others are not."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from .component import Component
from .errors import Problems, closest, nearest
from .order import following, reach
from .shapes import Wire, listens
from .system import ANY, Part, Source, System


@dataclass(frozen=True)
class Wiring:
    """What a system wires: the wires whose two ends exist, and those of which an end is missing or not known."""

    whole: list[Wire]
    broken: list[Wire]

    def unsure(self, system: System) -> set[tuple[str, str]]:
        """(sender, receiver) pairs that may be joined by what is broken or could not be read (ANY: by anybody)."""
        read = set(self.read(system))
        pairs = {(wire.source.component if wire.source.component in system.parts else ANY, wire.receiver)
                 for wire in [*self.broken, *self.whole] if wire not in read}
        pairs |= {(ANY, name) for name, part in system.parts.items() if part.is_unread("inputs")}
        return pairs | {(name, ANY) for name in system.parts} if any(sender == ANY for sender, _ in pairs) else pairs

    def doubtful(self, system: System) -> set[str]:
        """Components of which not every wire is known."""
        return {wire.receiver for wire in self.broken} | {name for name, part in system.parts.items()
                                                          if part.is_unread("inputs")}

    def read(self, system: System) -> list[Wire]:
        """Whole wires whose delay and way of reading are known."""
        return [wire for wire in self.whole if not system.parts[wire.receiver].is_unread("inputs", wire.input)]


def check_wires(system: System, components: Mapping[str, Component], problems: Problems) -> Wiring:
    """Return the wires; report unknown ports and required inputs left unwired."""
    wiring = Wiring([], [])
    for name, part in system.parts.items():
        component = components.get(name)
        for key, source in part.inputs.items():
            where = f"{name}.inputs.{key}"
            sender = components.get(source.component)
            takes = component is not None and (key in component.inputs or component.open_inputs)
            if component is not None and not takes:
                problems.add(f"{part.type or name} has no input {key!r}", where, nearest(key, component.inputs))
            wire = Wire(name, key, source, source.reads or "now")
            if sender is None:
                if source.component not in system.parts:
                    problems.add(f"there is no component {source.component!r}", where,
                                 nearest(source.component, system.parts))
                wiring.broken.append(wire)
            elif source.port not in sender.outputs:
                if _tell_no_output(component, sender, source, key, where, problems):
                    wiring.broken.append(wire)
            elif component is not None and key in component.inputs:
                wiring.whole.append(replace(wire, reads=source.reads or component.inputs[key].reads))
            elif not takes:
                wiring.broken.append(wire)
        if component is not None:
            _tell_unwired(name, part, component, system, problems)
    return wiring


def _tell_unwired(name: str, part: Part, component: Component, system: System, problems: Problems) -> None:
    """Report required inputs without a wire, but not one whose wire could not be read or has its name misspelt."""
    misspelt = {closest(key, component.inputs) for key in part.inputs if key not in component.inputs}
    for key in _unwired(name, component, system):
        if key not in misspelt and not part.is_unread("inputs", key):
            problems.add(f"input {key!r} ({component.inputs[key].about}) is not wired", name,
                         f"Write for example: {name}: {{inputs: [{{{key}: component.port}}]}}")


def _unwired(name: str, component: Component, system: System) -> list[str]:
    """Required inputs without a wire."""
    if name in system.rehearsed:
        return []
    return [key for key, port in component.inputs.items() if not port.optional and key not in system.parts[name].inputs]


def _tell_no_output(component: Component | None, sender: Component, source: Source, key: str, where: str,
                    problems: Problems) -> bool:
    """Report an output that is not there; False where an open component does not ask for one."""
    if not sender.open_outputs:
        problems.add(f"{source.component} has no output {source.port!r}", where, nearest(source.port, sender.outputs))
    elif component is not None and component.open_inputs and listens(component, key):
        problems.add(f"nothing says what {source} carries: both ends take any port", where,
                     "Wire one of them to a component that declares its ports.")
    else:
        return component is None or (key not in component.inputs and not component.open_inputs)
    return True


def incomplete(system: System, components: Mapping[str, Component], wiring: Wiring) -> set[str]:
    """Open components that could not take all the ports wired to them: what they say of their own ports is not true."""
    takes_any = {name for name, component in components.items() if component.open_inputs}
    found = takes_any & wiring.doubtful(system)
    while more := {wire.receiver for wire in wiring.whole if wire.source.component in found} & takes_any - found:
        found |= more
    return found


def in_the_dark(system: System, components: Mapping[str, Component], wires: list[Wire], lost: list[Wire]) -> set[str]:
    """Components that may lack a size because of a problem told already, near `lost` wires or through others."""
    joined: dict[str, set[str]] = {name: set() for name in system.parts}
    for wire in [*wires, *lost]:
        if wire.source.component in joined:
            joined[wire.receiver].add(wire.source.component)
            joined[wire.source.component].add(wire.receiver)
    todo = [name for wire in lost for name in (wire.receiver, wire.source.component) if name in joined]
    todo += [name for name, part in system.parts.items() if part.is_unread("inputs") or name not in components
             or _unwired(name, components[name], system)]
    if any(sender == ANY for sender, _ in Wiring(wires, lost).unsure(system)):  # whoever they are meant to hear
        todo += [name for name, component in components.items() if not all(p.known for p in component.outputs.values())]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if name not in components or unsized(components[name]):
            todo.extend(joined[name])
    return found


def check_sizes(components: Mapping[str, Component], wires: list[Wire], dark: Set[str], problems: Problems) -> None:
    """Report ports whose size stayed unknown, once for all that are joined; in `dark` that follows from elsewhere."""
    wired = {(wire.receiver, wire.input) for wire in wires}
    listening = {wire.receiver for wire in wires}  # what is only used must know its inputs all the same
    unknown = {name: found for name, component in components.items() if name not in dark and (found := [
        f"{name}.{key}" for key in unsized(component) if key in component.outputs or (name, key) in wired
        or (name not in listening and not component.inputs[key].optional)])}
    pairs = {pair for wire in wires for pair in ((wire.receiver, wire.source.component),
                                                 (wire.source.component, wire.receiver)) if unknown.keys() >= set(pair)}
    joined, places = following(pairs), {name: place for place, name in enumerate(components)}
    while unknown:
        name = next(iter(unknown))
        group = sorted(reach(joined, name) | {name}, key=places.__getitem__)
        ports = [port for other in group for port in unknown.pop(other)]
        problems.add(f"the size of {', '.join(ports)} is not known", name,
                     "Wire it to something of known size: an output to what hears it, such as a body, an input to what "
                     "says it. Few components take their size as a parameter.")


def unsized(component: Component) -> list[str]:
    """Names of the ports whose size is not known yet."""
    return [key for side in (component.outputs, component.inputs) for key, port in side.items() if not port.known]
