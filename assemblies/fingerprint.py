"""Is a run that is gone on with what it was begun as? Hashes of its description, and the code it ran with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..loops.errors import RunError
from . import normal

_UNHASHED = ("name", "about", "checkpoint", "variants", "small", "sweep")  # what cannot change a result
_MOST = 5  # places that are named


def whole(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything in a normal form, wires written out, that can change a result."""
    return _digest(_hashed(document))


def places(document: Mapping[str, Any]) -> dict[str, str]:
    """Return, by address, a short hash of each value that can change a result."""
    return {address: _digest(value)[:8] for address, value in normal.addresses(_hashed(document)).items()}


def check(path: Path, attributes: Mapping[str, Any]) -> None:
    """Raise RunError where the description of a run was changed after the run began, naming the places."""
    document = attributes["assembly"]
    if isinstance(document, Mapping) and whole(document) == attributes.get("hash"):
        return
    before, now = attributes.get("places"), {}
    if isinstance(document, Mapping):
        now = places({**document, "components": document.get("components", {})})
    other = [address for address in {**before, **now} if before.get(address) != now.get(address)] if isinstance(
        before, Mapping) else []
    which = ", ".join(other[:_MOST]) + (f" and {len(other) - _MOST} more" if len(other) > _MOST else "")
    raise RunError(f"{path / 'zarr.json'} was changed by hand: its assembly is not the one that the run was recorded "
                   f"with{f' ({which})' if which else ''}. Nothing was done. Bring back that file, or begin a new run "
                   "with the changes: stimloop run ... --set")


def other_code(before: Mapping[str, str], now: Mapping[str, str], types: Mapping[str, str]) -> list[str]:
    """Return the components whose code is not what it was, and in brackets the type or what they name of it."""
    found = []
    for name in now:
        old, new = (_pieces(code[name]) if name in code else None for code in (before, now))
        if old is None or new is None or old == new:
            continue
        other = [key or types[name] for key in {**old, **new} if old.get(key) != new.get(key)]
        found.append(f"{name} ({', '.join(other)})")
    return found


def _pieces(code: str) -> dict[str, str]:
    """Take apart what `identity.code_of_class` says: of the class under "", then of each name."""
    first, *rest = code.split("; ")
    return {"": first, **{name: told for name, _, told in (piece.rpartition(": ") for piece in rest)}}


def _hashed(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _UNHASHED}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
