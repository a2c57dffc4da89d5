"""Attributes of runs, whose files somebody may have altered."""

from __future__ import annotations

from typing import Any, TypeVar

from ...loops.storage.runs import Run

T = TypeVar("T")


def said(run: Run, key: str, otherwise: T) -> T:
    """Return an attribute of a run; `otherwise` where it is missing or of another type."""
    value = run.attributes.get(key)
    return value if isinstance(value, type(otherwise)) else otherwise


def entry(run: Run, component: str) -> dict[str, Any]:
    """Return what the assembly of a run says of a component: type, params, inputs; empty where it says nothing."""
    components = said(run, "assembly", {}).get("components")
    found = components.get(component) if isinstance(components, dict) else None
    return found if isinstance(found, dict) else {}


def parameters(run: Run, name: str) -> dict[str, Any]:
    """Return what a component was given, and the defaults of the rest where the catalogue knows it."""
    from ...catalogue import index

    described = entry(run, name)
    known = index.load().get(str(described.get("type")), {}).get("parameters", {}).get("properties", {})
    given = described.get("params")
    return {**{key: schema["default"] for key, schema in known.items() if "default" in schema},
            **(given if isinstance(given, dict) else {})}
