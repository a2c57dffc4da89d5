"""What every test gets: few Hypothesis examples (many under `make prove`), one thread, a place for runs."""

from __future__ import annotations

import os
import sys

# Before NumPy and torch are loaded: two threads of theirs beside physics collapse.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "disable")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=6, deadline=None, derandomize=True, database=None,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("prove", max_examples=500, deadline=None, database=None, print_blob=True,
                          suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Keep torch to one thread, if a test brought it in."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def runs(tmp_path):
    """A folder for the runs of one test."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The working directory of one test, empty at first."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
