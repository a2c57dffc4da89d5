"""Proofs that are whole test suites: with many Hypothesis examples, and with branch coverage."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COUNT = re.compile(r"(\d+) (passed|failed|error|errors|skipped)\b")


def counts_in(text: str) -> dict[str, int]:
    """Read pytest's last line."""
    found = {"errors" if word.startswith("error") else word: int(count) for count, word in COUNT.findall(text)}
    return {word: found.get(word, 0) for word in ("passed", "failed", "errors", "skipped")}


def suite(paths: Sequence[str], profile: str) -> dict[str, Any]:
    """Run tests with the number of Hypothesis examples of a profile; holds when some ran and all passed."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *paths], cwd=ROOT, capture_output=True, text=True,
                          check=False, env={**os.environ, "HYPOTHESIS_PROFILE": profile})
    tail = done.stdout.strip().splitlines()[-1:] or [done.stderr[-500:]]
    found = counts_in(tail[0])
    return {"holds": done.returncode == 0 and found["passed"] > 0, **found}


def branch_coverage(at_least: float, paths: Sequence[str] = ("tests",)) -> dict[str, Any]:
    """Run the tests under coverage; holds when they pass and branches and lines of loops/ reach `at_least` percent."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        run = [sys.executable, "-m", "coverage", "run", "--branch", "--source", str(ROOT / "loops"),
               "--data-file", data, "-m", "pytest", "-q", *paths]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        report = f"{folder}/report.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "--data-file", data, "-o", report], cwd=ROOT,
                       check=True)
        found = json.loads(Path(report).read_text())
    totals = found["totals"]
    branches = 100 * totals["covered_branches"] / max(1, totals["num_branches"])
    tail = done.stdout.strip().splitlines()[-1:] or [""]
    worst = sorted((facts["summary"]["percent_covered"], Path(name).name) for name, facts in found["files"].items())[:5]
    return {"holds": done.returncode == 0 and branches >= at_least, "branches_percent": round(branches, 2),
            "lines_and_branches_percent": round(totals["percent_covered"], 2), **counts_in(tail[0]),
            "least_covered": {name: round(percent, 1) for percent, name in worst}}
