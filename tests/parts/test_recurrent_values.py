"""Action values with memory: a tick by hand, torch's own memory, and what gradients reach."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the values learn with torch")

import torch

from stimloop.components.parts.recurrent_values import RecurrentValues


def values(layers=2, members=2):
    return RecurrentValues(3, 2, 4, layers, [5], list(range(members)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_tick_is_the_equation_of_a_long_short_term_memory():
    net = RecurrentValues(1, 1, 1, 1, [1], [0])
    net.set({"memory1/input": np.array([[[0.5], [-1], [2], [0.25]]]), "memory1/bias": np.array([[0.1, 0.2, -0.3, 0.4]]),
             "memory1/recurrent": np.array([[[1], [0.5], [-0.5], [2]]])})
    h = c = 0.0
    state, seen = net.nothing(1), [0.7, -0.4]
    for x in seen:
        enter, forget = sigmoid(0.5 * x + h + 0.1), sigmoid(-x + 0.5 * h + 0.2)
        fresh, leave = np.tanh(2 * x - 0.5 * h - 0.3), sigmoid(0.25 * x + 2 * h + 0.4)
        c = forget * c + enter * fresh
        h = leave * np.tanh(c)
        state = net.tick(np.array([[x]], np.float32), state)
    assert float(state[0, 0, 0, 0, 0]) == pytest.approx(h, rel=1e-6)
    assert float(state[0, 1, 0, 0, 0]) == pytest.approx(c, rel=1e-6)
    told = net.summarise(torch.tensor(seen)[None, :, None])
    assert told[0, 0, -1, 0].item() == pytest.approx(h, rel=1e-6)


def test_whole_episodes_are_what_ticks_make_of_them_and_members_differ():
    net = values()
    seen = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
    done = np.random.default_rng(1).uniform(-1, 1, (3, 6, 2)).astype(np.float32)
    summary = net.summarise(torch.from_numpy(seen))
    judged = net.judge(summary, torch.from_numpy(done)).detach().numpy()
    assert summary.shape == (2, 3, 6, 4)
    state = net.nothing(3)
    for t in range(6):
        state = net.tick(seen[:, t], state)
        told = np.ascontiguousarray(state[:, 0, -1].swapaxes(0, 1))
        np.testing.assert_allclose(told, summary[:, :, t].detach().numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(net.judge(told, done[:, t]), judged[..., t], rtol=1e-4, atol=1e-5)
    assert np.abs(judged[0] - judged[1]).min() > 1e-4


def test_a_row_is_the_same_to_the_last_bit_whoever_stands_beside_it():
    net = values()
    seen = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    state = net.tick(seen, net.nothing(7))
    np.testing.assert_array_equal(net.tick(seen, state)[2:3], net.tick(seen[2:3], state[2:3]))


def test_truncated_gradients_reach_back_no_further_and_the_numbers_are_the_same():
    net = values()
    seen = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole = net.summarise(seen)
    cut = net.summarise(seen, truncate=2)
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-6)
    reached = [(torch.autograd.grad(said[:, :, 5].sum(), seen)[0] != 0).any(dim=-1)[0].tolist()
               for said in (whole, cut)]
    assert reached == [[True] * 6, [False] * 4 + [True] * 2]


def test_every_number_learns():
    net = values()
    said = net.judge(net.summarise(torch.randn(2, 5, 3)), torch.randn(2, 5, 2))
    found = torch.autograd.grad(said.square().sum(), list(net.parameters().values()))
    for name, slope in zip(net.parameters(), found, strict=True):
        assert bool((slope != 0).any()), name
