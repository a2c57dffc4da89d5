"""The proof of the seat in small: it runs, and more is not asked of a few hundred steps."""

import pytest

from .proofs import PROOFS

pytest.importorskip("stable_baselines3")


def test_another_librarys_learner_takes_the_coprocessors_seat():
    from .prove_seat import prove_seat

    found = prove_seat(**PROOFS["seat"].small)
    assert found["holds"]
    assert found["patients"][0]["learned"] != found["patients"][0]["no_stimulation"]
