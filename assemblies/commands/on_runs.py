"""Commands on runs: resume, evaluate, compare, report, play, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import (
    ALLOW,
    JSON,
    SET,
    allowing,
    changed,
    emit,
    ending,
    error_text,
    finish,
    named,
    say_damage,
    told,
)

if TYPE_CHECKING:
    from ..settings import Settings


SIZE = Annotated[str, typer.Option(help="Width and height of the video in pixels.")]
SPEED = Annotated[float, typer.Option(help="How much faster than life it is shown.")]


def resume(places: Annotated[list[str], typer.Argument(
        callback=named, metavar="RUN", help="The directory of a run; several, folders or patterns such as "
                                               "'runs/*/*.zarr' to go on with each in turn.")],
           until: Annotated[str, typer.Option(help="Go on to here; a later stop.")] = "", allow: ALLOW = [],  # noqa: B006
           as_json: JSON = False) -> None:
    """Go on with a run exactly where its newest checkpoint stands; with several one after another.

    Without --until it goes on to the stop it was last given, and from there to the assembly's own `until`. Of several,
    one that is there already is left as it is, and one that fails does not stop the others (exit code 1).

    Example: stimloop resume runs/first/2026-11-20T170233_base_s0_1f3a9c02.zarr --until "20 episodes"

    Example: stimloop resume 'runs/mopac_*/*.zarr'
    """
    with told(as_json):
        from ..resume_command import is_one
        from ..resuming import resume as go_on

        if not is_one(places):
            _resume_each(places, until or None, allowing(allow), as_json)
            return
        outcome = go_on(Path(places[0]), until or None, allowed=allowing(allow), show=False if as_json else None)
        finish(outcome, as_json, [])


def _resume_each(places: list[str], until: str | None, allowed: Settings, as_json: bool) -> None:
    from ..resume_command import in_turn, runs_meant, summary

    runs, others = runs_meant(places)
    for other in others:
        typer.echo(f"notice: {other} is no run and was passed over", err=True)
    facts: list[dict[str, Any]] = []

    def begin(path: Path) -> None:
        if not as_json:
            typer.echo(f"[{len(facts) + 1}/{len(runs)}] {path}")

    for path, ended in in_turn(runs, until, allowed, False if as_json else None, begin):
        if isinstance(ended, Exception):
            found, text = {"path": str(path), "ended": "failed", "error": str(ended)}, "failed, as told on stderr"
            typer.echo(error_text(ended), err=True)
        else:
            found, text = ending(ended, as_json, [])
        facts.append(found)
        if not as_json:
            typer.echo(text + "\n")
    reasons = [found["ended"] for found in facts]
    emit(facts, as_json, summary(reasons, len(runs)))
    if "interrupted" in reasons or "failed" in reasons:
        raise typer.Exit(130 if "interrupted" in reasons else 1)


def evaluate(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
             name: Annotated[list[str], typer.Option(help="Only this evaluation of the assembly.")] = [],  # noqa: B006
             episodes: Annotated[int | None, typer.Option(min=1, help="So many, not as the assembly says.")] = None,
             seed: Annotated[int | None, typer.Option(min=0, help="Of the first episode; then they count up.")] = None,
             steps: Annotated[int | None, typer.Option(min=1, help="Cut an episode off after so many.")] = None,
             explore: Annotated[bool | None, typer.Option(
                 "--explore/--no-explore", help="Draw actions, or take the likeliest.", show_default=False)] = None,
             film: Annotated[str, typer.Option("--video", callback=named, metavar="FILE.mp4",
                                               help="Film the episodes, one after another.")] = "",
             size: SIZE = "640x480", speed: SPEED = 1.0,
             sets: SET = [], allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Let what a run's newest checkpoint has learned act anew, in numbers and on video; the run is not changed.

    Runs the evaluations of its assembly, or of one without any the --episodes asked for. Prints mean, standard
    deviation, least and most of return and length; --json also those of each episode.

    Example: stimloop evaluate runs/first/....zarr --episodes 50 --seed 0 --explore

    Example: stimloop evaluate runs/first/....zarr --episodes 3 --no-explore --video learned.mp4
    """
    if not film and (size, speed) != ("640x480", 1.0):
        raise typer.BadParameter("--size and --speed go with --video FILE.mp4")
    with told(as_json):
        from ..evaluate_command import Options, command
        from ..filming import Film

        rows, text = command(Path(path), list(name), Options(episodes, seed, steps, explore), changed(sets),
                             allowing(allow), Film(Path(film), size, speed) if film else None)
        for model in dict.fromkeys(model for row in rows.values() for model in row.get("by_chance", ())):
            if not as_json:
                typer.echo(f"notice: {model} was never fitted: who acts by it acts by chance", err=True)
        emit(rows, as_json, text)


def compare(first: Annotated[str, typer.Argument(callback=named, metavar="RUN")],
            second: Annotated[str, typer.Argument(callback=named, metavar="RUN")],
            as_json: JSON = False) -> None:
    """Compare two runs: what differs in description and versions, results side by side, and where the streams part.

    Example: stimloop compare runs/first/A.zarr runs/first/B.zarr
    """
    with told(as_json):
        from ..comparison import compare as hold_together

        facts, text, equal = hold_together(Path(first), Path(second))
        emit(facts, as_json, text)
        if not equal:
            raise typer.Exit(3)


def report(paths: Annotated[list[str], typer.Argument(
        callback=named, metavar="RUN|STUDY", help="One run, several to be compared, or a study.")],
           to: Annotated[str, typer.Option(callback=named, help="File to write (default: beside the first run).")] = "",
           as_json: JSON = False) -> None:
    """Write a page about a run (curves, activity, stimulation, wiring, warnings), or about a study.

    A study is named, or given by the folder of its cells.

    Example: stimloop report runs/elbow_stimulation/....zarr
    """
    with told(as_json):
        from ..report_command import command

        facts = command([Path(path) for path in paths], Path(to) if to else None)
        emit(facts, as_json, facts["report"])


def play(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
         to: Annotated[str, typer.Option(callback=named, help="Video to write, .mp4 (default: beside the run).")] = "",
         episode: Annotated[int | None, typer.Option(min=-1, help="Only this one; -1: the last that is over.")] = None,
         lane: Annotated[int, typer.Option(min=0, help="Which of the parallel worlds is shown.")] = 0,
         body: Annotated[str, typer.Option(callback=named, help="Name of the body, where there are several.")] = "",
         size: SIZE = "640x480", speed: SPEED = 1.0,
         allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Show a run again as video: its actions are played into its body, and held against what was recorded.

    Exit code 3 says that the body did not do again what was recorded; the video is written all the same. A video of
    what was learned, acting anew: stimloop evaluate RUN --video FILE.mp4

    Example: stimloop play runs/point_mass/....zarr --episode -1 --to last.mp4
    """
    with told(as_json):
        from ..playing import play as show_again
        from ..reports import video

        facts = show_again(Path(path), Path(to) if to else None, episode=episode, lane=lane, body=body or None,
                           size=size, speed=speed, allowed=allowing(allow), show=False if as_json else None)
        if (passed := facts["passed_over"]) is not None and not as_json:
            typer.echo(f"notice: the run stopped in the middle of episode {passed}; shown is the last that is over, "
                       f"{facts['episodes'][0]} (--episode {passed} shows the other)", err=True)
        if facts["differs"] and not as_json:
            typer.echo(f"notice: {facts['differs']}", err=True)
        emit(facts, as_json, video.told(facts))
        if facts["differs"]:
            raise typer.Exit(3)


def export(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
           to: Annotated[str, typer.Option(
               callback=named, help="Folder to write into, which must not exist; or tensorboard, wandb, or minari.")],
           out: Annotated[str, typer.Option(
               callback=named, help="Folder of tensorboard, wandb or minari (default: beside the run).")] = "",
           follow: Annotated[bool, typer.Option(
               "--follow", help="Go on until the run has ended; to tensorboard or wandb.")] = False,
           weights: Annotated[str, typer.Option(
               metavar="COMPONENT", help="Write what this component learned instead, to the file --to.")] = "",
           body: Annotated[str, typer.Option(
               callback=named, help="To minari: name of the body, where there are several.")] = "",
           allow: ALLOW = [],  # noqa: B006
           as_json: JSON = False) -> None:
    """Write a run as plain files, one .npz a stream and one .csv a table; or its scalars to TensorBoard or W&B.

    Or what a component had learned at the newest checkpoint, for `weights:` of another assembly. Or the steps of a
    body as a Minari data set, for `learners.cql` and for others who learn without a body.

    Example: stimloop export runs/first/....zarr --to tensorboard --follow

    Example: stimloop export runs/first/....zarr --weights brain --to brain.safetensors

    Example: stimloop export runs/first/....zarr --to minari --out collected
    """
    with told(as_json):
        if body and to != "minari":
            raise typer.BadParameter(f"--body goes with --to minari, not with --to {to}")
        if weights:
            _export_weights(Path(path), weights, to, allowing(allow), as_json)
        elif to in ("tensorboard", "wandb"):
            _export_scalars(Path(path), to, Path(out) if out else None, follow, as_json)
        elif to == "minari" and not follow:
            _export_steps(Path(path), Path(out) if out else None, allowing(allow), body or None, as_json)
        elif out or follow:
            raise typer.BadParameter("--out and --follow go with --to tensorboard or --to wandb, and --out with --to "
                                     f"minari; {to!r} is written once")
        else:
            _export_files(Path(path), Path(to), as_json)


def _export_weights(path: Path, weights: str, to: str, allowed: Settings, as_json: bool) -> None:
    from ..resuming import export_weights

    if not to.endswith(".safetensors"):
        raise typer.BadParameter(f"--weights goes with --to FILE.safetensors, not with --to {to}")
    facts = export_weights(path, weights, Path(to), allowed=allowed)
    emit(facts, as_json, f"{facts['weights']}: {weights} at {facts['at']}")


def _export_steps(path: Path, out: Path | None, allowed: Settings, body: str | None, as_json: bool) -> None:
    from ..reports.export_minari import export_minari

    facts, text = export_minari(path, out, allowed, body)
    say_damage(facts["damage"], as_json)
    emit(facts, as_json, text)


def _export_files(path: Path, to: Path, as_json: bool) -> None:
    from ..listing import export_run

    files, damage = export_run(path, to)
    say_damage(damage, as_json)
    emit({"files": files, "damage": damage}, as_json, "\n".join(files))


def _export_scalars(path: Path, to: str, out: Path | None, follow: bool, as_json: bool) -> None:
    from ..reports.following import export_scalars

    facts, text = export_scalars(path, to, out, follow,
                                 lambda words: None if as_json else typer.echo(words, err=True))
    say_damage(facts["damage"], as_json)
    emit(facts, as_json, text)
