"""The ensemble knows how sure it may be: smaller counts of `calibration.py`, whose full counts run alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from systems import calibration  # noqa: E402


def test_with_fewer_neurons_and_fits_it_still_knows_its_noise():
    found = calibration.judge_linear(0, hidden=(200, 200), every=1000)
    bounds = {**calibration.BOUNDS["linear"], "sigma_error": (0, 0.2)}  # the rest as with the full counts
    for name, (low, high) in bounds.items():
        assert low <= found[name] <= high, (name, found)


def test_a_pendulum_is_foreseen():
    """With a fraction of rows and neurons; that nothing changes would be wrong by 0.19 and 0.89."""
    found = calibration.judge_pendulum(0, rows=2000, hidden=(64, 64), every=500)
    assert found["rmse_1_step"] <= 0.08
    assert found["rmse_5_step"] <= 0.3


def test_the_judge_knows_the_pendulum():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        state, push = np.array([[rng.uniform(-9, 9), rng.uniform(-8, 8)]]), rng.uniform(-1, 1, 1)
        env.state = state[0].copy()
        observation, reward, *_ = env.step(2 * push)
        after, mine = calibration.swing(state, push)
        np.testing.assert_allclose(calibration.seen(after)[0], observation, atol=1e-5)
        np.testing.assert_allclose(mine[0], reward, atol=1e-9)
