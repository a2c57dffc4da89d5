"""Networks and distributions: NumPy and torch agree, and lanes do not depend on each other."""

import numpy as np
import pytest

from stimloop.components.brains.mlp import Mlp
from stimloop.components.critics.q_ensemble import QEnsemble
from stimloop.components.critics.value_mlp import ValueMlp
from stimloop.components.parts import distributions as dist
from stimloop.components.parts.ensembles import Ensemble
from stimloop.components.parts.networks import Perceptron
from stimloop.loops.lanes import Lanes

torch = pytest.importorskip("torch")


def network(activation="relu"):
    return Perceptron(9, [32, 24], {"mean": 6, "log_deviation": 6}, activation, seed=3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_torch_and_numpy_compute_the_same(activation):
    net = network(activation)
    values = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    current = np.random.default_rng(1).normal(size=(5, 24)).astype(np.float32)
    mask = (np.random.default_rng(2).random((24, 32)) < 0.5).astype(np.float32)
    heads, rates = net.forward(values, 2, current, mask)
    theirs, their_rates = net.forward(torch.from_numpy(values), 2, torch.from_numpy(current), mask)
    np.testing.assert_allclose(rates, their_rates.detach().numpy(), atol=1e-5)
    for name in heads:
        np.testing.assert_allclose(heads[name], theirs[name].detach().numpy(), atol=1e-5)


def test_forward_is_the_formula():
    net = network()
    a = net.arrays
    x = np.random.default_rng(0).normal(size=9).astype(np.float32)
    h1 = np.maximum(a["layer1/weight"] @ x + a["layer1/bias"], 0)
    h2 = np.maximum(a["layer2/weight"] @ h1 + a["layer2/bias"], 0) + 0.5
    heads, rates = net.forward(x[None], 2, np.full((1, 24), 0.5, np.float32))
    np.testing.assert_allclose(rates[0], h2, atol=1e-5)
    np.testing.assert_allclose(heads["mean"][0], a["mean/weight"] @ h2 + a["mean/bias"], atol=1e-5)


@pytest.mark.parametrize("sizes", [(3, [64, 64], 1), (9, [32, 32], 6), (115, [256, 256], 39)])
def test_a_row_has_the_same_bits_whatever_stands_beside_it(sizes):
    inputs, hidden, actions = sizes
    net = Perceptron(inputs, hidden, {"mean": actions}, "relu", seed=0)
    values = np.random.default_rng(0).normal(size=(40, inputs)).astype(np.float32)
    whole = net.forward(values)[0]["mean"]
    for batch in (1, 2, 3, 7, 16, 33):
        np.testing.assert_array_equal(net.forward(values[:batch])[0]["mean"], whole[:batch])


@pytest.mark.parametrize(("init", "bound"), [("fan_in", lambda into, out: into**-0.5),
                                             ("glorot", lambda into, out: (6 / (into + out))**0.5)])
def test_weights_begin_uniform_within_a_bound(init, bound):
    """The deviation of a uniform number is its bound by the root of 3; biases of `glorot` are 0."""
    net = Perceptron(90, [320, 240], {"mean": 60, "log_deviation": 60}, "relu", seed=3, init=init)
    for name in (*net.layers, *net.heads):
        weight, bias = net.arrays[f"{name}/weight"], net.arrays[f"{name}/bias"]
        most = bound(*weight.shape[::-1])
        assert 0.999 * most < np.abs(weight).max() <= most
        assert weight.std() == pytest.approx(most / 3**0.5, rel=0.02)
        assert abs(weight.mean()) < 0.02 * most
        assert 0.9 * most < np.abs(bias).max() <= most if init == "fan_in" else not bias.any()


def test_every_network_that_a_policy_learns_by_may_begin_so():
    made = [Mlp(hidden=[30, 20], init="glorot"), QEnsemble(hidden=[30, 20], init="glorot"),
            ValueMlp(hidden=[30, 20], init="glorot")]
    for component in made:
        for name, size in (("observation", 7), ("action", 3)):
            if name in component.inputs:
                component.inputs[name] = component.inputs[name].sized((size,))
        if "action" in component.outputs:
            component.outputs["action"] = component.outputs["action"].sized((3,))
        component.build(Lanes.of(1), 0)
        found = {name: array for name, array in component.network.arrays.items() if name.startswith("layer2")}
        assert 0.9 * (6 / 50)**0.5 < np.abs(found["layer2/weight"]).max() <= (6 / 50)**0.5  # 30 in and 20 out
        assert not found["layer2/bias"].any()


def normalised_critic():
    """Two members over 3 numbers, [8, 5] hidden, whose layers are normalised, scaled and shifted unevenly."""
    net = Ensemble(3, [8, 5], 1, "relu", [1, 2], layer_norm=True)
    random = np.random.default_rng(4)
    net.set({name: random.normal(1, 0.3, array.shape) for name, array in net.arrays.items()
             if name.endswith(("gain", "shift"))})
    return net, random.normal(0, 3, (6, 3)).astype(np.float32)


def test_layers_are_normalised_before_they_answer_as_in_torch():
    net, values = normalised_critic()
    for member in range(2):
        weights, x = {name: array[member] for name, array in net.parameters().items()}, torch.from_numpy(values)
        for layer in ("layer1", "layer2"):
            heard = torch.nn.functional.linear(x, weights[f"{layer}/weight"], weights[f"{layer}/bias"])
            x = torch.nn.functional.layer_norm(heard, heard.shape[1:], weights[f"{layer}/gain"],
                                               weights[f"{layer}/shift"]).relu()
        wanted = torch.nn.functional.linear(x, weights["out/weight"], weights["out/bias"])
        torch.testing.assert_close(net.forward(torch.from_numpy(values))[member], wanted, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(net.forward(values), net.forward(torch.from_numpy(values)).detach(), atol=1e-5)
    np.testing.assert_array_equal(net.forward(values)[:, 2:3], net.forward(values[2:3]))  # whoever stands beside it


def test_a_normalised_layer_does_not_hear_how_loud_it_is():
    """Before its gain nothing tells 100 times the weights from once, which is why such critics do not run away."""
    net, values = normalised_critic()
    before = net.forward(values)
    net.set({name: 100 * net.arrays[name] for name in ("layer2/weight", "layer2/bias")})
    np.testing.assert_allclose(net.forward(values), before, rtol=1e-3, atol=1e-4)
    assert not [name for name in Ensemble(3, [8], 1, "relu", [1]).arrays if name.endswith(("gain", "shift"))]


def test_an_optimiser_changes_what_acts_without_copying():
    net = network()
    values = np.ones((1, 9), np.float32)
    before = net.forward(values)[0]["mean"].copy()
    optimiser = torch.optim.SGD(net.parameters().values(), lr=0.1)
    net.forward(torch.ones(1, 9))[0]["mean"].sum().backward()
    optimiser.step()
    after = net.forward(values)[0]["mean"]
    assert (after < before).all()
    np.testing.assert_allclose(after, net.forward(torch.ones(1, 9))[0]["mean"].detach().numpy(), atol=1e-5)


def test_replaced_memory_is_taken_back():
    net = network()
    parameter = net.parameters()["mean/bias"]
    parameter.data = torch.full((6,), 7.0)
    net.gather()
    np.testing.assert_array_equal(net.arrays["mean/bias"], np.full(6, 7.0, np.float32))
    with torch.no_grad():
        parameter.fill_(8.0)
    np.testing.assert_array_equal(net.arrays["mean/bias"], np.full(6, 8.0, np.float32))


def test_squashed_log_prob_matches_torch_and_integrates_to_1():
    rng = np.random.default_rng(0)
    mean, log_deviation = rng.normal(size=(2, 4, 3)).astype(np.float32)
    action = dist.squash(mean, log_deviation, rng.normal(size=(4, 3)))
    reference = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(log_deviation).double().exp()),
        [torch.distributions.transforms.TanhTransform()]).log_prob(torch.tensor(action).double()).sum(-1).numpy()
    mine = dist.squashed_log_prob(mean, log_deviation, action)
    np.testing.assert_allclose(mine, reference, atol=1e-4)
    theirs = dist.squashed_log_prob(torch.tensor(mean), torch.tensor(log_deviation), torch.tensor(action)).numpy()
    np.testing.assert_allclose(mine, theirs, atol=1e-6)
    grid = np.linspace(-1, 1, 20001)[1:-1, None].astype(np.float32)
    flat = np.zeros_like(grid)
    density = np.exp(dist.squashed_log_prob(flat + 0.3, flat - 0.5, grid))
    np.testing.assert_allclose(density.sum() * 1e-4, 1, atol=1e-3)


def test_gradients_reach_mean_and_deviation():
    mean, log_deviation = (torch.zeros(5, 2, requires_grad=True) for _ in range(2))
    action, log_prob = dist.squashed_sample(mean, log_deviation, torch.ones(5, 2))
    (action.sum() + log_prob.sum()).backward()
    assert (mean.grad != 0).all()
    assert (log_deviation.grad != 0).all()
    again = dist.squashed_log_prob(mean, log_deviation, action)
    np.testing.assert_allclose(again.detach().numpy(), log_prob.detach().numpy(), atol=1e-4)


def test_choices_follow_their_probabilities():
    scores = np.log(np.array([[0.2, 0.5, 0.3]], np.float32))
    uniform = (np.arange(1000) + 0.5) / 1000
    drawn = dist.choose(np.repeat(scores, 1000, axis=0), uniform)
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 1000, [0.2, 0.5, 0.3], atol=2e-3)
    assert dist.choose(scores, None).tolist() == [1]
    np.testing.assert_allclose(np.exp(dist.choice_log_prob(scores, np.array([2]))), [0.3], rtol=1e-5)
    categorical = torch.distributions.Categorical(logits=torch.tensor(scores))
    entropy = dist.choice_entropy(torch.tensor(scores)).numpy()
    np.testing.assert_allclose(entropy, categorical.entropy().numpy(), rtol=1e-5)
    assert dist.choose(np.array([[0.0, -1e9]]), np.array([1 - 2**-53])).tolist() == [0]


def test_the_squashed_density_has_the_gradients_of_its_formula():
    torch.manual_seed(0)
    mean = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    spread = torch.tensor([[-25.0, -1.0, 0.5], [3.0, 0.0, -2.0]] * 2, dtype=torch.float64, requires_grad=True)
    action = torch.rand(4, 3) * 1.8 - 0.9

    def formula(mean, spread, action):
        held, before = spread.clamp(*dist.LOG_DEVIATION), action.double().atanh()
        normal = torch.distributions.Normal(mean, held.exp())
        return (normal.log_prob(before) - torch.log1p(-action.double().square())).sum(dim=-1)

    found = []
    for function in (dist.squashed_log_prob, formula):
        said = function(mean, spread, action)
        once = torch.autograd.grad(said.sum(), (mean, spread), create_graph=True)
        plain = torch.autograd.grad(function(mean, spread, action).sum(), (mean, spread))
        twice = torch.autograd.grad(sum(part.tanh().sum() for part in once), (mean, spread))
        found.append([said, *once, *plain, *twice])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)
