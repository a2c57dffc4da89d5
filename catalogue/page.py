"""The catalogue as a page: docs/catalogue.md, rendered from the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..loops.time import Clock, say, say_period

FILE = Path(__file__).resolve().parent.parent / "docs" / "catalogue.md"
_TIMES = ("duration", "period")  # types of parameters that are whole nanoseconds
_HEAD = """# Catalogue

Every component that stimloop ships, generated from `catalogue/index.json` by `python -m stimloop.catalogue.index`.
Do not edit. Sizes that a component learns from the other end of a wire are written as names or `?`.
"""


Entries = dict[str, dict[str, Any]]  # of the index, by component name


def render(entries: Entries) -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    for folder in sorted({name.partition(".")[0] for name in entries}):
        parts.append(f"\n## {folder}\n")
        parts += [component(name, entry) for name, entry in entries.items() if name.partition(".")[0] == folder]
    return "".join(parts)


def write(entries: Entries) -> None:
    """Write docs/catalogue.md (where the repository's docs are there)."""
    if FILE.parent.is_dir():
        FILE.write_text(render(entries), encoding="utf-8")


def stale(entries: Entries) -> bool:
    """Is the page not what the index says? (An installed package has no page, and none to be stale.)"""
    return FILE.parent.is_dir() and (not FILE.is_file() or FILE.read_text(encoding="utf-8") != render(entries))


def component(name: str, entry: dict[str, Any]) -> str:
    """Return the section of one component."""
    lines = [f"\n### `{name}`\n", entry["about"], ""]
    facts = [word for key, word in (("open_inputs", "takes any inputs"), ("open_outputs", "offers any outputs"),
                                    ("random", "draws random numbers"), ("guard", "guards a stimulator"))
             if entry.get(key)]
    if "max_lanes" in entry:
        facts.append(f"at most {entry['max_lanes']} lanes")
    if "missing" in entry:
        facts.append(f"needs the library `{entry['missing']}`")
    if facts:
        lines += ["; ".join(facts).capitalize() + ".", ""]
    lines += parameters(entry)
    lines += _ports("Inputs", entry.get("inputs", {})) + _ports("Outputs", entry.get("outputs", {}))
    if entry.get("uses"):
        lines += ["Uses: " + ", ".join(f"`{key}` ({use['role']}{', changes it' if use['changes'] else ''})"
                                       for key, use in entry["uses"].items()), ""]
    if entry.get("offers"):
        lines += ["Offers: " + ", ".join(entry["offers"]), ""]
    return "\n".join(lines)


def parameters(entry: dict[str, Any]) -> list[str]:
    """Return a table of the parameters, and one of each kind of parameter that has entries of its own."""
    schema, told = entry.get("parameters", {}), entry.get("meanings", {})
    lines = _table("parameter", schema, told)
    for name, nested in schema.get("$defs", {}).items():
        own = {key: told.get(f"{name}.{key}", told.get(key, "")) for key in nested["properties"]}
        lines += [f"{name}: {nested['description']}", "", *_table(f"entry of {name}", nested, own)]
    return lines


def _table(title: str, schema: dict[str, Any], told: dict[str, str]) -> list[str]:
    rows = []
    for key, value in schema.get("properties", {}).items():
        default = "required" if key in schema.get("required", ()) else f"`{_default(value)}`"
        rows.append(f"| `{key}` | {_cell(_type(value))} | {default} | {_cell(told.get(key, ''))} |")
    return [f"| {title} | type | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def _default(value: dict[str, Any]) -> str:
    default, kinds = value.get("default"), [value, *value.get("anyOf", ())]
    if isinstance(default, int) and any(kind.get("description") in _TIMES for kind in kinds):
        return say(default)
    if isinstance(default, dict) and default.keys() == {"numerator", "denominator"}:
        return say_period(Clock(**default))
    return _value(default)


def _type(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_type(part) for part in value["anyOf"])
    if "enum" in value:
        return " | ".join(f"`{option}`" for option in value["enum"])
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if "description" in value and isinstance(value.get("type"), list):
        return str(value["description"])
    kind = value.get("type", "any")
    if kind == "array" and "items" in value:
        return f"list of {_type(value['items'])}"
    return {"null": "none"}.get(kind, kind) + _bounds(value) if isinstance(kind, str) else " or ".join(kind)


def _bounds(value: dict[str, Any]) -> str:
    """Say the bounds of a number, as ` above 0` or ` from 0 to 1`."""
    words = (("exclusiveMinimum", "above"), ("minimum", "from"), ("exclusiveMaximum", "below"), ("maximum", "to"))
    return "".join(f" {word} {value[key]:g}" for key, word in words if key in value)


def _value(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _ports(title: str, ports: dict[str, Any]) -> list[str]:
    if not ports:
        return []
    lines = [f"| {title.lower()} | | |", "|---|---|---|"]
    for key, port in ports.items():
        shape = "×".join("?" if size is None else str(size) for size in port["shape"]) or "1"
        if port.get("kind") == "event":
            shape = f"events of {port.get('indices', 1)}"
        elif port.get("choices"):
            shape = f"one of {port['choices']}"
        words = [shape, port.get("units", ""), "" if port.get("per_lane", True) else "one for all lanes",
                 f"reads {port['reads']}" if "reads" in port else "", "wakes" if port.get("wakes") else "",
                 "optional" if port.get("optional") else "", "guarded" if port.get("guarded") else ""]
        lines.append(f"| `{key}` | {_cell(port['about'])} | {_cell(', '.join(word for word in words if word))} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
