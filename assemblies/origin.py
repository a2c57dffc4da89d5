"""Where an assembly comes from, where its parts stand in the file, and values made plain enough for YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from ..loops.errors import AssemblyError, Problem
from .document import MAX_DEPTH
from .overrides import SETTABLE

Places = Mapping[tuple[Any, ...], tuple[int, int]]  # line and column by address


@dataclass(frozen=True)
class Origin:
    """Where an assembly comes from, and what was done to it; no part of what it is."""

    path: Path | None = None
    folder: Path | None = None  # files in it are named from here; None: the working directory
    marks: Places | None = None
    classes: Mapping[str, type] | None = None  # classes given directly, by type name
    notices: tuple[Problem, ...] = ()
    removed: frozenset[str] = frozenset()  # components that were here and were taken away
    variant: str = "base"
    is_small: bool = False

    @property
    def base(self) -> Path:
        """The folder from which files are named."""
        return self.folder or Path.cwd()


def moved(marks: Places | None, changes: Mapping[str, Any], layer: tuple[str, ...]) -> Places | None:
    """Return where things stand once changes were made that stand below `layer` in the file.

    Without a layer the changes come from elsewhere: the place of what they replace is the nearest there is.
    """
    if not marks or not layer:
        return marks
    made = dict(marks)
    for address in sorted(changes, key=lambda address: address.count(".")):
        parts = tuple(int(part) if part.isdigit() else part for part in address.split("."))
        at = parts if parts[0] in SETTABLE else ("components", *parts)
        kept = () if len(at) > 2 or at == parts else ((*at, "inputs"),)  # whoever is replaced leaves its wires
        for mark in [mark for mark in made if mark[:len(at)] == at and mark[:len(at) + 1] not in kept]:
            del made[mark]
        written = (*layer, address)
        found = {(*at, *mark[len(written):]): place for mark, place in marks.items()
                 if mark[:len(written)] == written}
        made.update(found)
        for end in range(3, len(at)):  # a wire of which only the delay is said here
            made.setdefault(at[:end], marks[written])
    return made


def placed(problems: Iterable[Problem], origin: Origin) -> list[Problem]:
    """Add file, line and column to problems whose address stands in the file."""
    marks = origin.marks or {}
    place = f"{origin.path.name}:{{}}:{{}}" if origin.path else "line {}, column {}"
    return [replace(problem, where=f"{problem.where} ({place.format(*mark)})")
            if (mark := _mark(problem.where, marks)) else problem for problem in problems]


def _mark(address: str, marks: Places) -> tuple[int, int] | None:
    if not marks or not address or " " in address.split(":")[0]:
        return None
    parts: list[Any] = [int(part) if part.isdigit() else part for part in address.replace(": ", ".").split(".")[:20]]
    for start in (["components"], []):
        for end in range(len(parts), 0, -1):
            if (*start, *parts[:end]) in marks:
                return marks[(*start, *parts[:end])]
    return None


def plain(value: Any, where: str = "", depth: int = 0) -> Any:
    """Return a copy made of dictionaries, lists, strings, numbers, booleans and None; anything else is an error."""
    if depth > MAX_DEPTH:
        raise AssemblyError([Problem(f"is nested more than {MAX_DEPTH} deep, or holds itself", where[:60],
                                     "No parameter needs that; flatten it.")])
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if hasattr(value, "item") else value
    if isinstance(value, Mapping):
        return {_key(key, where): plain(part, f"{where}.{key}" if where else str(key), depth + 1)
                for key, part in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(part, f"{where}.{i}", depth + 1) for i, part in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), where, depth)
    from ..loops.time import Clock, parse_period, say_period

    if isinstance(value, Clock) and parse_period(say_period(value)) == value:
        return say_period(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return plain(fields, where, depth)
    raise AssemblyError([Problem(f"a {type(value).__name__} cannot be written in YAML", where,
                                 "Give numbers, text, lists, dictionaries or a parameter dataclass.")])


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise AssemblyError([Problem(f"the key {key!r} is not text", where)])
    return key
