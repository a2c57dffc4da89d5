"""Networks that remember: hand-computed ticks, and the same in NumPy and torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from stimloop.components.parts.sequence_network import SequenceNetwork  # noqa: E402

MEMORIES = ["none", "lstm", "retanh"]


def network(memory="lstm", inputs=3, units=4, hidden=(5,), leak=0.3):
    return SequenceNetwork(inputs, 2, memory, units, list(hidden), leak, 0)


def single(memory, leak=0.25):
    """One unit, read as it is."""
    net = SequenceNetwork(1, 1, memory, 1, [], leak, 0)
    net.arrays["out/weight"][...], net.arrays["out/bias"][...] = 1, 0
    return net


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_two_ticks_of_an_lstm_by_hand():
    net = single("lstm")
    net.arrays["memory/input"][:, 0] = [0.5, -1.0, 2.0, 1.5]  # i, f, g, o
    net.arrays["memory/recurrent"][:, 0] = [0.3, 0.7, -0.4, 0.2]
    net.arrays["memory/bias"][...] = [0.1, 1.0, 0.0, -0.2]
    cell = sigmoid(0.5 * 0.8 + 0.1) * np.tanh(2 * 0.8)
    first = sigmoid(1.5 * 0.8 - 0.2) * np.tanh(cell)
    enter, keep = sigmoid(-0.5 * 0.6 + 0.3 * first + 0.1), sigmoid(0.6 + 0.7 * first + 1)
    cell = keep * cell + enter * np.tanh(-2 * 0.6 - 0.4 * first)
    second = sigmoid(-1.5 * 0.6 + 0.2 * first - 0.2) * np.tanh(cell)
    said, state = net.run(np.array([[[0.8], [-0.6]]], np.float32))
    np.testing.assert_allclose(said[0, :, 0], [first, second], atol=1e-6)
    np.testing.assert_allclose(state, [[second, cell]], atol=1e-6)


def test_two_ticks_of_a_retanh_unit_by_hand():
    net = single("retanh")
    for name, value in (("input", 2), ("recurrent", 0.5), ("bias", 0.1)):
        net.arrays[f"memory/{name}"][...] = value
    x = 0.25 * (2 * 0.8 + 0.1)
    y = x + 0.25 * (-x + 0.5 * np.tanh(x) - 2 * 3 + 0.1)
    said, state = net.run(np.array([[[0.8], [-3.0]]], np.float32))
    np.testing.assert_allclose(said[0, :, 0], [np.tanh(x), 0], atol=1e-6)
    np.testing.assert_allclose(state, [[y]], atol=1e-6)


@pytest.mark.parametrize("memory", MEMORIES)
def test_torch_says_of_whole_sequences_what_numpy_says_tick_by_tick(memory):
    net, rng = network(memory), np.random.default_rng(0)
    heard, state, told = rng.normal(size=(2, 6, 3)).astype(np.float32), None, []
    for time in range(6):
        said, state = net.run(heard[:, time:time + 1], state)
        told.append(said)
    whole, after = net.run(torch.from_numpy(heard))
    np.testing.assert_allclose(whole.detach().numpy(), np.concatenate(told, axis=1), atol=1e-6)
    np.testing.assert_allclose(after.detach().numpy(), state, atol=1e-6)
    assert whole.std(dim=1).min() > 0


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_row_does_not_hang_on_its_neighbours(memory):
    net, rng = network(memory), np.random.default_rng(0)
    heard = rng.normal(size=(3, 4, 3)).astype(np.float32)
    assert np.array_equal(net.run(heard)[0][1], net.run(heard[1:2])[0][0])


@pytest.mark.parametrize("memory", ["lstm", "retanh"])
def test_what_came_before_counts_and_what_comes_later_does_not(memory):
    net, rng = network(memory), np.random.default_rng(0)
    heard = rng.normal(size=(1, 5, 3)).astype(np.float32)
    other = heard.copy()
    other[0, 2] += 1
    same = (net.run(heard)[0] == net.run(other)[0]).all(axis=2)[0]
    assert same[:2].all()
    assert not same[2]
    assert not same[3:].all()  # of `retanh` all units may be silent for a while


def test_the_forget_gate_begins_open():
    assert network().arrays["memory/bias"][4:8].tolist() == [1] * 4
