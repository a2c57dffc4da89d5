"""What a study says: its stages, what they keep and are given, its measures, and what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .measures import Measure


@dataclass(frozen=True)
class Keep:
    """What a stage keeps for later ones: the learned part of one component, of its best cell or of each."""

    component: str
    best: Measure | None = None  # None: at the end of the run
    over: tuple[str, ...] = ()  # swept addresses of whose values only the best cell is kept
    variant: str = "base"


@dataclass(frozen=True)
class Stage:
    """One assembly, in all its variants and at all points of a sweep."""

    name: str
    assembly: str
    given: Mapping[str, str] = field(default_factory=dict)  # address -> what an earlier stage keeps
    variants: tuple[str, ...] = ("base",)
    sweep: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, Keep] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)  # address that an earlier stage sweeps -> the one here
    labels: Mapping[str, str] = field(default_factory=dict)  # variant -> what tables and figures call it

    def called(self, variant: str) -> str:
        """What people are told a variant is."""
        return self.labels.get(variant, variant)


@dataclass(frozen=True)
class Expectation:
    """One line of what is expected: a measure of a variant against a bound, or above another variant."""

    measure: str
    variant: str
    stage: str
    after: tuple[int, str] | None = None  # the row of the evaluation with exactly that counter; None: the last
    at_least: float | None = None
    at_most: float | None = None
    above: str | None = None  # a variant whose whole interval lies below
    among: tuple[int, int] | None = None  # in so many of so many cells
    label: str = ""  # what people are told the variant is
    above_label: str = ""


@dataclass(frozen=True)
class Figure:
    """A measure drawn as a line over another, or over an address that is swept."""

    x: str  # name of a measure, or address
    y: str  # name of a measure


@dataclass(frozen=True)
class Description:
    """A study as it was written, checked for its form."""

    name: str
    about: str
    stages: Mapping[str, Stage]
    measures: Mapping[str, Measure]
    expect: tuple[Expectation, ...]
    folder: Path  # files are named from here
    figures: tuple[Figure, ...] = ()
