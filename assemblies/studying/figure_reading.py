"""What a study wants drawn as lines: measures over a number, read from its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...loops.errors import Problems, nearest, short
from ...loops.time import MILLISECOND, parse_duration
from ..entries import unknown
from .description import Figure, Stage

ENTRIES = ("x", "y")


def read_figures(entry: Any, stages: Mapping[str, Stage], measures: Mapping[str, Any], problems: Problems
                 ) -> tuple[Figure, ...]:
    """Return the figures of a study: one for each y, over an x that is a measure or an address that is swept."""
    if entry is None:
        return ()
    entries = entry if isinstance(entry, list) else [entry]
    return tuple(figure for i, each in enumerate(entries)
                 for figure in _read(each, f"figure.{i}" if isinstance(entry, list) else "figure", stages, measures,
                                     problems))


def _read(entry: Any, where: str, stages: Mapping[str, Stage], measures: Mapping[str, Any], problems: Problems
          ) -> list[Figure]:
    if not isinstance(entry, Mapping) or "x" not in entry or "y" not in entry:
        problems.add("does not say what is drawn over what", where, "Write for example {x: latency, y: recovery}.")
        return []
    unknown(entry, ENTRIES, where, problems)
    x, found = entry["x"], []
    swept = {address: stage for stage in stages.values() for address in stage.sweep}
    if x not in measures and x not in swept:
        problems.add(f"{short(x)} is no measure, and no stage sweeps it", f"{where}.x",
                     nearest(str(x), [*measures, *swept]))
        return []
    if x not in measures:
        for stage in stages.values():
            for told in stage.sweep.get(x, ()):
                if number(told) is None:
                    problems.add(f"{short(told)} has no place on an axis", f"{where}.x",
                                 "Sweep numbers or durations, or draw over a measure.")
    for y in entry["y"] if isinstance(entry["y"], list) else [entry["y"]]:
        if y not in measures:
            problems.add(f"there is no measure {short(y)}", f"{where}.y", nearest(str(y), measures))
        else:
            found.append(Figure(str(x), str(y)))
    return found


def number(told: Any) -> float | None:
    """Return the place of a swept value on an axis, durations in ms; None where it has none."""
    if isinstance(told, bool):
        return None
    if isinstance(told, int | float):
        return float(told)
    try:
        return parse_duration(told) / MILLISECOND
    except (ValueError, TypeError):
        return None
