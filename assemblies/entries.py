"""The entries of an assembly beside its components: until, record, checkpoint, evaluate, variants, small, sweep."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..loops.errors import Problems, TimeError, closest, nearest, short
from ..loops.time import parse_duration
from ..loops.until import Until

EVALUATE = ("every", "episodes", "seeds", "without", "set", "at_start", "longest", "learning")
CHECKPOINT = ("every", "keep")
MAX_LANES = 1_000_000

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
PORT = re.compile(r"[A-Za-z_]\w{0,63}\.[A-Za-z_]\w{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EVERY = re.compile(r"0*([0-9]+)\s+(steps?|episodes?)")
_DIGITS = 15  # of a count: no run comes further


def delay(value: Any, where: str, problems: Problems) -> int:
    """Return a delay in nanoseconds; in an assembly it has a unit."""
    if isinstance(value, int) and not isinstance(value, bool) and value != 0:
        problems.add(f"{value} has no unit of time", where, f"Write for example {value} ms.")
        return 0
    try:
        return parse_duration(value)
    except TimeError as error:
        problems.add(str(error), where)
        return 0


def every(value: Any, where: str, problems: Problems) -> tuple[int, str]:
    """Return a rhythm: `1 episode`, `250 steps` or `10 min` as (number, "episodes" | "steps" | "ns")."""
    if isinstance(value, str) and (match := _EVERY.fullmatch(value.strip())):
        kind = "steps" if match.group(2).startswith("step") else "episodes"
        amount = _count(match.group(1), kind, where, problems)
    else:
        amount, kind = delay(value, where, problems), "ns"
    if amount <= 0 and not any(problem.where == where for problem in problems.errors):
        problems.add("must be more than nothing", where)
    return max(amount, 1), kind


def _count(digits: str, kind: str, where: str, problems: Problems) -> int:
    if len(digits) <= _DIGITS:
        return int(digits)
    shown = digits if len(digits) < 30 else f"{digits[:10]}..."
    problems.add(f"{shown} {kind} are more than are counted", where, f"Write at most {10**_DIGITS - 1} {kind}.")
    return 0


def longest(value: Any, where: str, problems: Problems) -> tuple[int | None, int | None]:
    """Return when an episode is cut off, `60 s` as (ns, None) or `1000 steps` as (None, steps); neither without it."""
    if value is None:
        return None, None
    steps = _EVERY.fullmatch(value.strip()) if isinstance(value, str) else None
    if steps and steps.group(2).startswith("step"):
        amount = _count(steps.group(1), "steps", where, problems)
    else:
        amount, steps = delay(value, where, problems), None
    if amount <= 0:
        if not any(problem.where == where for problem in problems.errors):
            problems.add("must be more than nothing", where, "Write for example 60 s, or 1000 steps.")
        return None, None
    return (None, amount) if steps else (amount, None)


def integer(value: Any, low: int, high: int, where: str, problems: Problems) -> int | None:
    """Return a whole number within bounds."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        problems.add(f"{short(value)} is not a whole number from {low} to {high}", where)
        return None
    return value


def unknown(value: Mapping[str, Any], known: tuple[str, ...], where: str, problems: Problems) -> set[str | None]:
    """Report entries that mean nothing here; returns what was probably meant by them."""
    strange = [key for key in value if key not in known]
    for key in strange:
        problems.add(f"unknown entry {short(key)}", f"{where}.{str(key)[:60]}" if where else str(key)[:60],
                     nearest(key, known))
    return {closest(key, known) for key in strange}


def folder_name(value: Any, key: str, of: str, problems: Problems) -> str | None:
    """Return a name after which the folder of something is called."""
    if isinstance(value, str) and _FILE.fullmatch(value):
        return value
    problems.add(f"{short(value)} is not a name", key,
                 f"Use letters, digits, _ and -, a letter or digit first: it names the folder of {of}.")
    return None


def _name(key: str, value: Any, problems: Problems) -> str | None:
    return folder_name(value, key, "the runs", problems)


def _text(key: str, value: Any, problems: Problems) -> str | None:
    if isinstance(value, str):
        return value
    problems.add(f"{short(value)} is not text", key)
    return None


def _until(key: str, value: Any, problems: Problems) -> str | int | None:
    try:
        Until.parse(value)
    except TimeError as error:
        problems.add(str(error), key)
        return None
    return value


def _check(key: str, value: Any, problems: Problems) -> str | None:
    if value not in ("always", "first"):
        problems.add(f"{short(value)} is not `always` or `first`", key)
        return None
    return value


def _record(key: str, value: Any, problems: Problems) -> Any:
    entries = [value] if isinstance(value, str) and value not in ("all", "none") else value
    if entries in ("all", "none"):
        return entries
    if isinstance(entries, list) and all(isinstance(e, str) and (PORT.fullmatch(e) or NAME.fullmatch(e))
                                         for e in entries):
        return list(entries)
    problems.add(f"{short(value)} is not something to record", key,
                 "Write all, none, or a list such as [brain.rates, body].")
    return None


def _checkpoint(key: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        problems.add("is not a mapping", key, "Write: checkpoint: {every: 10 min wall, keep: 3}")
        return None
    unknown(value, CHECKPOINT, key, problems)
    made = dict(value)
    if value.get("every") is not None:
        checkpoint_every(value["every"], f"{key}.every", problems)
    if value.get("keep") is not None:
        made["keep"] = integer(value["keep"], 1, 1000, f"{key}.keep", problems)
    return made


def checkpoint_every(value: Any, where: str, problems: Problems) -> tuple[int, str]:
    """Return how often to save: `10 min wall` as (ns, "wall"), otherwise as `every`."""
    if isinstance(value, str) and value.strip().endswith(" wall"):
        return every(value.strip().removesuffix("wall").strip(), where, problems)[0], "wall"
    return every(value, where, problems)


def _evaluate(key: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        problems.add("is not a mapping of evaluations", key,
                     "Write: evaluate: {test: {every: 1 episode, episodes: 5}}")
        return None
    found = {}
    for name, entry in value.items():
        where = f"{key}.{name}"
        if not NAME.fullmatch(str(name)) or not isinstance(entry, Mapping):
            problems.add("is not an evaluation", where, "Write: {every: 1 episode, episodes: 5, seeds: 1000}")
            continue
        found[name] = _evaluation(dict(entry), where, problems)
    return found


def _evaluation(entry: dict[str, Any], where: str, problems: Problems) -> dict[str, Any]:
    meant = unknown(entry, EVALUATE, where, problems)
    for needed in ("every", "episodes"):
        if entry.get(needed) is None and needed not in meant:
            problems.add(f"an evaluation needs `{needed}`", f"{where}.{needed}")
    if entry.get("every") is not None:
        before = len(problems.errors)
        every(entry["every"], f"{where}.every", problems)
        entry["every"] = entry["every"] if len(problems.errors) == before else None
    if entry.get("longest") is not None and longest(entry["longest"], f"{where}.longest", problems) == (None, None):
        entry["longest"] = None
    for name, low, high in (("episodes", 1, 100_000), ("seeds", 0, 2**62)):
        if entry.get(name) is not None:
            entry[name] = integer(entry[name], low, high, f"{where}.{name}", problems)
    without = entry.get("without")
    if without is not None and (not isinstance(without, list) or not all(isinstance(n, str) for n in without)):
        problems.add("is not a list of component names", f"{where}.without")
        entry["without"] = []
    if entry.get("set") is not None:
        entry["set"] = overrides(f"{where}.set", entry["set"], problems) or {}
    for name in ("at_start", "learning"):
        if not isinstance(entry.get(name, True), bool):
            problems.add("is not true or false", f"{where}.{name}")
            entry[name] = None
    return {name: part for name, part in entry.items() if part is not None}


def overrides(key: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    """Return a mapping of addresses to values (whether they fit is told when they are applied)."""
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return dict(value)
    problems.add("is not a mapping of addresses to values", key, "Write for example {brain.params.hidden: 64}.")
    return None


def _variants(key: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        problems.add("is not a mapping of variants", key)
        return None
    found = {}
    for name, entry in value.items():
        if not _FILE.fullmatch(str(name)) or name == "base":
            problems.add(f"{short(name)} cannot name a variant", key, "`base` is the file itself." if name == "base"
                         else "Use letters, digits, _ and -, a letter or digit first: it names the folder of a run.")
            continue
        found[name] = {} if entry is None else overrides(f"{key}.{name}", entry, problems) or {}
    return found


def _sweep(key: str, value: Any, problems: Problems) -> dict[str, Any] | None:
    if isinstance(value, Mapping) and all(isinstance(v, list) and v for v in value.values()):
        return dict(value)
    problems.add("is not a mapping of addresses to lists of values", key, "Write for example {seed: [0, 1, 2]}.")
    return None


def _integer(key: str, value: Any, problems: Problems) -> int | None:
    return integer(value, *((0, 2**63 - 1) if key == "seed" else (1, MAX_LANES)), key, problems)


ENTRIES: dict[str, Callable[[str, Any, Problems], Any]] = {
    "name": _name, "about": _text, "seed": _integer, "lanes": _integer, "until": _until, "check": _check,
    "record": _record, "checkpoint": _checkpoint, "evaluate": _evaluate, "variants": _variants, "small": overrides,
    "sweep": _sweep}
