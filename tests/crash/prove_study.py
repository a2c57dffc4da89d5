"""What a study survives: kills at any moment, of one process or of several that share a folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILES = ("study_train.yaml", "study_act.yaml", "killed_study.yaml")


def prove_study(kills: int, shards: int = 4, longest: float = 9.0, seed: int = 0) -> dict[str, Any]:
    """Kill a study so often and end it; then end it by several processes, some of which are killed.

    Asserts that each ends in the table of one that was never killed, apart from what the clock on the wall said.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="study") as folder:
        truth = _table(_finish(_fresh(Path(folder) / "truth")))
        place, done, times = _fresh(Path(folder) / "killed"), 0, 0
        while done < kills:
            process = _start(place)
            over = _kill_after(process, chance.uniform(0.3, longest))
            done += not over
            if over:  # it came to its end before: once more from the beginning
                assert _table(process) == truth, "a study that was killed ends in another table"
                times += 1
                place = _fresh(Path(folder) / f"killed{times}")
        assert _table(_finish(place)) == truth, "a study that was killed ends in another table"
        lost = _shared(_fresh(Path(folder) / "shared"), shards, chance, truth)
    return {"holds": True, "kills": done, "ended": times + 1, "shards": shards, "shards_killed": lost,
            "tables_that_differ": 0}


def _shared(place: Path, shards: int, chance: random.Random, truth: Any) -> int:
    """Let several processes share a study, kill half of them, and let the others end it."""
    processes = [_start(place, "--shard", f"{i + 1}/{shards}") for i in range(shards)]
    killed = processes[:shards // 2]
    for process in killed:
        _kill_after(process, chance.uniform(2.0, 8.0))
    for process in processes[shards // 2:]:
        assert _table(process) == truth, "a study that was shared ends in another table"
    return len(killed)


def _fresh(place: Path) -> Path:
    place.mkdir()
    for name in FILES:
        shutil.copy(HERE / name, place / name)
    return place


def _start(place: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stimloop.assemblies.cli", "study", "killed_study.yaml", "--json", *words]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _finish(place: Path) -> subprocess.Popen[str]:
    return _start(place)


def _kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kill a process and its children after so long; True when it had ended by itself before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            return True
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False


def _table(process: subprocess.Popen[str]) -> Any:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    told = json.loads(out)
    assert Path(told.pop("report")).is_file()  # it stands in a folder of its own, unlike the rest
    return told
