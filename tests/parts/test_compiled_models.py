"""Models of MyoSuite that are copied, not compiled, are the same to the last bit, and nobody writes into another's."""

import os

import numpy as np
import pytest

os.environ.setdefault("MUJOCO_GL", "disable")
pytest.importorskip("myosuite", reason="the tasks are MyoSuite's")
from stimloop.components.parts import compiled_models
from stimloop.components.parts.mujoco_batch import ModelEdits

gymnasium = pytest.importorskip("gymnasium", reason="the tasks are Gymnasium's")
ELBOW, REORIENT = "myoElbowPose1D6MRandom-v0", "myoHandReorient8-v0"  # the second changes what it holds at every reset


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(compiled_models, "_kept", type(compiled_models._kept)())


def make(name, kind=None):
    with compiled_models.compiled_once(kind or name):
        return gymnasium.make(name, disable_env_checker=True)


def lives(env, steps=12):
    """Return what an environment shows from a given beginning under given commands."""
    rng, shown = np.random.default_rng(0), [env.reset(seed=3)[0]]
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        shown.append(np.append(observation, reward))
    return np.concatenate(shown)


@pytest.mark.parametrize("name", [ELBOW, REORIENT])
def test_a_copy_is_what_would_have_been_compiled(name):
    compiled = gymnasium.make(name, disable_env_checker=True)
    expected = lives(compiled)
    first, second, third = (make(name) for _ in range(3))
    assert ModelEdits(compiled.unwrapped.model).take(third.unwrapped.model).keys() == \
        ModelEdits(make(name).unwrapped.model).take(compiled.unwrapped.model).keys()
    for env in (first, third, second):
        assert np.array_equal(lives(env), expected)


def test_what_one_writes_no_other_reads():
    first, second = make(ELBOW), make(ELBOW)
    new = ModelEdits(second.unwrapped.model)
    first.unwrapped.model.body_mass[:] = 7
    second.unwrapped.model.body_mass[1] = 8
    assert not new.take(make(ELBOW).unwrapped.model)
    assert second.unwrapped.model.body_mass[2] != 7


def test_only_the_last_few_kinds_are_kept():
    for number in range(compiled_models.MOST + 2):
        make(ELBOW, f"kind {number}")
    assert list(compiled_models._kept) == [f"kind {number}" for number in range(2, compiled_models.MOST + 2)]


def test_an_environment_that_cannot_be_made_leaves_nothing_behind():
    from myosuite.core.model_builder import ModelBuilder

    build = ModelBuilder.build
    with pytest.raises(AttributeError), compiled_models.compiled_once("broken"):
        gymnasium.make(ELBOW, disable_env_checker=True, reset_type=None, target_jnt_range=3)
    assert ModelBuilder.build is build
    assert not compiled_models._kept
