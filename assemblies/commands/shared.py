"""Options and output that the commands share."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from ...loops.errors import Problem
    from ..settings import Settings

_LONGEST, _PART = 4096, 255  # characters that a path, and each of its parts, may have


def named(text: str | list[str]) -> str | list[str]:
    """Return names and paths of the command line; refuse what no file system can hold."""
    for name in text if isinstance(text, list) else [text]:
        if "\0" in name:
            raise typer.BadParameter("a name or path cannot hold a NUL character")
        if len(name) > _LONGEST or any(len(os.fsencode(part)) > _PART for part in re.split(r"[/\\]", name)):
            raise typer.BadParameter(f"{name[:40]!r}... is longer than a name or path can be")
    return text


VARIANT = Annotated[str, typer.Option(help="One of the variants that the file defines.")]
SET = Annotated[list[str], typer.Option("--set", metavar="ADDRESS=VALUE",
                                        help="Replace one value, for example brain.params.hidden=[32]; repeatable.")]
SMALL = Annotated[bool, typer.Option("--small", help="The same in seconds, as the file's `small` says.")]
ALLOW = Annotated[list[str], typer.Option(metavar="MODULE", help="Let the assembly load this module; repeatable.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]


class Aside(io.TextIOBase):
    """Stands for stdout while a command answers in JSON: what components print goes to stderr, the answer to `own`."""

    def __init__(self, own: TextIO) -> None:
        self.own = own

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def emit(facts: Any, as_json: bool = True, text: str = "") -> None:
    """Print facts as JSON, or the text."""
    out = sys.stdout.own if isinstance(sys.stdout, Aside) else sys.stdout
    typer.echo(json.dumps(jsonable(facts), indent=1) if as_json else text, file=out)


def jsonable(value: Any) -> Any:
    """Return a value as JSON can hold it; numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): jsonable(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(part) for part in value]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def allowing(modules: list[str]) -> Settings:
    """Return what the user allows, and say on stderr which stimloop.toml allowed what."""
    from .. import settings

    found = settings.read()
    for notice in found.notices:
        typer.echo(f"notice: {notice}", err=True)
    return found.allowing(modules)


def say_notices(notices: list[Any], as_json: bool) -> None:
    """Print notices on stderr, where they disturb no pipe; in JSON they are part of the value."""
    if not as_json:
        for notice in notices:
            if not notice.what.startswith("nobody listens"):
                typer.echo(f"notice: {notice}", err=True)


def say_damage(damage: str, as_json: bool) -> None:
    """Warn on stderr that something of a run is damaged; in JSON that is part of the value."""
    from ..reports.warnings import damaged

    if damage and not as_json:
        typer.echo(f"warning: {damaged(damage)}", err=True)


def say_version(asked: bool) -> None:
    """Print the version and leave, when asked for it."""
    if asked:
        from ... import __version__

        typer.echo(f"stimloop {__version__}")
        raise typer.Exit


def changed(sets: list[str]) -> dict[str, Any]:
    """Return what the options `--set` change, by address."""
    from ...loops.errors import Problems
    from ..overrides import parse_set

    problems, changes = Problems(), {}
    for text in sets:
        changes.update(parse_set(text, problems))
    problems.raise_if_any()
    return changes


def finish(outcome: Any, as_json: bool, profile: list[dict[str, Any]]) -> None:
    """Tell how a session of a run ended; exit code 130 where it was interrupted."""
    from ..session import naming

    with naming(outcome.path):
        facts, text = ending(outcome, as_json, profile)
    emit(facts, as_json, text)
    if outcome.reason == "interrupted":
        raise typer.Exit(130)


def ending(outcome: Any, as_json: bool, profile: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """Return facts and text about how a session of a run ended, and say its notices."""
    from ...loops.errors import Problem
    from ...loops.storage.runs import Run
    from ..earned import earned
    from ..inspection import outcome_text, table
    from ..reports.learning_signs import never_begun, never_fitted, never_updated

    run = Run(outcome.path)
    found = earned(run)
    early = run.attributes.get("small") or outcome.reason == "interrupted"  # it was meant to end before its schedules
    late = [] if early else never_begun(run)
    signs = [*never_updated(run), *never_fitted(run), *late]
    notices = [*outcome.notices, *(Problem(text, notice=True) for text in signs)]
    say_notices(notices, as_json)
    facts = {"path": str(outcome.path), "ended": outcome.reason, **outcome.facts, **found,
             "notices": [str(notice) for notice in notices]}
    if profile:
        facts["profile"] = profile
    return facts, outcome_text(outcome, found) + ("\n" + table(profile) if profile else "")


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """Tell errors in words (or as JSON) and leave with exit code 1; anything unexpected keeps its traceback.

    With `as_json` nothing but what is emitted reaches stdout.
    """
    from ...loops.errors import AssemblyError, StimloopError

    try:
        with redirect_stdout(Aside(sys.stdout)) if as_json else nullcontext():
            yield
    except StimloopError as error:
        if as_json:
            problems = error.problems if isinstance(error, AssemblyError) else []
            emit({"error": str(error), "problems": [_problem(problem) for problem in problems]})
        else:
            typer.echo(error_text(error), err=True)
        raise typer.Exit(1) from error
    except MemoryError as error:
        typer.echo(error_text(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as stopped:
        typer.echo(str(stopped) or "interrupted", err=True)
        raise typer.Exit(130) from stopped


def error_text(error: BaseException) -> str:
    """Return an error in words with what was noted on its way; one that nobody foresaw with its traceback."""
    from ...loops.errors import StimloopError, notes

    if not isinstance(error, StimloopError | MemoryError):
        return "".join(traceback.format_exception(error)).rstrip()
    what = str(error) if isinstance(error, StimloopError) else f"not enough memory: {error}"
    return "\n".join([what, *notes(error)])


def _problem(problem: Problem) -> dict[str, str]:
    return {"what": problem.what, "where": problem.where, "fix": problem.fix}
