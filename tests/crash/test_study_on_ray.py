"""Studies on Ray: the table of the process pool, though a worker is killed, the command interrupted, a cluster joined.

Two clusters of two processes are started; each needs about 0.7 GB of memory beside the cells.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stimloop.assemblies.identity import read_attributes
from stimloop.assemblies.studying import claims

from .prove_study import FILES, HERE

pytest.importorskip("ray", reason="these are tests of Ray")
pytest.importorskip("torch", reason="the study's first stage learns")

WAIT = 120.0  # seconds at most for anything to happen
COMMAND = [sys.executable, "-m", "stimloop.assemblies.cli", "study", "killed_study.yaml", "--json"]


def test_the_table_is_the_pools_to_the_last_byte_whatever_happens_on_the_way(tmp_path: Path,
                                                                             cluster: dict[str, str]) -> None:
    """A worker is killed, the command interrupted, a cluster joined: one story, for each cluster takes seconds."""
    for name in FILES:  # a first stage that lasts long enough to be killed
        text = (HERE / name).read_text().replace("until: 90 steps", "until: 1500 steps")
        (tmp_path / name).write_text(text.replace("every: 30 steps", "every: 750 steps"))
    truth = _end(_start(tmp_path, "--workers", "2"))
    shutil.rmtree(tmp_path / "studies")  # the same folder again, so that not even a path in what is printed differs

    process = _start(tmp_path, "--on", "ray", "--workers", "2")
    cell, owner = _cell_that_has_saved(tmp_path)
    os.kill(owner, signal.SIGKILL)
    _until(lambda: _owners(tmp_path).get(cell, owner) != owner)  # another process has taken it over
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=WAIT)[1].decode()
    assert process.returncode == 130, told
    assert "interrupted, and saved" in told
    assert not _owners(tmp_path), "every cell is free for others"

    assert _end(_start(tmp_path, "--on", "ray", "--address", cluster["address"], **cluster)) == truth
    sessions = {run: len(read_attributes(run)["sessions"]) for run in tmp_path.glob("studies/*/train/*/run/*/*.zarr")}
    assert len(sessions) == 2, "what was killed and what was interrupted went on in its own run"
    assert max(sessions.values()) > 1


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """A cluster that somebody else started, with a token; its address, and what one must know to join it."""
    folder = tempfile.mkdtemp(prefix="ray")  # not pytest's: the names of sockets lie in it, and must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
         f"--port={address.partition(':')[2]}", "--num-cpus=2", "--include-dashboard=false",
         f"--object-store-memory={75 * 2**20}", f"--temp-dir={folder}"],
        env={**os.environ, **secret}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        assert head.stdout is not None
        said: list[bytes] = []
        while b"Ray runtime started" not in b"".join(said):
            said.append(head.stdout.readline())
            assert said[-1], b"".join(said).decode()
        yield {"address": address, **secret}
        assert head.poll() is None, "the cluster that was joined has ended"
    finally:
        head.send_signal(signal.SIGTERM)
        head.communicate(timeout=WAIT)
        shutil.rmtree(folder, ignore_errors=True)


def _start(place: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *words], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


def _end(process: subprocess.Popen[bytes]) -> bytes:
    out, errors = process.communicate(timeout=2 * WAIT)
    assert process.returncode == 0, errors.decode()
    assert json.loads(out)["passed"]
    return out


def _owners(place: Path) -> dict[Path, int]:
    """Return the cells of the first stage that somebody runs, and whose process numbers stand in their claims."""
    said = {cell: claims.owner(cell) for cell in (place / "studies").glob("*/train/*")}
    return {cell: who["pid"] for cell, who in said.items() if who}


def _cell_that_has_saved(place: Path) -> tuple[Path, int]:
    """Return a cell that has learned for a while, and its process."""
    found: list[tuple[Path, int]] = []

    def look() -> bool:
        for cell, owner in _owners(place).items():
            saved = [int(each.name) for each in cell.glob("run/*/*/checkpoints/[0-9]*") if each.name.isdecimal()]
            if max(saved, default=0) > 0:
                found.append((cell, owner))
        return bool(found)

    _until(look)
    return found[0]


def _until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
