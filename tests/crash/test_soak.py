"""A few seconds of the soak, and faults that it has to see; `make prove` runs the full time of `prove_soak`."""

from __future__ import annotations

import numpy as np
import pytest

from .proofs import PROOFS
from .prove_soak import judge, prove_soak


def test_files_and_threads_of_a_run_stay_as_many():
    found = prove_soak(**PROOFS["soak"].small)
    assert found["holds"], found
    assert found["toy_evaluations"]
    assert found["toy_samples"] > 50


@pytest.mark.parametrize(("fault", "told"), [("leaks memory", "toy_mb_per_hour"), ("leaks files", "toy_open_files"),
                                             ("leaks threads", "toy_threads")])
def test_a_component_that_leaks_is_seen(fault, told):
    found = prove_soak(**PROOFS["soak"].small, change=f"brain.params.fault={fault}")
    assert not found["holds"]
    assert found[told] > 36_000 if told == "toy_mb_per_hour" else len(found[told]) > 1


def samples(hours: float = 0.5, leak: float = 0.0, seed: int = 0) -> np.ndarray:
    """Made-up samples of half an hour: a warm-up, noise, peaks now and then, and a leak in MB/h."""
    random = np.random.default_rng(seed)
    seconds = np.linspace(0, hours * 3600, 4000)
    peaks = 30 * (random.random(4000) < 0.05)
    memory = 200 + 20 * (1 - np.exp(-seconds / 60)) + 0.02 * random.standard_normal(4000) + peaks
    files = 9 + (random.random(4000) < 0.3)
    return np.stack([seconds, memory + leak * seconds / 3600, files, np.full(4000, 3)], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_the_slope_is_found_to_a_tenth_of_what_is_allowed(seed):
    assert judge(samples(seed=seed), 1.0)["holds"]
    for leak in (0.9, 1.1):
        found = judge(samples(leak=leak, seed=seed), 1.0)
        assert found["mb_per_hour"] == pytest.approx(leak, abs=0.1)
        assert found["holds"] is (leak < 1)


@pytest.mark.parametrize("column", [2, 3])
def test_one_more_file_or_thread_is_seen(column):
    found = samples()
    found[3000:, column] += 1
    assert not judge(found, 1.0)["holds"]
