"""MyoSuite bodies: every step equal to the suite's own to the last bit, whatever the threads; resumed exactly."""

import threading

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("myosuite")

from stimloop.components.bodies.myosuite import Myosuite  # noqa: E402
from stimloop.components.parts.roles import Body  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.errors import Diverged  # noqa: E402
from stimloop.loops.events import Events  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING  # noqa: E402

ELBOW, HAND = "myoElbowPose1D6MRandom-v0", "myoHandReachFixed-v0"


@pytest.fixture
def make():
    """Build bodies, and close them when the test is over."""
    bodies = []

    def build(env, lanes=1, seed=0, first=0, **params):
        body = Myosuite(env=env, **params)
        body.build(Lanes.of(lanes, first), seed)
        bodies.append(body)
        return body

    yield build
    for body in bodies:
        body.close()


def push(action):
    return Inputs({"action": np.asarray(action, np.float32)})


def random_actions(body, ticks, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (ticks, len(body.lanes), *body.inputs["action"].shape)).astype(np.float32)


def check_against_suite(body, envs, ticks, low=-1.0, high=1.0):
    """Step body and environments alike; return the flags seen."""
    seen = []
    for tick, action in enumerate(random_actions(body, ticks)):
        shown = body.step(tick, push(action))
        for lane, env in enumerate(envs):
            reward, flags, info = 0.0, FIRST, {}
            if shown["status"][lane] == FIRST:
                observation, _ = env.reset(seed=int(body.episodes.seeds[lane]))
            else:
                scaled = (low + (action[lane] + 1) / 2 * (high - low)).astype(np.float32)
                observation, reward, terminated, truncated, info = env.step(action[lane] if low == -1 else scaled)
                flags = TERMINATED * terminated + TRUNCATED * truncated
            assert shown["status"][lane] == flags
            assert shown["observation"][lane].tobytes() == observation.tobytes()  # float32 is the suite's own
            assert shown["reward"][lane] == np.float32(reward)
            assert shown["solved"][lane] == info.get("solved", False)
            base, ours = env.unwrapped.data, body._bases[lane].data  # float64, before any cast
            for name in ("qpos", "qvel", "act", "qacc_warmstart", "site_xpos", "actuator_force"):
                assert getattr(base, name).tobytes() == getattr(ours, name).tobytes(), name
            seen.append(flags)
    return seen


@pytest.mark.parametrize(("name", "size"), [(ELBOW, (9, 6)), (HAND, (115, 39))])
def test_equals_the_suite_to_the_last_bit(make, name, size):
    body = make(name, 2, seed=3, threads=2)
    assert (body.outputs["observation"].shape[0], body.inputs["action"].shape[0]) == size
    assert (body.period, body.max_steps) == (20_000_000, 100)
    seen = check_against_suite(body, [gymnasium.make(name) for _ in range(2)], 205 if name == ELBOW else 60)
    assert {FIRST, 0} <= set(seen)
    assert (TRUNCATED if name == ELBOW else TERMINATED) in seen


@pytest.mark.parametrize("name", ["myoFatiElbowPose1D6MFixed-v0", "myoHandReorient8-v0", "motorFingerReachFixed-v0"])
def test_other_tasks_equal_the_suite(make, name):
    assert FIRST in check_against_suite(make(name, 1), [gymnasium.make(name)], 55)


def test_actions_of_muscles_between_0_and_1_are_scaled(make):
    body, env = make("myoLegWalk-v0"), gymnasium.make("myoLegWalk-v0")
    assert (env.action_space.low.min(), env.action_space.high.max()) == (0, 1)
    check_against_suite(body, [env], 6, 0.0, 1.0)


@pytest.mark.parametrize(("value", "total", "steps"), [(0.0, -40.87, 18), (-1.0, -66.50, 77)])
def test_known_returns_of_hand_reach(make, value, total, steps):
    body = make(HAND)
    shown = [body.step(tick, push(np.full((1, 39), value))) for tick in range(steps + 1)]
    flags = [int(out["status"][0]) for out in shown]
    assert flags == [FIRST] + [0] * (steps - 1) + [TERMINATED]
    assert sum(float(out["reward"][0]) for out in shown) == pytest.approx(total, abs=0.05)


def test_the_time_limit_truncates_and_does_not_terminate(make):
    body = make(ELBOW)
    flags = [int(body.step(tick, push(np.zeros((1, 6))))["status"][0]) for tick in range(102)]
    assert flags == [FIRST] + [0] * 99 + [TRUNCATED, FIRST]


def test_threads_change_nothing_and_lanes_are_strangers(make):
    one, two, alone = make(HAND, 3, threads=1), make(HAND, 3, threads=2), make(HAND, 1, first=1)
    for tick, action in enumerate(random_actions(one, 40)):
        shown, again, single = one.step(tick, push(action)), two.step(tick, push(action)), \
            alone.step(tick, push(action[1:2]))
        for name, value in shown.items():
            np.testing.assert_array_equal(value, again[name])
            np.testing.assert_array_equal(value[1], single[name][0])


@pytest.mark.parametrize("name", [ELBOW, HAND, "myoFatiHandReachRandom-v0", "myoHandReorient8-v0"])
def test_saved_in_mid_episode_goes_on_to_the_last_bit(make, name):
    one, other = make(name, 2, max_steps=9), make(name, 2, max_steps=9)
    actions = random_actions(one, 40)
    for tick in range(15):
        one.step(tick, push(actions[tick]))
    assert one.episodes.running.all()
    state = one.state()
    for tick in range(5):
        other.step(tick, push(actions[tick]))  # a used instance takes the state as well as a fresh one
    assert isinstance(one, Body)
    for body in (other, one):
        body.set_state(state)
    for tick in range(15, 40):
        shown, again = one.step(tick, push(actions[tick])), other.step(tick, push(actions[tick]))
        for key, value in shown.items():
            np.testing.assert_array_equal(value, again[key])
    ours, theirs = one.state_dict(), other.state_dict()
    np.testing.assert_array_equal(ours["physics"], theirs["physics"])


def test_reset_returns_to_the_beginning(make):
    used, fresh = make("myoHandReorient8-v0", 1, seed=8), make("myoHandReorient8-v0", 1, seed=8)
    actions = random_actions(used, 30)
    for tick in range(30):
        used.step(tick, push(actions[tick]))
    used.reset(8)
    for tick in range(30):
        shown, again = used.step(tick, push(actions[tick])), fresh.step(tick, push(actions[tick]))
        np.testing.assert_array_equal(shown["observation"], again["observation"])


def test_begin_decides_the_start(make):
    body, env = make(ELBOW, 2), gymnasium.make(ELBOW)

    def begin(lanes, seeds):
        events = Events.of(0, lanes, 0, np.array(seeds), "int64") if lanes else Events.empty((), "int64")
        return Inputs({"action": np.zeros((2, 6), np.float32), "begin": events})

    assert body.step(0, begin([], [])) == {}
    shown = body.step(1, begin([1], [1000]))
    assert shown["status"].tolist() == [WAITING, FIRST]
    np.testing.assert_array_equal(shown["observation"][1], env.reset(seed=1000)[0])
    physics = body.state()["physics"][0].copy()
    shown = body.step(2, begin([], []))
    assert shown["status"].tolist() == [WAITING, 0]
    assert shown["reward"][0] == 0
    np.testing.assert_array_equal(body.state()["physics"][0], physics)


def test_at_once_pays_the_end_and_shows_the_beginning(make):
    body = make(HAND, restart="at_once")
    shown = [body.step(tick, push(np.zeros((1, 39)))) for tick in range(40)]
    assert [int(out["status"][0]) for out in shown[17:20]] == [0, TERMINATED | FIRST, 0]
    assert shown[18]["reward"][0] < -40
    np.testing.assert_array_equal(shown[18]["observation"], shown[0]["observation"])


def test_divergence_names_the_lane_or_ends_the_episode(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log into the working directory
    for divergence in ("error", "terminate"):
        body = make(ELBOW, 2, first=4, threads=1, divergence=divergence)
        body.step(0, push(np.zeros((2, 6))))
        body._bases[1].data.qvel[0] = np.nan
        if divergence == "error":
            with pytest.raises(Diverged, match="lane 5: MuJoCo found a bad velocity"):
                body.step(1, push(np.zeros((2, 6))))
        else:
            assert body.step(1, push(np.zeros((2, 6))))["status"].tolist() == [0, TERMINATED]
            assert body.step(2, push(np.zeros((2, 6))))["status"].tolist() == [0, FIRST]


def test_names_info_and_versions(make):
    body = make(ELBOW, info=["bonus", "solved"])
    assert body.labels()["muscle"] == ["TRIlong", "TRIlat", "TRImed", "BIClong", "BICshort", "BRA"]
    assert body.inputs["action"].axes == ("muscle",)
    env = gymnasium.make(ELBOW)
    body.step(0, push(np.zeros((1, 6))))
    env.reset(seed=int(body.episodes.seeds[0]))
    for tick in range(60):
        shown, (*_, info) = body.step(tick, push(np.ones((1, 6)))), env.step(np.ones(6, np.float32))
        assert (shown["bonus"][0], shown["solved"][0]) == (np.float32(info["bonus"]), info["solved"])


def test_closing_leaves_no_thread(make):
    before = threading.active_count()
    body = make(ELBOW, 2, threads=2)
    assert threading.active_count() == before + 1
    body.close()
    body.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(("params", "words"), [
    ({"env": "myoElbowPose1D6Random-v0"}, 'Did you mean "myoElbowPose1D6MRandom-v0"'),
    ({"env": "Pendulum-v1"}, "not registered"), ({"env": ELBOW, "threads": -1}, "threads"),
    ({"env": ELBOW, "divergence": "ignore"}, "error or terminate"),
    ({"env": "myoChallengeChaseTagFBVs-v0"}, "more than one agent"),
    ({"env": ELBOW, "info": ["bonsu"]}, 'Did you mean "bonus"'), ({"env": ELBOW, "info": ["rwd_dict"]}, "not a number"),
    ({"env": ELBOW, "env_params": {"wings": 2}, "max_steps": -1}, "0 for no limit")])
def test_wrong_parameters_are_told(make, params, words):
    with pytest.raises(ValueError, match=words):
        make(**params)
