"""The command on studies."""

from __future__ import annotations

from typing import Annotated

import typer

from .shared import ALLOW, JSON, SMALL, allowing, emit, named, told


def study(name: Annotated[str, typer.Argument(callback=named, help="A shipped study, or the path of a YAML file.")],
          small: SMALL = False,
          out: Annotated[str, typer.Option(callback=named, help="Folder of its cells (default: studies/NAME).")] = "",
          workers: Annotated[int | None, typer.Option(min=1, help="Processes that share the work (default: 1; on a "
                                                                  "cluster as many as it has CPUs).")] = None,
          on: Annotated[str, typer.Option(metavar="ray", help="Let a Ray cluster run the cells: one started here, "
                                                              "or --address.")] = "",
          address: Annotated[str, typer.Option(metavar="HOST:PORT|auto", help="Ray cluster to join.")] = "",
          shard: Annotated[str, typer.Option(metavar="I/N", help="Which of N processes on one folder this is.")] = "",
          plan: Annotated[bool, typer.Option("--plan", help="Say stages, cells and time left; run nothing.")] = False,
          status: Annotated[bool, typer.Option("--status", help="Say how far each cell is; run nothing.")] = False,
          retrain: Annotated[bool, typer.Option("--retrain", help="Skip no stage for shipped weights.")] = False,
          ship: Annotated[str, typer.Option(callback=named, metavar="FOLDER", help="Copy what is kept there.")] = "",
          rerun: Annotated[list[str], typer.Option(metavar="STATE", help="Run anew: stale, failed or damaged.")] = [],  # noqa: B006
          accept_stale: Annotated[bool, typer.Option("--accept-stale", help="Take cells whose code changed.")] = False,
          allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Run a study: assemblies in order, over variants, sweeps and seeds, to one table and a verdict.

    What has finished is skipped, what was interrupted goes on; several processes may share one folder. A stage that
    made shipped weights is skipped too, where they are all that is asked of it.

    Example: stimloop study first_coprocessor --workers 2
    """
    with told(as_json):
        from ..study_command import Options, command

        options = Options(small, out, workers, shard, tuple(rerun), accept_stale, retrain, plan, status, ship, on,
                          address)
        facts, text, passed = command(name, options, allowing(allow), as_json)
        emit(facts, as_json, text)
        if not passed:
            raise typer.Exit(3)
