"""Makes and runs the peers that quarrel with our pins, each in an environment of its own.

A peer is a folder `peers/<name>` with `requirements.txt` and `bench.py`; its environment is `.venv-peers/<name>`. What
its `without_dependencies.txt` names comes by itself, where its own pins could not be kept. A `bench.py` that is given
a file of rows serves a benchmark here as a `Worker`; by itself it tells its own figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv-peers"
_LATE = 600.0  # seconds after which a worker that is told to end is ended


def folders(where: Path = HERE / "peers") -> list[Path]:
    """Return the peers that there are."""
    return sorted(file.parent for file in where.glob("*/bench.py")) if where.is_dir() else []


def interpreter(name: str, environments: Path = ENVIRONMENTS) -> Path | None:
    """Return the interpreter of a peer; None where its environment was not made (yet, or to its end)."""
    home = environments / name
    return home / "bin" / "python" if (home / ".installed").exists() else None


def make(peer: Path, environments: Path = ENVIRONMENTS) -> Path:
    """Make the environment of one peer if it is missing; return its interpreter."""
    found = interpreter(peer.name, environments)
    if found is not None:
        return found
    home = environments / peer.name
    venv.create(home, with_pip=True)
    python, torch_index = home / "bin" / "python", os.environ.get("TORCH_INDEX")
    install = [python, "-m", "pip", "install", "-q", *(["--extra-index-url", torch_index] if torch_index else [])]
    subprocess.run([*install, "-r", peer / "requirements.txt"], check=True)
    if (alone := peer / "without_dependencies.txt").exists():
        subprocess.run([*install, "--no-deps", "-r", alone], check=True)
    (home / ".installed").touch()
    return python


class Worker:
    """A peer's interpreter that works only while it is asked to: one side runs, the other waits."""

    def __init__(self, python: Path, script: Path, rows: Path) -> None:
        """Start `script` with a file of rows; what it says besides answers goes where ours goes (standard error)."""
        self._process = subprocess.Popen([python, script, rows], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, bufsize=1, cwd=ROOT)

    def ask(self, work: str, pieces: int) -> tuple[float, float]:
        """Let it do so many pieces of work; return seconds of one by the wall and by the processor."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{work} {pieces}\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer ended (code {self._process.wait()}) when it was asked for {work!r}; what it "
                               "said stands above")
        said = json.loads(answer)
        return float(said["wall"]), float(said["busy"])

    def close(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=_LATE)


def run(peer: Path, environments: Path = ENVIRONMENTS) -> int:
    """Make the environment of one peer if it is missing, and run it there by itself; return the exit code."""
    return subprocess.run([make(peer, environments), peer / "bench.py"], check=False, cwd=ROOT).returncode


def main() -> int:
    """Run every peer; exit code 0 only if all of them do."""
    found = folders()
    if not found:
        sys.stdout.write("No peer needs an environment of its own: the present ones (SimPy, Zarr, Gymnasium, MyoSuite) "
                         "run in `make bench`.\n")
    codes = [run(peer) for peer in found]  # all of them, also after one that fails
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
