"""JSON Schema of the YAML, for editors: generated from the catalogue's index and committed as schema.json.

    python -m stimloop.assemblies.editor_schema [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..assemblies import normal
from ..catalogue import index

FILE = Path(__file__).resolve().parent / "schema.json"
_TEXT = {"type": "string"}
_ADDRESSES = {"type": "object", "description": "addresses and the values that they get"}
_TIME = {"type": ["string", "integer"], "description": "such as 20 ms, or nanoseconds"}
_SOURCE = {"type": "string", "pattern": "^[A-Za-z_]\\w*\\.[A-Za-z_]\\w*$"}


def make() -> dict[str, Any]:
    """Return the schema of an assembly."""
    types = index.load()
    definitions = {name: _lifted(_explained(entry), name) for name, entry in types.items()}
    wire = {"type": "object", "additionalProperties": False,
            "properties": {"from": _SOURCE, "like": _SOURCE, "delay": _TIME, "reads": {"enum": list(normal.READS)}}}
    inputs = {"anyOf": [
        {"type": "array", "items": {"anyOf": [_SOURCE, {"type": "object"}]}},
        {"type": "object", "additionalProperties": {"anyOf": [_SOURCE, wire]}}]}
    known = {"enum": list(types)}
    component = {
        "type": "object", "required": ["type"], "additionalProperties": False,
        "properties": {"type": {"anyOf": [known, {"type": "string", "pattern": ":"}, _TEXT]},
                       "params": {"type": "object"}, "inputs": inputs,
                       "uses": {"type": "object", "additionalProperties": _TEXT},
                       "seed": {"type": "integer", "minimum": 0}, "lanes": {"type": "integer", "minimum": 1}},
        "allOf": [{"if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                   "then": {"properties": {"params": {"$ref": f"#/$defs/{name}"}}}} for name in types]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "stimloop assembly",
            "type": "object", "required": ["components"], "additionalProperties": False,
            "properties": _properties(component), "$defs": definitions}


def _properties(component: dict[str, Any]) -> dict[str, Any]:
    count = {"type": "integer", "minimum": 1}
    evaluation = {"type": "object", "required": ["every", "episodes"], "additionalProperties": False, "properties": {
        "every": _TIME, "episodes": count, "seeds": {"type": "integer", "minimum": 0},
        "without": {"type": "array", "items": _TEXT}, "set": _ADDRESSES, "at_start": {"type": "boolean"},
        "learning": {"type": "boolean"},
        "longest": _TIME}}
    properties = {
        "name": _TEXT, "about": _TEXT, "seed": {"type": "integer", "minimum": 0}, "lanes": count,
        "until": {"type": ["string", "integer"],
                  "description": "40 min, 30000 steps, 30000 steps of body, 10 episodes or learner.done"},
        "check": {"enum": ["first", "always"]},
        "components": {"type": "object", "additionalProperties": component},
        "record": {"anyOf": [{"enum": ["all", "none"]}, _TEXT, {"type": "array", "items": _TEXT}]},
        "checkpoint": {"type": "object", "additionalProperties": False,
                       "properties": {"every": {"type": "string"}, "keep": count}},
        "evaluate": {"type": "object", "additionalProperties": evaluation},
        "variants": {"type": "object", "additionalProperties": {"anyOf": [_ADDRESSES, {"type": "null"}]}},
        "small": _ADDRESSES,
        "sweep": {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}}
    return {key: properties[key] for key in normal.TOP}


def _explained(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a component's parameters with what each means, which editors show."""
    schema, told = entry.get("parameters", {}), entry.get("meanings", {})
    properties = {key: {**value, "description": told[key]} if key in told else value
                  for key, value in schema.get("properties", {}).items()}
    return {**schema, "properties": properties} if properties else schema


def _lifted(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Let references inside one component's schema point to where it now lies."""
    text = json.dumps(schema).replace('"#/$defs/', f'"#/$defs/{name}/$defs/')
    return json.loads(text)


def main(arguments: list[str]) -> int:
    """Write or check schema.json."""
    text = json.dumps(make(), indent=1) + "\n"
    if "--check" in arguments:
        if FILE.is_file() and FILE.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("assemblies/schema.json is stale. Run: python -m stimloop.assemblies.editor_schema\n")
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
