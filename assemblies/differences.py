"""Where two assemblies differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..assemblies import normal

if TYPE_CHECKING:
    from .assembly import Assembly


def diff(a: Assembly, b: Assembly) -> dict[str, tuple[Any, Any]]:
    """Return the addresses at which two assemblies differ, with both values (None: not there)."""
    left, right = normal.addresses(a.document()), normal.addresses(b.document())
    return {key: (left.get(key), right.get(key)) for key in sorted(left.keys() | right.keys())
            if key not in left or key not in right or exact(left[key]) != exact(right[key])}


def exact(value: Any) -> str:
    """Return a text that is equal for equal values only (1, 1.0 and true are three)."""
    return json.dumps(value, sort_keys=True)
