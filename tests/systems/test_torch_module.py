"""A torch module of one's own acts, is injured, stimulated and taught as a brain of ours is."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.assemblies.loading import load
from stimloop.loops.errors import AssemblyError

torch = pytest.importorskip("torch")

NETS = '''
import torch


class Net(torch.nn.Module):
    def __init__(self, inputs, outputs, deviation=True):
        super().__init__()
        self.layer1, self.layer2 = torch.nn.Linear(inputs, 16), torch.nn.Linear(16, 12)
        self.one, self.two = torch.nn.ReLU(), torch.nn.ReLU()
        self.mean = torch.nn.Linear(12, outputs)
        self.log_deviation = torch.nn.Linear(12, outputs) if deviation else None

    def forward(self, observation):
        activity = self.two(self.layer2(self.one(self.layer1(observation))))
        mean = self.mean(activity)
        return mean if self.log_deviation is None else (mean, self.log_deviation(activity))


class Free(torch.nn.Module):
    """A deviation that depends on no observation."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.mean, self.log_std = torch.nn.Linear(inputs, outputs), torch.nn.Parameter(torch.full((outputs,), -1.0))

    def forward(self, observation):
        return self.mean(observation), self.log_std


def scores(inputs, choices):
    return torch.nn.Sequential(torch.nn.Linear(inputs, 8), torch.nn.Tanh(), torch.nn.Linear(8, choices))


def nothing():
    return 3
'''
PENDULUM = """
name: own
until: 30 steps
components:
  body:  {type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs: [brain.action]}
  brain: {type: brains.torch_module, params: {module: 'nets_of_mine:Net', module_params: {inputs: 3, outputs: 1}},
          inputs: [body.observation, body.status]}
"""


@pytest.fixture
def assembly(tmp_path, monkeypatch):
    (tmp_path / "nets_of_mine.py").write_text(NETS)
    (tmp_path / "own.yaml").write_text(PENDULUM)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stimloop.toml").write_text('allow = ["nets_of_mine"]')
    return load(tmp_path / "own.yaml")


def test_it_is_not_imported_unless_the_user_allows_it(assembly, tmp_path):
    (tmp_path / "stimloop.toml").unlink()
    with pytest.raises(AssemblyError, match="--allow nets_of_mine"):
        load(tmp_path / "own.yaml").build()


@pytest.mark.parametrize("lesion", [None, {"kind": "weights", "fraction": 0.5}, {"kind": "neurons", "fraction": 0.5}])
def test_it_answers_as_an_mlp_with_the_same_weights_and_the_same_injury(assembly, lesion):
    from stimloop.components.brains.mlp import Mlp

    # the mlp injures connections into its layer, and adds the current after the activation
    kind = "layer2" if lesion and lesion["kind"] == "weights" else "two"
    changed = assembly.set({"brain.params.layer": "two", "brain.params.explore": True})
    if lesion and kind == "two":
        changed = changed.set("brain.params.lesion", lesion)
    elif lesion:
        changed = changed.set({"brain.params.layer": "layer2", "brain.params.lesion": lesion})
    brain = changed.build().components["brain"]
    mlp = Mlp(hidden=[16, 12], explore=True)
    mlp.inputs, mlp.outputs = ({**mlp.inputs, "observation": brain.inputs["observation"]},
                               {**mlp.outputs, "action": brain.outputs["action"]})
    mlp.build(brain.lanes, 0)
    weights = {name.replace(".", "/"): value.numpy() for name, value in brain._net.state_dict().items()}
    mlp.network.set(weights)
    mlp.mask = brain.mask
    rng = np.random.default_rng(0)
    inputs = {"observation": rng.standard_normal((5, 3)).astype(np.float32), "noise": rng.standard_normal((5, 1))}
    if kind == "two":
        inputs["current"] = rng.uniform(0, 1, (5, 12)).astype(np.float32)
    ours, theirs = brain.respond(inputs)[0], mlp.respond(inputs)[0]
    for name in ("action", "log_prob"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
    if kind == "two":
        np.testing.assert_allclose(ours["rates"], theirs["rates"], atol=1e-5)
    judged = [each.evaluate({**inputs, "noise": None}, ours["action"])[0].detach().numpy() for each in (brain, mlp)]
    np.testing.assert_allclose(*judged, atol=1e-5)


def test_named_layers_publish_what_they_do(assembly):
    loop = assembly.set({"brain.params.layer": "two", "brain.params.publish": ["one", "mean"]}).build()
    loop.run("5 steps")
    assert loop.peek("brain.rates").shape == (1, 12)
    assert loop.peek("brain.rates_one").shape == (1, 16)
    np.testing.assert_allclose(np.tanh(loop.peek("brain.rates_mean")), loop.peek("brain.action"), atol=1e-6)


@pytest.mark.parametrize(("changes", "said"), [
    ({"layer": "too"}, 'Did you mean "two"'),
    ({"module": "nets_of_mine:Nett"}, "Nett"),
    ({"module": "nets_of_mine"}, "my_module:MyClass"),
    ({"module": "nets_of_mine:nothing", "module_params": {}}, "makes no torch.nn.Module"),
    ({"module_params": {"inputs": 3}}, "outputs"),
    ({"module_params": {"inputs": 4, "outputs": 1}}, "as many inputs as the body observes"),
    ({"module_params": {"inputs": 3, "outputs": 2}}, "brain.action"),
    ({"module_params": {"inputs": 3, "outputs": 1, "deviation": False}, "explore": True}, "mean, log_deviation"),
    ({"lesion": {"fraction": 0.5}}, "needs a layer"),
    ({"layer": "two", "lesion": {"fraction": 0.5}}, "no linear connections"),
])
def test_what_does_not_fit_is_named(assembly, changes, said):
    with pytest.raises(AssemblyError) as failed:
        assembly.set({f"brain.params.{name}": value for name, value in changes.items()}).build()
    assert said in str(failed.value)
    assert "brain" in str(failed.value)


def test_choices_come_from_scores(assembly):
    loop = assembly.set({"body.params.env": "CartPole-v1", "brain.params.module": "nets_of_mine:scores",
                         "brain.params.module_params": {"inputs": 4, "choices": 2},
                         "brain.params.explore": True}).build()
    loop.run("20 steps")
    assert loop.peek("brain.action").dtype == np.int64


@pytest.mark.parametrize("kind", ["sac", "ppo"])
def test_learners_teach_it_what_they_teach_an_mlp(assembly, kind):
    """The same body, draws, first weights and learner: the same weights in the end, but for rounding."""
    critic = {"sac": ("critics.q_ensemble", ["body.observation", "brain.action"]),
              "ppo": ("critics.value_mlp", ["body.observation"])}[kind]
    params = {"sac": {"learning_starts": 10, "batch_size": 8}, "ppo": {"n_steps": 8, "batch_size": 8}}[kind]
    heard = ["body.observation", "body.reward", "body.status", "brain.action"]
    taught = (assembly.set("brain.params.explore", True)
              .add("critic", critic[0], inputs=critic[1], hidden=[8])
              .add("learner", f"learners.{kind}", inputs=heard + ["brain.log_prob"] * (kind == "ppo"),
                   uses={"policy": "brain", "value": "critic"}, learning_rate=1e-3, **params))
    mlp = taught.set("brain", {"type": "brains.mlp", "params": {"hidden": [16, 12], "explore": True}})
    loops = [taught.build(), mlp.build()]
    before = {layer: dict(arrays) for layer, arrays in loops[0].components["brain"].learned().items()}
    loops[1].components["brain"].load_state_dict({"learned": before})
    for loop in loops:
        loop.run("40 steps")
    ours, theirs = (loop.components["brain"].learned() for loop in loops)
    for layer, arrays in before.items():
        for name, first in arrays.items():
            assert np.abs(ours[layer][name] - first).max() > 1e-3, (layer, name)
            np.testing.assert_allclose(ours[layer][name], theirs[layer][name], atol=1e-4)


def test_torchs_own_generator_is_left_alone_and_the_seed_decides(assembly):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (assembly.set("seed", seed).build().components["brain"].learned()["mean"]["weight"]
                            for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_deviation_may_depend_on_no_observation(assembly):
    loop = assembly.set({"brain.params.module": "nets_of_mine:Free", "brain.params.explore": True}).build()
    loop.run("5 steps")
    brain = loop.components["brain"]
    noise = {"observation": np.zeros((4, 3), np.float32), "noise": np.zeros((4, 1))}
    said = brain.respond(noise)[0]
    assert said["log_prob"].shape == (4,)
    judged = brain.evaluate({"observation": noise["observation"]}, said["action"])[0]
    np.testing.assert_allclose(judged.detach().numpy(), said["log_prob"], atol=1e-5)
