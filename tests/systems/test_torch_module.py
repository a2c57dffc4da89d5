"""A torch module of one's own acts, is injured, stimulated and taught as a brain of ours is."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.assemblies.loading import load
from stimloop.loops.errors import AssemblyError, PortError

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


class Cut(Net):
    """No gradient comes back from its answer."""

    def forward(self, observation):
        return tuple(part.detach() for part in super().forward(observation))


class Wild(Net):
    """A deviation that is no number, or a mean that squares beyond single precision."""

    def __init__(self, inputs, outputs, mean=1.0, deviation=1.0):
        super().__init__(inputs, outputs)
        self.factors = mean, deviation

    def forward(self, observation):
        return tuple(part * factor for part, factor in zip(super().forward(observation), self.factors, strict=True))


class Complex(Net):
    def forward(self, observation):
        return tuple(part.to(torch.complex64) for part in super().forward(observation))


class Single(torch.nn.Module):
    """Numbers without an axis among its weights: a gain, and the count of batches that BatchNorm keeps."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm, self.mean = torch.nn.BatchNorm1d(inputs), torch.nn.Linear(inputs, outputs)
        self.gain = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, observation):
        return self.gain * self.mean(self.norm(observation))


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factors", [{"mean": 1e30}, {"deviation": float("nan")}])
def test_answers_that_are_not_finite_are_one_error_and_no_warning(assembly, factors):
    wild = assembly.set({"brain.params.module": "nets_of_mine:Wild", "brain.params.explore": True,
                         "brain.params.module_params": {"inputs": 3, "outputs": 1}})
    with wild.build() as loop:
        loop.components["brain"]._net.factors = factors.get("mean", 1.0), factors.get("deviation", 1.0)
        with pytest.raises(PortError, match=r"published (-inf|nan)"):
            loop.run("10 steps")


def test_complex_answers_are_refused(assembly):
    with pytest.raises(AssemblyError, match="nets_of_mine:Complex answers with complex64 numbers"):
        assembly.set("brain.params.module", "nets_of_mine:Complex").build()


@pytest.mark.parametrize(("entry", "named"), [("layer", "tow"), ("publish", ["one", "tow"])])
def test_a_layer_that_is_not_there_is_told_at_the_parameter_that_names_it(assembly, entry, named):
    with pytest.raises(AssemblyError, match=rf"brain.params.{entry} .*there is no layer 'tow'.*\n.*\"two\""):
        assembly.set(f"brain.params.{entry}", named).build()


LEARNERS = {
    "sac": ("critics.q_ensemble", ["body.observation", "brain.action"], ["brain.action"]),
    "ppo": ("critics.value_mlp", ["body.observation"], ["brain.action", "brain.log_prob"])}


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_module_that_no_gradient_leaves_is_refused_at_build(assembly, learner):
    critic, judged, heard = LEARNERS[learner]
    taught = (assembly.set({"brain.params.module": "nets_of_mine:Cut", "brain.params.explore": True})
              .add("critic", critic, inputs=judged)
              .add("learner", f"learners.{learner}", uses={"policy": "brain", "value": "critic"},
                   inputs=["body.observation", "body.reward", "body.status", *heard]))
    with pytest.raises(AssemblyError, match=r"learner.uses.policy.* no gradient leads from") as caught:
        taught.build()
    assert len(caught.value.problems) == 1
    taught.set("brain.params.module", "nets_of_mine:Net").build().close()


def test_weights_with_single_numbers_are_exported_and_taken_again(assembly, tmp_path):
    from stimloop.assemblies.resuming import export_weights

    single = assembly.set({"brain.params.module": "nets_of_mine:Single"})
    run = single.run(show=False)
    export_weights(run.path, "brain", tmp_path / "x.safetensors")
    again = single.set({"brain.params.weights": str(tmp_path / "x.safetensors"), "seed": 9})
    with again.build() as loop:
        learned = loop.components["brain"].learned()
    assert learned["gain"] == 1.5
    assert learned["norm"]["num_batches_tracked"].shape == ()


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


ODD = '''
import torch


class Any(torch.nn.Module):
    """What its layers are, and what it makes of them, `kind` says."""

    def __init__(self, inputs=3, outputs=1, kind="plain"):
        super().__init__()
        self.kind, self.outputs, self.kept = kind, outputs, 0.0
        self.first, self.squash = torch.nn.Linear(inputs, 16), torch.nn.Tanh()
        self.mean, self.spread = torch.nn.Linear(16, outputs), torch.nn.Linear(16, 1)
        self.unused, self.dropout = torch.nn.Linear(16, 16), torch.nn.Dropout(0.5)
        self.recurrent = torch.nn.LSTM(inputs, 16, batch_first=True)
        self.register_buffer("seen", torch.zeros(1))
        print("made a module")
        if kind == "double":
            self.double()
        if kind == "unmade":
            raise KeyError("nothing of the kind")

    def forward(self, observation):
        print("asked a module")
        activity = self.squash(self.first(observation))
        if self.kind == "twice":
            activity = self.squash(activity)
        if self.kind == "eval dropout":
            activity = self.dropout(activity)
        if self.kind == "random":
            activity = torch.nn.functional.dropout(activity)
        if self.kind == "sequence":
            activity = self.recurrent(observation[:, None])[0][:, 0]
        mean, spread = self.mean(activity), self.spread(activity) - 1
        if self.kind == "raises":
            self.unused(observation)
        if self.kind == "remembers":
            self.kept = self.kept + mean.mean()
            mean = mean + self.kept
        if self.kind == "counts":
            self.seen += 1
        if self.kind == "mixes":
            mean = mean - mean.mean(dim=0)
        return {"dict": {"mean": mean, "log_deviation": spread}, "three": (mean, spread, activity),
                "one of a list": [mean], "list": [mean, spread], "text": (mean, "wide"), "squeezed": mean.squeeze(),
                "flat": (mean, spread[:, 0]), "column": (mean, spread), "double head": (mean.double(), spread.double()),
                }.get(self.kind, (mean, spread.expand_as(mean)))


def frozen(some, inputs=3, outputs=1):
    net = Any(inputs, outputs)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(some and name.startswith("mean"))
    return net


def lazy():
    return torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
'''


@pytest.fixture
def odd(assembly, tmp_path):
    (tmp_path / "odd_nets.py").write_text(ODD)
    (tmp_path / "stimloop.toml").write_text('allow = ["nets_of_mine", "odd_nets"]')
    return lambda kind="plain", **params: assembly.set({
        "brain.params.module": "odd_nets:Any",
        "brain.params.module_params": {"kind": kind, "outputs": params.pop("outputs", 1)},
        **{f"brain.params.{name}": value for name, value in params.items()}})


@pytest.mark.parametrize(("kind", "params", "said"), [
    ("dict", {}, "answers with a dict of mean, log_deviation"),
    ("three", {}, "answers with a tuple of 3"),
    ("one of a list", {}, "answers with a list of 1"),
    ("text", {}, "answers with a tuple of 2 (Tensor, str)"),
    ("squeezed", {}, "the shape (), not with [1, actions]"),
    ("flat", {}, "a deviation of shape (2,) beside a mean of (2, 1)"),
    ("raises", {}, "in its layer 'unused'"),
    ("unmade", {}, "KeyError: 'nothing of the kind'"),
    ("remembers", {}, "it keeps a memory"),
    ("counts", {}, "it keeps a memory (answering changes 'seen')"),
    ("random", {}, "draws random numbers"),
    ("mixes", {}, "when another stands beside it"),
    ("plain", {"layer": "unused"}, "the layer 'unused' of Any is never called by its forward"),
    ("plain", {"publish": ["unused"]}, "Name one that is called once: first, squash, mean, spread"),
    ("twice", {"layer": "squash"}, "is called 2 times in one answer"),
    ("sequence", {"layer": "recurrent"}, "answers with a tuple, not with one tensor"),
    ("plain", {"module_params": {"inputs": 4}, "layer": "squash"}, "in its layer 'first'"),
])
def test_a_module_that_cannot_be_a_brain_is_one_clear_error(odd, kind, params, said):
    with pytest.raises(AssemblyError) as failed:
        odd(kind, **params).build()
    assert said in str(failed.value)
    assert len(failed.value.problems) == 1
    assert "brain.params" in failed.value.problems[0].where
    assert failed.value.problems[0].fix


def test_two_actions_are_not_taken_for_two_observations(odd):
    from stimloop.components.parts import own_modules

    odd().build()
    net = own_modules.make("odd_nets:Any", {"kind": "flat", "outputs": 2}, 0)
    with pytest.raises(AssemblyError, match=r"a deviation of shape \(3,\) beside a mean of \(3, 2\)"):
        own_modules.check_fit("odd_nets:Any", net, 3, 0, [])


@pytest.mark.parametrize("kind", ["column", "list", "double", "double head", "eval dropout", "sequence"])
def test_a_module_of_another_make_acts_and_learns(odd, kind):
    loop = _taught(odd(kind), "ppo").build()
    before = loop.components["brain"].learned()["mean"]["weight"]
    loop.run("20 steps")
    assert before.dtype == np.float32
    assert loop.peek("brain.action").dtype == np.float32
    assert np.abs(loop.components["brain"].learned()["mean"]["weight"] - before).max() > 0


def test_lazy_layers_are_drawn_from_the_seed(odd):
    def weights(seed):
        changed = odd().set({"brain.params.module": "odd_nets:lazy", "brain.params.module_params": {}, "seed": seed})
        return changed.build().components["brain"].learned()["0"]["weight"]

    torch.manual_seed(3)
    first = weights(0)
    torch.manual_seed(4)
    assert first.shape == (8, 3)
    assert np.array_equal(first, weights(0))
    assert not np.array_equal(first, weights(1))


def test_what_a_module_prints_is_no_answer_of_a_command(odd, tmp_path):
    import json

    from typer.testing import CliRunner

    from stimloop.assemblies.cli import app

    (tmp_path / "odd.yaml").write_text(odd().set("until", "5 steps").to_yaml())
    for words in (["run", "--out", str(tmp_path / "runs")], ["check"]):
        done = CliRunner().invoke(app, [words[0], "odd.yaml", *words[1:], "--allow", "odd_nets", "--json"])
        assert done.exit_code == 0, done.output
        json.loads(done.stdout)
        assert "asked a module" in done.stderr


def _taught(assembly, kind, **params):
    critic = {"sac": ("critics.q_ensemble", ["body.observation", "brain.action"]),
              "ppo": ("critics.value_mlp", ["body.observation"])}[kind]
    params = {**{"sac": {"learning_starts": 10, "batch_size": 8}, "ppo": {"n_steps": 8, "batch_size": 8}}[kind],
              **params}
    heard = ["body.observation", "body.reward", "body.status", "brain.action"]
    return (assembly.set("brain.params.explore", True)
            .add("critic", critic[0], inputs=critic[1], hidden=[8])
            .add("learner", f"learners.{kind}", inputs=heard + ["brain.log_prob"] * (kind == "ppo"),
                 uses={"policy": "brain", "value": "critic"}, **params))


@pytest.mark.parametrize("kind", ["sac", "ppo"])
def test_frozen_parameters_stay_as_they_are(odd, kind):
    changed = {"brain.params.module": "odd_nets:frozen", "brain.params.module_params": {"some": True}}
    loop = _taught(odd().set(changed), kind).build()
    before = loop.components["brain"].learned()
    loop.run("20 steps")
    after = loop.components["brain"].learned()
    assert not np.array_equal(before["mean"]["weight"], after["mean"]["weight"])
    assert np.array_equal(before["first"]["weight"], after["first"]["weight"])
    with pytest.raises(AssemblyError, match="nothing that can learn") as failed:
        _taught(odd().set({**changed, "brain.params.module_params": {"some": False}}), kind).build()
    assert failed.value.problems[0].where.startswith("learner.uses.policy")


@pytest.mark.parametrize("kind", ["weights", "connections"])
def test_a_lost_connection_leaves_nothing_whatever_its_weight(assembly, kind):
    brain = assembly.set({"brain.params.layer": "layer2", "brain.params.lesion": {
        "kind": kind, "fraction": 0.5, "seed": 3}}).build().components["brain"]
    seen = {"observation": np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)}
    answers = []
    lost = torch.from_numpy(brain.mask == 0)
    assert lost.any()
    for weight in (0.0, 1e30, float("inf"), float("nan")):
        brain._net.layer2.weight.data[lost] = weight
        answers.append(brain.respond(seen)[0])
    for answer in answers[1:]:
        assert np.array_equal(answer["action"], answers[0]["action"])
        assert np.array_equal(answer["rates"], answers[0]["rates"])


@pytest.mark.parametrize("explore", [False, True])
def test_a_lane_acts_alike_to_the_last_bit_whoever_is_beside_it(assembly, explore):
    from stimloop.loops.component import Inputs
    from stimloop.loops.lanes import Lanes
    from stimloop.loops.status import FIRST

    built = assembly.set({"brain.params.layer": "two", "brain.params.explore": explore,
                          "brain.params.publish": ["one"]}).build().components["brain"]
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((5, 600, 3)).astype(np.float32)  # [ticks, lanes, observation]
    current = rng.uniform(0, 1, (600, 12)).astype(np.float32)

    def lived(numbers):
        built.build(Lanes(len(numbers), np.array(numbers)), 0)
        told = []
        for tick, row in enumerate(seen):
            values = {"observation": row[numbers], "current": current[numbers],
                      "status": np.full(len(numbers), FIRST if not tick else 0)}
            told.append(built.step(tick, Inputs(values, new=frozenset(values))))
        return told

    everyone = lived(list(range(600)))
    for numbers in ([0], [5], [599], [7, 3], [9, 1, 17, 8], list(range(13)), list(range(100, 333)), [599, 0, 300]):
        for whole, some in zip(everyone, lived(numbers), strict=True):
            assert whole.keys() == some.keys()
            for name in some:
                assert np.array_equal(whole[name][numbers], some[name]), (name, numbers)
