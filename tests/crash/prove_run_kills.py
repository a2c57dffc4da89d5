"""What a whole run survives: SIGKILL at any moment of `stimloop run` and `stimloop resume`, as often as you like."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stimloop.loops.storage import checkpoint, runs
from stimloop.loops.storage.stored import JOURNAL, Stored, read_stored

HERE = Path(__file__).resolve().parent
CHECKPOINTS = "checkpoints"
MOST_LOST = 1.0  # seconds of the tail
MOST_KILLS = 10  # of one run; then it is let go on to its end
WITHIN_CHECKPOINTS = 60  # things done to files of checkpoints, among which a kill is drawn
WITHIN_RESUME = 150  # things done to files of the run from the start of a process on
BEGINNINGS = 0.2  # part of the runs that are killed while they are begun
EVERY = ("150 ms wall", "1 s wall")  # checkpoints: with few of them the tail has to keep what was said


@dataclass
class Found:
    """What the kills of one proof found."""

    kills: Counter[str] = field(default_factory=Counter)  # by what was going on
    rows: int = 0
    worst_lost: float = 0.0
    too_early: int = 0  # before there was anything to go on from: the run begins anew
    runs: int = 0

    def result(self) -> dict[str, Any]:
        return {"holds": True, "kills": self.kills.total(), "killed_while": dict(sorted(self.kills.items())),
                "runs_equal_to_one_never_killed": self.runs, "begun_anew": self.too_early, "phantom_rows": 0,
                "committed_rows_lost": 0, "worst_tail_lost_s": round(self.worst_lost, 3), "rows_checked": self.rows}


def prove_run_kills(n: int, until: str = "40 s", longest: float = 0.7, seed: int = 0,
                    seeds: int = 3, change: str = "") -> dict[str, Any]:
    """Kill runs n times, at random moments and at random places in checkpoints and resumes; go on after each kill.

    Asserts after every kill that the run opens and that each stream is, bit for bit, a beginning of the one that was
    never killed, with all that was committed and all but the last second of what was said; and at every end that the
    whole log is equal. Runs have one of `seeds` seeds, each with a reference of its own; `change` is an ADDRESS=VALUE
    for all.
    """
    chance = random.Random(seed)
    found = Found()
    with tempfile.TemporaryDirectory(prefix="run_kills") as folder:
        references: dict[int, runs.Run] = {}
        while found.kills.total() < n:
            number = found.runs % seeds
            place = Path(folder) / f"run{found.runs}"
            if number not in references:
                references[number] = _finish(Killed(Path(folder) / f"reference{number}", number, until, change))
            run = Killed(place, number, until, change, EVERY[found.runs % len(EVERY)])
            wanted = min(n - found.kills.total(), chance.randint(1, MOST_KILLS))
            while wanted and _kill(run, chance, longest, references[number].stored, found):
                wanted -= 1
            done = _finish(run)
            difference = runs.first_difference(done, references[number])
            assert runs.log_hash(done) == runs.log_hash(references[number]), f"the log parts at {difference}"
            found.runs += 1
    return found.result()


class Killed:
    """One run below a folder, driven by the command line in processes that are killed."""

    def __init__(self, folder: Path, seed: int, until: str, change: str = "", every: str = EVERY[0]) -> None:
        self.folder = folder
        # The stop is the assembly's own: a resume goes on to that from a stop given with --until.
        self.changes = [f"seed={seed}", f"until={until}", f"checkpoint.every={every}", *filter(None, [change])]
        self.folder.mkdir()
        self.told = folder / "told"
        self.told.write_bytes(np.full(1, -1, np.int64).tobytes())
        self.now = np.memmap(self.told, np.int64, "r")  # of the brain's last step; -1: none in this process

    @property
    def path(self) -> Path | None:
        """The run that was begun last, if any has begun."""
        return max(self.folder.glob(f"runs/killed_run/*/{JOURNAL}"), default=None, key=lambda path: path.parent.name)

    @property
    def directory(self) -> Path | None:
        return self.path.parent if self.path else None

    def unfinished(self) -> set[str]:
        """Checkpoints that were being written when a process was killed."""
        return {path.name for path in self.directory.glob(f"{CHECKPOINTS}/.*.partial")} if self.directory else set()

    def start(self, place: str = "nowhere", count: int = 0) -> subprocess.Popen[str]:
        """Begin the run, or go on with it where there is a checkpoint."""
        self.told.write_bytes(np.full(1, -1, np.int64).tobytes())
        words = ["run", str(HERE / "killed_run.yaml"),
                 *(word for change in self.changes for word in ("--set", change))]
        if self.directory is not None and _saved(self.directory):
            words = ["resume", str(self.directory)]
        return subprocess.Popen([sys.executable, str(HERE / "killed_run.py"), place, str(count), *words, "--allow",
                                 "killed_parts"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "TOLD": str(self.told)})


def _saved(directory: Path) -> bool:
    return any(not path.name.startswith(".") for path in (directory / CHECKPOINTS).glob("*"))


def _finish(run: Killed) -> runs.Run:
    """Let a run go on to its end."""
    process = run.start()
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert run.directory is not None
    done = runs.open(run.directory)
    assert done.state == "finished"
    assert not list(run.directory.rglob("*.partial")), "what a kill left unfinished is still there"
    return done


def _kill(run: Killed, chance: random.Random, longest: float, truth: Stored, found: Found) -> bool:
    """Let a run go on and kill it; check what is left. False when it had come to its end before."""
    resumed, begun = run.directory is not None and _saved(run.directory), run.unfinished()
    places = resumed or chance.random() < BEGINNINGS  # most that are killed at once would have nothing to go on from
    how = chance.choice(("moment", "moment", CHECKPOINTS, ".zarr")) if places else "moment"
    count = chance.randint(1, WITHIN_CHECKPOINTS if how == CHECKPOINTS else WITHIN_RESUME)
    process = run.start(*(("nowhere", 0) if how == "moment" else (how, count)))
    after, look_at = chance.uniform(0.0, longest), chance.uniform(0.1, 0.9)
    samples, seen = _watch(process, run, after if how == "moment" else float("inf"), look_at * after)
    errors = process.communicate()[1]
    if process.returncode == 0:
        return False
    assert process.returncode == -9, errors
    began = samples[-1][1] >= 0
    doing = "running" if began else "resuming" if resumed else "beginning"
    found.kills["saving" if run.unfinished() - begun else doing] += 1
    if run.directory is None or not _saved(run.directory):
        found.too_early += 1
    if run.directory is not None:
        _check(run.directory, samples if began else [], seen, truth, found)
        if chance.random() < 0.2 and read_stored(run.directory).layouts:
            runs.recover(run.directory)
            _check(run.directory, [], seen, truth, found)
    return True


def _watch(process: subprocess.Popen[str], run: Killed, after: float, look_at: float
           ) -> tuple[list[tuple[float, int]], list[int]]:
    """Kill a process `after` seconds past its first step (unless it goes by itself).

    Returns samples of (time, instant of the last step) and, from one look at the living run, its rows by stream.
    """
    began, seen = None, []
    samples = [(time.monotonic(), -1)]
    while process.poll() is None:
        now, told = time.monotonic(), int(run.now[0])
        samples.append((now, told))
        if began is None and told >= 0:
            began = now
        if began is not None and not seen and now - began > look_at and run.directory is not None:
            seen = read_stored(run.directory).rows
        if began is not None and now - began > after:
            process.kill()
            break
        time.sleep(0.005)
    samples.append((time.monotonic(), int(run.now[0])))
    return samples, seen


def _check(directory: Path, samples: list[tuple[float, int]], seen: list[int], truth: Stored, found: Found) -> None:
    """A killed run opens; its rows are those of the run that was never killed, and none is missing that must be there.

    `samples` is empty where the process had made no step: then nothing was said that could be lost.
    """
    stored = runs.open(directory).stored
    assert not stored.damage, stored.damage
    if not stored.layouts:
        return  # killed before its journal had a line
    names = [layout.key for layout in stored.layouts]
    for i, key in enumerate(names):
        found.rows += _is_beginning(stored, i, truth, key)
    for key, rows, before in zip(names, stored.rows, seen or [0] * len(names), strict=True):
        assert rows >= before, f"{key}: {before} rows were to be read before the kill, {rows} after it"
    state = checkpoint.newest(directory / CHECKPOINTS)
    for key, rows in (state or {"recorder": {"streams": {}}})["recorder"]["streams"].items():
        assert stored.rows[names.index(key)] >= rows, f"{key}: rows of the checkpoint are missing"
    for name, rows in stored.evaluations.items():
        meant = truth.evaluations[name][:len(rows)]
        assert list(map(_timeless, rows)) == list(map(_timeless, meant)), f"evaluation {name} differs"
    if samples:
        times = stored.columns(names.index("brain.action"))["time"].read()
        kept = int(times[-1]) if len(times) else -1
        missing = [when for when, now in samples if now > kept]
        lost = samples[-1][0] - missing[0] if missing else 0.0
        assert lost <= MOST_LOST, f"{lost:.2f} s of the tail lost"
        found.worst_lost = max(found.worst_lost, lost)


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    """A row of an evaluation without what the clock on the wall said."""
    return {key: value for key, value in row.items() if key != "wall"}


def _is_beginning(stored: Stored, stream: int, truth: Stored, key: str) -> int:
    """Is a stream a beginning of the true one? Returns its number of rows."""
    there = truth.columns([layout.key for layout in truth.layouts].index(key))
    rows = stored.rows[stream]
    for name, column in stored.columns(stream).items():
        assert rows <= len(there[name]), f"{key} has rows that never were"
        assert column.read().tobytes() == there[name].read(0, rows).tobytes(), f"{key}: {name} is not what was said"
    return rows
