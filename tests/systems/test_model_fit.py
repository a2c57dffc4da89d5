"""A model that is fitted to what happens, whoever acts: known answers, MBPO's own fits, resuming, and PETS in small."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.loops.component import Component  # noqa: E402
from stimloop.loops.errors import AssemblyError, PortError  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402
from stimloop.loops.seeds import LaneRandom  # noqa: E402
from stimloop.loops.status import FIRST  # noqa: E402
from systems import imagining  # noqa: E402
from systems.imagining import same, weights  # noqa: E402

A = np.array([[0.9, 0.2], [-0.3, 0.8]], np.float32)  # its eigenvalues lie within the unit circle: it stays near 0
B = np.array([[0.0, 0.3], [0.5, 0.0]], np.float32)
REWARD = np.array([1.0, -0.5, 0.25, 0.0], np.float32)  # of observation and action
PETS = """
name: pets
until: 60 steps
lanes: 2
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  model:   {type: world_models.gaussian_ensemble, params: {members: 3, elites: 2, hidden: [8, 8]},
            inputs: [body.observation, brain.action, body.reward, body.status]}
  brain:   {type: brains.mppi, params: {method: cem, horizon: 3, particles: 6, iterations: 2, elites: 2,
            termination: never}, inputs: [body.observation, body.status], uses: {model: model}}
  learner: {type: learners.model_fit, params: {learning_starts: 20, model_train_freq: 15},
            inputs: [body.observation, body.reward, body.status, brain.action], uses: {model: model}}
"""


class Linear(Component):
    """x' = A x + B u, with a reward that is linear too; every 20 steps it begins anew."""

    period = 10_000_000
    random = True

    def __init__(self) -> None:
        self.inputs = {"action": Port("what is done", (2,), low=-1, high=1, reads="hold")}
        self.outputs = {"observation": Port("state", (2,)), "reward": Port("reward"),
                        "status": Port("flags", dtype="int64")}

    def reset(self, seed):
        self.random_start, self.ticks = LaneRandom(seed, self.lanes, "starts"), 0

    def step(self, now, inputs):
        first = self.ticks % 21 == 0
        reward = np.zeros(self.lanes.count, np.float32)
        if first:
            self.state = self.random_start.normal((2,)).astype(np.float32)
        else:
            reward = (np.concatenate([self.state, inputs["action"]], axis=1) @ REWARD).astype(np.float32)
            self.state = self.state @ A.T + inputs["action"] @ B.T
        flag = FIRST if first else 4 if self.ticks % 21 == 20 else 0
        self.ticks += 1
        return {"observation": self.state.copy(), "reward": reward,
                "status": np.full(self.lanes.count, flag, np.int64)}


def linear(**params):
    return (sl.Assembly("linear", until="1000 steps", lanes=2)
            .add("body", Linear, inputs=["brain.action"])
            .add("brain", "brains.mlp", explore=True, random_steps=10_000, inputs=["body.observation", "body.status"])
            .add("model", "world_models.gaussian_ensemble", members=3, elites=2, hidden=[32, 32],
                 inputs=["body.observation", "brain.action"])
            .add("learner", "learners.model_fit", **{"learning_starts": 500, "model_train_freq": 500, **params},
                 inputs=["body.observation", "body.reward", "body.status", "brain.action"], uses={"model": "model"}))


def test_a_linear_system_is_learned():
    draw = np.random.default_rng(0)
    seen, done = draw.normal(size=(200, 2)).astype(np.float32), draw.uniform(-1, 1, (200, 2)).astype(np.float32)
    asked = np.concatenate([seen, done], axis=1)
    true = np.concatenate([(asked @ REWARD)[:, None], seen @ A.T + done @ B.T - seen], axis=1)
    with linear().build() as loop:
        errors = []
        for until in ("400 steps", "3000 steps"):
            loop.run(until)
            errors.append(np.abs(loop.components["model"].predict(asked) - true).mean(0) / true.std(0))
        assert loop.peek("learner.updates") == 6
    assert (errors[0] > 0.5).all(), "not fitted yet"
    assert (errors[1] < 0.05).all(), errors[1]  # of reward and of each number of the observation


def test_its_fits_are_those_of_mbpo():
    """MBPO that never comes to update its policy does nothing else."""
    mbpo = imagining.mbpo().set("learner.params.min_buffer", 1000)
    alone = mbpo.set({"critic": None, "learner": {
        "type": "learners.model_fit", "params": {"learning_starts": 20, "model_train_freq": 15},
        "uses": {"model": "model"}}})
    with mbpo.build() as theirs, alone.build() as ours:
        for loop in (theirs, ours):
            loop.run("120 steps")
        assert theirs.components["learner"]._fits == ours.peek("learner.updates") == 7
        assert same(weights(theirs, ["model"]), weights(ours, ["model"]))
        assert theirs.peek("learner.model_loss") == ours.peek("learner.model_loss")


def test_it_goes_on_exactly_from_any_state_and_so_does_who_plans_in_its_model():
    assembly = sl.Assembly.from_yaml(PETS)
    with assembly.build() as whole:
        whole.run("60 steps")
        for stop in (10, 20, 34, 50):
            with assembly.build() as first, assembly.build() as second:
                first.run(f"{stop} steps")
                second.load(first.save())
                second.run("60 steps")
                assert same(weights(whole, ["model"]), weights(second, ["model"])), stop
                assert np.array_equal(whole.peek("brain.action"), second.peek("brain.action")), stop
                assert whole.peek("learner.model_loss") == second.peek("learner.model_loss")


@pytest.mark.parametrize("name", ["learner", "a_learner", "z_learner"])
def test_the_model_is_fitted_before_anybody_plans_in_it_at_that_instant(name):
    with sl.Assembly.from_yaml(PETS.replace("  learner:", f"  {name}:")).build() as loop:
        order = [node.name for node in loop.plan]
        assert order.index("body") < order.index(name) < order.index("brain")


def test_a_step_whose_successor_nobody_saw_is_refused_or_left_out():
    at_once = sl.Assembly.from_yaml(PETS).set("body.params.restart", "at_once")
    with at_once.build() as loop, pytest.raises(PortError, match="let the learner leave such steps out"):
        loop.run("60 steps")
    with at_once.set("learner.params.unfinished", "drop").build() as loop:
        loop.run("60 steps")
        assert len(loop.components["learner"].buffer) == 60 - 2 * 4, "four episodes of 7 steps ended in each lane"


def test_what_it_remembers_is_the_newest():
    with sl.Assembly.from_yaml(PETS).set("learner.params.buffer_size", 30).build() as loop:
        loop.run("60 steps")
        assert len(loop.components["learner"].buffer) == 30
        assert loop.components["learner"].buffer.added == 60


def test_choices_are_refused():
    with pytest.raises(AssemblyError, match=r"learner\.inputs\.action|learner\.action"):
        (sl.Assembly("choices", until="10 steps")
         .add("body", "bodies.cartpole", inputs=["brain.action"])
         .add("brain", "brains.mlp", inputs=["body.observation", "body.status"])
         .add("model", "world_models.gaussian_ensemble", inputs=["body.observation"])
         .add("learner", "learners.model_fit", uses={"model": "model"},
              inputs=["body.observation", "body.reward", "body.status", "brain.action"])).build()
