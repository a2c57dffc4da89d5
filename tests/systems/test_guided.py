"""Guided sequences beat the policy's on true dynamics: fewer states than `guided.py`, whose full count runs alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")

from stimloop.components.parts.guidance import Guidance  # noqa: E402
from systems import guided  # noqa: E402


def test_the_judge_knows_the_pendulum():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        angle, speed, action = rng.uniform(-np.pi, np.pi), rng.uniform(-8, 8), rng.uniform(-1.2, 1.2)
        env.state = np.array([angle, speed])
        seen, reward, *_ = env.step(np.array([2 * action]))
        before = torch.tensor([[np.cos(angle), np.sin(angle), speed, action]], dtype=torch.float64)
        said = guided.Pendulum().predict(before)[0]
        np.testing.assert_allclose(before[0, :3] + said[1:], seen, atol=1e-6)
        np.testing.assert_allclose(said[0], reward, atol=1e-6)


class Lazy:
    """A policy that does next to nothing, half-trained at best."""

    def respond(self, inputs, memory):
        return {"action": 0.2 * torch.sin(3 * inputs["observation"][:, :1])}, memory


def test_guided_sequences_beat_a_policys():
    assert guided.holds(guided.compare(Lazy(), 200, Guidance()))


def test_where_a_policy_pushes_as_hard_as_it_may_there_is_little_to_gain():
    """It answers angle and speed at once, which within five steps is all but the best: guidance must not ruin it."""
    found = guided.compare(guided.Pull(), 200, Guidance())
    assert found["low"] > 0
    assert found["better"] > found["worse"]
