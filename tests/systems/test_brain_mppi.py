"""The planning brain in models: against Riccati, closed forms, and what a memory must hold."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.components.brains.mppi import Mppi  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.errors import AssemblyError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, WAITING  # noqa: E402
from systems import guided  # noqa: E402

A, B = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.02], [0.2]])
COST, PRICE = np.diag([1.0, 0.1]), np.array([[0.05]])  # of states and of actions


class Linear:
    """State to A state + B action, paid with -(state' COST state + action' PRICE action)."""

    elites = (0,)

    def predict(self, values, generator=None, member=None):
        state, action = values[:, :2].double(), values[:, 2:].double()
        a, b, cost, price = map(torch.from_numpy, (A, B, COST, PRICE))
        paid = ((state @ cost) * state).sum(1) + ((action @ price) * action).sum(1)
        return torch.cat([-paid[:, None], state @ a.T + action @ b.T - state], dim=1).float()

    def loss(self, values, target):
        return (self.predict(values) - target).square().sum(1)

    def parameters(self):
        return []


class Worth:
    """What is left at the horizon costs as much as on the way."""

    def value(self, observation, action=None):
        return -((observation.double() @ torch.from_numpy(COST)) * observation.double()).sum(1).float()


class Slope:
    """Nothing moves; an action gains its product with (0.5, -0.25)."""

    elites = (0,)

    def predict(self, values, generator=None, member=None):
        gain = values[:, 2:] @ torch.tensor([[0.5], [-0.25]])
        return torch.cat([gain, torch.zeros(len(values), 2)], dim=1)


class Habit:
    """A policy: a tenth of what it sees, and noise around it."""

    def respond(self, inputs, memory):
        return {"action": 0.1 * inputs["observation"][:, :1] + 0.2 * inputs.get("noise", 0.0)}, memory


def brain(lanes=2, actions=1, seed=0, numbers=None, uses=None, **params):
    made = Mppi(**{"termination": "never", **params})
    made.inputs["observation"] = made.inputs["observation"].sized((2,))
    made.outputs["action"] = made.outputs["action"].sized((actions,))
    made.used = {"model": Linear(), **(uses or {})}
    made.build(Lanes.of(lanes) if numbers is None else Lanes(lanes, np.array(numbers)), seed)
    return made


def see(observation, status=0, new=("observation", "status")):
    seen = np.asarray(observation, np.float32)
    return Inputs({"observation": seen, "status": np.broadcast_to(np.asarray(status), len(seen))}, frozenset(new))


def riccati(horizon):
    """Gain of the first action of a finite horizon: u = -gain x."""
    left = COST
    for _ in range(horizon):
        gain = np.linalg.solve(PRICE + B.T @ left @ B, B.T @ left @ A)
        left = COST + A.T @ left @ (A - B @ gain)
    return gain, left


PLANS = [{"method": "cem", "particles": 300, "iterations": 12, "elites": 30, "min_noise": 0.005},
         {"method": "cem", "particles": 300, "iterations": 12, "elites": 60, "elite_weights": "weighed",
          "min_noise": 0.005, "effective_share": 0.5},
         {"method": "mppi", "particles": 3000, "iterations": 30, "noise": 0.2, "effective_share": 0.05}]


@pytest.mark.parametrize("plan", PLANS, ids=["cem", "cem weighed", "mppi"])
def test_the_first_action_is_that_of_riccati(plan):
    states = np.array([[0.4, -0.2], [-0.3, 0.2], [0.1, 0.1]])
    gain, left = riccati(5)
    said = brain(3, horizon=5, gamma=1.0, uses={"value": Worth()}, **plan).step(0, see(states))
    best = -(states @ gain.T)
    assert np.abs(best).min() > 0.05
    assert np.abs(best).max() < 0.9
    np.testing.assert_allclose(said["action"], best, atol=0.05)
    np.testing.assert_allclose(said["expected"], -np.einsum("bi,ij,bj->b", states, left, states), rtol=0.1)


def test_cem_narrows_where_nobody_says_how_often():
    """Once is to take the mean of the best of some random sequences: nothing is refitted."""
    states = np.array([[0.4, -0.2], [-0.3, 0.2], [0.1, 0.1]])

    def act(**params):
        return brain(3, horizon=5, **params).step(0, see(states))["action"]

    assert np.array_equal(act(method="cem"), act(method="cem", iterations=5))
    assert not np.array_equal(act(method="cem"), act(method="cem", iterations=1))
    assert np.array_equal(act(), act(iterations=1))


def test_the_first_action_follows_the_closed_form():
    """sigma^2 g / temperature, where gains are linear and nothing moves."""
    said = brain(1, 2, horizon=1, particles=20_000, noise=0.1, scaling="fixed", temperature=0.1,
                 uses={"model": Slope()}).step(0, see([[0.0, 0.0]]))
    closed = 0.1**2 * np.array([[0.5, -0.25]]) / 0.1
    assert np.linalg.norm(said["action"] - closed) < 0.05 * np.linalg.norm(closed)


def test_a_plan_is_begun_where_the_last_one_left_off():
    made = brain(2, horizon=4, particles=50)
    made.step(0, see([[0.5, 0.0], [0.0, 0.5]]))
    plan = made.memory()["plan"]
    assert np.abs(plan[:, :3]).min() > 0
    assert not plan[:, 3].any()
    again = brain(2, horizon=4, particles=1)  # one variant is the sequence as it stands
    again.load_state_dict(made.state_dict())
    said = again.step(1, see([[0.4, 0.0], [0.0, 0.4]]))
    np.testing.assert_array_equal(said["action"], plan[:, 0])
    np.testing.assert_array_equal(again.memory()["plan"][:, :3], plan[:, 1:])


@pytest.mark.parametrize(("forget", "kept"), [("first", [1]), ("never", [0, 1])])
def test_a_new_episode_begins_without_a_plan_where_that_is_asked(forget, kept):
    made = brain(2, horizon=4, particles=50, forget=forget)
    made.step(0, see([[0.5, 0.0], [0.0, 0.5]]))
    plan = made.memory()["plan"]
    made._forget(see([[0.0, 0.0]] * 2, [FIRST, 0]))
    assert np.flatnonzero(made.memory()["plan"].any((1, 2))).tolist() == kept
    np.testing.assert_array_equal(made.memory()["plan"][1], plan[1])


def test_a_beginning_that_was_heard_before_is_not_heard_again():
    """Of a status read as `all` the first row is what was in force before."""
    made = brain(2, horizon=4, particles=50)
    made.step(0, see([[0.5, 0.0], [0.0, 0.5]]))
    both, later = [(4, np.array([FIRST, 0])), (11, np.array([0, 0]))], np.zeros((2, 2))
    made._forget(Inputs({"observation": later, "status": both}, frozenset({"status"}), previous=10))
    assert made.memory()["plan"].any((1, 2)).all()
    made._forget(Inputs({"observation": later, "status": both}, frozenset({"status"}), previous=4))
    assert made.memory()["plan"].any((1, 2)).tolist() == [False, True]


def test_lanes_that_ended_or_wait_do_nothing_and_draw_nothing():
    made, seen = brain(3, horizon=3, particles=8), [[0.5, 0.0]] * 3
    made.step(0, see(seen))
    before = made.memory()
    said = made.step(1, see(seen, [0, TERMINATED, WAITING]))
    after = made.memory()
    assert not any(part[1:].any() for part in said.values())
    assert after["drawn"][0] > before["drawn"][0]
    for name in before:
        np.testing.assert_array_equal(before[name][1:], after[name][1:])


def test_a_lane_plans_the_same_whoever_is_beside_it():
    seen = np.array([[0.5, 0.0], [-0.2, 0.3], [0.1, 0.1]])
    whole = brain(3, horizon=3, particles=8).step(0, see(seen))
    alone = brain(1, horizon=3, particles=8, numbers=[1]).step(0, see(seen[1:2]))
    for name in whole:
        np.testing.assert_array_equal(whole[name][1], alone[name][0])


def test_what_a_policy_does_is_where_a_plan_begins_or_one_that_is_tried():
    seen = [[0.5, 0.0], [-1.0, 0.5]]
    alone = brain(2, horizon=3, particles=1, nominal="policy", uses={"policy": Habit()}).step(0, see(seen))
    np.testing.assert_allclose(alone["action"], 0.1 * np.array(seen)[:, :1], atol=1e-7)
    few = {"method": "cem", "horizon": 3, "particles": 2, "elites": 1, "noise": 1e-3, "min_noise": 1e-3,
           "nominal": "zero", "uses": {"policy": Habit()}}
    without, beside = (brain(2, policy_sequences=count, **few).step(0, see(seen)) for count in (0, 200))
    assert (beside["expected"] > without["expected"]).all()
    assert (np.abs(beside["action"]) > 0.01).all()
    assert (np.abs(without["action"]) < 0.01).all()


def test_exploring_draws_around_the_plan():
    calm, wild = (brain(500, horizon=1, particles=2, noise=0.1, explore=explore).step(0, see(np.zeros((500, 2))))
                  for explore in (False, True))
    added = wild["action"] - calm["action"]
    assert float(added.std()) == pytest.approx(0.1, rel=0.15)
    assert abs(float(added.mean())) < 0.02


def test_a_model_needs_a_rule_for_the_end():
    with pytest.raises(AssemblyError, match="when an episode is over"):
        brain(termination=None)


def test_it_swings_a_pendulum_up_by_its_equations():
    pytest.importorskip("gymnasium")
    gained = []
    with sl.Assembly.of({"name": "dreamt", "components": {
            "body": {"type": "bodies.gymnasium_env", "params": {"env": "Pendulum-v1"}, "inputs": ["brain.action"]},
            "model": {"type": "world_models.gaussian_ensemble", "params": {"hidden": [8]},
                      "inputs": ["body.observation", "brain.action"]},
            "brain": {"type": "brains.mppi", "inputs": ["body.observation", "body.status"], "uses": {"model": "model"},
                      "params": {"horizon": 20, "particles": 64, "noise": 0.8, "gamma": 1.0,
                                 "termination": "pendulum"}}}}).build() as loop:
        loop.components["model"].predict = guided.Pendulum().predict
        loop.tap("body.reward", lambda now, value: gained.append(float(value[0])))
        loop.run("100 steps")
    assert np.mean(gained[-10:]) > -0.2
