"""Runs side by side as the arms of an experiment: those that differ by their seed alone belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...loops.storage.runs import Run
from ..differences import exact
from ..normal import addresses
from ..studying.cells import UNLEARNT
from .reading import said

_MOST = 3  # differences that a name tells


def arms_of(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Return runs by arm, in the order given: assembly, variant, and what else decides what they do, but no seed.

    An arm is called by its variant, where there are several assemblies by both; where two would be called the same,
    the addresses at which they differ are told too.
    """
    several = len({str(run.attributes.get("name")) for run in runs}) > 1
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        told = [run.attributes.get("name")] if several else []
        name = " ".join(map(str, [*told, run.attributes.get("variant", "")]))
        what = exact(_addresses(run))
        while run.attributes.get("seed") in (other.attributes.get("seed") for other in groups.get((name, what), ())):
            name += ", again"  # the same seed counts once in each arm
        groups.setdefault((name, what), []).append(run)
    named: dict[str, list[Run]] = {}
    for (name, _), group in groups.items():
        named.setdefault(name, []).append(group[0])
    return [(", ".join([name, *_apart(group[0], named[name])]), group) for (name, _), group in groups.items()]


def _addresses(run: Run) -> dict[str, Any]:
    document = said(run, "assembly", {})
    if not isinstance(document.get("components"), Mapping):
        return {}
    return {key: value for key, value in addresses(document).items()
            if key != "seed" and key.partition(".")[0] not in UNLEARNT}


def _apart(run: Run, others: Sequence[Run]) -> list[str]:
    """Say what a run has where others of its name have something else."""
    own, theirs = _addresses(run), [_addresses(other) for other in others]
    keys = sorted({key for told in theirs for key in told})
    apart = [key for key in keys if len({exact(told.get(key)) for told in theirs}) > 1]
    more = [f"and {len(apart) - _MOST} more"] if len(apart) > _MOST else []
    return [f"{key}={own.get(key, 'left out')}" for key in apart[:_MOST]] + more
