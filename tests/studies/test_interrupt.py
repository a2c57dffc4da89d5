"""Ctrl-C ends every process of a study, what ran is saved, and what to do next is said."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from stimloop.assemblies.study import Study
from stimloop.assemblies.studying import far

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]


@pytest.mark.parametrize("to", ["one process", "all of them"])
def test_a_study_of_several_processes_is_interrupted_whole(tiny, to):
    train = tiny.parent / "train.yaml"
    train.write_text(train.read_text().replace("until: 90 steps", "until: 9000000 steps"))
    command = subprocess.Popen([*STIMLOOP, "study", "tiny.yaml", "--workers", "2"], stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        study, until = Study(tiny), time.monotonic() + 120
        cells = study.cells(study.description.stages["train"])
        while len([cell for cell in cells.cells if (cells.path(cell) / far.FAR).is_file()]) < 2:
            assert time.monotonic() < until
            assert command.poll() is None
            time.sleep(0.1)
        (os.kill if to == "one process" else os.killpg)(command.pid, signal.SIGINT)
        _, told = command.communicate(timeout=60)  # ends when the last process that holds the pipe does
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
    assert command.returncode == 130
    assert told.endswith("\ngo on with the same command\n")
    assert told.count(": train stops after the present instant, and saves. A second signal stops at once") == 2
    assert "Traceback" not in told
    assert {cells.state(cell) for cell in cells.cells} == {"interrupted"}
