"""Learners on a device that is no processor: all of a loop on a second device that refuses what a GPU would refuse.

No GPU was at hand: `parts/second_device.py` says what stands for one, and what it cannot show (speed, CUDA's own bits).
"""

import json
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
import stimloop as sl  # noqa: E402
from parts.second_device import ELSEWHERE, Elsewhere, second_device, waits  # noqa: E402
from stimloop.assemblies import resuming  # noqa: E402
from stimloop.assemblies.settings import Settings  # noqa: E402
from stimloop.components.brains.modular_rnn import ModularRnn  # noqa: E402
from stimloop.components.parts.flat_parameters import flatten  # noqa: E402
from stimloop.components.parts.lesions import Lesion  # noqa: E402
from stimloop.loops.errors import AssemblyError, RunError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from systems import imagining  # noqa: E402

HEAD = """
name: elsewhere
until: 60 steps
lanes: 2
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
"""
BRAIN = """
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true, random_steps: 10%s},
            inputs: [body.observation, body.status%s]}
"""
SAC = HEAD + BRAIN + """
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.sac, params: {batch_size: 16, learning_starts: 10, buffer_size: 40%s},
            inputs: [body.observation, body.reward, body.status, brain.action], uses: {policy: brain, value: critic}}
"""
PPO = HEAD + BRAIN + """
  critic:  {type: critics.value_mlp, params: {hidden: [8, 8], normalise: true}, inputs: [body.observation]}
  learner: {type: learners.ppo, params: {n_steps: 8, batch_size: 8, n_epochs: 2, ent_coef: 0.01%s},
            inputs: [body.observation, body.reward, body.status, brain.action, brain.log_prob],
            uses: {policy: brain, value: critic}}
"""
MOPAC = (HEAD.replace("lanes: 2", "lanes: 1") + BRAIN
         + imagining.PRACTISED.replace("particles: 6", "particles: 6%s"))
MBPO = imagining.without_plans(MOPAC)
MODEL_FIT = HEAD + BRAIN + """
  model:   {type: world_models.gaussian_ensemble, params: {members: 3, elites: 2, hidden: [8, 8]},
            inputs: [body.observation, brain.action, body.reward, body.status]}
  learner: {type: learners.model_fit, params: {learning_starts: 20, model_train_freq: 15%s},
            inputs: [body.observation, body.reward, body.status, brain.action], uses: {model: model}}
"""
COMPAT = "".join(f", {name}: {json.dumps(value)}" for name, value in imagining.COMPAT.items())
REACHER = "bodies.gymnasium_env, params: {env: Reacher-v5}"
CQL = HEAD.replace("bodies.point_mass, params: {max_steps: 7}", REACHER) + BRAIN + """
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.cql, params: {data: healthy_reacher, batch_size: 16, samples: 3%s},
            uses: {policy: brain, value: critic}}
"""
BACKPROP = HEAD + """
  brain:   {type: brains.mlp, params: {hidden: [8, 8]}, inputs: [body.observation, body.status, stimulator.current]}
  network: {type: coprocessors.network, params: {units: 4, hidden: [6], explore: true%s},
            inputs: [body.observation, body.status%s]}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [network.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  emulator: {type: world_models.emulator, params: {units: 4, hidden: [6]},
             inputs: [body.observation, body.status, {condition: limiter.command}, {target: brain.action}]}
  learner: {type: learners.coprocessor_backprop, params: {emulator_passes: 2, passes: 2%s},
            inputs: [body.observation, body.status, {stimulation: limiter.command}, brain.action],
            uses: {coprocessor: network, emulator: emulator, critic: critic}}
"""
OWN = ("brains.mlp, params: {hidden: [8, 8]", "brains.torch_module, params: {module: "
       "'stimloop.components.parts.example_nets:TwoHeads', layer: hidden, module_params: {inputs: 6, outputs: 2}")

# torch warns that loading weights into a module on `meta` does nothing; here it does, which is what is compared
pytestmark = pytest.mark.filterwarnings("ignore:.*to a meta parameter in the current model:UserWarning")
LEARNERS = {
    "sac": (SAC, "", ""), "sac with a fixed entropy": (SAC, "", ", ent_coef: 0.1"),
    "sac of a normalised brain": (SAC, ", normalise: true", ""),
    "sac of an injured brain": (SAC, ", lesion: {fraction: 0.5}", ""),
    "sac of a module of one's own": (SAC.replace(*OWN), ", lesion: {kind: neurons, fraction: 0.5}", ""),
    "sac that takes time": (SAC, "", ", cost: 30 ms"),
    "ppo": (PPO, ", normalise: true", ""), "ppo that ends early": (PPO, "", ", target_kl: 1e-6"),
    "mbpo": (MBPO, "", ""), "mopac": (MOPAC, "", ""), "mopac as published": (MOPAC, "", COMPAT),
    "mopac with all it can": (MOPAC, "", ", horizon_value: q, iterations: 2, pessimism: 0.5, closed_loop: true"),
    "model_fit": (MODEL_FIT, "", ""),
    "backprop": (BACKPROP, "", ""),
    "backprop of rates": (BACKPROP.replace("units: 4", "memory: retanh, units: 4"), "", ""),
    "mopac that ends episodes": (MOPAC.replace("termination: never", "termination: inverted_pendulum"), "", ""),
}
if find_spec("minari"):  # which reads the data set
    LEARNERS |= {"cql": (CQL, "", ""), "cql of a normalised brain": (CQL, ", normalise: true", ", with_lagrange: true")}


def build(name, device="cuda"):
    text, brain, learner = LEARNERS[name]
    text %= (brain, ", learner.learned" if "cost" in learner else "", f"{learner}, device: {device}")
    return sl.Assembly.from_yaml(text).build(Settings().allowing(["stimloop"]))


def weights(loop):
    learner = loop.components["learner"]
    changed = [part for name, part in learner.used.items() if learner.uses[name].changes]
    return {name: flatten(part.state_dict()["learned"]) for name, part in loop.components.items() if part in changed}


@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_elsewhere_what_it_learns_here(name):
    """A tensor that were left behind would be refused; sums are taken in another order, so the last bits may differ.

    Looked at before a model is fitted for the second time (after 35 steps): some hundred passes from weights that
    differ by 1e-8 end 1e-3 to 1e-2 apart on one processor and 1e-8 on the next, which says nothing about a device.
    """
    with build(name, "cpu") as here:
        before = weights(here)
        here.run("34 steps")
        expected = weights(here)
    with second_device(), build(name) as there:
        there.run("34 steps")
        found = weights(there)
        assert there.peek("learner.updates") == here.peek("learner.updates") > 0
    for part, vector in expected.items():
        assert not np.array_equal(vector, before[part]), f"{part} has learned nothing"
        np.testing.assert_allclose(found[part], vector, atol=1e-5, err_msg=part)


@pytest.mark.parametrize("name", ["sac", "sac that takes time", "ppo", "mopac", "mopac as published",
                                  "model_fit", "backprop", *(name for name in LEARNERS if name.startswith("cql of"))])
def test_it_goes_on_exactly_there(name):
    with second_device():
        with build(name) as whole:
            whole.run("37 steps")
            expected = weights(whole), whole.components["learner"].state_dict()
        with build(name) as first, build(name) as second:
            first.run("21 steps")
            second.load(first.save())
            second.run("37 steps")
            again = weights(second), second.components["learner"].state_dict()
    assert _same(expected, again)
    assert not _devices(expected), "a checkpoint holds arrays"


def _same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return all(map(_same, one, other))
    return np.array_equal(one, other)


def _devices(state):
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, tuple) else []
    return isinstance(state, torch.Tensor) or any(_devices(part) for part in parts)


def test_what_learns_lives_there_and_what_acts_here():
    with second_device(), build("mopac") as loop:
        learner, brain = loop.components["learner"], loop.components["brain"]
        loop.run("24 steps")
        copy = learner.workplace.parts["policy"]
        assert {column.device for column in (*learner.buffer.columns.values(), *learner.imagined.columns.values())} \
            == {ELSEWHERE}
        assert {parameter.device for parameter in (*learner.core.optimiser.parameters, *learner.fit._tensors,
                                                   *learner.core._target, *copy.parameters())} == {ELSEWHERE}
        assert copy is not brain
        assert all(isinstance(parameter, Elsewhere) for parameter in copy.parameters())
        assert all(not isinstance(parameter, Elsewhere) for parameter in brain.parameters())
        told, known = copy.state_dict()["learned"], brain.state_dict()["learned"]
        assert np.array_equal(flatten(told), flatten(known))


def test_the_processor_has_no_copies():
    with build("mopac", "cpu") as loop:
        learner = loop.components["learner"]
        assert all(learner.workplace.parts[name] is part for name, part in learner.used.items())


def test_what_somebody_else_changes_is_what_it_goes_on_from():
    """Weights set from outside reach the copies, as they reach a learner on the processor."""
    found = []
    for device in ("cpu", "cuda"):
        with second_device(), build("sac", device) as loop:
            loop.run("20 steps")
            learned = loop.components["brain"].state_dict()["learned"]
            learned["head" if "head" in learned else "mean"]["bias"][...] = 0.25
            loop.components["brain"].load_state_dict({"learned": learned})
            loop.run("24 steps")
            found.append(weights(loop)["brain"])
    np.testing.assert_allclose(*found, atol=1e-4)


def test_what_it_begins_anew_with_is_what_the_components_know():
    with second_device(), build("sac") as loop:
        loop.run("20 steps")
        learner, critic = loop.components["learner"], loop.components["critic"]
        learned = critic.state_dict()["learned"]
        learned["out"]["bias"][...] = 0.25
        critic.load_state_dict({"learned": learned})
        learner.reset(1)
        for mine, theirs in zip(learner.core._target, critic.parameters(), strict=True):
            assert np.array_equal(mine.cpu().numpy(), theirs.detach().numpy())


@pytest.mark.parametrize("name", ["sac", "mopac"])
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_checkpoint_of_another_device_is_refused(name, devices):
    with second_device(), build(name, devices[0]) as one, build(name, devices[1]) as other:
        one.run("25 steps")
        with pytest.raises(RunError, match=r"made on another kind of device than .* set params\.device of the"):
            other.load(one.save())


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_what_was_learned_on_a_gpu_can_be_looked_at_without_one(tmp_path):
    told = "evaluate: {test: {every: 20 steps, episodes: 2, set: {brain.params.explore: false}}}\n"
    text = SAC % ("", "", ", device: cuda") + told
    with second_device():
        run = sl.Assembly.from_yaml(text).run("40 steps", folder=tmp_path)
    last = run.evaluations("test")["return"].values[-1]
    assert resuming.evaluate(run.path)["test"]["return"].mean() == pytest.approx(last, abs=1e-12)
    resuming.export_weights(run.path, "brain", tmp_path / "brain.safetensors")
    with pytest.raises(AssemblyError, match="cannot learn on device cuda"):
        resuming.resume(run.path, "60 steps")  # to go on is to learn


@pytest.mark.parametrize(("name", "most"), [("sac", 3), ("mopac", 4), ("ppo", 5)])
def test_updates_are_waited_for_once_however_many_they_are(name, most):
    """One wait for the measures, one for the weights of each network, two of PPO for what its value says of steps."""
    with second_device(), build(name) as loop:
        loop.run("18 steps" if name != "mopac" else "29 steps")
        learner = loop.components["learner"]
        if name == "ppo":
            learner._filled = learner.n_steps
            learner._steps["made"][...] = True
        else:
            learner.core.advance(learner.buffer.sample(16, learner._generator), learner._generator)
        waits.clear()
        with learner.workplace.learning("policy", "value", "state_value"):
            if name == "mopac":
                learner._owed = 30
                learner._update(60)
            else:
                learner.learn(20)
        assert 0 < sum(waits.values()) <= most, waits


@pytest.mark.parametrize("name", ["sac", "ppo", "mbpo", "mopac"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_where_there_is_no_gpu_that_is_said(name):
    with pytest.raises(AssemblyError, match=r"learner.*params\.device .*: cannot learn on device cuda: torch .* "
                                            r"(was built without CUDA|finds no GPU)(.|\n)*Write device: cpu"):
        build(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", LEARNERS)
def test_a_gpu_learns_and_goes_on_exactly(name):
    with build(name) as whole, build(name) as first, build(name) as second:
        before = weights(whole)
        whole.run("37 steps")
        first.run("21 steps")
        second.load(first.save())
        second.run("37 steps")
        after, states = weights(whole), [loop.components["learner"].state_dict() for loop in (whole, second)]
        assert _same(after, weights(second))
        assert _same(*states)
    assert all(np.isfinite(after[part]).all() and not np.array_equal(after[part], before[part]) for part in before)


def test_another_word_is_no_device():
    with pytest.raises(AssemblyError, match=r"device.*(?s:.)*cpu.*cuda"):
        build("sac", "gpu")


@pytest.mark.parametrize("kind", ["region", "connections"])
def test_a_brain_that_remembers_answers_whole_sequences_there_as_here(kind):
    where = {"region": "F5"} if kind == "region" else {"source": "F5", "target": "M1"}
    said, slopes = [], []
    for device in ("cpu", ELSEWHERE):
        with second_device():
            brain = ModularRnn(sizes=[6, 5, 4], density=0.5, summary=8, hidden=[8], lesion=Lesion(kind=kind, **where))
            brain.inputs["observation"] = brain.inputs["observation"].sized((3,))
            brain.outputs["action"] = brain.outputs["action"].sized((2,))
            brain.build(Lanes.of(1), 0)
            brain.move(torch.device(device))
            rng = np.random.default_rng(0)
            given = {name: torch.from_numpy(rng.normal(size=(2, 7, *shape)).astype(np.float32)).to(device)
                     for name, shape in {"observation": (3,), "current": (15,), "noise": (2,), "injury": ()}.items()}
            first = rng.random((2, 7)) < 0.2
            told, after = brain.respond_sequence(given, None, first, truncate=5)
            assert told["rates"].device == after["state"].device == torch.device(device)
            loss = told["log_prob"].sum() + told["action"].sum() + told["rates"].sum()
            slopes.append([None if part is None else part.cpu().numpy() for part in torch.autograd.grad(
                loss, brain.parameters(), allow_unused=True)])
            said.append({name: value.detach().cpu().numpy() for name, value in told.items()} | {
                "state": after["state"].detach().cpu().numpy()})
    for name, here in said[0].items():
        np.testing.assert_allclose(said[1][name], here, atol=1e-6)
    for here, there in zip(*slopes, strict=True):
        assert (here is None) == (there is None)
        if here is not None:
            np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-5)
