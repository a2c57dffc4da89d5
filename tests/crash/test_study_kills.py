"""A few kills of a study; `make prove` runs the full count of `prove_study`."""

from __future__ import annotations

import pytest

from .proofs import PROOFS
from .prove_study import prove_study

pytest.importorskip("torch", reason="the study's first stage learns")


def test_a_killed_study_ends_in_the_same_table():
    found = prove_study(**PROOFS["study"].small, seed=1)
    assert found["kills"] == 2
    assert found["shards_killed"] == 1
