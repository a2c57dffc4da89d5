"""The model of a body: what it predicts, how it draws, and what it says of what came."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import stimloop as sl  # noqa: E402
from stimloop.components.parts.assignment import Groups  # noqa: E402
from stimloop.components.parts.ensemble_fit import EnsembleFit  # noqa: E402
from stimloop.components.world_models.gaussian_ensemble import GaussianEnsemble  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.errors import AssemblyError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, WAITING  # noqa: E402
from stimloop.loops.storage import artifact  # noqa: E402

SEEN, DONE = 3, 2


def model(lanes=2, seed=0, **params) -> GaussianEnsemble:
    made = GaussianEnsemble(**{"hidden": [16, 16], **params})
    for name, size in (("observation", SEEN), ("action", DONE)):
        made.inputs[name] = Port("given", (size,))
    made.build(Lanes.of(lanes), seed)
    made.reset(seed)
    rng = np.random.default_rng(0)
    made.network.arrays["out/bias"][...] = rng.normal(size=made.network.arrays["out/bias"].shape)
    made.network.set({"elites": np.array([6, 1, 3, 4, 0])[:made.trusted]}) if made.members == 7 else None
    return made


def asked(count=8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, SEEN + DONE)).astype(np.float32)


def test_without_a_generator_it_says_the_elites_mean():
    made, rows = model(), asked()
    mean = made.network.forward(rows)[0][[6, 1, 3, 4, 0]].mean(0)
    np.testing.assert_allclose(made.predict(rows), mean, atol=1e-6)
    said = made.predict(torch.from_numpy(rows))
    np.testing.assert_allclose(said.detach().numpy(), mean, atol=1e-5)
    member = np.arange(8) % 7
    np.testing.assert_array_equal(made.predict(rows, member=member), made.network.assigned(rows, member)[0])


@pytest.mark.parametrize("given", ["numpy", "torch", "groups"])
def test_all_members_asked_say_what_the_assigned_one_says(given):
    """With noise too: it is drawn alike."""
    rows, member = asked(40), np.random.default_rng(2).integers(7, size=40)
    rows, member = (rows, member) if given == "numpy" else (torch.from_numpy(rows), torch.from_numpy(member))
    member = Groups(member, 7) if given == "groups" else member
    for generator in (lambda: None, lambda: torch.Generator().manual_seed(0)):
        one, every = (model(ask=ask).predict(rows, generator(), member) for ask in ("assigned", "all"))
        if given != "numpy":
            one, every = one.detach(), every.detach()
        np.testing.assert_allclose(one, every, atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("given", ["numpy", "torch"])
def test_with_one_it_draws_from_an_elite_of_each_row(kind, given):
    made, row = model(), asked(1)

    def new():
        return np.random.default_rng(0) if kind == "numpy" else torch.Generator().manual_seed(0)

    rows = np.repeat(row, 20_000, axis=0)
    rows = rows if given == "numpy" else torch.from_numpy(rows)
    drawn, again = made.predict(rows, new()), made.predict(rows, new())
    assert type(drawn) is (np.ndarray if given == "numpy" else torch.Tensor)
    drawn, again = (each if given == "numpy" else each.detach().numpy() for each in (drawn, again))
    np.testing.assert_array_equal(drawn, again)
    assert drawn.dtype == np.float32
    mean, variance = (each[[6, 1, 3, 4, 0], 0].astype(float) for each in made.network.forward(row))
    np.testing.assert_allclose(drawn.mean(0), mean.mean(0), atol=0.05)  # the moments of the mixture
    np.testing.assert_allclose(drawn.var(0), np.exp(variance).mean(0) + mean.var(0), rtol=0.05)


def test_noise_may_be_left_out_of_observations_or_of_rewards():
    rows, member = asked(), np.arange(8) % 7
    for which, quiet, loud in (("deterministic_obs", slice(1, None), slice(0, 1)),
                               ("deterministic_rewards", slice(0, 1), slice(1, None))):
        made = model(**{which: True})
        drawn, mean = made.predict(rows, np.random.default_rng(0), member), made.predict(rows, member=member)
        np.testing.assert_array_equal(drawn[:, quiet], mean[:, quiet])
        assert (drawn[:, loud] != mean[:, loud]).all()


def test_gradients_of_a_draw_reach_the_inputs():
    made = model()
    rows = torch.from_numpy(asked()).requires_grad_()
    made.predict(rows, torch.Generator().manual_seed(0)).sum().backward()
    assert (rows.grad != 0).all()


def test_the_loss_is_that_of_its_equation():
    made, rows = model(), asked()
    target = np.random.default_rng(2).normal(size=(8, 1 + SEEN)).astype(np.float32)
    mean, variance = (each.astype(float) for each in made.network.forward(rows))
    wanted = ((mean - target) ** 2 / np.exp(variance) + variance).mean((0, 2))
    np.testing.assert_allclose(made.loss(rows, target), wanted, rtol=1e-4)
    said = made.loss(torch.from_numpy(rows), torch.from_numpy(target))
    np.testing.assert_allclose(said.detach().numpy(), wanted, rtol=1e-4)


def test_what_a_fit_learned_goes_with_the_artifact(tmp_path):
    made, rng = model(lanes=1), np.random.default_rng(0)
    targets = rng.normal(size=(60, 1 + SEEN)).astype(np.float32)
    report = EnsembleFit(made.network, patience=0).fit(asked(60), targets, torch.Generator().manual_seed(0))
    artifact.save(tmp_path / "model.safetensors", made, "world_models.gaussian_ensemble")
    other = GaussianEnsemble(hidden=[16, 16], weights=str(tmp_path / "model.safetensors"))
    for name, size in (("observation", SEEN), ("action", DONE)):
        other.inputs[name] = Port("given", (size,))
    other.build(Lanes.of(5), 9)
    np.testing.assert_array_equal(other.predict(asked()), made.predict(asked()))
    np.testing.assert_array_equal(other.network.elites, report.elites)
    np.testing.assert_array_equal(other.network.arrays["holdout"], report.holdout)
    assert other.network.arrays["scaler/mean"].any()


def test_more_elites_than_members_are_refused():
    with pytest.raises(AssemblyError, match="8 of 7 members cannot be elites"):
        model(elites=8)


def tick(made, observation, status, action, reward=(0, 0), new=("observation", "status", "reward")):
    values = {"observation": np.float32(observation), "status": np.int64(status), "action": np.float32(action),
              "reward": np.float32(reward)}
    return made.step(0, Inputs(values, frozenset(new)))


def test_it_says_what_it_had_expected_and_how_surprised_it_is():
    made, rng = model(), np.random.default_rng(3)
    before, after = rng.normal(size=(2, 2, SEEN)).astype(np.float32)
    action, reward = rng.normal(size=(2, DONE)).astype(np.float32), rng.normal(size=2).astype(np.float32)
    assert tick(made, before, [FIRST, FIRST], action) == {}
    said = tick(made, after, [0, FIRST], action, reward)
    mean, variance = (each[[6, 1, 3, 4, 0], 0].astype(float)
                      for each in made.network.forward(np.concatenate([before, action], 1)))
    np.testing.assert_allclose(said["prediction"][0], before[0] + mean[:, 1:].mean(0), rtol=1e-5)
    came = np.concatenate([reward[:1], after[0] - before[0]])
    density = np.exp(-0.5 * (came - mean) ** 2 / np.exp(variance)) / np.sqrt(2 * np.pi * np.exp(variance))
    np.testing.assert_allclose(said["surprise"][0], -np.log(density.prod(1).mean()) / 4, rtol=1e-5)
    np.testing.assert_allclose(said["disagreement"][0], mean[:, 1:].std(0), rtol=1e-5)
    np.testing.assert_array_equal(said["prediction"][1], after[1])  # no step led there
    assert said["surprise"][1] == 0
    assert not said["disagreement"][1].any()


@pytest.mark.filterwarnings("error")
def test_a_step_beyond_its_numbers_is_no_warning_of_a_library():
    made = model()
    tick(made, np.full((2, SEEN), -3e38), [FIRST, FIRST], np.zeros((2, DONE)))
    said = tick(made, np.full((2, SEEN), 3e38), [0, 0], np.zeros((2, DONE)))
    assert not np.isfinite(said["surprise"]).any(), "the loop refuses it, and names port and lane"


def test_without_a_reward_it_judges_what_was_seen_alone():
    made, found = model(lanes=1), []
    for reward in (0.0, 100.0):
        made.reset(0)
        tick(made, [[0, 0, 0]], [FIRST], [[0, 0]], [0])
        values = {"observation": np.ones((1, 3), np.float32), "status": np.zeros(1, np.int64),
                  "action": np.zeros((1, 2), np.float32)}
        if reward:
            values["reward"] = np.float32([reward])
        found.append(made.step(1, Inputs(values, frozenset(values) - {"action"}))["surprise"][0])
    assert 0 < found[0] < 50 < found[1]


def test_where_nobody_saw_the_end_it_is_not_surprised():
    """An episode that ends and begins at once shows the first observation of the next one."""
    for flags, surprised in ((TERMINATED | FIRST, False), (TERMINATED, True), (WAITING, False)):
        made = model(lanes=1)
        tick(made, [[0, 0, 0]], [FIRST], [[0, 0]], [0])
        said = tick(made, [[9, 9, 9]], [flags], [[0, 0]], [0])
        assert bool(said and said["surprise"][0] > 1) == surprised


ASSEMBLY = """
name: modelled
until: 30 steps
lanes: 2
record: none
components:
  body:  {type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8], explore: true}, inputs: [body.observation, body.status]}
  model: {type: world_models.gaussian_ensemble, params: {hidden: [16]},
          inputs: [body.observation, brain.action, body.status, body.reward]}
"""


def test_it_listens_to_a_body_in_an_assembly():
    pytest.importorskip("gymnasium")
    with sl.Assembly.from_yaml(ASSEMBLY).build() as loop:
        loop.run("30 steps")
        assert loop.peek("model.prediction").shape == (2, 3)
        assert np.isfinite(loop.peek("model.surprise")).all()
        assert (loop.peek("model.surprise") != 0).all()
        assert (loop.peek("model.disagreement") > 0).all()
    deaf = sl.Assembly.from_yaml(ASSEMBLY.replace(", body.status, body.reward]}", "]}"))
    with deaf.build() as loop:
        loop.run("30 steps")
        assert loop.peek("model.surprise") is None
