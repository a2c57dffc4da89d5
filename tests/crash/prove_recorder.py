"""What a recording survives: SIGKILL at any moment of a full-rate run, a disk that fails at any write."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from stimloop.loops.errors import RunError
from stimloop.loops.storage import runs, stream
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stored import Stored, read_stored

from . import full_rate_writer as writer

GENERATIONS = 3  # kills of one run, each resumed after the one before
MOST_LOST = 1.0  # seconds of the tail


def prove_kills(n: int, seed: int = 0, longest: float = 2.5) -> dict[str, Any]:
    """Kill a full-rate run n times at random moments; after each kill check, recover twice, and resume.

    Asserts that every store opens, holds no row that was never written and every row that was committed, and lost
    at most one second. Returns the counts and the worst loss. (Every third run is paced, so that its rows are lost
    or kept by the tail alone.)
    """
    chance = random.Random(seed)
    worst, rows, slowest = 0.0, 0, 0.0
    done = 0
    while done < n:
        pause = 0.001 if done // GENERATIONS % 3 == 2 else 0.0  # every third run is slow: all its rows are in the tail
        with tempfile.TemporaryDirectory(prefix="kills") as folder:
            directory, progress = Path(folder) / "run.zarr", Path(folder) / "progress"
            for generation in range(min(GENERATIONS, n - done)):
                samples, committed = _kill(directory, progress, chance.uniform(0.05, longest), pause)
                stored = read_stored(directory)
                _check_truth(stored)
                kept = stored.rows[0]
                assert kept >= committed, f"{committed - kept} committed rows lost"
                lost = _seconds_lost(samples, kept)
                assert lost <= MOST_LOST, f"{lost:.2f} s of the tail lost"
                worst, rows = max(worst, lost), rows + kept
                if generation % 2 == 0:
                    slowest = max(slowest, _recover_twice(directory, kept))
                done += 1
            _resume(directory)
    return {"holds": True, "kills": n, "opened": n, "phantom_rows": 0, "committed_rows_lost": 0,
            "worst_tail_lost_s": round(worst, 3), "rows_checked": rows, "slowest_recovery_s": round(slowest, 3)}


def _kill(directory: Path, progress: Path, after: float, pause: float) -> tuple[list[tuple[float, int]], int]:
    """Run the writer, kill it `after` seconds past its first row; return (time, rows written) samples and commits."""
    progress.write_bytes(np.full(2, -1, np.int64).tobytes())
    process = subprocess.Popen([sys.executable, writer.__file__, str(directory), str(progress), str(pause)],
                               stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    told = np.memmap(progress, np.int64, "r")
    try:
        waited = time.monotonic()
        while told[0] < 0:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() - waited < 60, "the writer does not begin"
            time.sleep(0.005)
        begun = time.monotonic()
        samples: list[tuple[float, int]] = []
        while (now := time.monotonic()) < begun + after:
            samples.append((now, int(told[0])))
            time.sleep(0.005)
        committed = max(int(told[1]), read_stored(directory).committed[0] if random.Random(after).random() < 0.5 else 0)
        process.kill()
        samples.append((time.monotonic(), int(told[0])))
    finally:
        process.kill()
        _, errors = process.communicate()
    assert process.returncode == -9, errors.decode()
    return samples, committed


def _seconds_lost(samples: list[tuple[float, int]], kept: int) -> float:
    """How long before the kill the last row was written that is still there (to the next sample)."""
    end = samples[-1][0]
    missing = [when for when, rows in samples if rows > kept]
    return end - missing[0] if missing else 0.0


def _check_truth(stored: Stored) -> None:
    """Every row of every stream is the one that was written there."""
    rates, reward, spikes = (stored.columns(i) for i in range(3))
    table = np.stack(writer.pool())
    for start in range(0, stored.rows[0], 1 << 16):
        time_column = rates["time"].read(start, start + (1 << 16))
        numbers = np.arange(start, start + len(time_column))
        assert np.array_equal(time_column, numbers * writer.STEP), f"phantom rows after {start}"
        assert np.array_equal(rates["value"].read(start, start + (1 << 16)), table[numbers % 997])
    slow = np.arange(stored.rows[1]) * writer.SLOW
    assert np.array_equal(reward["time"].read(), slow * writer.STEP)
    assert np.array_equal(reward["value"].read()[:, 0], slow % 4099)
    counts = np.arange(stored.rows[2] + 5) % 5
    said = np.repeat(np.arange(len(counts)), counts)[:stored.rows[2]]
    assert np.array_equal(spikes["time"].read(), said * writer.SLOW * writer.STEP)
    first = np.concatenate([[0], np.cumsum(counts)])[said]
    assert np.array_equal(spikes["index"].read(), np.arange(stored.rows[2]) - first)


def _recover_twice(directory: Path, kept: int) -> float:
    begun = time.monotonic()
    run = runs.recover(directory)
    took = time.monotonic() - begun
    assert run.stored.rows[0] == kept
    first = _facts(directory)
    runs.recover(directory)
    assert _facts(directory) == first, "a second recovery changed something"
    assert run["brain.rates"].sizes["time"] == kept
    return took


def _facts(directory: Path) -> dict[str, tuple[int, int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
            for path in directory.rglob("*") if path.is_file()}


def _resume(directory: Path) -> None:
    """Go on for a while and close: the whole is one recording without a seam."""
    recorder = Recorder(directory, writer.STREAMS, {}, resume=True, rows=writer.aligned(directory))
    begin = recorder.row_counts()["streams"]["brain.rates"]
    values = writer.pool()
    rates, reward, spikes = (recorder.tap(stream.key) for stream in writer.STREAMS)
    for row in range(begin, begin + 5000):
        rates(row * writer.STEP, values[row % 997])
        if row % writer.SLOW == 0:
            reward(row * writer.STEP, writer.reward(row))
            spikes(row * writer.STEP, writer.spikes(row))
    recorder.close()
    stored = read_stored(directory)
    assert stored.rows[0] == begin + 5000
    _check_truth(stored)


# -- a disk that fails -------------------------------------------------------------------------------------------------


class FailingDisk:
    """Counts writes; from write k on every one fails, the first of them after half of its bytes."""

    def __init__(self, k: int | None, code: int) -> None:
        self.k, self.code, self.writes = k, code, 0

    def __call__(self, path: Path, parts: list[Any]) -> None:
        self.writes += 1
        if self.k is None or self.writes <= self.k:
            return
        if self.writes == self.k + 1:
            half = b"".join(bytes(memoryview(part).cast("B")) for part in parts if memoryview(part).nbytes)
            appended = path.name in ("journal.jsonl", "tail.bin") and path.exists()
            with (path if appended else path.with_name(path.name + ".partial")).open("ab") as file:
                file.write(half[:len(half) // 2])
        raise OSError(self.code, os.strerror(self.code))


def prove_faults(n: int) -> dict[str, Any]:
    """Let the disk fail at write k, for n values of k over the life of a run; check what is left each time.

    Asserts that each failure is a RunError in the loop's thread that names it, that everything committed before is
    there, that every row there is true, and that the run can be recovered and resumed.
    """
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    most_rows, stream._MOST_ROWS = stream._MOST_ROWS, 256  # small chunks: many writes in few rows
    try:
        healthy = FailingDisk(None, 0)
        error, _, _ = _play(folder / "healthy.zarr", healthy)
        assert error is None
        assert healthy.writes >= n, f"the run has only {healthy.writes} writes"
        for i, k in enumerate(np.linspace(0, healthy.writes - 1, n).astype(int).tolist()):
            directory = folder / f"{k}.zarr"
            disk = FailingDisk(k, (errno.ENOSPC, errno.EIO)[i % 2])
            error, committed, said = _play(directory, disk)
            assert isinstance(error, RunError), f"write {k} failed and nobody was told"
            assert os.strerror(disk.code) in str(error), f"write {k}: {error}"
            _check_fault(directory, k, committed, said)
    finally:
        stream._MOST_ROWS = most_rows
        shutil.rmtree(folder)
    return {"holds": True, "failing_writes": n, "of": healthy.writes, "told": n,
            "committed_rows_lost": 0, "phantom_rows": 0}


def _play(directory: Path, disk: FailingDisk) -> tuple[RunError | None, int, int]:
    """Record 60 rows with polls, commits and chunks in between; return the error, rows committed and rows said."""
    said = committed = 0
    recorder = None
    try:
        recorder = Recorder(directory, writer.STREAMS, {}, store_hook=disk)
        rates, reward, spikes = (recorder.tap(stream.key) for stream in writer.STREAMS)
        values = writer.pool()
        for row in range(60 * writer.SLOW):
            rates(row * writer.STEP, values[row % 997])
            if row % writer.SLOW == 0:
                reward(row * writer.STEP, writer.reward(row))
                spikes(row * writer.STEP, writer.spikes(row))
            said = row + 1
            if row % 100 == 99:
                recorder.poll()
            if row % 700 == 699:
                committed = recorder.commit()["streams"]["brain.rates"]
                recorder.write_evaluation("test", {"time": row, "return": [1.0, 2.0]})
        recorder.close()
    except RunError as error:
        if recorder is not None:
            recorder.close()
        return error, committed, said
    return None, committed, said


def _check_fault(directory: Path, k: int, committed: int, said: int) -> None:
    if not (directory / "journal.jsonl").exists():
        return  # not even the directory could be begun
    stored = read_stored(directory)
    if not stored.layouts:
        assert committed == 0
        return
    _check_truth(stored)
    assert committed <= stored.rows[0] <= said, f"write {k}: {committed} committed, {stored.rows[0]} there, {said} said"
    assert runs.recover(directory).stored.rows == stored.rows
    _resume(directory)
