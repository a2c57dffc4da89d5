"""A long run at full logging, saved and evaluated now and then: memory, open files and threads stay as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stimloop.loops.storage import runs

HERE = Path(__file__).resolve().parent
PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP = 0.25  # part of the time that is not judged
WINDOWS = 30  # into which the rest is cut
COMMAND = ("-m", "stimloop.assemblies.cli", "run")
RUNS: dict[str, tuple[str, ...]] = {  # what is run: words of the command line
    "toy": (str(HERE / "killed_run.yaml"), "--allow", "killed_parts", "--set", "checkpoint.every=5 s wall"),
    "elbow": ("elbow_stimulation", "--variant", "random", "--set", "record=all", "--set", "checkpoint.every=5 s wall",
              "--set", "evaluate.test.every=10 episodes", "--set", "evaluate.test.episodes=2")}


def prove_soak(seconds: float, names: Sequence[str] = ("toy",), mb_per_hour: float = 1.0,
               change: str = "") -> dict[str, Any]:
    """Run each for so many seconds on the wall, watch its process from outside, then stop it by Ctrl-C.

    Holds when after the warm-up the memory grows by at most `mb_per_hour`, and the medians of open files and threads
    are the same in every window of time. (Files are open, or closed and opened again, for moments while something is
    written, so a single look says little.) `change` is an ADDRESS=VALUE for all.
    """
    found = {}
    for name in names:
        words = [*RUNS[name], *(["--set", change] if change else [])]
        with tempfile.TemporaryDirectory(prefix="soak") as folder:
            samples = _run(words, Path(folder), seconds)
            found[name] = {**judge(samples, mb_per_hour), **_facts(Path(folder))}
    return {"holds": all(facts["holds"] for facts in found.values()), "seconds": seconds,
            **{f"{name}_{key}": value for name, facts in found.items() for key, value in facts.items()}}


def judge(samples: np.ndarray, mb_per_hour: float) -> dict[str, Any]:
    """Judge samples of (seconds, resident MB, open files, threads).

    The slope is that of a straight line through the least memory of each window: checkpoints and evaluations take
    memory for moments, a leak lifts the floor. Its 95 % interval is from resampling windows. The slope through all
    samples stands beside it.
    """
    begun = samples[:, 0].min() + WARM_UP * np.ptp(samples[:, 0])
    warm = samples[samples[:, 0] >= begun]
    windows = [part for part in np.array_split(warm, WINDOWS) if len(part)]
    floors = np.array([(part[:, 0].mean(), part[:, 1].min(), *np.median(part[:, 2:], axis=0)) for part in windows])
    slope = _slope(floors[:, 0], floors[:, 1])
    draws = np.random.default_rng(0).integers(0, len(floors), (2000, len(floors)))
    spread = np.percentile([_slope(floors[rows, 0], floors[rows, 1]) for rows in draws if len(set(rows)) > 1],
                           (2.5, 97.5))
    files, threads = sorted(set(floors[:, 2])), sorted(set(floors[:, 3]))
    return {"holds": bool(slope <= mb_per_hour and len(files) == len(threads) == 1),
            "mb_per_hour": round(slope, 3), "mb_per_hour_interval": [round(end, 3) for end in spread],
            "mb_per_hour_all_samples": round(_slope(warm[:, 0], warm[:, 1]), 3),
            "resident_mb": round(float(floors[-1, 1]), 1), "samples": len(warm),
            "open_files": [float(count) for count in files], "threads": [float(count) for count in threads],
            "most_open_files": int(warm[:, 2].max())}


def _slope(seconds: np.ndarray, megabytes: np.ndarray) -> float:
    """MB per hour of the straight line of least squares."""
    return float(np.polyfit(seconds - seconds.mean(), megabytes, 1)[0] * 3600)


def _run(words: Sequence[str], folder: Path, seconds: float) -> np.ndarray:
    """Run a process from its first checkpoint on for so long; return samples of (seconds, MB, files, threads)."""
    process = subprocess.Popen([sys.executable, *COMMAND, *words, "--until", "10000000 s", "--json"], cwd=folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": _path()})
    try:
        while not list(folder.glob("runs/*/*/checkpoints/[0-9]*")):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        begun, samples = time.monotonic(), []
        while (passed := time.monotonic() - begun) < seconds:
            assert process.poll() is None, process.communicate()[1]
            samples.append((passed, *_look(process.pid)))
            time.sleep(max(0.01, seconds / 4000))
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 130, errors
    return np.array(samples)


def _path() -> str:
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


def _look(process: int) -> tuple[float, int, int]:
    """Resident MB, open files and threads of a process."""
    here = Path(f"/proc/{process}")
    resident = int((here / "statm").read_text().split()[1]) * PAGE / 1e6
    return resident, len(os.listdir(here / "fd")), len(os.listdir(here / "task"))


def _facts(folder: Path) -> Mapping[str, Any]:
    """What the run did meanwhile: nothing is proved by one that idles."""
    run = runs.open(next(folder.glob("runs/*/*.zarr")))
    assert run.state == "interrupted"
    rows = sum(facts.rows for facts in run.streams.values())
    evaluations = sum(len(run.stored.evaluations[name]) for name in run.evaluation_names)
    assert rows
    return {"simulated_s": round(run.attributes["now"] / 1e9), "rows": rows, "evaluations": evaluations,
            "recorded_mb": round(sum(facts.bytes for facts in run.streams.values()) / 1e6)}
