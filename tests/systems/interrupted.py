"""Runs that were killed, and how to show that going on with one is refused."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import stimloop as sl
from stimloop.assemblies import execute, resuming
from stimloop.loops.errors import RunError

BODY = """
name: t
until: 400 ms
checkpoint: {every: 100 ms, keep: 5}
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
"""


def files(path: Path) -> dict[str, str]:
    """Every file of a run, by the hash of its bytes."""
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(path.rglob("*")) if file.is_file()}


def unfinished(tmp_path: Path, text: str = BODY) -> Path:
    """A run killed at 300 ms, its checkpoints those of 0 and 100 ms: the directory copied while it was written."""
    copy = tmp_path / "killed.zarr"

    def prepare(loop):
        def look(now):
            if now == 300_000_000:
                time.sleep(0.6)
                path = next((tmp_path / "made" / "t").iterdir())
                loop.attend(lambda later: shutil.copytree(path, copy) if later == 320_000_000 else None)
        loop.attend(look)

    execute.start(sl.Assembly.from_yaml(text), folder=tmp_path / "made", prepare=prepare)
    for folder in sorted((copy / "checkpoints").iterdir())[2:]:
        shutil.rmtree(folder)
    return copy


def refused(path: Path, match: str, error: Any = RunError, **options: Any) -> str:
    """Go on with a run, which must be refused and leave every byte as it is."""
    before = files(path)
    with pytest.raises(error, match=match) as caught:
        resuming.resume(path, **options)
    assert files(path) == before
    return str(caught.value)


def damage(newest: Path, harm: str) -> None:
    if harm == "append":
        with (newest / "state.json").open("a") as file:
            file.write("x")
    else:
        (newest / ("manifest.json" if harm == "manifest" else "loop.safetensors")).unlink()
