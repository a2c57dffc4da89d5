"""Numbers that change while a learner learns: a learning rate that falls, a clipping range that narrows."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from ...loops.bounds import Positive
from ...loops.errors import AssemblyError, Problem

_FORMS = {
    "step": "Write a number, or [first step, last step, value at the first, value at the last], for example "
            "[0, 100000, 1e-3, 0].",
    "epoch": "Write [first epoch, last epoch, value at the first, value at the last], for example [20, 100, 1, 15].",
}
Schedule = Positive | list[float]  # a number, or [first, last, start, end]


class Ramp:
    """A number that stays, or goes in a straight line from `start` at count `first` to `end` at `last`, then stays."""

    def __init__(self, given: float | list[float], name: str, unit: Literal["step", "epoch"] = "step") -> None:
        """Take what the parameter `name` holds, counted in units; AssemblyError says what is wrong with it."""
        if isinstance(given, (int, float)):
            self.first, self.last, self.start, self.end = 0.0, 1.0, float(given), float(given)
            return
        fits = len(given) == 4 and all(map(isfinite, given)) and 0 <= given[0] < given[1]
        if not fits or min(given[2:]) < 0 or max(given[2:]) <= 0:
            late = len(given) == 4 and given[0] >= given[1]
            raise AssemblyError([Problem(
                f"{given} is not a schedule" + (f": {unit} {given[1]:g} does not come after {unit} {given[0]:g}" if late
                                                else ""), name, _FORMS[unit])])
        self.first, self.last, self.start, self.end = map(float, given)

    def at(self, count: int) -> float:
        """Return the number in force after `count` steps."""
        share = min(max((count - self.first) / (self.last - self.first), 0.0), 1.0)
        return self.start + share * (self.end - self.start)
