"""The bodies without an engine: CartPole equal to Gymnasium's, the point mass by its equations, both in a loop."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from stimloop.components.bodies.cartpole import Cartpole  # noqa: E402
from stimloop.components.bodies.point_mass import PointMass  # noqa: E402
from stimloop.components.parts.roles import Body  # noqa: E402
from stimloop.loops.component import Component, Inputs  # noqa: E402
from stimloop.loops.events import Events  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.loop import Loop  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING  # noqa: E402
from stimloop.loops.system import Part, Source, System  # noqa: E402
from stimloop.loops.time import Clock  # noqa: E402


def built(body, lanes=1, seed=0, first=0):
    body.build(Lanes.of(lanes, first), seed)
    return body


def push(action):
    return Inputs({"action": np.asarray(action)})


def started(lanes, seeds):
    """Inputs that begin lanes with seeds, `begin` wired."""
    begin = Events.of(0, lanes, 0, np.array(seeds), "int64") if len(lanes) else Events.empty((), "int64")
    return lambda action: Inputs({"action": np.asarray(action), "begin": begin})


@pytest.mark.parametrize("seed", [0, 1, 2, 123, 2**31 - 1])
def test_cartpole_equals_gymnasium_step_by_step(seed):
    env, body, rng = gymnasium.make("CartPole-v1").unwrapped, built(Cartpole()), np.random.default_rng(seed)
    shown = body.step(0, started([0], [seed])([0]))
    np.testing.assert_array_equal(shown["observation"][0], env.reset(seed=seed)[0])
    assert (shown["status"][0], shown["reward"][0]) == (FIRST, 0)
    for step in range(1, 600):
        action = int(rng.integers(2))
        shown = body.step(step, started([], [])([action]))
        observation, reward, terminated, _, _ = env.step(action)
        np.testing.assert_array_equal(body.state()["world"][:, 0], env.state)  # float64, before the cast
        np.testing.assert_array_equal(shown["observation"][0], observation)
        assert shown["reward"][0] == reward
        assert shown["status"][0] == TERMINATED * terminated
        if terminated:
            break
    assert terminated


def test_cartpole_is_truncated_like_gymnasium():
    env, body = gymnasium.make("CartPole-v1"), built(Cartpole(), seed=4)
    body.step(0, push([0]))
    observation, _ = env.reset(seed=int(body.episodes.seeds[0]))
    for step in range(1, 501):  # a controller that never lets it fall
        action = int(3 * observation[2] + observation[3] + 0.1 * observation[1] + 0.05 * observation[0] > 0)
        shown = body.step(step, push([action]))
        observation, _, terminated, truncated, _ = env.step(action)
        np.testing.assert_array_equal(shown["observation"][0], observation)
        assert shown["status"][0] == TERMINATED * terminated + TRUNCATED * truncated
    assert (truncated, terminated) == (True, False)
    assert body.step(501, push([1]))["status"][0] == FIRST


def test_many_lanes_are_as_many_single_ones():
    together, rng = built(Cartpole(), 5, seed=3), np.random.default_rng(0)
    alone = [built(Cartpole(), 1, seed=3, first=lane) for lane in range(5)]
    for tick in range(120):
        action = rng.integers(2, size=5)
        shown = together.step(tick, push(action))
        for lane, body in enumerate(alone):
            for name, value in body.step(tick, push(action[lane:lane + 1])).items():
                np.testing.assert_array_equal(value[0], shown[name][lane])


def test_physics_step_and_period_are_apart():
    slow, fast = (built(Cartpole(period=49_800_000, physics_step=step)) for step in (20_000_000, 10_000_000))
    for body in (slow, fast):
        body.step(0, push([1]))
        assert body.next_wake(0) == 49_800_000
    start = slow.state()["world"].copy()
    moved = [(body.step(1, push([1])), body.state()["world"])[1] for body in (slow, fast)]
    np.testing.assert_allclose(moved[0][1] - start[1], 2 * (moved[1][1] - start[1]))  # speed gained doubles


def test_cartpole_at_once_shows_the_next_beginning():
    body, seen = built(Cartpole(restart="at_once"), seed=1), []
    for tick in range(200):
        shown = body.step(tick, push([1]))
        seen.append(int(shown["status"][0]))
        if seen[-1] == TERMINATED | FIRST:
            assert shown["reward"][0] == 1
            assert np.abs(shown["observation"]).max() < 0.05
    assert seen[0] == FIRST
    assert seen.count(TERMINATED | FIRST) >= 10
    assert set(seen[1:]) == {0, TERMINATED | FIRST}


def test_waiting_lanes_stand_still_and_pay_nothing():
    body = built(Cartpole(), 2)
    assert body.step(0, started([], [])([0, 0])) == {}
    body.step(1, started([0], [5])([0, 0]))
    before = body.state()["world"][:, 1].copy()
    shown = body.step(2, started([], [])([1, 1]))
    assert shown["status"].tolist() == [0, WAITING]
    assert shown["reward"].tolist() == [1, 0]
    np.testing.assert_array_equal(body.state()["world"][:, 1], before)


@pytest.mark.parametrize("make", [Cartpole, PointMass])
def test_state_goes_on_in_another_instance(make):
    one, other, rng = built(make(), 3), built(make(), 3, seed=0), np.random.default_rng(0)
    actions = [rng.integers(2, size=3) if make is Cartpole else rng.uniform(-1, 1, (3, 2)) for _ in range(60)]
    for tick in range(30):
        one.step(tick, push(actions[tick]))
    assert isinstance(one, Body)
    other.set_state(one.state())
    for tick in range(30, 60):
        shown, again = one.step(tick, push(actions[tick])), other.step(tick, push(actions[tick]))
        for name, value in shown.items():
            np.testing.assert_array_equal(value, again[name])


def test_point_mass_follows_its_equation():
    body = built(PointMass(friction=2.0, strength=3.0, period=50_000_000, max_steps=0))
    body.step(0, push([[0.0, 0.0]]))
    state = body.state()
    place, target = state["position"][0].copy(), state["target"][0]
    body.set_state({**state, "position": np.zeros((1, 2))})
    for tick in range(1, 11):  # 0.5 s of constant push: x = (a/f)(t - (1 - exp(-f t))/f)
        shown = body.step(tick, push([[0.5, -0.25]]))
    acceleration = 3.0 * np.array([0.5, -0.25])
    far = acceleration / 2 * (0.5 - (1 - np.exp(-1.0)) / 2)
    np.testing.assert_allclose(shown["observation"][0, :2], far, rtol=1e-6)
    np.testing.assert_allclose(shown["observation"][0, 2:4], acceleration / 2 * (1 - np.exp(-1.0)), rtol=1e-6)
    np.testing.assert_allclose(shown["observation"][0, 4:], target - far, rtol=1e-5)
    np.testing.assert_allclose(shown["reward"][0], -np.linalg.norm(target - far), rtol=1e-6)
    assert (np.abs(place) <= 1).all()


def test_point_mass_without_friction_and_with_a_clock():
    body = built(PointMass(friction=0.0, dimensions=1, strength=1.0, period=Clock(30), max_steps=0))
    body.step(0, push([[0.0]]))
    body.set_state({**body.state(), "position": np.zeros((1, 1))})
    for tick in range(30):
        shown = body.step(tick, push([[1.0]]))
    np.testing.assert_allclose(shown["observation"][0, :2], [0.5, 1.0], rtol=1e-6)  # one second: a t^2 / 2, a t


def test_point_mass_solved_ends_where_told_and_walls_hold():
    body = built(PointMass(dimensions=1, radius=0.2, stop_when_solved=True, friction=0.0), 4, seed=2)
    assert body.labels()["variable"] == ["position x", "velocity x", "error x"]
    shown, solved = body.step(0, push(np.zeros((4, 1)))), 0
    for tick in range(1, 400):
        error = shown["observation"][:, 2:]
        shown = body.step(tick, push(np.clip(5 * error - 2 * shown["observation"][:, 1:2], -1, 1)))
        assert (shown["solved"] == ((shown["status"] & TERMINATED) != 0)).all()
        solved += int(shown["solved"].sum())
        assert np.abs(shown["observation"][:, 0]).max() <= 1
    assert solved > 20


@pytest.mark.parametrize(("make", "words"), [
    (lambda: PointMass(dimensions=0), "write 1 or more"), (lambda: PointMass(friction=-1), "speed the point up"),
    (lambda: Cartpole(pole_length=0), "both must be above 0"), (lambda: Cartpole(physics_step=0), "must advance"),
    (lambda: built(Cartpole(max_steps=-1)), "0 for no limit")])
def test_wrong_parameters_are_told(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Lean(Component):
    """Pushes the cart to the side the pole leans to."""

    def __init__(self):
        self.inputs = {"observation": Port("observation", (4,), wakes=True)}
        self.outputs = {"action": Port("side", choices=2)}

    def step(self, now, inputs):
        return {"action": (inputs["observation"][:, 2] > 0).astype(np.int64)}


def test_a_loop_of_cartpole_equals_a_plain_one_and_resumes():
    system = System({"body": Part(Cartpole, {"action": Source("brain", "action")}),
                     "brain": Part(Lean, {"observation": Source("body", "observation")})}, lanes=2, seed=3)
    loop, shown = Loop(system), []
    envs, held = [gymnasium.make("CartPole-v1") for _ in range(2)], [None, None]
    for tick in range(90):
        loop.run(tick * 20_000_000 + 1)
        observation, status = loop.peek("body.observation"), loop.peek("body.status")
        seeds = loop.components["body"].episodes.seeds
        for lane, env in enumerate(envs):
            expected = env.reset(seed=int(seeds[lane]))[0] if status[lane] == FIRST else env.step(held[lane])[0]
            np.testing.assert_array_equal(observation[lane], expected)
            held[lane] = int(expected[2] > 0)
        if tick == 50:
            saved = loop.save()
        shown.append(observation.copy())
    other = Loop(system)
    other.load(saved)
    other.run(89 * 20_000_000 + 1)
    np.testing.assert_array_equal(other.peek("body.observation"), shown[-1])
