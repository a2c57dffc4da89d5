"""Minari data sets as transitions: what stands where, what bounds do to actions, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

minari = pytest.importorskip("minari", reason="data sets are Minari's: pip install stimloop[minari]")
pytest.importorskip("h5py", reason="data sets of Minari lie in HDF5 files")
from gymnasium import spaces  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stimloop.components.parts import data_sets  # noqa: E402
from stimloop.components.parts.data_sets import Episode  # noqa: E402
from stimloop.loops.errors import AssemblyError, RunError  # noqa: E402


def box(low: Any, high: Any, size: int) -> Any:
    return spaces.Box(np.full(size, low, np.float32), np.full(size, high, np.float32))


SPACES = {"observation_space": box(-np.inf, np.inf, 2), "action_space": box(-1, 1, 1)}


def episode(steps: int, start: float = 0.0, terminated: bool = False) -> Episode:
    """Observations count on from `start`, actions and rewards are shares of that."""
    seen = start + np.arange(steps + 1, dtype=np.float32)
    last = np.arange(steps) == steps - 1
    return Episode(np.stack([seen, -seen], axis=1), seen[:-1, None] / 100, seen[:-1] / 10, last & terminated,
                   last & (not terminated))


def written(folder: Path, *episodes: Episode, spec: Any = None, metadata: Any = None, **changed: Any) -> Path:
    data_sets.write(folder / "kept", episodes, {**SPACES, **changed}, spec,
                    {"dataset_id": "kept-v0", **(metadata or {})})
    return folder / "kept"


def test_a_step_leads_from_one_observation_to_the_next_of_its_own_episode(tmp_path):
    found = data_sets.read(str(written(tmp_path, episode(3), episode(2, 50.0, terminated=True))))
    assert (len(found), found.episodes, found.environment) == (5, 2, "")
    assert found.observation[:, 0].tolist() == [0, 1, 2, 50, 51]
    assert found.successor[:, 0].tolist() == [1, 2, 3, 51, 52]
    assert found.successor[:, 1].tolist() == [-1, -2, -3, -51, -52]
    np.testing.assert_allclose(found.action[:, 0], np.array([0, 1, 2, 50, 51]) / 100, rtol=1e-6)
    np.testing.assert_allclose(found.reward, np.array([0, 1, 2, 50, 51]) / 10, rtol=1e-6)
    assert all(column.dtype == np.float32 for column in found.columns().values())


def test_a_time_limit_is_no_end(tmp_path):
    found = data_sets.read(str(written(tmp_path, episode(3), episode(2, terminated=True))))
    assert found.terminated.tolist() == [0, 0, 0, 0, 1]


def test_actions_are_brought_to_one_by_the_bounds_that_are_declared(tmp_path):
    made = replace(episode(3), action=np.array([[1.0], [2.5], [4.0]], np.float32))
    found = data_sets.read(str(written(tmp_path, made, action_space=box(1, 4, 1))))
    assert found.action[:, 0].tolist() == [-1, 0, 1]
    same = data_sets.read(str(written(tmp_path / "other", episode(3))))
    assert same.action.tobytes() == episode(3).action.tobytes()  # what is in [-1, 1] already keeps its last bit


def test_minari_itself_opens_what_is_written(tmp_path):
    folder = written(tmp_path, episode(3), episode(2, terminated=True))
    opened = minari.MinariDataset(folder / "data")
    assert opened.total_steps == 5
    first, second = opened.iterate_episodes()
    assert first.observations.shape == (4, 2)
    assert (first.truncations[-1], first.terminations[-1]) == (True, False)
    assert (second.truncations[-1], second.terminations[-1]) == (False, True)


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=4))
def test_whatever_is_written_is_read(tmp_path_factory, shape):
    made = [episode(steps, 10.0 * i, ends) for i, (steps, ends) in enumerate(shape)]
    found = data_sets.read(str(written(tmp_path_factory.mktemp("set"), *made)))
    assert found.observation.tobytes() == np.concatenate([each.observation[:-1] for each in made]).tobytes()
    assert found.successor.tobytes() == np.concatenate([each.observation[1:] for each in made]).tobytes()
    assert found.action.tobytes() == np.concatenate([each.action for each in made]).tobytes()
    assert found.terminated.tolist() == [float(t) for each in made for t in each.terminated]


def test_it_says_where_it_was_collected(tmp_path):
    import gymnasium

    found = data_sets.read(str(written(tmp_path, episode(2), spec=gymnasium.spec("Pendulum-v1"))))
    assert found.environment == "Pendulum-v1"
    own = data_sets.read(str(written(tmp_path / "own", episode(2), metadata={"body": "bodies.point_mass"})))
    assert own.environment == "bodies.point_mass"


def spoilt(**changes: Any) -> Episode:
    return replace(episode(4), **changes)


@pytest.mark.parametrize(("made", "match"), [
    (spoilt(observation=np.full((5, 2), np.nan, np.float32)), r"observation of step 0 of episode 1 is not finite"),
    (spoilt(reward=np.array([0, 0, np.inf, 0], np.float32)), r"reward of step 2 of episode 1 is not finite"),
    (spoilt(action=np.full((4, 1), 2.0, np.float32)), r"action of episode 1 lies beyond the bounds.*2 where 1"),
    (spoilt(action=np.zeros((3, 1), np.float32)), r"episode 1 has 4 rewards and 3 actions"),
    (spoilt(observation=np.zeros((4, 2), np.float32)), r"episode 1 has 4 rewards and 3 observations"),
    (spoilt(observation=np.zeros((5, 3), np.float32)), r"observations of episode 1 are \(3,\).*declares \(2,\)"),
    (spoilt(terminated=np.array([0, 1, 0, 0], bool)), r"episode 1 goes on behind its end"),
])
def test_episodes_that_cannot_be_learned_from_are_named(tmp_path, made, match):
    with pytest.raises(AssemblyError, match=match):
        data_sets.read(str(written(tmp_path, episode(2), made)))


@pytest.mark.parametrize(("changed", "match"), [
    ({"observation_space": spaces.Box(0, 1, (2, 2))}, r"observations are Box\(2, 2\).*\n.*FlattenObservation"),
    ({"action_space": spaces.Discrete(3)}, r"actions are Discrete.*\n.*learners\.ppo"),
    ({"action_space": box(-np.inf, np.inf, 1)}, "actions have no bounds"),
])
def test_spaces_that_cannot_be_learned_from_are_named(tmp_path, changed, match):
    with pytest.raises(AssemblyError, match=match):
        data_sets.read(str(written(tmp_path, episode(2), **changed)))


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(AssemblyError, match="is no Minari data set"):
        data_sets.read(str(tmp_path))
    with pytest.raises(AssemblyError, match="holds no step"):
        data_sets.read(str(written(tmp_path)))


def test_a_cut_file_is_refused(tmp_path):
    folder = written(tmp_path, episode(2), episode(3))
    file = folder / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(AssemblyError, match="cannot be read"):
        data_sets.read(str(folder))


def test_no_environment_is_made_to_find_out_its_spaces(tmp_path, monkeypatch):
    import gymnasium

    folder = written(tmp_path, episode(2), spec=gymnasium.spec("Pendulum-v1"))
    file = folder / "data" / "metadata.json"
    known = json.loads(file.read_text())
    del known["action_space"]
    file.write_text(json.dumps(known))
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: pytest.fail("code that a file names was run"))
    with pytest.raises(AssemblyError, match="does not say of which spaces"):
        data_sets.read(str(folder))


def test_a_data_set_of_another_body_is_told_by_sizes_and_by_name(tmp_path):
    found = data_sets.read(str(written(tmp_path, episode(2), metadata={"body": "Reacher-v5"})))
    data_sets.check_sizes(found, (2,), (1,), "Reacher-v5")
    data_sets.check_sizes(found, (2,), (1,), "my_module:Reacher-v5")
    data_sets.check_sizes(found, (2,), (1,), None)
    with pytest.raises(AssemblyError, match=r"observations of 2 numbers, and the policy's have 3") as caught:
        data_sets.check_sizes(found, (3,), (4,), "Pusher-v5")
    assert "actions of 1 numbers, and the policy's have 4" in str(caught.value)
    assert "was collected in Reacher-v5, and environment says Pusher-v5" in str(caught.value)


def test_other_steps_are_another_data_set(tmp_path):
    first = data_sets.read(str(written(tmp_path / "a", episode(3))))
    again = data_sets.read(str(written(tmp_path / "b", episode(3))))
    other = data_sets.read(str(written(tmp_path / "c", replace(episode(3), reward=np.ones(3, np.float32)))))
    data_sets.same(first, again.digest())
    with pytest.raises(RunError, match="not the one that this run has learned from"):
        data_sets.same(first, other.digest())
