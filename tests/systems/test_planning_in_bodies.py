"""The planning brain on true dynamics: bodies put where the real one is, and errors that say why one cannot be."""

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


@pytest.mark.parametrize(("kind", "world", "said"), [
    ("bodies.point_mass", {"max_steps": 3}, "cuts its episodes after 3 steps"),
    ("bodies.point_mass", {"dimensions": 3}, "is to be put at states of shape"),
    ("bodies.hand_valve", {"randomise": 0.2}, "randomise: 0"),
])
def test_a_world_that_is_none_says_why(kind, world, said):
    needs(kind)
    with planned(kind, world=world).build() as loop, pytest.raises(Exception, match=said):
        loop.run("5 steps")


def test_a_world_that_counts_its_steps_itself_is_not_told_to_leave_that_to_max_steps():
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.envs.classic_control import PendulumEnv

    class Counts(PendulumEnv):
        def step(self, action):
            self.count = getattr(self, "count", 0) + 1
            seen, reward, over, _, told = super().step(action)
            return seen, reward, over, self.count >= 60, told

    gymnasium.register("Counts-v0", Counts)
    try:
        made = planned("bodies.gymnasium_env Counts-v0", world={"max_steps": 0})
        with made.build() as loop, pytest.raises(Exception, match="it counts them itself, whatever max_steps says"):
            loop.run("40 steps")
    finally:
        del gymnasium.registry["Counts-v0"]


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


def test_a_planner_with_a_period_of_its_own_hears_every_flag_and_says_that_it_is_slow():
    slow = planned(horizon=3).set({"brain.params.period": "40 ms", "brain.inputs": [
        "body.observation", {"status": {"from": "body.status", "reads": "all"}}, "body.state"]})
    with slow.build() as loop:
        acted = []
        loop.tap("brain.action", lambda now, value: acted.append(now))
        loop.run("40 steps")
        assert acted[:3] == [0, 40_000_000, 80_000_000]
        assert "as if it could act more or less often" in loop.components["brain"].warnings[0]
