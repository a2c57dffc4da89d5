"""What learners with a model count: updates of the policy, and fits of the model."""

import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

from .imagining import assembly  # noqa: E402


def test_updates_and_fits_are_counted_apart():
    """Evaluations and signs that nothing was learned read `updates`: a model that is fitted teaches no policy yet."""
    told = {"updates": [], "fits": []}
    with assembly(min_buffer=40).build() as loop:
        for name, said in told.items():
            loop.tap(f"learner.{name}", lambda now, value, said=said: said.append(int(value)))
        loop.run("39 steps")
        assert told == {"updates": [0, 0], "fits": [1, 2]}  # it was time at 20 and 35
        loop.run("60 steps")
        learner = loop.components["learner"]
        assert told["updates"][-1] == learner.core.updates == 2 * (60 - 40 + 1)
        assert told["fits"] == [1, 2, 3]
        assert len(told["updates"]) == 2 + 21
