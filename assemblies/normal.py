"""The normal form of an assembly: one shape for everything that may be written in several ways.

    components: {name: {type, params: {}, inputs: {input: {from | like, delay, reads}}, uses: {}, seed, lanes}}

Every part is checked for its shape here; names of components, parameters and ports are checked at the build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..loops.errors import Problems, nearest, short
from .entries import ENTRIES, MAX_LANES, NAME, PORT, delay, integer, unknown

TOP = ("name", "about", "seed", "lanes", "until", "check", "components", "record", "checkpoint", "evaluate",
       "variants", "small", "sweep")
COMPONENT = ("type", "params", "inputs", "uses", "seed", "lanes")
WIRE = ("from", "like", "delay", "reads")
READS = ("now", "hold", "mean", "all")


def document(value: Any, problems: Problems) -> dict[str, Any]:
    """Return a whole assembly in normal form."""
    found: dict[str, Any] = {"name": "assembly", "seed": 0, "lanes": 1, "components": {}}
    if not isinstance(value, Mapping):
        problems.add("an assembly is a mapping with `components`", "", "See docs/write_an_assembly.md.")
        return found
    unknown(value, TOP, "", problems)
    for key in TOP:
        if key in value and value[key] is not None:
            made = top(key, value[key], problems)
            if made is not None:
                found[key] = made
    return found


def top(key: str, value: Any, problems: Problems) -> Any:
    """Return one top-level entry in normal form; None when it is wrong or says nothing."""
    if key == "components":
        if not isinstance(value, Mapping):
            problems.add("is not a mapping of names to components", key)
            return {}
        return {name: made for name, entry in value.items()
                if (made := component(str(name), entry, problems)) is not None}
    return ENTRIES[key](key, value, problems)


def component(name: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    """Return one component in normal form, as far as it can be read (with an empty type where that is missing)."""
    if not NAME.fullmatch(name) or name in TOP:
        problems.add(f"{short(name)} cannot name a component", f"components.{name[:60]}", "Use a word of letters, "
                     "digits and _ that is no entry of an assembly.")
        return None
    if not isinstance(value, Mapping):
        problems.add("is not a component", name, f"Write: {name}: {{type: folder.name, inputs: [...]}}")
        return None
    meant = unknown(value, COMPONENT, name, problems)
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        if "type" not in meant:
            problems.add("has no type", f"{name}.type", f"Write: {name}: {{type: folder.name}}")
        kind = ""
    made = {"type": kind, "params": params(value.get("params"), f"{name}.params", problems),
            "inputs": inputs(value.get("inputs"), f"{name}.inputs", problems),
            "uses": uses(value.get("uses"), f"{name}.uses", problems)}
    for key, low, high in (("seed", 0, 2**63 - 1), ("lanes", 1, MAX_LANES)):
        if value.get(key) is not None:
            made[key] = integer(value[key], low, high, f"{name}.{key}", problems)
    return made


def params(value: Any, where: str, problems: Problems) -> dict[str, Any]:
    """Return parameters as a plain mapping."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.add("is not a mapping of parameters", where)
        return {}
    return dict(value)


def uses(value: Any, where: str, problems: Problems) -> dict[str, str]:
    """Return references as a mapping of names."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.add("is not a mapping of references to component names", where, "Write: uses: {policy: brain}")
        return {}
    wrong = [key for key, target in value.items() if not isinstance(target, str) or not NAME.fullmatch(target)]
    for key in wrong:
        problems.add(f"{short(value[key])} is not the name of a component", f"{where}.{str(key)[:60]}",
                     "Write: uses: {policy: brain}")
    return {key: target for key, target in value.items() if key not in wrong}


def inputs(value: Any, where: str, problems: Problems) -> dict[str, dict[str, Any]]:
    """Return inputs as a mapping of wires; a list may hold `body.status`, `{input: source}` and `{from: ...}`."""
    found: dict[str, dict[str, Any]] = {}
    if value is None:
        return found
    if isinstance(value, Mapping):
        entries = list(value.items())
    elif isinstance(value, list | tuple):
        entries = [pair for i, item in enumerate(value) for pair in _pairs(item, f"{where}.{i}", problems)]
    else:
        entries = _pairs(value, where, problems)
    for key, entry in entries:
        if not isinstance(key, str) or not NAME.fullmatch(key) or key in WIRE:
            problems.add(f"{short(key)} cannot name an input", where)
            continue
        if key in found:
            problems.add("is wired twice", f"{where}.{key}", "One input, one wire: join signals with basics.concat.")
        made = wire(entry, f"{where}.{key}", problems)
        if made is not None:
            found[key] = made
    return found


def _pairs(item: Any, where: str, problems: Problems) -> list[tuple[Any, Any]]:
    if isinstance(item, str) and PORT.fullmatch(item):
        return [(item.partition(".")[2], item)]
    if isinstance(item, Mapping) and ("from" in item or "like" in item):
        source = item.get("from", item.get("like"))
        if isinstance(source, str) and PORT.fullmatch(source):
            return [(source.partition(".")[2], item)]
    elif isinstance(item, Mapping):
        return list(item.items())
    problems.add(f"{short(item)} is not a wire", where, "Write `component.port`, or {input: component.port}.")
    return []


def wire(value: Any, where: str, problems: Problems) -> dict[str, Any] | None:
    """Return one wire as `{from | like, delay, reads}`."""
    if isinstance(value, str):
        value = {"from": value}
    if not isinstance(value, Mapping) or ("from" in value) == ("like" in value):
        problems.add(f"{short(value)} is not a wire", where,
                     "Write component.port, or {from: component.port, delay: 5 ms, reads: hold}.")
        return None
    unknown(value, WIRE, where, problems)
    key = "from" if "from" in value else "like"
    if not isinstance(value[key], str) or not PORT.fullmatch(value[key]):
        problems.add(f"{short(value[key])} is not `component.port`", f"{where}.{key}")
        return None
    made: dict[str, Any] = {key: value[key]}
    before = len(problems.errors)
    if value.get("delay") is not None:
        delay(value["delay"], f"{where}.delay", problems)
        if len(problems.errors) == before:
            made["delay"] = value["delay"]
    if value.get("reads") is not None:
        if value["reads"] in READS:
            made["reads"] = value["reads"]
        else:
            problems.add(f"{short(value['reads'])} is no way to read", f"{where}.reads", f"One of {', '.join(READS)}.")
    return made


def wires(document: Mapping[str, Any], name: str, problems: Problems | None = None) -> dict[str, dict[str, Any]]:
    """Return a component's inputs as `{from, delay, reads}`, with `like` looked up; one like no wire is left out."""
    found = {}
    for key, wire in document["components"][name]["inputs"].items():
        seen, source = {(name, key)}, wire
        while source is not None and "like" in source:
            other, _, port = source["like"].partition(".")
            where = source["like"]
            entry = document["components"].get(other)
            source = None if (other, port) in seen or entry is None else entry["inputs"].get(port)
            seen.add((other, port))
            if source is None and problems is not None:
                wired = [f"{each}.{own}" for each, part in document["components"].items() for own in part["inputs"]
                         if (each, own) != (name, key)]
                problems.add(f"there is no wire at {where} to be like", f"{name}.inputs.{key}.like",
                             nearest(where, wired))
        if source is not None:
            copied = source if source is wire else {k: source[k] for k in ("from", "delay") if k in source}
            found[key] = {**copied, **{part: wire[part] for part in ("delay", "reads") if part in wire}}
    return found


def tidy(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the normal form as a person would write it: in order, without what says nothing, wires short."""
    found = {key: document[key] for key in TOP if key in document}
    found["components"] = {
        name: {key: _short_inputs(part) if key == "inputs" else part for key, part in entry.items()
               if part is not None and part != {}} for name, entry in document["components"].items()}
    return found


def _short_inputs(inputs: Mapping[str, Any]) -> list[Any]:
    short: list[Any] = []
    for key, wire in inputs.items():
        only = wire["from"] if wire.keys() == {"from"} else wire
        bare = isinstance(only, str) and only.partition(".")[2] == key
        short.append(only if bare else {key: only})
    return short


def addresses(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return every value of a normal form by its address."""
    found: dict[str, Any] = {}

    def walk(value: Any, where: str) -> None:
        if isinstance(value, Mapping) and value:
            for key, part in value.items():
                walk(part, f"{where}.{key}" if where else str(key))
        elif value != {}:
            found[where] = value

    walk(document["components"], "")
    walk({key: value for key, value in document.items() if key != "components"}, "")
    return found
