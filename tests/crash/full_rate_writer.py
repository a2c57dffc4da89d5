"""Records as fast as it can until it is killed: `python full_rate_writer.py DIRECTORY PROGRESS SECONDS_PER_ROW`."""

from __future__ import annotations

import mmap
import sys
import time
from pathlib import Path

import numpy as np

from stimloop.loops.events import Events
from stimloop.loops.port import Port
from stimloop.loops.storage.recorder import POLL_SECONDS, Recorder
from stimloop.loops.storage.stored import JOURNAL
from stimloop.loops.storage.stream import Stream

STEP = 1000  # ns from row to row
SLOW = 50  # every so many rows the slow ports speak
COMMIT_SECONDS = 0.7

RATES = Stream("brain", "rates", Port("firing rate", (64,), ("neuron",), "1/s"), 1)
REWARD = Stream("body", "reward", Port("reward"), 1)
SPIKES = Stream("brain", "spikes", Port("spikes", (0,), kind="event", indices=64), 1)
STREAMS = [RATES, REWARD, SPIKES]


def pool() -> list[np.ndarray]:
    """The values that row after row takes in turn."""
    values = np.random.default_rng(0).standard_normal((997, 1, 64)).astype(np.float32)
    values.setflags(write=False)
    return list(values)


def reward(row: int) -> np.ndarray:
    return np.array([row % 4099], np.float32)


def spikes(row: int) -> Events:
    """The events of row `row` (a multiple of SLOW): as many as say something about it."""
    count = row // SLOW % 5
    return Events.of(np.full(count, row * STEP), 0, np.arange(count))


def write(directory: Path, progress: Path, pause: float) -> None:
    """Go on from the last row of the slowest stream, telling in `progress` how far it is and what was committed."""
    recorder = Recorder(directory, STREAMS, {}, resume=(directory / JOURNAL).exists(), rows=aligned(directory))
    row = recorder.row_counts()["streams"]["brain.rates"]
    values = pool()
    taps = [recorder.tap(stream.key) for stream in STREAMS]
    with progress.open("r+b") as file, mmap.mmap(file.fileno(), 16) as shared:
        told = np.ndarray(2, np.int64, shared)
        told[:] = row, row
        poll_at = time.monotonic() + POLL_SECONDS
        commit_at = time.monotonic() + COMMIT_SECONDS
        while True:
            taps[0](row * STEP, values[row % 997])
            if row % SLOW == 0 or pause:
                told[0] = row
            if row % SLOW == 0:
                taps[1](row * STEP, reward(row))
                taps[2](row * STEP, spikes(row))
                now = time.monotonic()
                if now >= poll_at:
                    recorder.poll()
                    poll_at = now + POLL_SECONDS
                if now >= commit_at:
                    told[1] = recorder.commit()["streams"]["brain.rates"]
                    commit_at = now + COMMIT_SECONDS
            row += 1
            if pause:
                time.sleep(pause)


def aligned(directory: Path) -> dict | None:
    """Return row counts that belong together: each stream on its own is a beginning of the truth."""
    if not (directory / JOURNAL).exists():
        return None
    from stimloop.loops.storage.stored import read_stored

    stored = read_stored(directory)
    if not stored.layouts:
        return None
    rows = dict(zip((layout.key for layout in stored.layouts), stored.rows, strict=True))
    slow = min(rows["body.reward"], rows["brain.rates"] // SLOW)
    said = sum(k % 5 for k in range(slow))
    while said > rows["brain.spikes"]:  # the events may be a message or two behind
        slow -= 1
        said -= slow % 5
    return {"streams": {"brain.rates": slow * SLOW, "body.reward": slow, "brain.spikes": said}, "evaluations": {}}


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
