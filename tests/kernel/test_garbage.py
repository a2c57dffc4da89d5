"""Garbage of a run: what was alive before it is left alone, and does not put off the full collections meanwhile."""

from __future__ import annotations

import gc

from stimloop.assemblies.session import frozen_garbage


def test_full_collections_come_however_much_was_alive_before() -> None:
    ballast: list[list[None]] = [[] for _ in range(600_000)]  # a quarter of it is more than what is kept below
    with frozen_garbage():
        before = gc.get_stats()[2]["collections"]
        kept: list[list[None]] = [[] for _ in range(100_000)]
        assert gc.get_stats()[2]["collections"] > before
        assert gc.get_freeze_count() > len(ballast)
    assert len(kept) == 100_000
    assert not gc.get_freeze_count()
