"""Attributes of runs, whose files somebody may have altered."""

from __future__ import annotations

from typing import TypeVar

from ...loops.storage.runs import Run

T = TypeVar("T")


def said(run: Run, key: str, otherwise: T) -> T:
    """Return an attribute of a run; `otherwise` where it is missing or of another type."""
    value = run.attributes.get(key)
    return value if isinstance(value, type(otherwise)) else otherwise
