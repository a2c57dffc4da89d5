"""`stimloop study`: plan, run, look at, and judge."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..loops.errors import AssemblyError, Problem, short
from ..loops.fleet import Fleet
from .inspection import table
from .settings import Settings
from .study import Result, Study, load, say_nothing
from .studying import plan, texts

RERUN = ("stale", "failed", "damaged")
NO_REPORT = 'no report: pip install "stimloop[reports]"'


def parse_shard(given: str) -> tuple[int, int]:
    """Return `2/4` as (1, 4): the second of four processes begins with its own share."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", given)
    if match and 1 <= int(match.group(1)) <= int(match.group(2)):
        return int(match.group(1)) - 1, int(match.group(2))
    raise AssemblyError([Problem(f"{short(given)} is no share of the work", "--shard", "Write I/N, where I counts "
                                 "from 1 to N: 2/4 is the second of four processes.")])


@dataclass(frozen=True)
class Options:
    """What the command line says of a study."""

    small: bool = False
    out: str = ""
    workers: int | None = None
    shard: str = ""
    rerun: tuple[str, ...] = ()
    accept_stale: bool = False
    retrain: bool = False
    plan: bool = False
    status: bool = False
    ship: str = ""
    on: str = ""
    address: str = ""


def command(name: str, options: Options, allowed: Settings, quiet: bool) -> tuple[dict[str, Any], str, bool]:
    """Do what the command line asks; returns facts, text, and whether everything expected holds."""
    if odd := [state for state in options.rerun if state not in RERUN]:
        raise AssemblyError([Problem(f"{odd[0]!r} are no cells that can be run anew", "--rerun",
                                     f"Choose from {', '.join(RERUN)}.")])
    if options.on not in ("", "ray"):
        raise AssemblyError([Problem(f"{short(options.on)} hosts no studies", "--on", "Write --on ray, or leave it "
                                     "out: then processes of this machine share the work (--workers).")])
    if options.address and not options.on:
        raise AssemblyError([Problem("there is no cluster to join without --on ray", "--address",
                                     f"Write --on ray --address {options.address}.")])
    shard = parse_shard(options.shard or "1/1")
    study = load(name, small=options.small, folder=Path(options.out) if options.out else None, allowed=allowed,
                 retrain=options.retrain)
    if options.plan:
        planned = plan.plan(study, study.checks.check())
        return planned, plan.text(planned), True
    if options.status:
        rows = study.status()
        shown = [{**row, "error": row.get("error", "").partition("\n")[0]} for row in rows]  # --json has it whole
        return {"folder": str(study.folder), "cells": rows}, table(shown), True
    return _run(study, options, shard, quiet)


def _run(study: Study, options: Options, shard: tuple[int, int], quiet: bool
         ) -> tuple[dict[str, Any], str, bool]:
    show = sys.stderr.isatty() and not quiet
    notices = study.checks.check()  # before the first run of many
    for notice in () if quiet else notices:
        _say(f"notice: {notice}")
    with _fleet(options) as fleet:
        result = study.run(workers=options.workers or 1, shard=shard, rerun=options.rerun, fleet=fleet,
                           accept_stale=options.accept_stale, say=say_nothing if quiet or show else _say, show=show)
    shipped = [str(file) for file in study.ship(Path(options.ship))] if options.ship else []
    report = report_of(study, result)
    told = texts.text(result.rows, result.verdicts, study.description.measures)
    kept = study.kept()
    lines = [*texts.kept_lines(kept), *(f"shipped {file}" for file in shipped), f"cells   {study.folder}",
             f"report  {report}" if report else NO_REPORT]
    said = {**facts(result), "kept": kept, "report": report, "shipped": shipped,
            "notices": [str(notice) for notice in notices]}
    return said, "\n".join([told, *lines]), result.passed


@contextmanager
def _fleet(options: Options) -> Iterator[Fleet | None]:
    """Have the fleet that the options ask for; what Ray prints of what it loses goes to stderr, beside our lines."""
    if not options.on:
        yield None
        return
    with redirect_stdout(sys.stderr), Fleet(options.address, options.workers) as fleet:
        yield fleet


def report_of(study: Study, result: Result) -> str:
    """Write the report into the folder of a study; empty where what draws it is not installed."""
    try:
        from .reports.study_page import write_report
    except ImportError:
        return ""
    return str(write_report(study, result, study.folder / "report.html"))


def facts(result: Result) -> dict[str, Any]:
    """Return a result as JSON has it."""
    rows = []
    for row in result.rows:
        told = {}
        for name, values in row.values.items():
            mean, low, high, n = row.summary(name)
            told[name] = {"interquartile_mean": mean, "interval": [low, high], "n": n, "values": list(values),
                          "episodes": row.spans[name].episodes or None, "not_finite": row.odd.get(name, 0),
                          "never": row.never(name)}
        rows.append({"stage": row.stage, "variant": row.variant, "label": row.called, "at": dict(row.group),
                     "measures": told})
    lines = [{"measure": verdict.line.measure, "stage": verdict.line.stage, "variant": verdict.line.variant,
              "holds": verdict.holds, "says": verdict.says} for verdict in result.verdicts]
    return {"rows": rows, "expect": lines, "passed": result.passed}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
