"""Environments of a user's own that answer otherwise than they declare are told so in one sentence."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from stimloop.assemblies.loading import load  # noqa: E402
from stimloop.components.bodies.gymnasium_env import GymnasiumEnv  # noqa: E402
from stimloop.components.parts.spaces import ObservationDoor  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.errors import PortError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402

spaces = gymnasium.spaces
NAME = "StimloopOdd-v0"


class Odd(gymnasium.Env):
    """Answers as it is told to, from the step `late` on."""

    action_space = spaces.Box(-1, 1, (1,))
    metadata = {"render_fps": 50, "render_modes": []}

    def __init__(self, space, good, odd=None, late=0, begin=None, step=None):
        self.observation_space, self.good, self.odd = space, good, good if odd is None else odd
        self.late, self.answer, self.count, self.began = late, step, 0, begin

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return (self.odd if self.late == 0 else self.good), {} if self.began is None else self.began

    def step(self, action):
        self.count += 1
        late = self.count >= self.late
        whole = {"observation": self.odd if late else self.good, "reward": 1.0, "terminated": False,
                 "truncated": False, "info": {}, **((self.answer or {}) if late else {})}
        if "raise" in whole:
            raise RuntimeError("the motor burns")
        return tuple(value for value in whole.values() if value is not Odd)


@pytest.fixture(autouse=True)
def registered():
    """Register the environment for one test."""
    gymnasium.register(NAME, entry_point=Odd)
    yield
    del gymnasium.registry[NAME]


def lived(steps=12, **params):
    body = GymnasiumEnv(env=NAME, env_params=params)
    body.build(Lanes.of(1), 0)
    for tick in range(steps):
        out = body.step(tick, Inputs({"action": np.zeros((1, 1), np.float32)}))
    return out


THREE, GRID = spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2, 3))
KEYS = spaces.Dict({"x": THREE, "gear": spaces.Discrete(4)})
GOOD = {"x": np.zeros(3, np.float32), "gear": 1}
WRONG = [
    (THREE, np.zeros(3), np.zeros(1), r"an array of shape \(1,\) \(\[0.0\]\), where .* Box of shape \(3,\)"),
    (THREE, np.zeros(3), 0.5, r"shows 0.5, where its observation_space says Box of shape \(3,\)"),
    (THREE, np.zeros(3), np.zeros(4), r"an array of shape \(4,\)"),
    (THREE, np.zeros(3), [0, "a", 1], r"\[0, 'a', 1\]"),
    (GRID, np.zeros((2, 3)), np.zeros((3, 2)), r"an array of shape \(3, 2\) .* Box of shape \(2, 3\)"),
    (GRID, np.zeros((2, 3)), np.zeros(6), r"an array of shape \(6,\)"),
    (spaces.Box(0, 255, (4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8),
     r"an array of shape \(4, 4\), where .* Box of shape \(4, 4, 3\)"),
    (spaces.Discrete(4), 1, 7, r"shows 7, where .* Discrete\(4\)"),
    (spaces.Discrete(4), 1, -1, r"shows -1, where"),
    (spaces.Discrete(4), 1, 1.5, r"shows 1.5, where"),
    (spaces.Discrete(4, start=2), 2, 1, r"shows 1, where .* Discrete\(4, start=2\)"),
    (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), np.array([2, 2]),
     r"an array of shape \(2,\) \(\[2, 2\]\), where .* MultiDiscrete"),
    (spaces.MultiBinary(3), np.zeros(3, np.int8), np.zeros(2, np.int8), r"shape \(2,\) .* MultiBinary\(3\)"),
    (KEYS, GOOD, {"x": np.zeros(3)}, "shows nothing under gear, .* but a dictionary of x"),
    (KEYS, GOOD, np.zeros(7), r"shows nothing under gear, .* but an array of shape \(7,\)"),
    (KEYS, GOOD, {**GOOD, "x": np.zeros(1)}, r"shape \(1,\) .* under x, where .* Box of shape \(3,\)"),
    (KEYS, GOOD, {**GOOD, "gear": 9}, "shows 9 under gear")]


@pytest.mark.parametrize("late", [0, 1, 5])
@pytest.mark.parametrize(("space", "good", "odd", "words"), WRONG)
def test_observations_other_than_declared_are_told_whenever_they_come(space, good, odd, words, late):
    with pytest.raises(PortError, match=f"(?s){NAME} .*{words}"):
        lived(space=space, good=good, odd=odd, late=late)


@pytest.mark.parametrize(("space", "good"), [
    (THREE, [0, 1, 0]), (THREE, np.ones(3, np.float64)), (spaces.Box(-1, 1, ()), np.float32(0.5)),
    (spaces.Discrete(4), np.int64(3)), (spaces.Discrete(4, start=2), np.array(5)),
    (spaces.Box(-1, 1, (0,)), np.zeros(0)),
    (spaces.MultiBinary(3), [1, 0, 1]), (spaces.MultiDiscrete([2, 3], start=[1, 1]), [1, 3]), (KEYS, GOOD)])
def test_what_is_declared_passes_in_every_form(space, good):
    door = ObservationDoor(space)
    door.check(good)
    assert lived(space=space, good=good)["observation"].shape[0] == 1


@pytest.mark.parametrize("late", [1, 5])
def test_rewards_that_are_no_number_are_told_whenever_they_come(late):
    with pytest.raises(ValueError, match=rf"(?s){NAME}.* array\(\[1., 2.\]\).*one number"):
        lived(space=THREE, good=np.zeros(3), late=late, step={"reward": np.array([1.0, 2.0])})


@pytest.mark.parametrize(("params", "words"), [
    ({"step": {"info": Odd}}, r"returns 4 things, not \(observation, reward, terminated, truncated, info\)"),
    ({"step": {"info": None}}, "info of .* is None, not a dictionary"),
    ({"begin": np.zeros(2)}, r"info of .* reset returns, is array"),
    ({"step": {"terminated": "False"}}, "terminated of .* is 'False'"),
    ({"step": {"reward": None}}, "reward of .* is None; .* one number"),
    ({"step": {"reward": "1"}}, "reward of .* is '1'"),
    ({"step": {"raise": True}}, r"step of .* raised RuntimeError: the motor burns \(test_odd_environments.py line")])
def test_steps_of_another_kind_are_told_at_build(params, words):
    with pytest.raises(ValueError, match=words) as caught:
        GymnasiumEnv(env=NAME, env_params={"space": THREE, "good": np.zeros(3), **params})
    assert NAME in str(caught.value)


def test_a_step_of_four_is_told_through_a_time_limit_too():
    with pytest.raises(ValueError, match=r"\(observation, reward, terminated, truncated, info\)"):
        GymnasiumEnv(env=NAME, max_steps=5,
                     env_params={"space": THREE, "good": np.zeros(3), "step": {"info": Odd}})


BESIDE = '''
import gymnasium
import numpy as np


class Beside(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Box(-1, 1, (1,))
    metadata = {"render_fps": 50, "render_modes": []}

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


gymnasium.register("Beside-v0", entry_point=Beside)
'''


def test_an_environment_beside_the_assembly_is_found_as_a_module_is(tmp_path, monkeypatch):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "env_beside.py").write_text(BESIDE)
    (tmp_path / "seen" / "a.yaml").write_text("""
name: beside
until: 3 steps
components:
  body:  {type: bodies.gymnasium_env, params: {env: 'env_beside:Beside-v0'}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [4]}, inputs: [body.observation]}
""")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stimloop.toml").write_text('allow = ["env_beside"]')
    run = load("seen/a.yaml").run(show=False)
    assert run["body.observation"].shape == (4, 1, 2)
