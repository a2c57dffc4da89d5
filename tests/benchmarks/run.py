"""Runs one benchmark: `python tests/benchmarks/run.py kernel --json`; exit code 0 only if every bound holds.

A benchmark is `bench_<name>.py` beside this file with a function `measure()` that returns its checks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGES = ("stimloop", "numpy", "simpy", "zarr", "h5py", "torch", "gymnasium", "mujoco", "MyoSuite", "nengo",
            "pydantic", "stable_baselines3")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def names() -> list[str]:
    """Return the benchmarks that there are."""
    return sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))


def versions() -> dict[str, str]:
    """Return what took part, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def threads() -> dict[str, Any]:
    """Return how many threads were allowed, and on how many cores."""
    found: dict[str, Any] = {name: os.environ.get(name) for name in THREADS}
    found["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    return found


def run(name: str) -> dict[str, Any]:
    """Measure one benchmark and return its answer with what it was measured with."""
    module = import_module(f"benchmarks.bench_{name}")
    answer = module.measure()
    return {"name": name, **answer, "versions": versions(), "threads": threads()}


def holds(answer: dict[str, Any]) -> bool:
    """Are there checks, and does every one of them hold?"""
    return bool(answer["checks"]) and all(check["ok"] for check in answer["checks"])


def table(answer: dict[str, Any]) -> str:
    """Write the checks for people."""
    lines = [f"{answer['name']}: {'holds' if holds(answer) else 'does not hold'}"]
    for check in answer["checks"]:
        low, high = check["spread"]
        sign = {"higher": ">=", "lower": "<="}.get(check.get("better") or "", "bound")
        bound = "" if check["bound"] is None else f"  {sign} {check['bound']:g}"
        verdict = "ok  " if check["ok"] else "FAIL"
        lines.append(f"  {verdict} {check['what']:38} {check['value']:12.5g} {check['unit']:6}"
                     f" [{low:.5g}, {high:.5g}]{bound}")
    return "\n".join([*lines, *(f"  {note}" for note in answer.get("notes", ()))])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(description="Runs one benchmark; exit code 0 only if every bound holds.")
    parser.add_argument("name", choices=names())
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    answer = run(chosen.name)
    sys.stdout.write((json.dumps(answer) if chosen.json else table(answer)) + "\n")
    return 0 if holds(answer) else 1


if __name__ == "__main__":
    for thread in THREADS:
        os.environ.setdefault(thread, "1")  # before NumPy is loaded
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
