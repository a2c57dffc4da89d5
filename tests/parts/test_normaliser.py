"""Statistics of observations: the same whatever they came in, and what acts is what learns."""

import numpy as np
import pytest

from stimloop.components.parts import normaliser


@pytest.mark.parametrize("cuts", [[], [1], [3, 3, 50], [100]])
def test_parts_give_what_the_whole_gives(cuts):
    values = np.random.default_rng(0).normal(3, [1, 10, 0], (120, 3))
    known = normaliser.start(3)
    for part in np.split(values, np.cumsum(cuts)):
        normaliser.update(known, part)
    np.testing.assert_allclose(known["mean"], values.mean(axis=0))
    np.testing.assert_allclose(known["variance"], values.var(axis=0), atol=1e-12)
    assert known["count"][0] == 120


def test_nothing_observed_changes_nothing():
    known = normaliser.start(2)
    normaliser.update(known, np.zeros((0, 2)))
    values = np.array([[1.5, -3]], np.float32)
    np.testing.assert_allclose(normaliser.apply(values, known["mean"], known["variance"]), values, rtol=1e-6)


def test_arrays_and_tensors_are_brought_to_one_scale_alike():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(100, 30, (50, 4)).astype(np.float32)
    known = normaliser.start(4)
    normaliser.update(known, values)
    scaled = normaliser.apply(values, known["mean"], known["variance"])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    theirs = normaliser.apply(torch.from_numpy(values), torch.from_numpy(known["mean"]),
                              torch.from_numpy(known["variance"]))
    np.testing.assert_allclose(scaled, theirs.numpy(), atol=1e-6)
    assert normaliser.apply(np.full((1, 4), 1e9, np.float32), known["mean"], known["variance"]).max() == normaliser.CLIP


def test_a_network_judges_far_from_zero_as_it_acts():
    torch = pytest.importorskip("torch")
    from stimloop.components.parts.networks import Perceptron

    net = Perceptron(3, [8], {"mean": 2}, "tanh", 0, normalise=True)
    values = np.random.default_rng(0).normal(1e5, 0.1, (40, 3)).astype(np.float32)
    normaliser.update(net.statistics, values)
    acted, learned = net.forward(values)[0]["mean"], net.forward(torch.from_numpy(values))[0]["mean"]
    np.testing.assert_allclose(acted, learned.detach().numpy(), atol=1e-5)
