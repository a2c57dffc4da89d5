"""Settings at their limits: what cannot work is refused or told, and what can work does."""

import pytest

pytest.importorskip("torch", reason="learning needs torch")

from systems.test_model_learners import assembly  # noqa: E402


def test_a_refresh_that_comes_rarely_is_remembered_whole():
    """Room is for the refreshes of an epoch; where an epoch is over before the next one, for that one."""
    with assembly(model_train_freq=1000, rollout_schedule=[0, 1, 2, 2], planning=False).build() as loop:
        loop.run("40 steps")
        assert loop.components["learner"].imagined.size == 24
        assert loop.peek("learner.model_rows") == 24
