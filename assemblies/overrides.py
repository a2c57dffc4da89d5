"""Addresses: `brain.params.lesion.fraction` names one value of an assembly; overrides are `address: value`.

A mapping at a component's name replaces its type, params and uses and keeps its inputs; `null` removes. Nothing given
is changed: every function returns new dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..assemblies import normal
from ..loops.errors import Problems, nearest, short
from .entries import ENTRIES, integer

SETTABLE = ("name", "about", "seed", "lanes", "until", "check", "record", "checkpoint", "evaluate")

Document = dict[str, Any]
PortNames = Callable[[str], Collection[str] | None]  # a type's input names; None: not known, or it takes any


def apply(document: Document, changes: Mapping[str, Any], problems: Problems, *, names: PortNames = lambda _: None,
          removed: Collection[str] = ()) -> Document:
    """Return the document with changes applied, shorter addresses first.

    `removed` are components that an earlier layer took away: what is set in them is passed over with a notice.
    """
    for address in [address for address in changes if not isinstance(address, str)]:
        problems.add(f"{address!r} is not an address", "", "Write for example brain.params.hidden.")
    changes = {address: value for address, value in changes.items() if isinstance(address, str)}
    for address in sorted(changes, key=lambda a: (a.count("."), a)):
        document = _change(document, address, changes[address], problems, names, removed)
    return document


def parse_set(text: str, problems: Problems) -> dict[str, Any]:
    """Read one `--set address=value`; the value is YAML, so `{type: basics.silence}` and `null` work."""
    from .document import parse

    address, sign, value = text.partition("=")
    if not sign or not address.strip():
        problems.add(f"{short(text)} is not address=value", "--set", "Write for example --set brain.params.hidden=64")
        return {}
    return {address.strip(): parse(value, f"--set {address.strip()}")[0] if value.strip() else None}


def _change(document: Document, address: str, value: Any, problems: Problems, names: PortNames,
            removed: Collection[str]) -> Document:
    head, *rest = address.split(".")
    components = document["components"]
    if head in SETTABLE:
        return _change_entry(document, head, rest, value, address, problems)
    if head not in components and rest and head in removed:
        problems.notice(f"{head} was removed, so this is passed over", address)
        return document
    if head not in components and (rest or not isinstance(value, Mapping)):
        if not rest and value is None and head in removed:
            return document
        problems.add(f"there is no component or entry {short(head)}", address[:200],
                     nearest(head, [*components, *SETTABLE]))
        return document
    changed = dict(components)
    if rest:
        changed[head] = _change_component(components[head], rest, value, address, problems)
    elif value is None:
        del changed[head]
    else:
        made = _replace(head, components.get(head), value, problems, names)
        if made is not None:
            changed[head] = made
    return {**document, "components": changed}


def _change_entry(document: Document, head: str, rest: list[str], value: Any, address: str,
                  problems: Problems) -> Document:
    changed = dict(document)
    if rest:
        value = _put(document.get(head), rest, value, address, problems)
    if value is None and head == "name":
        problems.add("an assembly keeps a name", address[:200], "Write for example name=trial.")
        return document
    if value is None:
        changed.pop(head, None)
        changed.update({"seed": 0} if head == "seed" else {"lanes": 1} if head == "lanes" else {})
        return changed
    before = len(problems.errors)
    made = ENTRIES[head](head, value, problems)
    if len(problems.errors) == before:
        changed[head] = made
    return changed


def _replace(name: str, old: Mapping[str, Any] | None, value: Any, problems: Problems,
             names: PortNames) -> dict[str, Any] | None:
    if not isinstance(value, Mapping) or "type" not in value:
        problems.add("a component is replaced by a mapping with a type", name,
                     f"To change one value write {name}.params.x: value; null removes the component.")
        return None
    made = normal.component(name, value, problems)
    if made is None or old is None:
        return made
    for key in ("seed", "lanes"):
        if key in old and key not in value:
            made[key] = old[key]
    if "inputs" not in value:
        taken = names(made["type"])
        if taken is not None and set(taken) == {"input"} and len(old["inputs"]) == 1:
            taken = None  # its one input takes a wire of any name
        made["inputs"] = {key: wire for key, wire in old["inputs"].items() if taken is None or key in taken}
        for key in old["inputs"]:
            if key not in made["inputs"]:
                problems.notice(f"{made['type']} has no input {key!r}: its wire was dropped", name)
    return made


def _change_component(component: Mapping[str, Any], rest: list[str], value: Any, address: str,
                      problems: Problems) -> dict[str, Any]:
    part, *deeper = rest
    changed = dict(component)
    if part not in normal.COMPONENT:
        problems.add(f"unknown entry {short(part)}", address[:200], nearest(part, normal.COMPONENT))
    elif part == "params":
        made = _put(component["params"], deeper, value, address, problems) if deeper else value
        changed["params"] = normal.params(made, address, problems)
    elif part == "inputs":
        changed["inputs"] = _change_inputs(component["inputs"], deeper, value, address, problems)
    elif part == "uses":
        made = _put(component["uses"], deeper, value, address, problems) if deeper else value
        changed["uses"] = normal.uses(made, address, problems)
    elif deeper:
        problems.add(f"nothing lies below {part}", address[:200])
    elif part == "type":
        if isinstance(value, str) and value:
            changed["type"] = value
        else:
            problems.add(f"{short(value)} is no type", address)
    elif value is None:
        changed.pop(part, None)
    else:
        high = 2**63 - 1 if part == "seed" else normal.MAX_LANES
        changed[part] = integer(value, 0 if part == "seed" else 1, high, address, problems)
    return changed


def _change_inputs(inputs: Mapping[str, Any], rest: list[str], value: Any, address: str,
                   problems: Problems) -> dict[str, Any]:
    if not rest:
        return normal.inputs(value, address, problems)
    key, *deeper = rest
    changed = dict(inputs)
    if not deeper and value is None:
        changed.pop(key, None)
        return changed
    if deeper:
        if key not in inputs and deeper[0] not in ("from", "like"):
            problems.add(f"input {short(key)} is not wired", address[:200], nearest(key, inputs))
            return changed
        value = _change_wire(inputs.get(key, {}), deeper, value, address, problems)
    made = normal.inputs({key: value}, address.rpartition(".inputs.")[0] + ".inputs", problems)
    changed.update(made)
    return changed


def _change_wire(wire: Mapping[str, Any], rest: list[str], value: Any, address: str, problems: Problems) -> Any:
    if len(rest) > 1 or rest[0] not in normal.WIRE:
        problems.add(f"unknown entry {short('.'.join(rest))}", address[:200], nearest(rest[0], normal.WIRE))
        return wire
    changed = {key: part for key, part in wire.items() if key != rest[0]}
    if value is None:
        return changed
    if rest[0] in ("from", "like"):  # one source replaces the other
        changed.pop("like" if rest[0] == "from" else "from", None)
    return {**changed, rest[0]: value}


def _put(container: Any, rest: list[str], value: Any, address: str, problems: Problems) -> Any:
    """Return a nested value with one place in it set, or removed by None."""
    key, *deeper = rest
    if container is None:
        container = {}
    if isinstance(container, list) and key.isascii() and key.isdigit() and len(key) < 9 and int(key) < len(container):
        changed = list(container)
        place = int(key)
        changed[place] = _put(container[place], deeper, value, address, problems) if deeper else value
        return changed
    if not isinstance(container, Mapping):
        problems.add(f"{short(container)} has nothing called {short(key)}", address[:200])
        return container
    if deeper:
        return {**container, key: _put(container.get(key), deeper, value, address, problems)}
    if value is None:
        return {name: part for name, part in container.items() if name != key}
    return {**container, key: value}
