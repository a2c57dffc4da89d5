"""Commands on assemblies and components: run, list, show, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import ALLOW, JSON, SET, SMALL, VARIANT, allowing, changed, emit, finish, named, told

if TYPE_CHECKING:
    from ..assembly import Assembly
    from ..settings import Settings


def chosen(name: str, variant: str, small: bool, sets: list[str], allow: list[str]) -> tuple[Assembly, Settings]:
    """Return the assembly that the options describe, and what the user allows."""
    from ..loading import load

    changes, allowed = changed(sets), allowing(allow)
    return load(name, allowed).resolve(variant=variant, small=small, set=changes), allowed


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
            from ..inspection import dry_run, trace_table

            text, facts = trace_table(assembly, allowed, trace) if trace else dry_run(assembly, allowed, until or None)
            emit(facts, as_json, text)
            return
        from ..execute import start

        profiles: list[Any] = []
        outcome = start(assembly, until or None, folder=Path(out) if out else None, allowed=allowed,
                        speed=speed, show=False if as_json else None,
                        prepare=_profiler(profiles) if profile else None)
        finish(outcome, as_json, [row for each in profiles for row in each.table()])


def _profiler(found: list[Any]) -> Any:
    from ...loops.profile import Profile

    return lambda loop: found.append(Profile(loop))


def list_(what: Annotated[str, typer.Argument(help="components, assemblies, studies or runs")] = "assemblies",
          out: Annotated[str, typer.Option(callback=named, help="Folder of the runs.")] = "",
          as_json: JSON = False) -> None:
    """List components, assemblies, studies or runs.

    Example: stimloop list components
    """
    with told(as_json):
        from ..listing import listing

        rows, text = listing(what, Path(out) if out else None)
        emit(rows, as_json, text)


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
        from .. import inspection, listing

        if Path(name).is_dir() or listing.is_place(name):
            facts, text = listing.run_facts(Path(name), latency, allowing(allow))
        elif ":" in name or ("." in name and listing.is_component(name)):
            facts, text = listing.component_facts(name, allowing(allow))
        else:
            assembly, allowed = chosen(name, variant, small, sets, allow)
            facts, text = inspection.assembly_facts(assembly, allowed, latency, schedule)
        emit(facts, as_json, text)


def check(name: Annotated[str, typer.Argument(
        callback=named, metavar="MODULE:CLASS|NAME", help="A component, or an assembly.")],
          examples: Annotated[int, typer.Option(min=1, help="Random lives tried for each property.")] = 10,
          variant: VARIANT = "base", sets: SET = [], allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Check a component of your own against every property of the contract, or an assembly without running it.

    Of an assembly every variant, `small` and each value of `sweep` are checked too, unless --variant names one.

    Example: stimloop check my_brain:MyBrain
    """
    with told(as_json):
        from .. import inspection, listing
        from ..loading import load

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


def check_termination(env: Annotated[str, typer.Argument(help="Id of a Gymnasium environment, such as Hopper-v5.")],
                      function: Annotated[str, typer.Option(
                          metavar="MODULE:FUNCTION", help="The rule (default: the one known for ENV).")] = "",
                      transitions: Annotated[int, typer.Option(min=1, help="Steps that are compared.")] = 20_000,
                      seed: Annotated[int, typer.Option(min=0, help="Of start states and actions.")] = 0,
                      run: Annotated[Path | None, typer.Option(
                          help="Ask about all steps that this run recorded, instead of playing some.")] = None,
                      allow: ALLOW = [], as_json: JSON = False) -> None:  # noqa: B006
    """Compare a termination function with the environment that it speaks of; exit code 3 if they disagree.

    A learned model is told by such a function when an episode would be over. Enough is to judge 99.99 % of all
    transitions as the environment does, and to overlook no more than 1 in 100 of its ends.

    Example: stimloop check-termination Hopper-v5 --function my_rules:ended
    """
    with told(as_json):
        from ..own_environment import check_rule

        found = check_rule(env, function, transitions, seed, allowing(allow), run)
        emit(found.facts(), as_json, found.text())
        if not found.passed:
            raise typer.Exit(3)
