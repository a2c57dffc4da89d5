"""What a study says: its stages, what they keep and are given, its measures, and what is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem, Problems, nearest, short
from ..document import read
from ..entries import NAME, overrides, unknown
from . import measures
from .measures import Measure, Name

ENTRIES = ("name", "about", "stages", "measure", "expect", "small")
STAGE = ("assembly", "given", "variants", "labels", "sweep", "joins", "set", "keep")
KEEP = ("from", "at", "over", "variant")
EXPECT = ("measure", "variant", "stage", "after", "at_least", "at_most", "above", "in")
_AFTER = re.compile(r"([0-9][0-9_]*) (steps?|episodes?|updates?)")
_SHARE = re.compile(r"([0-9]+) of ([0-9]+)")


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
class Description:
    """A study as it was written, checked for its form."""

    name: str
    about: str
    stages: Mapping[str, Stage]
    measures: Mapping[str, Measure]
    expect: tuple[Expectation, ...]
    folder: Path  # files are named from here

    @staticmethod
    def load(path: str | Path, small: bool = False) -> Description:
        """Read a study from a YAML file. Raises AssemblyError with all that is wrong in its form."""
        path, problems = Path(path), Problems()
        value, _ = read(path, problems)
        if isinstance(value, Mapping) and "components" in value and "stages" not in value:
            raise AssemblyError([Problem("this is an assembly, not a study", path.name,
                                         f"Use stimloop run {path} or stimloop check {path}.")])
        made = describe(value, path.resolve().parent, problems, small)
        problems.raise_if_any(path.name)
        return made


def describe(value: Any, folder: Path, problems: Problems, small: bool = False) -> Description:
    """Return a study from plain values; what is wrong is added to `problems`."""
    if not isinstance(value, Mapping):
        problems.add("is not a mapping", "", "Write name, stages, measure and expect.")
        return Description("study", "", {}, {}, (), folder)
    unknown(value, ENTRIES, "", problems)
    stages: dict[str, Any] = {}
    for name, entry in _mapping(value.get("stages"), "stages", problems, needed=True).items():
        if isinstance(entry, Mapping) and NAME.fullmatch(name):
            stages[name] = dict(entry)
        else:
            problems.add("is no stage", f"stages.{name}", "Write for example brain: {assembly: healthy_elbow}.")
    changes = _mapping(value.get("small"), "small", problems) if small else {}
    expect = changes.pop("expect", value.get("expect")) or []
    for address, part in changes.items():
        _put(stages, address, part, problems)
    made = {name: _stage(name, entry, problems) for name, entry in stages.items()}
    read_measures = {name: _measure(text, f"measure.{name}", problems)
                     for name, text in _mapping(value.get("measure"), "measure", problems).items()}
    _check_given(made, problems)
    if not isinstance(expect, list):
        problems.add("is not a list", "expect", "Write: expect: [{variant: base, measure: recovery, at_least: 0.9}]")
        expect = []
    lines = [_expectation(entry, f"expect.{i}", made, read_measures, problems) for i, entry in enumerate(expect)]
    return Description(str(value.get("name") or "study"), str(value.get("about") or ""), made, read_measures,
                       tuple(line for line in lines if line is not None), folder)


def _put(stages: dict[str, Any], address: str, part: Any, problems: Problems) -> None:
    """Apply one change of `small`: `stage.entry` or `stage.entry.key`, None removes; `expect` stands for itself."""
    stage, _, rest = address.partition(".")
    entry, _, key = rest.partition(".")
    if stage not in stages or entry not in STAGE:
        problems.add("names nothing in this study", f"small.{address}", nearest(stage, stages))
    elif key:
        stages[stage][entry] = {**(stages[stage].get(entry) or {}), key: part}
    else:
        stages[stage][entry] = part


def _stage(name: str, entry: Mapping[str, Any], problems: Problems) -> Stage:
    where = f"stages.{name}"
    unknown(entry, STAGE, where, problems)
    if not isinstance(entry.get("assembly"), str):
        problems.add("a stage needs an assembly", f"{where}.assembly", "Write a shipped name, or a path to a file.")
    variants = entry.get("variants") or ["base"]
    if not isinstance(variants, list) or not all(isinstance(variant, str) for variant in variants):
        problems.add("is not a list of variants", f"{where}.variants", "Write for example [base, healthy].")
        variants = ["base"]
    sweep = _mapping(entry.get("sweep"), f"{where}.sweep", problems)
    if odd := [address for address, values in sweep.items() if not isinstance(values, list) or not values]:
        problems.add("is not a list of values", f"{where}.sweep.{odd[0]}", "Write for example {seed: [0, 1, 2]}.")
    for address, values in sweep.items():
        if address not in odd and any(isinstance(told, Mapping) for told in values):
            problems.add("mappings cannot be swept", f"{where}.sweep.{address}", "Sweep the addresses within them.")
    keep = {}
    for kept, said in _mapping(entry.get("keep"), f"{where}.keep", problems).items():
        keep[kept] = _keep(said, f"{where}.keep.{kept}", sweep, variants, problems)
    return Stage(name, str(entry.get("assembly")), dict(_mapping(entry.get("given"), f"{where}.given", problems)),
                 tuple(variants), {address: tuple(values) for address, values in sweep.items() if address not in odd},
                 overrides(f"{where}.set", entry.get("set") or {}, problems) or {}, keep,
                 _joins(entry, where, sweep, problems), _labels(entry, where, variants, problems))


def _labels(entry: Mapping[str, Any], where: str, variants: list[str], problems: Problems) -> dict[str, str]:
    """Read what variants are called in tables and figures, each by another name."""
    found: dict[str, str] = {}
    for variant, label in _mapping(entry.get("labels"), f"{where}.labels", problems).items():
        if variant not in variants:
            problems.add(f"there is no variant {short(variant)} in this stage", f"{where}.labels.{variant}",
                         nearest(variant, variants))
        elif not isinstance(label, str) or not label.strip() or label in variants or label in found.values():
            problems.add(f"{short(label)} is no name that only this variant has", f"{where}.labels.{variant}",
                         "Write for example labels: {base: learned}.")
        else:
            found[variant] = label
    return found


def _joins(entry: Mapping[str, Any], where: str, sweep: Mapping[str, Any], problems: Problems) -> dict[str, str]:
    """Read which address swept above stands for which one swept here, where they are not the same."""
    joins = _mapping(entry.get("joins"), f"{where}.joins", problems)
    for there, here in joins.items():
        if here not in sweep:
            problems.add(f"{short(here)} is not swept here", f"{where}.joins.{there}", nearest(str(here), sweep))
    return joins


def _keep(said: Any, where: str, sweep: Mapping[str, Any], variants: list[str], problems: Problems) -> Keep:
    if not isinstance(said, Mapping) or not isinstance(said.get("from"), str):
        problems.add("does not say whose learned part to keep", where, "Write: {from: brain, at: end}")
        return Keep("")
    unknown(said, KEEP, where, problems)
    at, best = str(said.get("at", "end")), None
    if at.startswith("best "):
        best = _measure(at.removeprefix("best "), f"{where}.at", problems)
        named = list(measures.names(best))
        if not named or any(name.variant for name in named):
            problems.add(f"{short(at)} names no moment", f"{where}.at",
                         "Write `best` and a column of the run's own evaluations, such as best test.return.")
    elif at != "end":
        problems.add(f"{short(at)} is no moment", f"{where}.at", "Write end, or best test.return.")
    over = said.get("over") or []
    for address in over if isinstance(over, list) else [over]:
        if address not in sweep:
            problems.add(f"{short(address)} is not swept here", f"{where}.over", nearest(str(address), sweep))
    if over and best is None:
        problems.add("says over what to choose, but not by which measure", where, "Write at: best test.return.")
    variant = str(said.get("variant", variants[0]))
    if variant not in variants:
        problems.add(f"there is no variant {short(variant)} in this stage", f"{where}.variant",
                     nearest(variant, variants))
    return Keep(said["from"], best, tuple(map(str, over)), variant)


def _check_given(stages: Mapping[str, Stage], problems: Problems) -> None:
    """What is given has been kept by a stage above, and once; what is joined is swept by one above."""
    kept: dict[str, str] = {}
    swept: dict[str, str] = {}
    for name, stage in stages.items():
        for address in stage.joins:
            if address not in swept:
                problems.add(f"no stage above sweeps {short(address)}", f"stages.{name}.joins.{address}",
                             nearest(address, swept))
        swept |= dict.fromkeys(stage.sweep, name)
        for address, artifact in stage.given.items():
            if artifact not in kept:
                problems.add(f"no stage above keeps {short(artifact)}", f"stages.{name}.given.{address}",
                             nearest(str(artifact), kept))
        for artifact in stage.keep:
            if artifact in kept:
                problems.add(f"stage {kept[artifact]} keeps {artifact!r} already", f"stages.{name}.keep.{artifact}")
            kept[artifact] = name


def _expectation(entry: Any, where: str, stages: Mapping[str, Stage], known: Mapping[str, Measure], problems: Problems
                 ) -> Expectation | None:
    if not isinstance(entry, Mapping) or not stages:
        problems.add("is no expectation", where, "Write: {variant: base, measure: recovery, at_least: 0.9}")
        return None
    unknown(entry, EXPECT, where, problems)
    stage = str(entry.get("stage", next(reversed(stages))))
    if stage not in stages:
        problems.add(f"there is no stage {short(stage)}", f"{where}.stage", nearest(stage, stages))
        return None
    variants, variant = stages[stage].variants, str(entry.get("variant", "base"))
    for key in ("variant", "above"):
        if key in entry and entry[key] not in variants:
            problems.add(f"stage {stage} has no variant {short(entry[key])}", f"{where}.{key}",
                         nearest(str(entry[key]), variants))
    measure = str(entry.get("measure", ""))
    if measure not in known:
        problems.add(f"there is no measure {short(measure)}", f"{where}.measure", nearest(measure, known))
    bounds = {key: entry[key] for key in ("at_least", "at_most", "above") if key in entry}
    if len(bounds) != 1:
        problems.add("needs one of at_least, at_most and above", where)
    for key in ("at_least", "at_most"):
        if key in bounds and not _is_number(bounds[key]):
            problems.add(f"{short(bounds[key])} is no bound", f"{where}.{key}", "Write a finite number, such as 0.9.")
    return Expectation(measure, variant, stage, _after(entry.get("after"), where, problems),
                       bounds.get("at_least"), bounds.get("at_most"), bounds.get("above"),
                       _among(entry.get("in"), where, problems), stages[stage].called(variant),
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


def _among(value: Any, where: str, problems: Problems) -> tuple[int, int] | None:
    if value is None:
        return None
    match = _SHARE.fullmatch(str(value))
    if match is None or not 0 < int(match.group(1)) <= int(match.group(2)):
        problems.add(f"{short(value)} is no share of the cells", f"{where}.in", "Write for example 4 of 5.")
        return None
    return int(match.group(1)), int(match.group(2))


def _measure(text: Any, where: str, problems: Problems) -> Measure:
    try:
        return measures.parse(text, where)
    except AssemblyError as error:
        problems.found += error.problems
        return Name("", "")


def _mapping(value: Any, where: str, problems: Problems, needed: bool = False) -> dict[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    if value is not None or needed:
        problems.found.append(Problem("is not a mapping of names", where, "Write name: value."))
    return {}
