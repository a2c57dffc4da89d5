"""Any seat played from outside: Gymnasium's own checker, and the loop's own numbers."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import stimloop as sl
from stimloop.loops.errors import AssemblyError, PortError, RunError


def point_mass(**entries):
    return (sl.Assembly("t", **entries).add("body", "bodies.point_mass", inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], inputs=["body.observation", "body.status"])
            .add("metrics", "learners.metrics", inputs=["body.status", "body.reward"]))


def cartpole():
    return (sl.Assembly("t").add("body", "bodies.cartpole", inputs=["brain.action"])
            .add("brain", "basics.constant", inputs=["body.observation", "body.status"]))


@pytest.mark.parametrize("make", [
    point_mass, cartpole,
    lambda: point_mass().set({"brain.inputs.observation.delay": "40 ms", "brain.inputs.status.delay": "40 ms"})])
def test_gymnasium_accepts_it(make):
    env = make().as_env("brain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(env, skip_render_check=True)
    env.close()


def test_the_coprocessors_seat():
    env = sl.load("pendulum_first").as_env("coprocessor")
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    first, _ = env.reset(seed=3)
    assert first.shape == env.observation_space.shape
    _, reward, terminated, truncated, info = env.step(env.action_space.sample().clip(-1, 1))
    assert reward < 0
    assert not terminated
    assert not truncated
    assert info["time"] > 0
    env.close()
    direct = sl.load("pendulum_first").set({"scale": None, "coprocessor": {"type": "coprocessors.constant"},
                                            "limiter.inputs.command": "coprocessor.command"})
    stim = direct.as_env("coprocessor", low=-5, high=5)
    assert stim.action_space.shape == (2,)
    np.testing.assert_array_equal(stim.action_space.high, [5, 5])
    stim.close()


def test_an_episode_is_gymnasiums_own():
    """Cart-pole played from outside gives what Gymnasium's environment gives, step by step."""
    env, other = cartpole().as_env("brain"), gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=5)
    other.reset(seed=0)
    other.unwrapped.state = observation.astype(np.float64)
    generator = np.random.default_rng(0)
    for _ in range(200):
        action = int(generator.integers(2))
        mine, theirs = env.step(action), other.step(action)
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-4, atol=1e-4)
        assert mine[1] == theirs[1]
        assert mine[2] == theirs[2]
        if mine[2]:
            break
    else:
        pytest.fail("a random cart-pole stood for 200 steps")
    env.close()


def test_seeds_repeat_and_differ():
    env = point_mass().as_env("brain")
    a, _ = env.reset(seed=1)
    b, _ = env.reset()
    again, _ = env.reset(seed=1)
    np.testing.assert_array_equal(a, again)
    assert (a != b).any()
    env.close()


def test_lanes_begin_anew_at_their_next_step():
    env = point_mass(lanes=3).set("body.params.max_steps", 5).as_env("brain")
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    observations, _ = env.reset(seed=2)
    assert observations.shape == (3, 6)
    action = np.zeros(env.action_space.shape, np.float32)
    for step in range(1, 13):
        _, rewards, terminated, truncated, _ = env.step(action)
        assert truncated.all() == (step % 6 == 5)
        assert (rewards == 0).all() == (step % 6 == 0), "the step that begins anew has no reward"
        assert not terminated.any()
    env.close()


def test_a_slow_seat_sums_the_rewards_in_between():
    """An observation that comes every third tick: the rewards of all three are the step's."""
    slow = (sl.Assembly("t").add("body", "bodies.point_mass", inputs=["brain.action"])
            .add("hold", "basics.sample_hold", period="60 ms", inputs=[{"input": "body.observation"}])
            .add("brain", "brains.mlp", inputs=[{"observation": "hold.output"}]))
    env = slow.as_env("brain")
    env.reset(seed=0)
    action = np.zeros(2, np.float32)
    _, reward, *_ , info = env.step(action)
    loop = env.seat.loop
    assert info["time"] == pytest.approx(0.06)
    got = []
    loop.tap("body.reward", lambda now, value: got.append(float(value[0])))
    _, reward, *_ = env.step(action)
    assert len(got) == 3
    assert reward == pytest.approx(sum(got))
    env.close()


def slow_seat(**body):
    return (sl.Assembly("t").add("body", "bodies.point_mass", **body, inputs=["brain.action"])
            .add("hold", "basics.sample_hold", period="60 ms", inputs=[{"input": "body.observation"}])
            .add("brain", "brains.mlp", inputs=[{"observation": "hold.output"}]))


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_body_that_restarts_at_once_has_no_last_observation(lanes):
    with pytest.raises(AssemblyError, match=r"body\.params\.restart(.|\n)*Write restart: next_tick"):
        point_mass(lanes=lanes).set("body.params.restart", "at_once").as_env("brain")


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_episodes_are_never_mixed_within_one_turn(steps):
    """Turns at every third tick of a body whose episodes take `steps` and one tick to begin."""
    env = slow_seat(max_steps=steps).as_env("brain")
    env.reset(seed=0)
    status = []
    env.seat.loop.tap("body.status", lambda now, value: status.append(int(value[0])))

    def play():
        for _ in range(20):
            status.clear()
            assert not any(env.step(np.zeros(2, np.float32))[2:4]) or status[-1] == 4

    with pytest.raises(RunError, match=r"between two turns of brain.*step as often as body.*begin"):
        play()
    assert 1 in status[1 + status.index(4):]
    env.close()


def test_a_slow_seat_plays_on_where_every_end_falls_on_a_turn():
    env = slow_seat(max_steps=6).set("body.params.period", "30 ms").as_env("brain")
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[3] for _ in range(3)]
    assert ends == [False, False, True]
    env.close()


def test_errors_say_what_is_missing():
    with pytest.raises(AssemblyError, match='Did you mean "brain"'):
        point_mass().as_env("brian")
    with pytest.raises(AssemblyError, match=r"no output 'body\.rewad'"):
        point_mass().as_env("brain", "body.rewad")
    with pytest.raises(AssemblyError, match="cannot be played"):
        point_mass().as_env("metrics")


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_step_before_the_first_reset_is_told(lanes):
    env = point_mass(lanes=lanes).as_env("brain")
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(env.action_space.sample())
    env.close()


@pytest.mark.parametrize(("lanes", "action", "what"), [
    (1, [0.0, 0.0, 0.0], r"shape \(3,\), not \(2,\)"), (1, [[0.0, 0.0]], r"shape \(1, 2\), not \(2,\)"),
    (3, [0.0] * 6, r"shape \(6,\), not \(3, 2\) \(lanes first\)"), (2, [[0.0] * 2], r"shape \(1, 2\), not \(2, 2\)"),
    (3, [[0.0] * 3] * 2, r"shape \(2, 3\), not \(3, 2\)"), (1, "left", "no array of float32"),
    (1, None, "shape|no array"),
    (1, {"push": [0.0, 0.0]}, r"has the entries \['action'\], not \['push'\]")])
def test_an_action_of_another_shape_is_never_bent_into_the_right_one(lanes, action, what):
    env = point_mass(lanes=lanes).as_env("brain")
    env.reset(seed=0)
    with pytest.raises(PortError, match=what):
        env.step(action)
    env.step(env.action_space.sample())  # the refused action changed nothing
    env.close()


@pytest.mark.parametrize("bound", ["x", float("nan"), float("inf"), [1]])
def test_bounds_of_the_action_are_numbers(bound):
    with pytest.raises(AssemblyError, match=r"low.* is no finite number"):
        point_mass().as_env("brain", low=bound)


def test_stable_baselines_trains_on_a_seat():
    sb3 = pytest.importorskip("stable_baselines3")
    import torch

    torch.set_num_threads(1)
    env = point_mass().as_env("brain")
    model = sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(128)
    assert model.num_timesteps == 128
    env.close()


def bounded(**brain):
    return (sl.Assembly("t").add("body", "bodies.gymnasium_env", env="Pendulum-v1", inputs=["brain.action"])
            .add("brain", "brains.mlp", inputs=["body.observation", "body.status"], **brain))


def test_what_is_observed_has_the_bounds_of_its_sender():
    env = bounded().as_env("brain")  # the body declares the widest of Pendulum's bounds for all elements: 8
    np.testing.assert_array_equal(env.observation_space.low, [-8, -8, -8])
    np.testing.assert_array_equal(env.observation_space.high, [8, 8, 8])
    env.close()


def test_bounds_of_the_sender_leave_room_for_what_is_read_before_the_first_arrival():
    """The current reads 0 until it arrives, whatever range its sender keeps to later."""
    from dataclasses import replace

    from stimloop.assemblies.seat_spaces import observed_bounds

    sender, receiver = sl.Port("s", (2,), low=[3, -4], high=5), sl.Port("r", (2,))
    port = observed_bounds(receiver, sender)
    np.testing.assert_array_equal(port.low, [0, -4])
    np.testing.assert_array_equal(port.high, 5)
    own = replace(receiver, low=-9, high=9)
    assert observed_bounds(own, sender) is own, "what the seat declares holds"
    half = observed_bounds(replace(receiver, low=-9), sender)
    np.testing.assert_array_equal(half.low, -9)
    np.testing.assert_array_equal(half.high, 5)


def test_stable_baselines_takes_several_inputs_as_a_dict():
    sb3 = pytest.importorskip("stable_baselines3")
    import torch

    torch.set_num_threads(1)
    env = sl.load("elbow_stimulation").as_env("brain")
    assert isinstance(env.observation_space, gymnasium.spaces.Dict)
    model = sb3.PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(32)
    assert model.num_timesteps == 32
    env.close()
