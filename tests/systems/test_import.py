"""Policies trained elsewhere act in a loop as they did there."""

from __future__ import annotations

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from stimloop.assemblies.cli import app
from stimloop.assemblies.loading import load
from stimloop.loops.errors import AssemblyError
from stimloop.loops.storage import artifact

torch = pytest.importorskip("torch")
sb3 = pytest.importorskip("stable_baselines3")


def _call(*words: str) -> dict:
    done = CliRunner().invoke(app, ["import", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["import", *words])
    assert done.exit_code == 1
    return done.output


def _model(kind: str, env: str, **params):
    model = getattr(sb3, kind)("MlpPolicy", env, device="cpu", seed=1, **params)
    with torch.no_grad():  # an untrained policy does next to nothing, and nothing is easily matched
        for name, parameter in model.policy.named_parameters():
            parameter.mul_(100 if name.startswith("action_net") else 2)
    return model


@pytest.mark.parametrize(("kind", "env", "params"), [
    ("SAC", "Pendulum-v1", {"policy_kwargs": {"net_arch": [32, 24]}, "buffer_size": 10}),
    ("SAC", "Pendulum-v1", {"policy_kwargs": {"net_arch": [32], "activation_fn": torch.nn.Tanh}, "buffer_size": 10}),
    ("TD3", "Pendulum-v1", {"policy_kwargs": {"net_arch": [32, 24]}, "buffer_size": 10}),
    ("DDPG", "Pendulum-v1", {"policy_kwargs": {"net_arch": [32, 24]}, "buffer_size": 10}),
    ("PPO", "Pendulum-v1", {}), ("A2C", "Pendulum-v1", {}), ("PPO", "CartPole-v1", {}),
    ("DQN", "CartPole-v1", {"buffer_size": 10}),
])
def test_a_policy_of_sb3_acts_as_it_predicts(tmp_path, kind, env, params):
    model = _model(kind, env, **params)
    model.save(tmp_path / "model.zip")
    facts = _call("sb3", str(tmp_path / "model.zip"), "--trust")
    params = json.dumps({**facts["params"], "weights": "model.safetensors"})
    (tmp_path / "a.yaml").write_text(f"""
name: imported
until: 20 steps
components:
  body:  {{type: bodies.gymnasium_env, params: {{env: {env}}}, inputs: [brain.action]}}
  brain: {{type: brains.mlp, params: {params}, inputs: [body.observation, body.status]}}
""")
    loop = load(tmp_path / "a.yaml").build()
    loop.run("20 steps")
    space = model.action_space
    seen = np.random.default_rng(3).standard_normal((1000, *model.observation_space.shape)).astype(np.float32)
    ours = loop.components["brain"].respond({"observation": seen})[0]["action"]
    theirs = model.predict(seen, deterministic=True)[0]
    if env == "CartPole-v1":
        assert (ours == theirs).all()
        assert 0 < theirs.mean() < 1
    else:
        in_units = space.low + (ours + 1) / 2 * (space.high - space.low)
        assert np.abs(in_units - theirs).max() < 1e-5
        assert theirs.std() > 0.05


@pytest.mark.parametrize("end", [[], [torch.nn.Tanh()]])
@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.Tanh])
@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_a_graph_becomes_the_brain_that_acts_as_it_does(tmp_path, kind, activation, end):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), activation(), torch.nn.Linear(16, 12), activation(),
                              torch.nn.Linear(12, 2), *end)
    _save(net, kind, tmp_path / "net")
    facts = _call(kind, str(tmp_path / "net"), "--trust", "--to", str(tmp_path / "w.safetensors"))
    assert facts["params"]["hidden"] == [16, 12]
    assert facts["params"]["activation"] == activation.__name__.lower()
    assert facts["params"].get("head", "gaussian") == ("gaussian" if end else "clipped")
    weights = artifact.flat(artifact.load(tmp_path / "w.safetensors")[0])
    np.testing.assert_array_equal(weights["mean/weight"], net[4].weight.detach().numpy())


def _save(net, kind, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old ways, which old files were made by
        if kind == "torchscript":
            torch.jit.save(torch.jit.trace(net, torch.zeros(2, 3)), str(path))
            return
        pytest.importorskip("onnx")
        torch.onnx.export(net, (torch.zeros(2, 3),), str(path), dynamo=False, input_names=["seen"],
                          dynamic_axes={"seen": {0: "batch"}})


def test_scores_are_imported_when_one_says_so(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    _save(net, "torchscript", tmp_path / "net.pt")
    facts = _call("torchscript", str(tmp_path / "net.pt"), "--trust", "--head", "categorical")
    assert facts["largest_difference"] == 0


def test_what_cannot_be_imported_says_why(tmp_path):
    odd = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ELU(), torch.nn.Linear(16, 4))
    for kind in ("torchscript", "onnx"):
        _save(odd, kind, tmp_path / kind)
    assert "no brain of layers with relu or tanh" in _refused("torchscript", str(tmp_path / "torchscript"), "--trust")
    assert "a step 'Elu'" in _refused("onnx", str(tmp_path / "onnx"))
    assert "--trust" in _refused("torchscript", str(tmp_path / "torchscript"))
    (tmp_path / "model.zip").write_text("no zip")
    assert "that Stable-Baselines3 saved" in _refused("sb3", str(tmp_path / "model.zip"), "--trust")
    assert "torch cannot load it" in _refused("torchscript", str(tmp_path / "model.zip"), "--trust")
    assert "onnx cannot read it" in _refused("onnx", str(tmp_path / "model.zip"))
    assert "no such file" in _refused("sb3", str(tmp_path / "other.zip"), "--trust")
    assert "no kind of model" in _refused("keras", str(tmp_path / "model.zip"), "--trust")
    assert "no head" in _refused("onnx", str(tmp_path / "onnx"), "--head", "relu")


def test_nothing_is_written_over(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    _save(net, "torchscript", tmp_path / "net.pt")
    _call("torchscript", str(tmp_path / "net.pt"), "--trust")
    assert "such a file already" in _refused("torchscript", str(tmp_path / "net.pt"), "--trust")


def test_weights_are_not_taken_with_another_activation_or_head(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    _save(net, "torchscript", tmp_path / "net.pt")
    params = {**_call("torchscript", str(tmp_path / "net.pt"), "--trust")["params"], "weights": "net.safetensors"}
    said = []
    for wrong in ({}, {"activation": "relu"}, {"head": "clipped", "activation": "relu"}):
        (tmp_path / "a.yaml").write_text(f"""
name: imported
until: 20 steps
components:
  body:  {{type: bodies.gymnasium_env, params: {{env: Pendulum-v1}}, inputs: [brain.action]}}
  brain: {{type: brains.mlp, params: {json.dumps({**params, **wrong})}, inputs: [body.observation, body.status]}}
""")
        try:
            load(tmp_path / "a.yaml").build().close()
            said.append("")
        except AssemblyError as error:
            said.append(str(error))
    assert said[0] == ""
    assert all("was made with activation tanh, here it is relu" in told for told in said[1:])


def _gemm(path, wide=True, **settings):
    """Write a graph of two linear layers whose first is a Gemm with such settings."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((3, 16)).astype(np.float32), rng.standard_normal((16, 2)).astype(np.float32)
    bias = rng.standard_normal(16 if wide else 1).astype(np.float32)
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Gemm", ["seen", "first", "bias"], ["a"], **settings),
             helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Gemm", ["b", "last"], ["done"])]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("seen", number, ["batch", 3])],
                              [helper.make_tensor_value_info("done", number, ["batch", 2])],
                              [onnx.numpy_helper.from_array(array, name) for name, array in
                               (("first", first), ("last", last), ("bias", bias))])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), str(path))
    return first, bias


@pytest.mark.parametrize(("settings", "wide"), [({}, True), ({"alpha": 0.5, "beta": 2.0}, True), ({"beta": 0.0}, True),
                                                ({"alpha": 3.0}, False)])
def test_factors_of_a_linear_layer_go_into_its_weights(tmp_path, settings, wide):
    first, bias = _gemm(tmp_path / "net.onnx", wide, **settings)
    _call("onnx", str(tmp_path / "net.onnx"))
    weights = artifact.flat(artifact.load(tmp_path / "net.safetensors")[0])
    np.testing.assert_allclose(weights["layer1/weight"], settings.get("alpha", 1) * first.T, rtol=1e-6)
    np.testing.assert_allclose(weights["layer1/bias"], settings.get("beta", 1) * np.broadcast_to(bias, 16), rtol=1e-6)


def test_a_transposed_batch_is_refused_in_words(tmp_path):
    _gemm(tmp_path / "net.onnx", transA=1)
    assert "a step 'Gemm' with transA" in _refused("onnx", str(tmp_path / "net.onnx"))


def _broken(tmp_path, kind):
    """Files that are no model, by what is wrong with them."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    if kind == "sb3":
        _model("PPO", "Pendulum-v1").save(tmp_path / "whole.zip")
        whole = (tmp_path / "whole.zip").read_bytes()
    else:
        _save(net, kind, tmp_path / "whole")
        whole = (tmp_path / "whole").read_bytes()
    pickled = tmp_path / "pickled"
    torch.save(net.state_dict(), pickled)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("data", '{"policy_class": {"__module__": "stable_baselines3.sac.policies"}}')
    damaged = bytearray(whole)  # at its end: weights carry no checksum that is read, and other numbers are a model too
    damaged[-200:] = b"\xff" * 200
    return {"empty": b"", "truncated": whole[:len(whole) // 2], "text": b"name: a\n",
            "weights alone": pickled.read_bytes(), "a zip of another kind": archive.getvalue(),
            "damaged": bytes(damaged), "one byte": b"\x08"}


@pytest.mark.parametrize("kind", ["sb3", "torchscript", "onnx"])
def test_a_file_that_is_no_model_is_one_line(tmp_path, kind):
    for name, content in _broken(tmp_path, kind).items():
        path = tmp_path / f"{name}.bin"
        path.write_bytes(content)
        done = CliRunner().invoke(app, ["import", kind, str(path), "--trust"])
        assert done.exit_code == 1, (name, done.output)
        assert isinstance(done.exception, SystemExit), (name, done.exception)
        said = [line for line in done.output.splitlines() if line.strip()]
        assert "cannot be imported: " in said[0], (name, said)
        assert len(said) == 2, (name, said)  # what, and what to do
        assert not path.with_suffix(".safetensors").exists()


def _script(path, **how):
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).to(**how)).save(
        str(path))


@pytest.mark.parametrize(("target", "words"), [
    ("none/p.safetensors", "there is no such folder"), ("p.txt", "end in .safetensors"),
    ("model.safetensors", "such a file already")])
def test_a_file_to_write_that_could_not_be_used_is_refused(tmp_path, monkeypatch, target, words):
    monkeypatch.chdir(tmp_path)
    _script("model.pt")
    (tmp_path / "model.safetensors").touch()
    assert words in _refused("torchscript", "model.pt", "--trust", "--to", target)
    assert not (tmp_path / "none").exists()


def test_the_lines_printed_name_the_file_as_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    _script("model.pt")
    done = CliRunner().invoke(app, ["import", "torchscript", "model.pt", "--trust", "--to", "deep/p.safetensors"])
    assert "weights: deep/p.safetensors}" in done.output


def test_another_precision_is_told_as_such(tmp_path):
    _script(tmp_path / "model.pt", dtype=torch.float64)
    told = _refused("torchscript", str(tmp_path / "model.pt"), "--trust")
    assert "its weights are float64" in told
    assert "model.float()" in told
