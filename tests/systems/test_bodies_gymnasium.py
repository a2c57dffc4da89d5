"""Environments of Gymnasium's registry as bodies: ports from spaces, steps equal to theirs, resume by replay."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from stimloop.components.bodies.gymnasium_env import GymnasiumEnv  # noqa: E402
from stimloop.components.parts.roles import Body  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.errors import PortError, RunError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED  # noqa: E402
from stimloop.loops.time import Clock  # noqa: E402


class Garden(gymnasium.Env):
    """A dictionary with an image in it, a choice, an unbounded action and a talkative info."""

    metadata = {"render_fps": 30, "render_modes": []}

    def __init__(self, fair=True, size=3):
        spaces = gymnasium.spaces
        self.observation_space = spaces.Dict({"camera": spaces.Box(0, 255, (4, 4, 3), np.uint8),
                                              "plant": spaces.Dict({"height": spaces.Box(-9, 9, (size,))})})
        self.action_space = spaces.Box(-np.inf, np.inf, (1,))
        self.fair, self.size = fair, size

    def show(self):
        return {"camera": np.full((4, 4, 3), self.age, np.uint8), "plant": {"height": self.height}}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age, self.height = 0, self.np_random.uniform(-1, 1, self.size).astype(np.float32)
        return self.show(), {"soil": np.array([1.0, 2.0])}

    def step(self, action):
        self.age += 1
        noise = self.np_random if self.fair else np.random.default_rng()
        self.height = np.clip(self.height + action[0] / 10 + 0.01 * noise.normal(), -9, 9).astype(np.float32)
        ended = bool(self.height[0] > 1.5)
        return self.show(), float(action[0]), ended, False, {"is_success": ended, "water/level": self.age, "who": "me"}


@pytest.fixture(autouse=True)
def garden():
    """Register the garden for one test."""
    gymnasium.register("StimloopGarden-v0", entry_point=Garden, max_episode_steps=20)
    yield
    del gymnasium.registry["StimloopGarden-v0"]


def built(body, lanes=1, seed=0):
    body.build(Lanes.of(lanes), seed)
    return body


def push(action):
    return Inputs({"action": np.asarray(action)})


def action_of(env, value):
    """What a value in [-1, 1] means where the bounds lie around 0, without a rounding."""
    assert (env.action_space.low == -env.action_space.high).all()
    return value * env.action_space.high


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0", "Reacher-v5"])
def test_continuous_environments_step_by_step(name):
    body, rng = built(GymnasiumEnv(env=name), 2, seed=1), np.random.default_rng(0)
    envs, checked = [gymnasium.make(name) for _ in range(2)], set()
    for tick in range(130):
        value = rng.uniform(-1, 1, (2, *body.inputs["action"].shape)).astype(np.float32)
        shown = body.step(tick, push(value))
        for lane, env in enumerate(envs):
            status = int(shown["status"][lane])
            if status == FIRST:
                observation, reward, flags = env.reset(seed=int(body.episodes.seeds[lane]))[0], 0, FIRST
            else:
                observation, reward, terminated, truncated, _ = env.step(action_of(env, value[lane]))
                flags = TERMINATED * terminated + TRUNCATED * truncated
            assert status == flags
            np.testing.assert_array_equal(shown["observation"][lane], observation.astype(np.float32))
            assert shown["reward"][lane] == np.float32(reward)
            checked.add(flags)
    assert FIRST in checked
    assert name != "Reacher-v5" or TRUNCATED in checked
    body.close()


def test_discrete_actions_and_observations():
    body, env = built(GymnasiumEnv(env="FrozenLake-v1", env_params={"is_slippery": False})), None
    assert (body.inputs["action"].choices, body.outputs["observation"].shape) == (4, (16,))
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    body.step(0, push([0]))
    env.reset(seed=0)
    for tick, choice in enumerate((2, 2, 1, 1, 1, 2)):  # the safe way to the goal
        shown = body.step(tick, push([choice]))
        state, reward, terminated, _, _ = env.step(choice)
        assert shown["observation"][0].argmax() == state
        assert shown["observation"][0].sum() == 1
        assert (shown["reward"][0], shown["status"][0]) == (reward, TERMINATED * terminated)
    assert (reward, terminated) == (1, True)


def test_periods_come_from_the_environment_or_are_asked_for():
    assert GymnasiumEnv(env="Pendulum-v1").period == 50_000_000
    assert GymnasiumEnv(env="CartPole-v1").period == 20_000_000
    assert GymnasiumEnv(env="MountainCar-v0").period == Clock(30)
    assert GymnasiumEnv(env="Pendulum-v1", period=7).period == 7


def test_dictionaries_images_and_info():
    body = built(GymnasiumEnv(env="StimloopGarden-v0", action_scale=2.0, info=["water/level", "soil", "is_success"],
                              env_params={"size": 2}), 2)
    assert body.period == Clock(30)
    assert set(body.outputs) == {"observation", "reward", "status", "solved", "observation_camera",
                                 "observation_plant_height", "water_level", "soil", "is_success"}
    assert body.outputs["observation"].shape == (2,)
    first = body.step(0, push([[0.0], [0.0]]))
    assert first["soil"].tolist() == [[1, 2], [1, 2]]
    assert first["water_level"].tolist() == [0, 0]
    shown = [body.step(tick, push([[1.0], [-0.5]])) for tick in range(1, 20)]
    rose = next(i for i, out in enumerate(shown) if out["status"][0] == TERMINATED)
    assert shown[0]["reward"].tolist() == [2, -1]
    assert shown[2]["water_level"].tolist() == [3, 3]
    assert shown[2]["soil"].tolist() == [[0, 0], [0, 0]]
    assert shown[2]["observation_camera"][1, 3, 3].tolist() == [3, 3, 3]
    assert shown[2]["observation_camera"].dtype == np.uint8
    assert shown[rose]["solved"].tolist() == [True, False]
    assert shown[rose]["is_success"].tolist() == [True, False]
    assert shown[rose + 1]["solved"].tolist() == [False, False]
    np.testing.assert_array_equal(shown[2]["observation_plant_height"], shown[2]["observation"])


@pytest.mark.parametrize("later", [7.0, [1.0], [[1.0, 2.0]]])
def test_an_entry_of_info_that_changes_its_shape_is_an_error(later, monkeypatch):
    body = built(GymnasiumEnv(env="StimloopGarden-v0", info=["soil"], action_scale=1.0))
    body.step(0, push([[0.0]]))
    step = Garden.step
    monkeypatch.setattr(Garden, "step", lambda self, action: (*step(self, action)[:4], {"soil": later}))
    with pytest.raises(PortError, match=r"info: 'soil' of StimloopGarden-v0 is .* now, of shape .*, but was of shape "
                                        r"\(2,\) when it was made"):
        body.step(1, push([[0.0]]))


@pytest.mark.parametrize("restart", ["next_tick", "at_once"])
@pytest.mark.parametrize("name", ["Pendulum-v1", "StimloopGarden-v0", "CartPole-v1"])
def test_saved_in_mid_episode_goes_on_alike(name, restart):
    def make():
        return built(GymnasiumEnv(env=name, max_steps=17, restart=restart, action_scale=2.0), 3, seed=5)

    one, other, rng = make(), make(), np.random.default_rng(0)
    port = one.inputs["action"]

    def some():
        return rng.integers(port.choices, size=3) if port.choices else rng.uniform(-1, 1, (3, 1)).astype(np.float32)

    actions = [some() for _ in range(90)]
    for tick in range(40):
        one.step(tick, push(actions[tick]))
    assert isinstance(one, Body)
    other.set_state(one.state())
    for tick in range(40, 90):
        shown, again = one.step(tick, push(actions[tick])), other.step(tick, push(actions[tick]))
        for key, value in shown.items():
            np.testing.assert_array_equal(value, again[key])


def test_a_replay_that_shows_something_else_is_an_error():
    body = built(GymnasiumEnv(env="StimloopGarden-v0", env_params={"fair": False}, action_scale=1.0))
    for tick in range(5):
        body.step(tick, push([[0.1]]))
    with pytest.raises(RunError, match=r"lane 0: 4 steps replayed .* another observation"):
        body.load_state_dict(body.state_dict())


def test_learned_alone_touches_nothing():
    body = built(GymnasiumEnv(env="Pendulum-v1"))
    body.step(0, push([[0.0]]))
    before = body.step(1, push([[0.3]]))["observation"]
    body.load_state_dict({"learned": {}})
    assert (body.state_dict()["last"]["observation"] == before).all()


@pytest.mark.parametrize(("params", "words"), [
    ({"env": "Pendulun-v1"}, 'Did you mean "Pendulum-v1"'),
    ({"env": "myoElbowPose1D6MRandom-v0-x"}, "bodies.myosuite"),
    ({"env": "not_allowed_module:Env-v0"}, "--allow not_allowed_module"),
    ({"env": "Pendulum-v1", "env_params": {"gravvity": 1}}, "does not take these env_params"),
    ({"env": "StimloopGarden-v0"}, "action_scale"),
    ({"env": "StimloopGarden-v0", "action_scale": 1.0, "info": ["watr/level"]}, 'Did you mean "water/level"'),
    ({"env": "StimloopGarden-v0", "action_scale": 1.0, "info": ["who"]}, "not a number"),
    ({"env": "Pendulum-v1", "restart": "later"}, "next_tick or at_once")])
def test_wrong_parameters_are_told(params, words):
    with pytest.raises(ValueError, match=words):
        built(GymnasiumEnv(**params))


def test_max_steps_replaces_the_registered_number():
    body = built(GymnasiumEnv(env="Pendulum-v1", max_steps=3))
    flags = [int(body.step(tick, push([[0.0]]))["status"][0]) for tick in range(9)]
    assert flags == [FIRST, 0, 0, TRUNCATED] * 2 + [FIRST]
    endless = built(GymnasiumEnv(env="Pendulum-v1", max_steps=0))
    flags = [int(endless.step(tick, push([[0.0]]))["status"][0]) for tick in range(300)]
    assert flags == [FIRST] + [0] * 299
