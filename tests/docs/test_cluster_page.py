"""The job script of the page on clusters does what the page says, as two tasks on this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stimloop.assemblies.identity import read_attributes
from stimloop.assemblies.studying import claims

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cluster.md").read_text()
STIMLOOP = f'#!/bin/bash\nexec "{sys.executable}" -m stimloop.assemblies.cli "$@"\n'
WAIT = 60.0  # seconds at most for anything to happen

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="a job script needs bash")


def script() -> str:
    """The one job script of the page."""
    found = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page, runs long enough to be interrupted, and a stand-in for SLURM that takes notes."""
    for name, text in re.findall(r"^```yaml\n# file: (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text.replace("until: 400 steps", "until: 40000 steps"))
    (tmp_path / "study.sh").write_text(script())
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f'export PATH="{programs}:$PATH"\n')
    for name, text in {"stimloop": STIMLOOP, "scontrol": f'#!/bin/bash\necho "$@" >> "{tmp_path}/asked"\n'}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def task(folder: Path, number: int) -> subprocess.Popen[str]:
    told = {"SLURM_SUBMIT_DIR": str(folder), "SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": "2",
            "SLURM_ARRAY_JOB_ID": "77"}
    return subprocess.Popen(["bash", "study.sh"], cwd=folder, env={**os.environ, **told}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def until(what: Any) -> None:
    end = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_the_script_is_whole() -> None:
    assert script().startswith("#!/bin/bash\n#SBATCH ")
    subprocess.run(["bash", "-n"], input=script(), text=True, check=True)


def test_a_task_is_interrupted_requeued_and_goes_on(folder: Path) -> None:
    cells = folder / "studies" / "walks" / "walk"
    first = task(folder, 1)
    until(lambda: list(cells.glob("*/run/*/*/checkpoints/[0-9]*")))
    time.sleep(0.3)  # into the run
    first.send_signal(signal.SIGUSR1)
    said = first.communicate(timeout=WAIT)[0]
    assert "interrupted, and saved\ngo on with the same command" in said
    assert first.returncode == 0, said
    assert (folder / "asked").read_text() == "requeue 77_1\n"
    assert not list(cells.glob("*/claim")), "its cell is free for others"
    second, again = task(folder, 2), task(folder, 1)
    told = [each.communicate(timeout=4 * WAIT)[0] for each in (second, again)]
    assert (second.returncode, again.returncode) == (0, 0), told
    tables = [[line for line in text.splitlines() if "n=4" in line] for text in told]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 1
    runs = [read_attributes(run) for run in cells.glob("*/run/*/*.zarr")]
    assert len(runs) == 4, "what was interrupted went on in its own run"
    assert [len(run["sessions"]) for run in runs].count(2) == 1
    assert all(run["ended"] == "finished" for run in runs)
    assert (folder / "asked").read_text() == "requeue 77_1\n"


def test_the_seconds_of_the_page_are_those_of_the_code() -> None:
    assert f"touches it every\n{claims.HEARTBEAT:.0f} s" in PAGE
    assert f"after {claims.SILENT:.0f} s without a touch" in PAGE
