"""Between which bounds a coprocessor commands: its own, those of whoever receives, or the published ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...loops.errors import AssemblyError, Problem
from ...loops.port import Port

USUAL = 5.0  # strength of commands in Pan et al. 2024 (arXiv:2406.06714)


def check(low: float | None, high: float | None) -> None:
    """Refuse bounds given the wrong way round."""
    if low is not None and high is not None and low > high:
        raise AssemblyError([Problem(f"low {low:g} lies above high {high:g}", "low", "Exchange them.")])


def found(low: float | None, high: float | None, receivers: Iterable[Port]) -> tuple[float, float]:
    """Return the bounds that were given; else what every receiver takes; else 5 either way.

    A limiter takes anything: there, give bounds, or have the published ones.
    """
    ports = list(receivers)
    least = low if low is not None else max((float(np.max(port.low)) for port in ports), default=-np.inf)
    most = high if high is not None else min((float(np.min(port.high)) for port in ports), default=np.inf)
    return (float(least) if np.isfinite(least) else -USUAL), (float(most) if np.isfinite(most) else USUAL)


def refuse_none(low: float, high: float) -> None:
    """Refuse bounds between which there is nothing."""
    if low > high:
        raise AssemblyError([Problem(f"commands would be drawn from {low:g} to {high:g}, which is no range",
                                     "low or high", "Give both, the smaller one as low.")])
