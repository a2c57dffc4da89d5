"""Reading and writing the YAML of assemblies: plain data only, numbers as in YAML 1.2, errors with line and column.

The text goes through libyaml's event stream (the parser under CSafeLoader), so nothing is ever constructed from a tag,
and anchors, depth and size are refused before anything is built. What can be read around a refusal is read all the
same, so that it is told together with everything else.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from ..loops.errors import AssemblyError, Problem, Problems, closest

MAX_BYTES = 2_000_000
MAX_DEPTH = 20
MAX_NODES = 200_000
MOST_PROBLEMS = 20  # of this kind; who makes more of them did not mean to write an assembly

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "True": True, "TRUE": True,
          "false": False, "False": False, "FALSE": False}
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 400

Marks = dict[tuple[Any, ...], tuple[int, int]]  # address -> (line, column), both from 1


def read(path: str | Path, problems: Problems | None = None) -> tuple[Any, Marks]:
    """Read a file; returns its plain value and where each part of it stands, as `parse` does."""
    path = Path(path)
    try:
        if not path.is_file() and path.exists():
            raise _error("is not a regular file", str(path))
        if path.stat().st_size > MAX_BYTES:
            raise _error(f"the file is larger than {MAX_BYTES} bytes", path.name)
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise _error(f"cannot be read: {error.strerror or error}", str(path)[:200], _similar(path)) from None
    except UnicodeDecodeError as error:
        raise _error(f"is not UTF-8 text (byte {error.start})", path.name, "Save it as UTF-8.") from None
    except ValueError as error:  # a NUL in the path
        raise _error(f"cannot be read: {error}", repr(str(path)[:200])) from None
    return parse(text, path.name, problems)


def parse(text: str, name: str = "assembly", problems: Problems | None = None) -> tuple[Any, Marks]:
    """Read YAML text as dictionaries, lists, strings, numbers, booleans and None.

    With `problems`, what can be read around is gathered there and reads as None; what cannot, or without `problems`
    everything, is raised as AssemblyError.
    """
    import yaml

    if len(text) > MAX_BYTES:
        raise _error(f"the text is longer than {MAX_BYTES} characters", name)
    found = Problems()
    try:
        text.encode()
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        value = _Reader(events, name, found).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
        found.add(f"not valid YAML: {what}", where)
        raise AssemblyError(found.errors) from None
    except UnicodeError:
        raise _error("the text holds characters that UTF-8 cannot write", name) from None
    if problems is None:
        found.raise_if_any()
    else:
        problems.found += found.found
    return value


def scalar(text: str) -> Any:
    """Return what a plain (unquoted) scalar means in the YAML 1.2 core schema; `012`, `1:30` and `on` stay text."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isascii() and (first.isdigit() or first in "+-.")):
        return text
    if len(text) > _MAX_DIGITS and (_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text)):
        raise ValueError(f"a number of {len(text)} characters is too long")
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ValueError(f"{text} is too large for a number")
        return value
    if match := _SPECIAL.fullmatch(text):
        return math.nan if match.group(1) is None else math.copysign(math.inf, -1 if match.group(1) == "-" else 1)
    return text


class _Reader:
    """Builds plain data from one document's events."""

    def __init__(self, events: Any, name: str, problems: Problems) -> None:
        self.events = events
        self.name = name
        self.problems = problems
        self.marks: Marks = {}
        self.nodes = 0

    def document(self) -> tuple[Any, Marks]:
        next(self.events)  # stream start
        event = next(self.events)
        if type(event).__name__ == "StreamEndEvent":
            raise _error("the document is empty", self.name)
        value = self.value(next(self.events), (), 0)
        next(self.events)  # document end
        event = next(self.events)
        if type(event).__name__ != "StreamEndEvent":
            raise self.error(event, "a second document begins here; one file holds one assembly")
        return value, self.marks

    def value(self, event: Any, address: tuple[Any, ...], depth: int) -> Any:
        kind = type(event).__name__
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(event, f"more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise self.error(event, f"nested more than {MAX_DEPTH} deep")
        mark = event.start_mark
        self.marks[address] = (mark.line + 1, mark.column + 1)
        if kind == "AliasEvent" or event.anchor is not None:
            self.tell(event, address, "anchors and aliases (& and *) are not read", "Write the value out where it is.")
        if kind == "AliasEvent":
            return None
        if event.tag is not None:
            self.tell(event, address, f"tags such as {event.tag[:40]!r} are not read", "Remove the tag.")
        if kind == "ScalarEvent":
            return self.scalar(event, address)
        return self.mapping(address, depth) if kind == "MappingStartEvent" else self.sequence(address, depth)

    def scalar(self, event: Any, address: tuple[Any, ...]) -> Any:
        if event.tag is not None:
            return None
        if not event.implicit[0]:
            return event.value  # quoted, literal or folded: text as it stands
        try:
            return scalar(event.value)
        except ValueError as error:
            self.tell(event, address, str(error))
            return None

    def mapping(self, address: tuple[Any, ...], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            key = next(self.events)
            kind = type(key).__name__
            if kind == "MappingEndEvent":
                return found
            if kind != "ScalarEvent" or key.anchor is not None or key.tag is not None:
                raise self.error(key, "a key must be a plain word")
            below = (*address, key.value)
            merges, twice = key.value == "<<", key.value in found
            first = self.marks[below] if twice else (key.start_mark.line + 1, key.start_mark.column + 1)
            if merges:
                self.tell(key, address, "merge keys (<<) are not read", "Write the values out.")
            elif twice:
                self.tell(key, below, f'the key "{key.value[:60]}" stands twice (first in line {first[0]})',
                          "Remove one of the two.")
            value = self.value(next(self.events), below, depth + 1)
            self.marks[below] = first
            if not merges and not twice:
                found[key.value] = value

    def sequence(self, address: tuple[Any, ...], depth: int) -> list[Any]:
        found: list[Any] = []
        for event in self.events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            found.append(self.value(event, (*address, len(found)), depth + 1))
        return found

    def tell(self, event: Any, address: tuple[Any, ...], what: str, fix: str = "") -> None:
        """Report what can be read around; too many of it are the end."""
        parts = address[1:] if address[:1] == ("components",) and len(address) > 1 else address
        where = f"{'.'.join(str(part)[:60] for part in parts)} ({self._place(event)})" if parts else self._place(event)
        self.problems.add(what, where, fix)
        if len(self.problems.found) >= MOST_PROBLEMS:
            raise self.error(event, f"{MOST_PROBLEMS} things that are not read; what comes after is not looked at")

    def error(self, event: Any, what: str) -> AssemblyError:
        """Return the end of reading, together with what was read around before."""
        self.problems.add(what, self._place(event))
        return AssemblyError(self.problems.errors)

    def _place(self, event: Any) -> str:
        return f"{self.name}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"


def write(value: Any) -> str:
    """Return YAML text that `parse` reads back as the same value."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what would otherwise be read as something else."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        quote = "'" if data.isprintable() else '"'  # double quotes escape what a line cannot hold
        plain = data.isprintable() and 0 < len(data) <= _MAX_DIGITS and scalar(data) == data
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=None if plain else quote)

    Dumper.add_representer(str, text)
    options: dict[str, Any] = {"Dumper": Dumper, "sort_keys": False, "width": 110, "allow_unicode": True}
    if not isinstance(value, dict) or not value:
        return yaml.dump(value, default_flow_style=None, **options)
    nested = {True: None, False: False}  # leaves in one line, the outermost level always in lines of its own
    return "".join(yaml.dump({key: part}, default_flow_style=nested[isinstance(part, (dict, list))], **options)
                   for key, part in value.items())


def _similar(path: Path) -> str:
    """Return what may have been meant, where a file is not there."""
    try:
        beside = [other.name for other in path.parent.iterdir() if other.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    meant = closest(path.name, beside)
    return f'Did you mean "{path.parent / meant}"?' if meant and not path.exists() else ""


def _error(what: str, where: str, fix: str = "") -> AssemblyError:
    return AssemblyError([Problem(what, where, fix)])
