"""What a study says to people: its table and its verdicts in lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .cells import point_text
from .description import Expectation
from .measures import Term
from .tables import Row, Verdict

SHOWN = 12  # kept files that the text names one by one
NEVER = "never"  # what is said of a bound that was not held
_FEW = range(2, 5)  # cells of which all resamples may be the same one often enough to set both ends of an interval


def text(rows: Iterable[Row], verdicts: Iterable[Verdict], measures: Mapping[str, Any]) -> str:
    """Return table and verdicts as text."""
    from ..inspection import table

    lines, rows = [], list(rows)
    swept = any(row.group for row in rows)
    for row in rows:
        told = {name: cell_of(row, name) for name in measures}
        at = {"at": point_text(row.group)} if swept else {}
        lines.append({"stage": row.stage, "variant": row.called, **at, **told})
    said = [f"{'PASS' if verdict.holds else 'FAIL'}  {line_of(verdict.line)}: {verdict.says}" for verdict in verdicts]
    return "\n".join([table(lines), meaning(rows), *formulas(measures), *said])


def formulas(measures: Mapping[str, Any]) -> list[str]:
    """Say how each measure is computed that is more than one number of a run."""
    return [f"{name} = {str(measure).removeprefix('(').removesuffix(')')}" for name, measure in measures.items()
            if isinstance(measure, Term)]


def count(number: int, noun: str) -> str:
    """Return `1 cell` or `2 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(said: Mapping[str, Any]) -> str:
    """Return of which moment of its run something is kept."""
    if not said:
        return "as it was at the end"
    return (f"{said['measure']} {said['value']:.4g} after {count(said['steps'], 'step')} "
            f"(row {said['row']} of {said['rows']} of evaluation {said['evaluation']})")


def kept_lines(kept: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what was kept, one line each."""
    lines = [f"kept    {each['kept']} of {each['from']}: {each['moment']}" for each in kept[:SHOWN]]
    return lines + ([f"... and {len(kept) - SHOWN} more (--json and the report name all)"] if len(kept) > SHOWN else [])


def cell_of(row: Row, measure: str) -> str:
    """Return one cell of the table: interquartile mean, interval and number of cells, and in how many it never came."""
    mean, _, _, count = row.summary(measure)
    odd, never = row.odd.get(measure, 0), row.never(measure)
    if not count:
        return f"not finite n={odd}" if odd else ""
    more = f", {odd} not finite" if odd else ""
    if never == count:
        return f"{NEVER} (counts as {mean:.4g}) n={count}{more}"
    return f"{mean:.4g} {row.spans[measure]} n={count}" + (f", {never} {NEVER}" if never else "") + more


def line_of(line: Expectation) -> str:
    """Return a line of what is expected, in words."""
    bound = (f"at least {line.at_least:g}" if line.at_least is not None else f"at most {line.at_most:g}"
             if line.at_most is not None else f"above {line.above_label or line.above}")
    share = f" in {line.among[0]} of {line.among[1]}" if line.among else ""
    after = f" after {line.after[0]} {line.after[1]}" if line.after else ""
    return f"{line.measure} of {line.stage}:{line.label or line.variant}{after} {bound}{share}"


def meaning(rows: Iterable[Row]) -> str:
    """Say what the numbers of a table are."""
    rows = list(rows)
    counts = sorted({span.episodes for row in rows for span in row.spans.values() if span.episodes})
    told = "Each number: interquartile mean of n cells [95 % bootstrap interval]."
    if counts:
        told += (f"\nWhere n is 1 the interval is over the episodes of that cell ({', '.join(map(str, counts))}), "
                 "and says nothing of other seeds.")
    if any(len(values) in _FEW for row in rows for values in row.values.values()):
        told += "\nOf 2 to 4 cells the interval goes from the lowest to the highest of them."
    if any(row.never(measure) for row in rows for measure in row.values):
        told += (f"\nWhere a bound was {NEVER} held, the limit that the measure gives counts as its steps; beside the "
                 "number stands in how many cells that is so.")
    return told
