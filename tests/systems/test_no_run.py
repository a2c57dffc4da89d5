"""A path that is no run is told as what it is by every command that wants one."""

import subprocess
import sys

import pytest

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]


@pytest.mark.parametrize("command", ["show", "resume", "evaluate", "export"])
def test_a_path_that_is_no_run_is_told(tmp_path, command):
    (tmp_path / "here").mkdir()
    more = ["--to", "x"] if command == "export" else []
    for path, said in (("nowhere/at/all", "nowhere/at/all does not exist"), ("gone.zarr", "gone.zarr does not exist"),
                       ("here", "here is no run: there is no journal.jsonl in it")):
        done = subprocess.run([*STIMLOOP, command, path, *more], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith(said), done.stderr
