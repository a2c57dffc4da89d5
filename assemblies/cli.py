"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import beginnings, on_assemblies, on_runs, on_studies
from .commands.shared import say_version

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


_COMMANDS = {  # in the order of the help
    "run": on_assemblies.run, "resume": on_runs.resume, "evaluate": on_runs.evaluate, "list": on_assemblies.list_,
    "show": on_assemblies.show, "check": on_assemblies.check, "check-termination": on_assemblies.check_termination,
    "study": on_studies.study, "compare": on_runs.compare, "report": on_runs.report, "play": on_runs.play,
    "export": on_runs.export, "import": beginnings.import_}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

new = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Begin something of your own.")
new.command("component")(beginnings.component)
new.command("environment")(beginnings.environment)
app.add_typer(new, name="new")


def main() -> None:
    """Entry point of the `stimloop` command."""
    app()


if __name__ == "__main__":
    main()
