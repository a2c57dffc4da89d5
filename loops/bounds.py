"""Bounds of a component's numbers, as types: whoever checks parameters refuses the rest, and pages say them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Bound:
    """Marks a parameter: a number within bounds, or (with `finite=False`) one that may be infinite or no number.

    Without a mark every number in a parameter has to be finite.
    """

    above: float | None = None
    least: float | None = None
    most: float | None = None
    finite: bool = True


Positive = Annotated[float, Bound(above=0)]
NonNegative = Annotated[float, Bound(least=0)]
Share = Annotated[float, Bound(least=0, most=1)]
Count = Annotated[int, Bound(least=1)]  # of things without which there is nothing
Amount = Annotated[int, Bound(least=0)]  # of things of which there may be none
AnyNumbers = Annotated[dict, Bound(finite=False)]  # handed on to code that knows what it takes
