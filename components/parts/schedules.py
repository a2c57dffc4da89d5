"""Numbers that change while a learner learns: a learning rate that falls, a clipping range that narrows."""

from __future__ import annotations

from math import isfinite
from typing import Literal

import numpy as np

from ...loops.bounds import Positive
from ...loops.errors import AssemblyError, Problem, counted

_FORMS = {
    "step": "Write a number, or [first step, last step, value at the first, value at the last], for example "
            "[0, 100000, 1e-3, 0].",
    "share": "Write a number from 0 to 1, or [first step, last step, share at the first, share at the last], for "
             "example [0, 10000, 1, 0].",
    "epoch": "Write [first epoch, last epoch, value at the first, value at the last], for example [20, 100, 1, 15].",
}
Schedule = Positive | list[float]  # a number, or [first, last, start, end]


class Ramp:
    """A number that stays, or goes in a straight line from `start` at count `first` to `end` at `last`, then stays."""

    def __init__(self, given: float | list[float], name: str, unit: Literal["step", "share", "epoch"] = "step") -> None:
        """Take what the parameter `name` holds, counted in units; AssemblyError says what is wrong with it."""
        if isinstance(given, (int, float)):
            self.first, self.last, self.start, self.end = 0.0, 1.0, float(given), float(given)
            return
        if why := _wrong(given, unit):
            raise AssemblyError([Problem(f"{given} is not a schedule: {why}", name, _FORMS[unit])])
        self.first, self.last, self.start, self.end = map(float, given)

    def at(self, count: int) -> float:
        """Return the number in force after `count` steps."""
        share = min(max((count - self.first) / (self.last - self.first), 0.0), 1.0)
        return self.start + share * (self.end - self.start)

    def each(self, counts: np.ndarray) -> np.ndarray:
        """Return the number in force after each of these counts, float64."""
        share = np.clip((counts - self.first) / (self.last - self.first), 0.0, 1.0)
        return self.start + share * (self.end - self.start)


def _wrong(given: list[float], unit: Literal["step", "share", "epoch"]) -> str:
    """Say why these numbers are no schedule; nothing where they are one."""
    if len(given) != 4:
        return f"it has {counted(len(given), 'number')}"
    if odd := [number for number in given if not isfinite(number)]:
        return f"{odd[0]} is not finite"
    first, last, *values = given
    counts = "epoch" if unit == "epoch" else "step"
    if first < 0:
        return f"{counts} {first:g} is before the first"
    if first >= last:
        return f"{counts} {last:g} does not come after {counts} {first:g}"
    if min(values) < 0:
        return f"{min(values):g} is below 0"
    return "both its values are 0" if unit == "step" and max(values) == 0 else ""


def ramp_of_shares(given: float | list[float], name: str) -> Ramp:
    """Return the ramp of the parameter `name` whose numbers are shares; AssemblyError where one is not in [0, 1]."""
    values = [given] if isinstance(given, (int, float)) else given[2:]
    if odd := [value for value in values if not 0 <= value <= 1]:
        raise AssemblyError([Problem(f"{odd[0]:g} is no share", name, "Write numbers from 0 to 1.")])
    return Ramp(given, name, "share")
