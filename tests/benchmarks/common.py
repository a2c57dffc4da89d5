"""How every benchmark here measures and judges: peers in turn within one run, medians, the worse end decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 2000


class Seconds(NamedTuple):
    """How long something took by the clock on the wall, which decides, and how long the processor worked on it."""

    wall: float
    busy: float


def timed(work: Callable[[], int]) -> Seconds:
    """Return the seconds per piece of work; `work` returns how many pieces it did."""
    wall, busy = perf_counter(), process_time()
    pieces = work()
    return Seconds((perf_counter() - wall) / pieces, (process_time() - busy) / pieces)


def interleave(measures: Mapping[str, Callable[[], float | Seconds]], rounds: int) -> dict[str, list[float]]:
    """Call every measure once per round, each round in another order, after one round that does not count.

    A measure returns its own figure (usually seconds per step). What else the machine is doing then meets all alike.
    What returns `Seconds` has its processor time under `<name> busy`.
    """
    found: dict[str, list[float]] = defaultdict(list)
    names = list(measures)
    for round_number in range(-1, rounds):
        first = (round_number + 1) % len(names)
        for name in names[first:] + names[:first]:
            value = measures[name]()
            if round_number < 0:
                continue
            if isinstance(value, Seconds):
                found[f"{name} busy"].append(value.busy)
                value = value.wall
            found[name].append(float(value))
    return dict(found)


def interval(statistic: Callable[[np.ndarray], np.ndarray], count: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic of `count` rounds; it gets row numbers [resamples, count]."""
    rows = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    low, high = np.percentile(statistic(rows), (2.5, 97.5))
    return float(low), float(high)


def check(what: str, values: Sequence[float], unit: str, *, at_least: float | None = None,
          at_most: float | None = None) -> dict[str, Any]:
    """Judge the median of one figure per round; without a bound it is only reported."""
    found = np.asarray(values, float)
    low, high = interval(lambda rows: np.median(found[rows], axis=1), found.size)
    return _verdict(what, float(np.median(found)), unit, (low, high), at_least, at_most)


def ratio_check(what: str, above: Sequence[float], below: Sequence[float], *, at_least: float | None = None,
                at_most: float | None = None, unit: str = "x", by_median: bool = False) -> dict[str, Any]:
    """Judge median(above) / median(below), rounds resampled together as they were measured together.

    With seconds per step of the peer above and ours below, the ratio says how many times as fast we are. `by_median`
    judges the ratio itself and not the worse end of its spread: for a bound on medians of a few seeds.
    """
    over, under = np.asarray(above, float), np.asarray(below, float)
    if over.shape != under.shape:
        raise ValueError(f"{what}: {over.size} rounds against {under.size} were not measured together")
    low, high = interval(lambda rows: np.median(over[rows], axis=1) / np.median(under[rows], axis=1), over.size)
    value = float(np.median(over) / np.median(under))
    judged = _verdict(what, value, unit, (value, value) if by_median else (low, high), at_least, at_most)
    return {**judged, "spread": [low, high]}


def _verdict(what: str, value: float, unit: str, spread: tuple[float, float], at_least: float | None,
             at_most: float | None) -> dict[str, Any]:
    """Write one line of a benchmark's answer; the unfavourable end of `spread` decides."""
    if at_least is not None and at_most is not None:
        raise ValueError(f"{what}: a figure has one bound")
    bound = at_most if at_least is None else at_least
    ok = (at_least is None or spread[0] >= at_least) and (at_most is None or spread[1] <= at_most)
    return {"what": what, "value": value, "unit": unit, "bound": bound, "ok": bool(ok), "spread": list(spread),
            "better": None if bound is None else "higher" if at_most is None else "lower"}
