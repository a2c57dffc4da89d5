"""Runs the comparisons whose peers quarrel with our pins, each in an environment of its own.

A peer is a folder `peers/<name>` with `requirements.txt` and `bench.py`; its environment is `.venv-peers/<name>`.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def folders(where: Path = HERE / "peers") -> list[Path]:
    """Return the peers that there are."""
    return sorted(file.parent for file in where.glob("*/bench.py")) if where.is_dir() else []


def run(peer: Path, environments: Path = ROOT / ".venv-peers") -> int:
    """Make the environment of one peer if it is missing, and run its comparison there; return the exit code."""
    home = environments / peer.name
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", peer / "requirements.txt"], check=True)
        (home / ".installed").touch()
    return subprocess.run([python, peer / "bench.py"], check=False, cwd=ROOT).returncode


def main() -> int:
    """Run every peer; exit code 0 only if all comparisons hold."""
    found = folders()
    if not found:
        sys.stdout.write("No peer needs an environment of its own: the present ones (SimPy, Zarr, Gymnasium, MyoSuite) "
                         "run in `make bench`.\n")
    codes = [run(peer) for peer in found]  # all of them, also after one that fails
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
