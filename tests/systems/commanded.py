"""The command line called in this process, as tests of commands do."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from stimloop.assemblies.cli import app


def call(*words: object, code: int = 0) -> Result:
    """Call a command, which has to end with this exit code; an error that is none of its own is raised."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def value(*words: object, code: int = 0) -> Any:
    """Return what a command says with --json."""
    return json.loads(call(*words, "--json", code=code).stdout)
