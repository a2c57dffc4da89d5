"""One line of what a study expects, read from its entry."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ...loops.errors import Problems, counted, nearest, short
from ..entries import unknown
from .description import Expectation, Stage
from .measures import Measure

EXPECT = ("measure", "variant", "stage", "after", "at_least", "at_most", "above", "in")
_AFTER = re.compile(r"([0-9][0-9_]*) (steps?|episodes?|updates?)")
_SHARE = re.compile(r"([0-9]+) of ([0-9]+)")


def read_line(entry: Any, where: str, stages: Mapping[str, Stage], known: Mapping[str, Measure], problems: Problems
              ) -> Expectation | None:
    """Return a line of what is expected; None where it cannot be one."""
    if not isinstance(entry, Mapping) or not stages:
        problems.add("is no expectation", where, "Write: {variant: base, measure: recovery, at_least: 0.9}")
        return None
    unknown(entry, EXPECT, where, problems)
    stage = str(entry.get("stage", next(reversed(stages))))
    if stage not in stages:
        problems.add(f"there is no stage {short(stage)}", f"{where}.stage", nearest(stage, stages))
        return None
    variants, variant = stages[stage].variants, str(entry.get("variant", "base"))
    for key, told in (("variant", variant), ("above", entry.get("above", variant))):
        if told not in variants:
            problems.add(f"stage {stage} has no variant {short(told)}", f"{where}.{key}",
                         nearest(str(told), variants))
    measure = str(entry.get("measure", ""))
    if measure not in known:
        problems.add(f"there is no measure {short(measure)}", f"{where}.measure", nearest(measure, known))
    bounds = {key: entry[key] for key in ("at_least", "at_most", "above") if key in entry}
    if len(bounds) != 1:
        problems.add("needs one of at_least, at_most and above", where)
    if "above" in bounds and "in" in entry:
        problems.add("`above` compares all cells of two variants and counts none", f"{where}.in", "Leave it out.")
    for key in ("at_least", "at_most"):
        if key in bounds and not _is_number(bounds[key]):
            problems.add(f"{short(bounds[key])} is no bound", f"{where}.{key}", "Write a finite number, such as 0.9.")
    return Expectation(measure, variant, stage, _after(entry.get("after"), where, problems),
                       bounds.get("at_least"), bounds.get("at_most"), bounds.get("above"),
                       _among(entry.get("in"), where, stages[stage], variant, problems), stages[stage].called(variant),
                       stages[stage].called(str(bounds.get("above"))))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _after(value: Any, where: str, problems: Problems) -> tuple[int, str] | None:
    if value is None:
        return None
    match = _AFTER.fullmatch(str(value))
    if match is None:
        problems.add(f"{short(value)} is no counter", f"{where}.after", "Write for example 2 episodes.")
        return None
    return int(match.group(1)), match.group(2).removesuffix("s") + "s"


def _among(value: Any, where: str, stage: Stage, variant: str, problems: Problems) -> tuple[int, int] | None:
    """Read in how many of the cells of a variant a line has to hold."""
    if value is None:
        return None
    match, cells = _SHARE.fullmatch(str(value)), math.prod(map(len, stage.sweep.values()))
    if match is None or not 0 < int(match.group(1)) <= int(match.group(2)):
        problems.add(f"{short(value)} is no share of the cells", f"{where}.in", "Write for example 4 of 5.")
        return None
    share, of = int(match.group(1)), int(match.group(2))
    if of != cells:
        problems.add(f"{share} of {of} is said, and {stage.name}:{variant} has {counted(cells, 'cell')}", f"{where}.in",
                     f"Write {min(share, cells)} of {cells}, or sweep other values; `small` may hold an expect of its "
                     "own.")
    return share, of
