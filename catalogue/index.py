"""The catalogue as data: names, ports, parameters and first lines of every component, generated and committed.

    python -m stimloop.catalogue.index            write index.json and docs/catalogue.md
    python -m stimloop.catalogue.index --check    fail when they are not what the code says

Programs read `index.json` through `load`, so that listing components imports none of them.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..catalogue import lookup, page
from ..components.parts.roles import offered
from .meanings import meanings

FILE = Path(__file__).resolve().parent / "index.json"
_PORT_DEFAULTS = {"axes": (), "units": "", "dtype": "float32", "choices": 0, "kind": "signal", "per_lane": True,
                  "reads": "now", "also": (), "wakes": False, "initial": 0.0, "optional": False, "guarded": False,
                  "indices": 1}


@lru_cache(maxsize=1)
def load() -> dict[str, dict[str, Any]]:
    """Return the committed index by component name (empty when it was never written)."""
    try:
        return json.loads(FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def input_names(name: str, cls: type | None = None) -> Collection[str] | None:
    """Return the input names of a type; None when it takes any, or nothing is known without running foreign code."""
    entry = load().get(name)
    if entry is None and cls is None and name in lookup.shipped():
        try:
            cls = lookup.find(name)
        except lookup.LookupFailed:
            return None
    if entry is None and cls is not None and hasattr(cls, "example"):
        entry = _ports(cls.example())
    if entry is None or entry.get("open_inputs") or "inputs" not in entry:
        return None
    return list(entry["inputs"])


def make() -> dict[str, dict[str, Any]]:
    """Return the index of the code as it is now; a component whose library is absent is listed without ports."""
    return {name: entry(name) for name in lookup.shipped()}


def write() -> list[str]:
    """Write index.json; returns the names whose library is absent, which keep what the old index says."""
    made, old = make(), load()
    absent = [name for name, entry in made.items() if "missing" in entry]
    made.update({name: old[name] for name in absent if name in old})
    FILE.write_text(_text(made), encoding="utf-8")
    load.cache_clear()
    return absent


def stale() -> list[str]:
    """Return the names at which index.json is not what the code says (components without their library: unchecked)."""
    made, old = json.loads(_text(make())), load()
    unchecked = {name for name, entry in made.items() if "missing" in entry}
    return sorted(name for name in (made.keys() | old.keys()) - unchecked if made.get(name) != old.get(name))


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def entry(name: str) -> dict[str, Any]:
    """Return what the code of one component says, as the index keeps it."""
    try:
        cls = lookup.find(name)
    except lookup.LookupFailed as error:
        return {"about": _first_line(name), "missing": error.missing or error.what}
    return entry_of(cls)


def entry_of(cls: Any) -> dict[str, Any]:
    """Return what the code of a component class says."""
    from .schema import json_schema, parameter_classes

    made: dict[str, Any] = {"about": (inspect.getdoc(cls) or "").partition("\n")[0], "class": cls.__name__,
                            "parameters": json_schema(cls)}
    told = {name: meanings(kind) for name, kind in {"": cls, **parameter_classes(cls)}.items()}
    if any(told.values()):
        made["meanings"] = {f"{name}.{key}" if name else key: text for name, each in told.items()
                            for key, text in each.items()}
    try:
        component = cls.example()
    except ImportError as error:
        return {**made, "missing": (error.name or str(error)).partition(".")[0]}
    try:
        made.update(_ports(component))
    finally:
        component.close()
    return made


def _ports(component: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "inputs": {key: _port(port) for key, port in component.inputs.items()},
        "outputs": {key: _port(port) for key, port in component.outputs.items()}}
    for key in ("open_inputs", "open_outputs", "random", "guard", "transparent"):
        if getattr(component, key, False):
            entry[key] = True
    if component.max_lanes is not None:
        entry["max_lanes"] = component.max_lanes
    if component.resumes != "exact":
        entry["resumes"] = component.resumes
    if component.uses:
        entry["uses"] = {key: {"role": use.role.__name__, "changes": use.changes, "optional": use.optional}
                         for key, use in component.uses.items()}
    if roles := offered(component):
        entry["offers"] = roles
    return entry


def _port(port: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"about": port.about, "shape": list(port.shape)}
    for key, default in _PORT_DEFAULTS.items():
        value = getattr(port, key)
        if value != default and not (key == "dtype" and port.choices):
            entry[key] = list(value) if isinstance(value, tuple) else value
    for key in ("low", "high"):
        bound = _bound(getattr(port, key))
        if bound is not None and not port.choices:
            entry[key] = bound
    return entry


def _bound(value: Any) -> Any:
    """Return a bound as one number where all are equal, None where there is none."""
    import numpy as np

    values = np.unique(np.asarray(value, float))
    if values.size == 1:
        return float(values[0]) if math.isfinite(values[0]) else None
    return "per element"


def _first_line(name: str) -> str:
    """Read the first line of a class that cannot be imported from its source."""
    import ast

    folder, _, module = name.partition(".")
    tree = ast.parse((lookup.FOLDER / folder / f"{module}.py").read_text(encoding="utf-8"))
    wanted = lookup.class_name(module)
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == wanted), None)
    return ((ast.get_docstring(found) if found else None) or "").partition("\n")[0]


def main(arguments: list[str]) -> int:
    """Write or check the index and the page."""
    if "--check" in arguments:
        names = stale()
        if names or page.stale(load()):
            sys.stderr.write(f"stale: {', '.join(names) or 'docs/catalogue.md'}\n"
                             "Run: python -m stimloop.catalogue.index, and commit what it writes.\n")
            return 1
        return 0
    absent = write()
    page.write(load())
    sys.stderr.write(f"wrote {len(load())} components" + (f"; libraries absent: {', '.join(absent)}" if absent else "")
                     + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
