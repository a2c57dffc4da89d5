"""The planning brain: against Riccati and closed forms in models, and on the true dynamics of bodies."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.components.bodies.point_mass import PointMass  # noqa: E402
from stimloop.components.brains.mppi import Mppi  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.conformance import check  # noqa: E402
from stimloop.loops.errors import AssemblyError  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, WAITING  # noqa: E402

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


# -- true dynamics -----------------------------------------------------------------------------------------------------

BODIES = {"bodies.point_mass": {"max_steps": 30}, "bodies.hand_valve": {}, "bodies.hand_gait": {},
          "bodies.gymnasium_env Pendulum-v1": {}, "bodies.gymnasium_env Hopper-v5": {},
          "bodies.gymnasium_env Ant-v5": {}, "bodies.gymnasium_env MountainCarContinuous-v0": {"period": "20 ms"}}


def planned(kind="bodies.point_mass", lanes=2, world_lanes=8, world=None, **params):
    kind, _, env = kind.partition(" ")
    body = {**BODIES.get(f"{kind} {env}".strip(), {}), **({"env": env} if env else {})}
    mind = {"horizon": 4, "particles": 8, **params}
    return sl.Assembly.of({"name": "planned", "lanes": lanes, "until": "30 steps", "components": {
        "body": {"type": kind, "params": {**body, "publish_state": True}, "inputs": ["brain.action"]},
        "world": {"type": kind, "params": {**body, **(world or {})}, "lanes": world_lanes},
        "brain": {"type": "brains.mppi", "params": mind, "inputs": ["body.observation", "body.status", "body.state"],
                  "uses": {"world": "world"}}}})


def needs(kind):
    for name in ("mujoco",) * ("hand" in kind or "v5" in kind) + ("gymnasium",) * ("gym" in kind):
        pytest.importorskip(name)


@pytest.mark.parametrize("kind", BODIES)
def test_a_world_goes_on_from_a_state_as_the_body_did(kind):
    needs(kind)
    loop = planned(kind, lanes=3, world_lanes=3).build()
    loop.run("18 steps")
    body, world = loop.components["body"], loop.components["world"]
    rng = np.random.default_rng(0)
    world.place(loop.peek("body.state").copy())
    for tick in range(4):
        size = (3, *body.inputs["action"].shape)
        act = Inputs({"action": rng.uniform(-1, 1, size).astype(np.float32)}, frozenset({"action"}), tick)
        one, other = body.step(10**12 + tick, act), world.step(tick + 1, act)
        for name in ("observation", "reward", "status"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-6, err_msg=f"{name} {tick}")
    loop.close()


@pytest.mark.parametrize("kind", ["bodies.point_mass", "bodies.hand_valve", "bodies.gymnasium_env Pendulum-v1"])
def test_lanes_of_the_world_change_how_long_it_takes_not_what_is_planned(kind):
    needs(kind)

    def acted(world_lanes):
        rows = []
        with planned(kind, world_lanes=world_lanes).build() as loop:
            loop.tap("brain.action", lambda now, value: rows.append(value.copy()))
            loop.run("10 steps")
        return np.array(rows)

    whole = acted(16)
    assert np.abs(whole).max() > 0
    for size in (1, 5, 64):
        np.testing.assert_array_equal(whole, acted(size))


@pytest.mark.parametrize("kind", ["bodies.point_mass", "bodies.hand_gait", "bodies.gymnasium_env Pendulum-v1"])
def test_it_goes_on_exactly_from_a_checkpoint(kind):
    needs(kind)
    whole, first, second = (planned(kind).build() for _ in range(3))
    whole.run("24 steps")
    first.run("11 steps")
    second.load(first.save())
    second.run("24 steps")
    for name in ("action", "expected", "effective_size"):
        np.testing.assert_array_equal(whole.peek(f"brain.{name}"), second.peek(f"brain.{name}"))


def distance(assembly):
    """How far from the target the points are on average, from the tenth tick on."""
    found = []
    with assembly.build() as loop:
        loop.tap("body.reward", lambda now, value: found.append(-float(value.mean())))
        loop.run("320 steps")
    return np.mean(found[10:])


@pytest.mark.parametrize("method", ["mppi", "cem"])
def test_a_point_finds_its_target(method):
    plan = {"horizon": 15, "particles": 32, "iterations": 2, "method": method, "elites": 6, "colour": 1.0}
    made = planned(lanes=8, world_lanes=256, world={"max_steps": 0}, **plan).set("body.params.max_steps", 40)
    idle = made.set({"brain.params.particles": 1, "brain.params.elites": 1})  # the plan as it stands: to do nothing
    assert distance(made) < 0.6 * distance(idle)


def test_the_world_is_left_as_it_was_built():
    with planned().build() as loop:
        before = loop.components["world"].state_dict()
        loop.run("5 steps")
        after = loop.components["world"].state_dict()
    for name in ("position", "velocity", "target"):
        np.testing.assert_array_equal(before[name], after[name])


class InAWorld(Mppi):
    """A planner as conformance wants it: sized as its world is, and told that its state is wired."""

    def __init__(self, *, explore: bool = False) -> None:
        super().__init__(horizon=3, particles=5, explore=explore)
        self.inputs["observation"] = self.inputs["observation"].sized((6,))
        self.inputs["state"] = replace(self.inputs["state"].sized((6,)), optional=False)
        self.outputs["action"] = self.outputs["action"].sized((2,))

    @classmethod
    def example(cls):
        return cls()

    def build(self, lanes, seed):
        self.peers_in = {"state": self.inputs["state"]}
        super().build(lanes, seed)


def test_a_planner_on_true_dynamics_conforms():
    report = check(InAWorld, folder="brains", examples=5, seconds=1.0, uses={"world": PointMass.example})
    assert report.ok, report.text()


@pytest.mark.parametrize(("change", "said"), [
    ({"brain.uses": {}, "world": None}, "one of the two"),
    ({"body.params.publish_state": False, "brain.inputs": ["body.observation", "body.status"]}, "publish_state: true"),
    ({"brain.params.nominal": "policy"}, "there is none"),
    ({"brain.params.method": "cem", "brain.params.elites": 9}, "cannot be elites"),
    ({"world": {"type": "bodies.cartpole", "lanes": 4}}, "it lacks place"),
])
def test_what_cannot_be_planned_with_is_refused(change, said):
    with pytest.raises((AssemblyError, ValueError), match=said):
        planned().set(change).build()


def test_a_model_needs_a_rule_for_the_end():
    with pytest.raises(AssemblyError, match="when an episode is over"):
        brain(termination=None)


@pytest.mark.parametrize(("kind", "world", "said"), [
    ("bodies.point_mass", {"max_steps": 3}, "cuts its episodes after 3 steps"),
    ("bodies.point_mass", {"dimensions": 3}, "is to be put at states of shape"),
    ("bodies.hand_valve", {"randomise": 0.2}, "randomise: 0"),
])
def test_a_world_that_is_none_says_why(kind, world, said):
    needs(kind)
    with planned(kind, world=world).build() as loop, pytest.raises(Exception, match=said):
        loop.run("5 steps")


def test_an_environment_that_hides_its_state_is_refused():
    pytest.importorskip("gymnasium")
    from gymnasium.envs.classic_control import PendulumEnv

    from stimloop.components.parts import env_state

    class Gusty(PendulumEnv):
        """Its wind was drawn when the episode began, and is part of no state."""

        def reset(self, *, seed=None, options=None):
            seen = super().reset(seed=seed)
            self.wind = float(self.np_random.uniform())
            return seen

        def step(self, action):
            return super().step(action + self.wind)

    with pytest.raises(ValueError, match="keeps something beside its state"):
        env_state.door("Gusty", Gusty, np.zeros((8, 1), np.float32))
    with pytest.raises(AssemblyError, match="does not tell its physical state"):
        sl.Assembly.of({"name": "frozen", "components": {"body": {
            "type": "bodies.gymnasium_env", "params": {"env": "Taxi-v3", "publish_state": True}}}}).build()


def test_the_shipped_planners_swing_a_pendulum_up_at_the_end():
    pytest.importorskip("gymnasium")
    for variant in (None, "cem"):
        assembly = sl.load("mppi_pendulum").resolve(variant=variant) if variant else sl.load("mppi_pendulum")
        total = []
        with assembly.build() as loop:
            loop.tap("body.reward", lambda now, value, total=total: total.append(float(value[0])))
            loop.run("70 steps")
        assert np.mean(total[-10:]) > -0.2
