"""The demonstration behind `make demo`: an injured brain at a MyoSuite elbow, with and without stimulation."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill

import typer

VARIANTS = ("healthy", "injured", "constant", "random")
NOTE = ("The brain is a hand-tuned proportional controller put into the weights of brains.mlp; nothing was learned.\n"
        "What to see: the lesion lowers the return (healthy against injured). Constant and random currents know\n"
        "nothing of the goal and do not repair it; to find currents that do takes learning, with a later release.\n"
        "This is a research simulation; it makes no medical claim.")


def main(folder: str = "runs", small: bool = False) -> int:
    """Run every variant, print one table and the paths, write the report."""
    from ..loops.storage import runs
    from .loading import load
    from .reports.page import write_report
    from .reports.tables import MEANING, row, text

    assembly = load("elbow_stimulation")
    typer.echo(f"elbow_stimulation: {', '.join(VARIANTS)}\n{NOTE}\n")
    found = []
    for name in VARIANTS:
        chosen = assembly.variant(name)
        found.append((chosen.small() if small else chosen).run(folder=Path(folder)))
    opened = [runs.open(run.path) for run in found]
    typer.echo("\n" + text([row(run) for run in opened]) + "\n\n" + fill(MEANING, 110))
    report = write_report(opened, Path(folder) / "elbow_stimulation" / "report.html")
    typer.echo("\n" + "\n".join([*(f"run     {run.path}" for run in opened), f"report  {report.resolve()}"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
