"""Checkpoints: what the second one costs, in bytes and seconds, when a hundredth of a large buffer changed.

No bound is asked for; the bytes written are held in proportion to what changed by `tests/kernel/test_checkpoint.py`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .common import check

MEGABYTES = 200
CHANGED = 0.01
WIDTH = 25  # float32 numbers a row: observation, action, reward and successor of a small task
ROUNDS = 7


def second_checkpoint(folder: Path, megabytes: float, changed: float, where: str) -> dict[str, float]:
    """Bytes and seconds of a second checkpoint, and the seconds of the first.

    `where` the rows changed: "together", as in a buffer that is filled in turn, or "scattered" over all of it.
    """
    from stimloop.loops import loop_state
    from stimloop.loops.storage import checkpoint

    random = np.random.default_rng(0)
    buffer = random.standard_normal((int(megabytes * 1e6 / 4 / WIDTH), WIDTH), np.float32)  # [transitions, numbers]
    state = {"format": loop_state.FORMAT, "components": {"learner": {"replay": buffer}}}
    start = time.perf_counter()
    checkpoint.write({**state, "now": 0}, folder)
    first = time.perf_counter() - start
    count = int(len(buffer) * changed)
    rows = slice(len(buffer) // 3, len(buffer) // 3 + count) if where == "together" else random.permutation(
        len(buffer))[:count]
    buffer[rows] += 1
    start = time.perf_counter()
    after = checkpoint.write({**state, "now": 1}, folder)
    second = time.perf_counter() - start
    written = sum(file.stat().st_size for file in after.iterdir() if file.stat().st_nlink == 1)
    start = time.perf_counter()
    checkpoint.read(after)
    return {"first": first, "second": second, "written": written, "read": time.perf_counter() - start}


def measure(megabytes: float = MEGABYTES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Write two checkpoints, anew in each round."""
    found: dict[str, list[dict[str, float]]] = {"together": [], "scattered": []}
    for _ in range(rounds):
        for where, values in found.items():
            with tempfile.TemporaryDirectory(prefix="bench_checkpoint") as folder:
                values.append(second_checkpoint(Path(folder), megabytes, CHANGED, where))
    together, scattered = found["together"], found["scattered"]
    return {"name": "checkpoint", "settings": {
        "buffer_mb": megabytes, "changed": CHANGED, "row_bytes": 4 * WIDTH, "rounds": rounds,
        "seconds": "on the wall, with every file forced to the disk"}, "checks": [
        check("second_written_mb", [value["written"] / 1e6 for value in together], "MB"),
        check("second_s", [value["second"] for value in together], "s"),
        check("first_s", [value["first"] for value in together], "s"),
        check("read_s", [value["read"] for value in together], "s"),
        check("second_written_mb_scattered", [value["written"] / 1e6 for value in scattered], "MB"),
        check("second_s_scattered", [value["second"] for value in scattered], "s")]}
