"""Advantages against sums written out from their definition, with ends in every position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.parts.returns import advantages

STEPS = st.sampled_from(["step", "terminated", "truncated", "none", "dropped"])


def brute_force(reward, value, following, kinds, gamma, lam):
    """The sum over future temporal differences of one lane until its episode ends or a step is missing."""
    found = []
    for t, kind in enumerate(kinds):
        total, weight = 0.0, 1.0
        if kind not in ("none", "dropped"):
            for s in range(t, len(kinds)):
                if kinds[s] == "none":
                    continue
                if kinds[s] == "dropped":
                    break
                after = 0.0 if kinds[s] == "terminated" else following[s]
                total += weight * (reward[s] + gamma * after - value[s])
                weight *= gamma * lam
                if kinds[s] != "step":
                    break
        found.append(total)
    return found


def follows(kinds):
    """Does each step of one lane come right after the one before it?"""
    found, linked = [], False
    for kind in kinds:
        found.append(linked)
        linked = kind == "step" or (linked and kind == "none")
    return found


@given(kinds=st.lists(st.tuples(STEPS, STEPS), min_size=1, max_size=9), gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
       lam=st.sampled_from([0.0, 0.7, 1.0]), seed=st.integers(0, 99))
def test_advantages_are_the_sums_of_the_definition(kinds, gamma, lam, seed):
    kinds = np.array(kinds)
    reward, value, following = np.random.default_rng(seed).standard_normal((3, *kinds.shape))
    linked = np.stack([follows(lane) for lane in kinds.T], axis=1)
    found = advantages(reward, value, following, kinds == "terminated", linked, ~np.isin(kinds, ["none", "dropped"]),
                       gamma, lam)
    for lane in range(2):
        one = brute_force(reward[:, lane], value[:, lane], following[:, lane], kinds[:, lane], gamma, lam)
        assert np.allclose(found[:, lane], one, atol=1e-9)

