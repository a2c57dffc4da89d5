"""A few kills of whole runs; `make prove` runs the full count of `prove_run_kills`."""

from __future__ import annotations

import pytest

from .proofs import PROOFS
from .prove_run_kills import prove_run_kills


def test_a_whole_run_killed_and_resumed_ends_as_one_that_was_never_killed():
    found = prove_run_kills(**PROOFS["run_kills"].small, seed=3)
    assert found["kills"] == 4
    assert found["runs_equal_to_one_never_killed"] >= 1
    assert found["rows_checked"] > 1000


def test_the_proof_notices_a_component_that_forgets():
    with pytest.raises(AssertionError, match=r"is not what was said|the log parts at"):
        prove_run_kills(3, until="12 s", seed=3, change="brain.params.fault=forgets")
