"""The command line. Nothing heavy is imported before a command needs it.

This file is longer than 300 lines because the options of every command stand in it, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import ALLOW, JSON, SET, SMALL, VARIANT, allowing, emit, named, say_notices, say_version, told

if TYPE_CHECKING:
    from .assembly import Assembly
    from .settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="""Closed-loop experiments between brains, bodies and stimulators.

    Examples:

      stimloop run pendulum_first --small

      stimloop run elbow_stimulation --variant injured --set seed=3

      stimloop show elbow_stimulation --latency

    Exit codes: 0 done; 1 something given is wrong (said on stderr); 2 wrong command line; 3 compared things differ, or
    a check failed; 130 interrupted.
    """)


@app.callback()
def common(version: Annotated[bool, typer.Option("--version", callback=say_version, is_eager=True,
                                                 help="Print the version.")] = False) -> None:
    """Options of the command line as a whole."""


def chosen(name: str, variant: str, small: bool, sets: list[str], allow: list[str]) -> tuple[Assembly, Settings]:
    """Return the assembly that the options describe, and what the user allows."""
    from .loading import load

    changes, allowed = changed(sets), allowing(allow)
    return load(name, allowed).resolve(variant=variant, small=small, set=changes), allowed


def changed(sets: list[str]) -> dict[str, Any]:
    """Return what the options `--set` change, by address."""
    from ..loops.errors import Problems
    from .overrides import parse_set

    problems, changes = Problems(), {}
    for text in sets:
        changes.update(parse_set(text, problems))
    problems.raise_if_any()
    return changes


@app.command()
def run(name: Annotated[str, typer.Argument(callback=named, help="A shipped assembly, or the path of a YAML file.")],
        until: Annotated[str, typer.Option(help="Stop here instead: 10 s, 3000 steps, 5 episodes.")] = "",
        variant: VARIANT = "base", sets: SET = [], small: SMALL = False,  # noqa: B006 (typer copies it)
        dry: Annotated[bool, typer.Option("--dry", help="Check and print what would run; run nothing.")] = False,
        trace: Annotated[int, typer.Option(min=0, help="Print the first N instants as a table; record nothing.")] = 0,
        profile: Annotated[bool, typer.Option("--profile", help="Print what each component cost.")] = False,
        speed: Annotated[float | None, typer.Option(help="Keep pace with the wall clock (1: real time).")] = None,
        out: Annotated[str, typer.Option(
            callback=named, help="Folder for runs (default: runs, or as stimloop.toml says).")] = "",
        allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Run an assembly, recorded.

    Example: stimloop run elbow_stimulation --variant random --set limiter.params.peak=3 --small
    """
    with told(as_json):
        assembly, allowed = chosen(name, variant, small, sets, allow)
        if dry or trace:
            from .inspection import dry_run, trace_table

            text, facts = trace_table(assembly, allowed, trace) if trace else dry_run(assembly, allowed, until or None)
            emit(facts, as_json, text)
            return
        from .execute import start

        profiles: list[Any] = []
        outcome = start(assembly, until or None, folder=Path(out) if out else None, allowed=allowed,
                        speed=speed, show=False if as_json else None,
                        prepare=_profiler(profiles) if profile else None)
        _finish(outcome, as_json, [row for each in profiles for row in each.table()])


def _profiler(found: list[Any]) -> Any:
    from ..loops.profile import Profile

    return lambda loop: found.append(Profile(loop))


def _finish(outcome: Any, as_json: bool, profile: list[dict[str, Any]]) -> None:
    from ..loops.errors import Problem
    from ..loops.storage.runs import Run
    from .earned import earned
    from .inspection import outcome_text, table
    from .reports.learning_signs import never_updated

    run = Run(outcome.path)
    found = earned(run)
    notices = [*outcome.notices, *(Problem(text, notice=True) for text in never_updated(run))]
    say_notices(notices, as_json)
    facts = {"path": str(outcome.path), "ended": outcome.reason, **outcome.facts, **found,
             "notices": [str(notice) for notice in notices]}
    if profile:
        facts["profile"] = profile
    emit(facts, as_json, outcome_text(outcome, found) + ("\n" + table(profile) if profile else ""))
    if outcome.reason == "interrupted":
        raise typer.Exit(130)


@app.command()
def resume(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
           until: Annotated[str, typer.Option(help="Go on to here; a later stop.")] = "", allow: ALLOW = [],  # noqa: B006
           as_json: JSON = False) -> None:
    """Go on with a run exactly where its newest checkpoint stands.

    Without --until it goes on to the stop it was last given, and from there to the assembly's own `until`.

    Example: stimloop resume runs/first/2026-11-20T170233_base_s0_1f3a9c02.zarr --until "20 episodes"
    """
    with told(as_json):
        from .resuming import resume as go_on

        outcome = go_on(Path(path), until or None, allowed=allowing(allow),
                        show=False if as_json else None)
        _finish(outcome, as_json, [])


@app.command()
def evaluate(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
             name: Annotated[list[str], typer.Option(help="Only this evaluation of the assembly.")] = [],  # noqa: B006
             sets: SET = [], allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Run the evaluations of a run's assembly with what its newest checkpoint has learned; the run is not changed.

    Example: stimloop evaluate runs/first/....zarr --set evaluate.test.episodes=50
    """
    with told(as_json):
        from .inspection import evaluation_text
        from .resuming import evaluate as judge

        rows = judge(Path(path), list(name), changes=changed(sets), allowed=allowing(allow))
        emit(rows, as_json, evaluation_text(rows))


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="components, assemblies, studies or runs")] = "assemblies",
          out: Annotated[str, typer.Option(callback=named, help="Folder of the runs.")] = "",
          as_json: JSON = False) -> None:
    """List components, assemblies, studies or runs.

    Example: stimloop list components
    """
    with told(as_json):
        from .listing import listing

        rows, text = listing(what, Path(out) if out else None)
        emit(rows, as_json, text)


@app.command()
def show(name: Annotated[str, typer.Argument(
        callback=named, metavar="NAME|RUN", help="An assembly, a component or a run.")],
         latency: Annotated[bool, typer.Option("--latency", help="Print the latency of each closed chain.")] = False,
         schedule: Annotated[bool, typer.Option("--schedule", help="Print who steps when.")] = False,
         variant: VARIANT = "base", sets: SET = [], small: SMALL = False, allow: ALLOW = [],  # noqa: B006
         as_json: JSON = False) -> None:
    """Show the wiring of an assembly, the ports of a component, or what a run holds.

    Example: stimloop show elbow_stimulation --latency
    """
    with told(as_json):
        from ..assemblies import inspection, listing

        if Path(name).is_dir() or listing.is_place(name):
            facts, text = listing.run_facts(Path(name), latency)
        elif ":" in name or ("." in name and listing.is_component(name)):
            facts, text = listing.component_facts(name, allowing(allow))
        else:
            assembly, allowed = chosen(name, variant, small, sets, allow)
            facts, text = inspection.assembly_facts(assembly, allowed, latency, schedule)
        emit(facts, as_json, text)


@app.command()
def check(name: Annotated[str, typer.Argument(
        callback=named, metavar="MODULE:CLASS|NAME", help="A component, or an assembly.")],
          examples: Annotated[int, typer.Option(min=1, help="Random lives tried for each property.")] = 10,
          variant: VARIANT = "base", sets: SET = [], allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Check a component of your own against every property of the contract, or an assembly without running it.

    Of an assembly every variant, `small` and each value of `sweep` are checked too, unless --variant names one.

    Example: stimloop check my_brain:MyBrain
    """
    with told(as_json):
        from ..assemblies import inspection, listing
        from .loading import load

        if ":" in name or listing.is_component(name):
            ok, facts, text = inspection.check_component(name, examples)
        else:
            assembly, allowed = chosen(name, variant, False, sets, allow)
            if variant == "base":
                assembly = load(name, allowed).set(changed(sets))  # with its variants
            ok, facts, text = inspection.check_assembly(assembly, allowed)
        emit(facts, as_json, text)
        if not ok:
            raise typer.Exit(3)


@app.command("check-termination")
def check_termination(env: Annotated[str, typer.Argument(help="Id of a Gymnasium environment, such as Hopper-v5.")],
                      function: Annotated[str, typer.Option(
                          metavar="MODULE:FUNCTION", help="The rule (default: the one known for ENV).")] = "",
                      transitions: Annotated[int, typer.Option(min=1, help="Steps that are compared.")] = 20_000,
                      seed: Annotated[int, typer.Option(min=0, help="Of start states and actions.")] = 0,
                      allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Compare a termination function with the environment that it speaks of; exit code 3 if they disagree.

    A learned model is told by such a function when an episode would be over. Enough is to judge 99.99 % of all
    transitions as the environment does, and to overlook no more than 1 in 100 of its ends.

    Example: stimloop check-termination Hopper-v5 --function my_rules:ended
    """
    with told(as_json):
        from .own_environment import check_rule

        found = check_rule(env, function, transitions, seed, allowing(allow))
        emit(found.facts(), as_json, found.text())
        if not found.passed:
            raise typer.Exit(3)


@app.command()
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
        from .study_command import Options, command

        options = Options(small, out, workers, shard, tuple(rerun), accept_stale, retrain, plan, status, ship, on,
                          address)
        facts, text, passed = command(name, options, allowing(allow), as_json)
        emit(facts, as_json, text)
        if not passed:
            raise typer.Exit(3)


@app.command()
def compare(first: Annotated[str, typer.Argument(callback=named, metavar="RUN")],
            second: Annotated[str, typer.Argument(callback=named, metavar="RUN")],
            as_json: JSON = False) -> None:
    """Compare two runs: what differs in description and versions, results side by side, and where the streams part.

    Example: stimloop compare runs/first/A.zarr runs/first/B.zarr
    """
    with told(as_json):
        from .comparison import compare as hold_together

        facts, text, equal = hold_together(Path(first), Path(second))
        emit(facts, as_json, text)
        if not equal:
            raise typer.Exit(3)


@app.command()
def report(paths: Annotated[list[str], typer.Argument(
        callback=named, metavar="RUN|STUDY", help="One run, several to be compared, or a study.")],
           to: Annotated[str, typer.Option(callback=named, help="File to write (default: beside the first run).")] = "",
           as_json: JSON = False) -> None:
    """Write a page about a run (curves, activity, stimulation, wiring, warnings), or about a study.

    A study is named, or given by the folder of its cells.

    Example: stimloop report runs/elbow_stimulation/....zarr
    """
    with told(as_json):
        from .report_command import write

        written = write([Path(path) for path in paths], Path(to) if to else None)
        emit({"report": str(written)}, as_json, str(written))


@app.command()
def play(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
         to: Annotated[str, typer.Option(callback=named, help="Video to write, .mp4 (default: beside the run).")] = "",
         episode: Annotated[int | None, typer.Option(min=-1, help="Only this episode; -1: the last.")] = None,
         lane: Annotated[int, typer.Option(min=0, help="Which of the parallel worlds is shown.")] = 0,
         body: Annotated[str, typer.Option(callback=named, help="Name of the body, where there are several.")] = "",
         size: Annotated[str, typer.Option(help="Width and height of the video in pixels.")] = "640x480",
         speed: Annotated[float, typer.Option(help="How much faster than life it is shown.")] = 1.0,
         allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Show a run again as video: its actions are played into its body, and held against what was recorded.

    Exit code 3 says that the body did not do again what was recorded; the video is written all the same.

    Example: stimloop play runs/point_mass/....zarr --episode -1 --to last.mp4
    """
    with told(as_json):
        from ..loops.errors import counted
        from .playing import play as show_again

        facts = show_again(Path(path), Path(to) if to else None, episode=episode, lane=lane, body=body or None,
                           size=size, speed=speed, allowed=allowing(allow), show=False if as_json else None)
        if facts["differs"] and not as_json:
            typer.echo(f"notice: {facts['differs']}", err=True)
        emit(facts, as_json, f"{facts['video']}: {counted(facts['frames'], 'frame')}, "
                             f"{facts['frames'] / facts['frames_per_second']:.1f} s")
        if facts["differs"]:
            raise typer.Exit(3)


@app.command()
def export(path: Annotated[str, typer.Argument(callback=named, metavar="RUN", help="The directory of a run.")],
           to: Annotated[str, typer.Option(
               callback=named, help="Folder to write into, which must not exist; or tensorboard, or wandb.")],
           out: Annotated[str, typer.Option(
               callback=named, help="Folder of tensorboard or wandb (default: beside the run).")] = "",
           follow: Annotated[bool, typer.Option(
               "--follow", help="Go on until the run has ended; to tensorboard or wandb.")] = False,
           weights: Annotated[str, typer.Option(
               metavar="COMPONENT", help="Write what this component learned instead, to the file --to.")] = "",
           allow: ALLOW = [],  # noqa: B006
           as_json: JSON = False) -> None:
    """Write a run as plain files, one .npz a stream and one .csv a table; or its scalars to TensorBoard or W&B.

    Or what a component had learned at the newest checkpoint, for `weights:` of another assembly.

    Example: stimloop export runs/first/....zarr --to tensorboard --follow

    Example: stimloop export runs/first/....zarr --weights brain --to brain.safetensors
    """
    with told(as_json):
        from .commands import say_damage
        from .listing import export_run

        if weights:
            if not to.endswith(".safetensors"):
                raise typer.BadParameter(f"--weights goes with --to FILE.safetensors, not with --to {to}")
            from .resuming import export_weights

            facts = export_weights(Path(path), weights, Path(to), allowed=allowing(allow))
            emit(facts, as_json, f"{facts['weights']}: {weights} at {facts['at']}")
            return
        if to in ("tensorboard", "wandb"):
            from .reports.following import export_scalars

            facts, text = export_scalars(Path(path), to, Path(out) if out else None, follow,
                                         lambda words: None if as_json else typer.echo(words, err=True))
            say_damage(facts["damage"], as_json)
            emit(facts, as_json, text)
            return
        if out or follow:
            raise typer.BadParameter(f"--out and --follow go with --to tensorboard or --to wandb; {to!r} is a folder, "
                                     "and is written once")
        files, damage = export_run(Path(path), Path(to))
        say_damage(damage, as_json)
        emit({"files": files, "damage": damage}, as_json, "\n".join(files))


@app.command("import")
def import_(kind: Annotated[str, typer.Argument(metavar="KIND", help="sb3, torchscript or onnx")],
            file: Annotated[str, typer.Argument(callback=named, help="The saved model.")],
            to: Annotated[str, typer.Option(callback=named, help="Weights to write (default: beside it).")] = "",
            trust: Annotated[bool, typer.Option("--trust", help="Load it though that may run its code.")] = False,
            head: Annotated[str, typer.Option(help="What its output is: gaussian, clipped or categorical.")] = "",
            as_json: JSON = False) -> None:
    """Bring a policy trained elsewhere: writes weights, and prints the lines of an assembly that use them.

    Example: stimloop import sb3 model.zip --trust
    """
    with told(as_json):
        from .importing.command import command

        facts, text = command(kind, Path(file), Path(to) if to else None, trust, head)
        emit(facts, as_json, text)


new = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Begin something of your own.")
app.add_typer(new, name="new")


@new.command()
def component(name: Annotated[str, typer.Argument(callback=named, help="Name of the module, such as my_brain.")],
              as_json: JSON = False) -> None:
    """Write the skeleton of a component that passes the checks.

    Example: stimloop new component my_filter
    """
    with told(as_json):
        from .listing import new_component

        path, text = new_component(name)
        emit({"file": path}, as_json, text)


@new.command()
def environment(name: Annotated[str, typer.Argument(callback=named, help="Of what is written, such as my_reach.")],
                env: Annotated[str, typer.Option(help="Id of the Gymnasium environment.")] = "InvertedPendulum-v5",
                as_json: JSON = False) -> None:
    """Begin learning in an environment of your own: an assembly, a termination function, and a test of that.

    Example: stimloop new environment my_reach --env my_package:Reach-v0
    """
    with told(as_json):
        from .own_environment import new_environment

        files, text = new_environment(name, env)
        emit({"files": files}, as_json, text)


def main() -> None:
    """Entry point of the `stimloop` command."""
    app()


if __name__ == "__main__":
    main()
