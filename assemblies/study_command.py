"""`stimloop study`: plan, run, look at, and judge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..loops.errors import AssemblyError, Problem
from .inspection import table
from .settings import Settings
from .study import Result, load, say_nothing, text

RERUN = ("stale", "failed")


def parse_shard(given: str) -> tuple[int, int]:
    """Return `2/4` as (1, 4): the second of four processes begins with its own share."""
    first, _, second = given.partition("/")
    if first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second):
        return int(first) - 1, int(second)
    raise AssemblyError([Problem(f"{given!r} is no share of the work", "--shard", "Write for example 2/4.")])


def command(name: str, *, small: bool, out: str, workers: int, shard: str, rerun: list[str], accept_stale: bool,
            status: bool, allowed: Settings, quiet: bool) -> tuple[dict[str, Any], str, bool]:
    """Do what the command line asks; returns facts, text, and whether everything expected holds."""
    if odd := [state for state in rerun if state not in RERUN]:
        raise AssemblyError([Problem(f"{odd[0]!r} are no cells that can be run anew", "--rerun",
                                     f"Choose from {', '.join(RERUN)}.")])
    study = load(name, small=small, folder=Path(out) if out else None, allowed=allowed)
    if status:
        rows = study.status()
        return {"folder": str(study.folder), "cells": rows}, table(rows), True
    result = study.run(workers=workers, shard=parse_shard(shard or "1/1"), rerun=tuple(rerun),
                       accept_stale=accept_stale, say=say_nothing if quiet else _say)
    return facts(result), text(result, study.description.measures) + f"\n{study.folder}", result.passed


def facts(result: Result) -> dict[str, Any]:
    """Return a result as JSON has it."""
    rows = []
    for row in result.rows:
        told = {}
        for name, values in row.values.items():
            mean, low, high, n = row.summary(name)
            told[name] = {"interquartile_mean": mean, "interval": [low, high], "n": n, "values": list(values)}
        rows.append({"stage": row.stage, "variant": row.variant, "at": dict(row.group), "measures": told})
    lines = [{"measure": verdict.line.measure, "stage": verdict.line.stage, "variant": verdict.line.variant,
              "holds": verdict.holds, "says": verdict.says} for verdict in result.verdicts]
    return {"rows": rows, "expect": lines, "passed": result.passed}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
