"""A few kills and failing writes; `make prove` runs the full counts of `prove_recorder`."""

from __future__ import annotations

from .prove_recorder import prove_faults, prove_kills


def test_kills_at_full_rate_cost_at_most_the_last_second():
    assert prove_kills(5, seed=1, longest=1.4)["opened"] == 5


def test_a_disk_that_fails_at_any_write_is_told_and_loses_nothing_committed():
    assert prove_faults(12)["told"] == 12
