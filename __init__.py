"""Stimloop: closed-loop experiments between brains, bodies and stimulators.

Importing this package imports nothing heavy; names are looked up when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "Assembly": "assemblies.assembly",
    "diff": "assemblies.differences",
    "load": "assemblies.loading",
    "open": "loops.storage.runs",
    "Run": "loops.storage.runs",
    "Component": "loops.component",
    "Inputs": "loops.component",
    "Use": "loops.component",
    "Port": "loops.port",
    "Events": "loops.events",
    "Lanes": "loops.lanes",
    "Clock": "loops.time",
    "Duration": "loops.time",
    "File": "loops.files",
    "Period": "loops.time",
    "AssemblyError": "loops.errors",
    "Loop": "loops.loop",
}

__all__ = [*_NAMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'stimloop' has no attribute {name!r}")
    value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
