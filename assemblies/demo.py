"""The demonstration behind `make demo`: the first study with shipped weights, then the elbow's own run report."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill

import typer

STUDY = "first_coprocessor"
QUESTION = ("A brain that learned to pose a MyoSuite elbow loses the connections of a layer. Does a coprocessor that\n"
            "learned to stimulate what is left help more than the best constant, or random, stimulation?")
SHIPPED = ("What was learned (60 000 steps) is shipped, so only the comparison runs: one seed, ten start states.\n"
           "docs/systems/first_coprocessor.md has the study itself.")
ROWS = ("Rows of the table: `healthy` before the lesion, `injured` after it, `learned` with the coprocessor.\n"
        "Recovery: how much of what the lesion took comes back; 1 is healthy again, 0 no better than injured.")
ANEW = "With --retrain every stage learns anew, for 200 steps, which is next to nothing: expect lines to fail."
MEDICAL = "This is a research simulation; it makes no medical claim."
VARIANTS = ("healthy", "injured", "constant", "random")
TUNED = ("The same elbow with a hand-tuned proportional controller in the weights of brains.mlp and a weaker lesion;\n"
         "nothing here was learned. The report shows what every electrode and neuron did.")


def main(folder: str = "runs", studies: str = "studies", small: bool = False, retrain: bool = False) -> int:
    """Show the study, then run every variant of the hand-tuned elbow; print tables and paths, write both reports."""
    from .commands.shared import allowing
    from .study_command import RERUN, Options, command

    typer.echo("\n".join([f"{STUDY} (small form)", QUESTION, ANEW if retrain else SHIPPED, ROWS, MEDICAL, ""]))
    options = Options(small=True, out=str(Path(studies) / f"{STUDY}_small"), retrain=retrain, rerun=RERUN)
    _, told, _ = command(STUDY, options, allowing([]), quiet=False)
    typer.echo(told)
    typer.echo(f"\nelbow_stimulation: {', '.join(VARIANTS)}\n{TUNED}\n")
    _elbow(Path(folder), small)
    return 0


def _elbow(folder: Path, small: bool) -> None:
    from ..loops.storage import runs
    from .loading import load
    from .reports.page import write_report
    from .reports.tables import MEANING, row, text

    assembly, found = load("elbow_stimulation"), []
    for name in VARIANTS:
        chosen = assembly.variant(name)
        found.append((chosen.small() if small else chosen).run(folder=folder))
    opened = [runs.open(run.path) for run in found]
    typer.echo("\n" + text([row(run) for run in opened]) + "\n\n" + fill(MEANING, 110))
    report = write_report(opened, folder / "elbow_stimulation" / "report.html")
    typer.echo("\n" + "\n".join([*(f"run     {run.path}" for run in opened), f"report  {report.resolve()}"]))


if __name__ == "__main__":
    sys.exit(main(retrain="--retrain" in sys.argv[1:]))
