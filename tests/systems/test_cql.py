"""Learning from collected steps alone: the whole way from a run to weights, passes over the data, stops, refusals."""

from __future__ import annotations

import shutil
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("minari", reason="data sets are Minari's: pip install stimloop[minari]")
from typer.testing import CliRunner  # noqa: E402

import stimloop as sl  # noqa: E402
from stimloop.assemblies.cli import app  # noqa: E402
from stimloop.assemblies.resuming import export_weights, resume  # noqa: E402
from stimloop.components.parts import data_sets  # noqa: E402
from stimloop.components.parts.soft_actor_critic import SoftActorCritic  # noqa: E402
from stimloop.loops.errors import AssemblyError, RunError  # noqa: E402
from stimloop.loops.storage.runs import Run  # noqa: E402

ROWS, PASSES, BATCH = 46, 4, 16  # steps of the data set, passes over it, steps of a minibatch at most
COLLECT = """
name: collecting
until: 46 steps
lanes: 2
components:
  body:  {type: bodies.point_mass, params: {max_steps: 9}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8, 8], explore: true}, inputs: [body.observation, body.status]}
"""
LEARN = """
name: learning
until: learner.done
components:
  body:    {type: bodies.point_mass, params: {max_steps: 9}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8]}, inputs: [body.observation, body.status]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.cql, uses: {policy: brain, value: critic},
            params: {data: ./collected, passes: 4, batch_size: 16, updates_per_step: 2, samples: 3}}
"""


# of Gymnasium's RescaleAction where a recorded environment is made again: its bounds are Python's floats
PRECISION = "ignore:.*precision lowered by casting to float32"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: Any) -> Path:
    """A folder with a run, and the data set that was exported from it."""
    folder = tmp_path_factory.mktemp("home")
    run = sl.Assembly.from_yaml(COLLECT).run(folder=folder / "runs")
    done = CliRunner().invoke(app, ["export", str(run.path), "--to", "minari", "--out", str(folder / "collected")])
    assert done.exit_code == 0, done.output
    assert "of 46 steps" in done.output
    return folder


@pytest.fixture
def home(collected, tmp_path, monkeypatch):
    """A working directory with the data set in it."""
    shutil.copytree(collected / "collected", tmp_path / "collected")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assembly(home: Path, **changes: Any) -> Any:
    (home / "learning.yaml").write_text(LEARN)
    made = sl.load(str(home / "learning.yaml"))
    return made.set({address.replace("__", "."): value for address, value in changes.items()}) if changes else made


def weights(loop: Any) -> dict[str, Any]:
    return {name: loop.components[name].state_dict()["learned"] for name in ("brain", "critic")}


def same(left: Any, right: Any) -> bool:
    return all(np.array_equal(left[c][layer][k], right[c][layer][k])
               for c in left for layer in left[c] for k in left[c][layer])


def test_what_is_exported_is_what_the_run_says_of_itself(collected):
    (path,) = (collected / "runs").glob("*/*.zarr")
    lived, found = Run(path).transitions(), data_sets.read(str(collected / "collected"))
    assert (len(found), found.environment) == (ROWS, "bodies.point_mass")
    for mine, theirs in (("observation", "observation"), ("action", "action"), ("reward", "reward"),
                         ("successor", "next_observation")):
        assert getattr(found, mine).tobytes() == lived[theirs].to_numpy().tobytes()
    assert found.terminated.tolist() == lived["terminated"].to_numpy().tolist()
    assert lived["truncated"].to_numpy().any()  # time limits, which the data set must not take for ends
    assert found.episodes == len(Run(path).episodes())


def test_episodes_are_whole_and_the_last_is_cut_by_the_record(collected):
    import minari

    episodes = list(minari.MinariDataset(collected / "collected" / "data").iterate_episodes())
    assert [len(each.rewards) for each in episodes] == [9, 9, 5, 9, 9, 5]
    for each in episodes:
        assert len(each.observations) == len(each.rewards) + 1
        assert each.truncations.tolist() == [False] * (len(each.rewards) - 1) + [True]
        assert not each.terminations.any()


def test_a_name_taken_and_options_of_others_are_refused(collected, tmp_path):
    (path,) = (collected / "runs").glob("*/*.zarr")
    for words, match in ((["--to", "minari", "--out", str(collected / "collected")], "is there already"),
                         (["--to", "minari", "--body", "leg"], "say which body is meant: --body body"),
                         (["--to", "minari", "--follow"], "written once"),
                         (["--to", str(tmp_path / "plain"), "--body", "body"], "--body goes with --to minari")):
        done = CliRunner().invoke(app, ["export", str(path), *words])
        assert done.exit_code != 0
        assert match in " ".join(done.output.split()), done.output


@pytest.mark.filterwarnings(PRECISION)
def test_actions_of_another_scale_are_recorded_as_such(tmp_path):
    import minari

    text = COLLECT.replace("bodies.point_mass, params: {max_steps: 9}",
                           "bodies.gymnasium_env, params: {env: Pendulum-v1, max_steps: 9}")
    run = sl.Assembly.from_yaml(text).run(folder=tmp_path / "runs")
    done = CliRunner().invoke(app, ["export", str(run.path), "--to", "minari", "--out", str(tmp_path / "swung-v0")])
    assert done.exit_code == 0, done.output
    opened = minari.MinariDataset(tmp_path / "swung-v0" / "data")
    assert opened.spec.dataset_id == "swung-v0"
    assert opened.env_spec.max_episode_steps == 9
    episode = next(iter(opened.iterate_episodes()))
    with opened.recover_environment() as env:  # the world in which these actions mean what they meant
        assert env.action_space == opened.action_space
        env.reset(seed=0)
        env.unwrapped.state = np.array([np.arctan2(*episode.observations[0][1::-1]), episode.observations[0][2]])
        for action, seen, reward in zip(episode.actions, episode.observations[1:], episode.rewards, strict=True):
            told = env.step(action)
            np.testing.assert_allclose(told[0], seen, atol=1e-4)
            np.testing.assert_allclose(told[1], reward, rtol=1e-3, atol=1e-3)


def test_it_goes_through_the_data_as_often_as_asked_and_is_done(home):
    with assembly(home).build() as loop:
        seen = {name: loop.components["learner"].core.state_dict()[name] for name in ("updates",)}
        batches: list[np.ndarray] = []
        core = loop.components["learner"].core
        advance = core.advance
        core.advance = lambda batch, noise: (batches.append(batch["observation"].numpy()), advance(batch, noise))[1]
        loop.run("learner.done")
        assert seen["updates"] == 0
        each = ceil(ROWS / BATCH)
        assert loop.peek("learner.updates") == len(batches) == PASSES * each
        assert (loop.peek("learner.passed"), loop.peek("learner.done")) == (PASSES, True)
        assert loop.now == (PASSES * each // 2 - 1) * 20_000_000  # two updates a tick, the first at t = 0
        assert {len(rows) for rows in batches} == {15, 16}
        passes = [np.concatenate(batches[i * each:(i + 1) * each]) for i in range(PASSES)]
        everything = np.sort(data_sets.read("collected").observation, axis=0)
        for rows in passes:
            assert np.array_equal(np.sort(rows, axis=0), everything)
        assert not np.array_equal(passes[0], passes[1])


def test_it_goes_on_exactly_from_any_tick(home):
    whole = assembly(home, learner__params__with_lagrange=True).build()
    whole.run("learner.done")
    for stop in ("0 ms", "20 ms", "40 ms", "60 ms", "100 ms"):
        first, second = (assembly(home, learner__params__with_lagrange=True).build() for _ in range(2))
        first.run(stop)
        second.load(first.save())
        second.run("learner.done")
        assert same(weights(whole), weights(second)), stop
        assert whole.peek("learner.cql_loss") == second.peek("learner.cql_loss")


def test_nothing_that_happens_is_learned_from(home):
    made = [assembly(home, **changes).build() for changes in (
        {}, {"body__seed": 77}, {"body__params__max_steps": 3},
        {"learner__inputs": ["body.observation", "brain.action"]})]
    for loop in made:
        loop.run("learner.done")
    assert all(same(weights(made[0]), weights(other)) for other in made[1:])


def test_without_weight_its_updates_are_those_of_soft_actor_critic(home):
    plain = {"learner__params__cql_weight": 0, "learner__params__max_grad_norm": None,
             "learner__params__learning_rate": 1e-3}
    with assembly(home, **plain).build() as loop, assembly(home, **plain).build() as other:
        learner, brain, critic = (other.components[name] for name in ("learner", "brain", "critic"))
        sac = SoftActorCritic(brain, critic, 2, learning_rate=1e-3, gamma=0.99, tau=0.005, ent_coef="auto",
                              target_entropy="auto", target_update_interval=1)
        for _ in range(PASSES * ceil(ROWS / BATCH)):
            sac.advance(learner._minibatch(), learner._noise)
        loop.run("learner.done")
        assert same(weights(loop), weights(other))


def test_what_is_observed_is_brought_to_scale_by_the_data(home):
    with assembly(home, brain__params__normalise=True).build() as loop:
        loop.run("learner.done")
        rows = data_sets.read("collected").observation.astype(np.float64)
        known = loop.components["brain"].statistics()
        np.testing.assert_allclose(known["mean"], rows.mean(axis=0), rtol=1e-3, atol=1e-4)
        assert float(np.max(known["count"])) == pytest.approx(ROWS, abs=2)


def test_other_data_than_before_are_refused_when_a_run_goes_on(home):
    run = assembly(home, learner__params__passes=100).run(folder=home / "runs", until="40 ms")
    shutil.rmtree(home / "collected")
    data_sets.write_example(home / "collected", observations=6, actions=2)
    with pytest.raises(RunError, match="not the one that this run has learned from"):
        resume(run.path, until="80 ms")


@pytest.mark.parametrize(("changes", "match"), [
    ({"body": {"type": "bodies.gymnasium_env", "params": {"env": "Pendulum-v1"}}},
     r"observations of 6 numbers, and the policy's have 3"),
    ({"learner__params__environment": "Reacher-v5"},
     r"was collected in bodies\.point_mass, and environment says Reacher-v5"),
    ({"learner__params__data": "./absent"}, "there is no file"),
    ({"learner__params__data": "healthy_reachr"}, r"no shipped data set 'healthy_reachr'.*\n.*healthy_reacher"),
    ({"learner__params__data": "../collected"}, "leads outside"),
    ({"learner__params__cql_weight": 0, "learner__params__with_lagrange": True}, "begins at 0 stays there"),
    ({"learner__inputs": ["body.reward"]}, "reward"),
    ({"body": {"type": "bodies.cartpole"}}, "choices"),
])
def test_what_cannot_be_learned_is_refused_when_it_is_built(home, changes, match):
    with pytest.raises(AssemblyError, match=match):
        assembly(home, **changes).build()


def test_the_whole_way_from_a_healthy_brain_to_weights_that_were_learned_offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = sl.load("healthy_reacher").variant("collect").set({"until": "3 episodes"}).run(folder=tmp_path / "runs")
    assert Run(run.path).episodes()["return"].mean() > -15  # a brain that does nothing gets about -40
    done = CliRunner().invoke(app, ["export", str(run.path), "--to", "minari", "--out", "collected"])
    assert done.exit_code == 0, done.output
    (tmp_path / "offline.yaml").write_text(LEARN.replace(
        "bodies.point_mass, params: {max_steps: 9}", "bodies.gymnasium_env, params: {env: Reacher-v5}"))
    offline = sl.load("offline.yaml").set({"learner.params.environment": "Reacher-v5"})
    learned = offline.run(folder=tmp_path / "runs")
    assert learned["learner.updates"].to_numpy()[-1] == PASSES * ceil(150 / BATCH)
    facts = export_weights(learned.path, "brain", tmp_path / "brain.safetensors")
    with offline.set({"brain.params.weights": "./brain.safetensors"}).build() as loop, offline.build() as fresh:
        assert not same({"brain": weights(loop)["brain"]}, {"brain": weights(fresh)["brain"]})
    assert facts["hash"]
