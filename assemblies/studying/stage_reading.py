"""One stage of a study read from its entry: its assembly, variants, sweep, and what it keeps and is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...loops.errors import AssemblyError, Problem, Problems, closest, nearest, short
from ..entries import overrides, unknown
from . import measures
from .cells import assembly_of
from .description import Keep, Stage
from .measures import Measure, Name

STAGE = ("assembly", "given", "variants", "labels", "sweep", "joins", "set", "keep")
KEEP = ("from", "at", "over", "variant")


def read_stage(name: str, entry: Mapping[str, Any], folder: Path, problems: Problems) -> Stage:
    """Return a stage from its entry; what is wrong is added to `problems`. Files are named from `folder`."""
    where = f"stages.{name}"
    unknown(entry, STAGE, where, problems)
    if not isinstance(entry.get("assembly"), str):
        problems.add("a stage needs an assembly", f"{where}.assembly", "Write a shipped name, or a path to a file.")
    sweep = _sweep(entry, where, problems)
    variants = _known(_variants(entry, where, problems), entry.get("assembly"), sweep, where, folder, problems)
    put = overrides(f"{where}.set", entry.get("set") or {}, problems) or {}
    for address in (swept for swept in sweep if _covered(swept, put)):
        problems.add(f"`set` gives {address} a value of its own, so that every value swept comes to the same run",
                     f"{where}.sweep.{address}", "Leave one of the two out.")
    keep = {}
    for kept, said in mapping(entry.get("keep"), f"{where}.keep", problems).items():
        keep[kept] = _keep(said, f"{where}.keep.{kept}", sweep, variants, problems)
    return Stage(name, str(entry.get("assembly") or ""), mapping(entry.get("given"), f"{where}.given", problems),
                 tuple(variants), {address: tuple(values) for address, values in sweep.items()}, put, keep,
                 _joins(entry, where, sweep, problems), _labels(entry, where, variants, problems))


def _covered(address: str, by: Mapping[str, Any]) -> bool:
    """Is an address, or something that holds it, given a value by overrides?"""
    return any(address == other or address.startswith(f"{other}.") for other in by)


def _variants(entry: Mapping[str, Any], where: str, problems: Problems) -> list[str]:
    """Read which variants of its assembly a stage runs, each once."""
    variants = entry.get("variants") or ["base"]
    if not isinstance(variants, list) or not all(isinstance(variant, str) for variant in variants):
        problems.add("is not a list of variants", f"{where}.variants", "Write for example [base, healthy].")
        return ["base"]
    return _once(variants, f"{where}.variants", problems)


def _known(variants: list[str], assembly: Any, sweep: Mapping[str, list[Any]], where: str, folder: Path,
           problems: Problems) -> list[str]:
    """Look for variants in the assembly of their stage; returns those that were meant.

    So a misspelt one is told where it is listed, and not wherever it is named rightly.
    """
    if not isinstance(assembly, str):
        return variants
    try:
        written = assembly_of(assembly, folder).get("variants") or {}
    except AssemblyError as error:
        problems.found += [replace(each, where=f"{where}.assembly: {each.where}".removesuffix(": "))
                           for each in error.problems]
        return variants
    known = ("base", *written)
    for variant in variants:
        if variant not in known:
            problems.add(f"{assembly} has no variant {short(variant)}", f"{where}.variants", nearest(variant, known))
        elif "seed" in written.get(variant, {}) and len(sweep.get("seed", ())) > 1:
            problems.add(f"variant {variant!r} of {assembly} has a seed of its own, so that every seed swept comes to "
                         "the same run", f"{where}.sweep.seed", "Leave one of the two out.")
    return [variant if variant in known else closest(variant, known) or variant for variant in variants]


def _sweep(entry: Mapping[str, Any], where: str, problems: Problems) -> dict[str, list[Any]]:
    """Read the values of each swept address: a value that stood twice would count one run as two."""
    found = {}
    for address, values in mapping(entry.get("sweep"), f"{where}.sweep", problems).items():
        here = f"{where}.sweep.{address}"
        if not isinstance(values, list) or not values:
            problems.add("is not a list of values", here, "Write for example {seed: [0, 1, 2]}.")
        elif any(isinstance(told, Mapping) for told in values):
            problems.add("mappings cannot be swept", here, "Sweep the addresses within them.")
        else:
            found[address] = _once(values, here, problems)
    return found


def _once(values: list[Any], where: str, problems: Problems) -> list[Any]:
    """Return values each once; one that stands twice is a problem."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
        elif not any(problem.where == where for problem in problems.found):
            problems.add(f"{short(value)} stands twice", where, "Write each once.")
    return found


def _labels(entry: Mapping[str, Any], where: str, variants: list[str], problems: Problems) -> dict[str, str]:
    """Read what variants are called in tables and figures, each by another name."""
    found: dict[str, str] = {}
    for variant, label in mapping(entry.get("labels"), f"{where}.labels", problems).items():
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
    joins = mapping(entry.get("joins"), f"{where}.joins", problems)
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
        best = read_measure(at.removeprefix("best "), f"{where}.at", problems)
        named = list(measures.names(best))
        if not named or any(name.variant or name.curve for name in named):
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


def read_measure(text: Any, where: str, problems: Problems) -> Measure:
    """Return a measure; where it is none, a name of nothing."""
    try:
        return measures.parse(text, where)
    except AssemblyError as error:
        problems.found += error.problems
        return Name("", "")


def mapping(value: Any, where: str, problems: Problems, needed: bool = False) -> dict[str, Any]:
    """Return a mapping of names; where it is none, an empty one."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    if value is not None or needed:
        problems.found.append(Problem("is not a mapping of names", where, "Write name: value."))
    return {}
