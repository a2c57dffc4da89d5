"""Which parameters name files: those marked `File`, however deep inside a constructor's annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from ..loops.files import NamesFile


def hints(cls: type) -> Mapping[str, Any]:
    """Return the annotations of a constructor's parameters."""
    return typing.get_type_hints(cls.__init__, include_extras=True)


def mark(hint: Any) -> NamesFile | None:
    """Return how a text given for this annotation names a file; None where it names none."""
    found = [part for kind in _kinds(hint) if get_origin(kind) is Annotated for part in kind.__metadata__]
    return next((part for part in found if isinstance(part, NamesFile)), None)


def inside(hint: Any, key: str | int) -> Any:
    """Return the annotation of one item of a list or tuple, or of one entry of a mapping; None where none is known."""
    known = [found for kind in _kinds(hint) if (found := _item(kind, key)) is not None]
    return Union[tuple(known)] if known else None  # noqa: UP007 (built from a tuple)


def _kinds(hint: Any) -> list[Any]:
    """Return the branches of a union, and what stands inside the marks of each."""
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for branch in get_args(hint) for kind in _kinds(branch)]
    if get_origin(hint) is Annotated:
        return [hint, *_kinds(get_args(hint)[0])]
    return [hint]


def _item(kind: Any, key: str | int) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(key, int):
        if origin is tuple and Ellipsis not in args:
            return args[key] if key < len(args) else None
        return args[0] if origin in (list, tuple) and args else None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return hints(kind).get(key)
    return args[1] if origin is dict and args else None
