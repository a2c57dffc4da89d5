"""What learners leave as they found it (torch's threads), and what they keep up in others (statistics)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.components.parts import flat_parameters, normaliser  # noqa: E402
from stimloop.components.parts.networks import Perceptron  # noqa: E402
from stimloop.components.parts.roles import Normalised, Policy  # noqa: E402
from stimloop.components.parts.soft_actor_critic import SoftActorCritic  # noqa: E402
from stimloop.components.parts.torch_threads import threads  # noqa: E402
from stimloop.loops.storage import artifact  # noqa: E402

TEXT = """
name: learning
until: 120 steps
lanes: 3
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true, normalise: true},
            inputs: [body.observation, body.status, learner.learned]}
  critic:  {type: critics.value_mlp, params: {hidden: [8, 8], normalise: true}, inputs: [body.observation]}
  learner: {type: learners.ppo, params: {n_steps: 8, batch_size: 12, n_epochs: 3, threads: 2, cost: 30 ms},
            inputs: [body.observation, body.reward, body.status, brain.action, brain.log_prob],
            uses: {policy: brain, value: critic}}
"""
AT_ONCE = TEXT.replace(", learner.learned", "").replace(", cost: 30 ms", "")


def test_threads_are_those_asked_for_and_then_those_found():
    def fail():
        with threads(2):
            seen.append(torch.get_num_threads())
            raise KeyError

    seen = []
    torch.set_num_threads(3)
    with pytest.raises(KeyError):
        fail()
    assert [*seen, torch.get_num_threads()] == [2, 3]


def test_two_learners_do_not_change_each_others_threads_nor_a_brains():
    text = AT_ONCE + """
  other_body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [other.action]}
  other:   {type: brains.mlp, params: {hidden: [8, 8], explore: true}, inputs: [other_body.observation,
            other_body.status]}
  other_critic:  {type: critics.value_mlp, params: {hidden: [8, 8]}, inputs: [other_body.observation]}
  second: {type: learners.ppo, params: {n_steps: 8, batch_size: 12, n_epochs: 3, threads: 1},
            inputs: [other_body.observation, other_body.reward, other_body.status, other.action, other.log_prob],
            uses: {policy: other, value: other_critic}}
"""
    torch.set_num_threads(3)
    seen = {"learner": set(), "second": set(), "brain": set()}
    with sl.Assembly.from_yaml(text).build() as loop:
        for name in ("learner", "second"):
            _spy(loop.components[name], seen[name])
        loop.tap("brain.action", lambda now, value: seen["brain"].add(torch.get_num_threads()))
        loop.run("40 steps of body")
    assert seen == {"learner": {2}, "second": {1}, "brain": {3}}
    assert torch.get_num_threads() == 3


def _spy(learner, seen):
    original = learner.learn

    def spied(times):
        seen.add(torch.get_num_threads())
        return original(times)

    learner.learn = spied


def test_who_keeps_statistics_says_so_by_its_role():
    with sl.Assembly.from_yaml(AT_ONCE).build() as loop:
        assert isinstance(loop.components["brain"], Normalised)
        assert isinstance(loop.components["critic"], Normalised)
        assert isinstance(loop.components["brain"], Policy)
        assert not isinstance(loop.components["body"], Normalised)


def test_what_travels_to_an_acting_network_normalises_as_what_learned():
    """float32 on the wire, float64 in the learner: the answers are equal all the same, far from zero too."""
    seen = np.random.default_rng(0).normal(1e5, 0.1, (40, 3)).astype(np.float32)
    learned, acting = (Perceptron(3, [8], {"mean": 2}, "tanh", 0, normalise=True) for _ in range(2))
    normaliser.update(learned.statistics, seen)
    assert (learned.statistics["mean"] != learned.statistics["mean"].astype(np.float32)).any()
    vector = flat_parameters.flatten(artifact.nested(learned.arrays))
    acting.set(artifact.flat(flat_parameters.unflatten(vector, artifact.nested(acting.arrays))))
    for values in (seen, torch.from_numpy(seen)):
        first, second = (net.forward(values)[0]["mean"] for net in (learned, acting))
        assert np.array_equal(np.asarray(first.tolist()), np.asarray(second.tolist()))


def test_learning_that_takes_time_knows_the_same_observations():
    with sl.Assembly.from_yaml(TEXT).build() as loop:
        loop.run("36 steps")  # one round, which is in force by now
        brain, critic = (loop.components[name].statistics() for name in ("brain", "critic"))
        acting = {name: array.copy() for name, array in brain.items()}
        with loop.components["learner"]._hidden.learning(loop.now, False):  # now the brain is the one that learns
            for name, array in brain.items():
                assert np.array_equal(array, critic[name])  # both are told the same, at the same time
                assert np.array_equal(array.astype(np.float32), acting[name])  # rounded on its way, nothing else
    with sl.Assembly.from_yaml(AT_ONCE).build() as loop:
        loop.run("36 steps")
        for name, array in loop.components["brain"].statistics().items():
            np.testing.assert_allclose(acting[name], array, rtol=1e-6)
    assert acting["count"][0] == 24


def test_it_goes_on_exactly_with_statistics_under_way():
    def everything(loop):
        states = [loop.components[name].state_dict() for name in ("brain", "critic", "learner")]
        return [array for state in states for array in _arrays(state)]

    whole = sl.Assembly.from_yaml(TEXT).build()
    whole.run("120 steps")
    for stop in (26, 27, 30, 60):
        first, second = sl.Assembly.from_yaml(TEXT).build(), sl.Assembly.from_yaml(TEXT).build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("120 steps")
        assert all(np.array_equal(a, b) for a, b in zip(everything(whole), everything(second), strict=True))


def _arrays(state):
    for part in state.values():
        yield from _arrays(part) if isinstance(part, dict) else [np.asarray(part)]


class Critic:
    """A critic of states that brings them to one scale."""

    def __init__(self):
        self.network = Perceptron(3, [8], {"out": 1}, "tanh", 0, normalise=True)

    def value(self, observation, action=None):
        return self.network.forward(observation)[0]["out"][..., 0]

    def parameters(self):
        return list(self.network.parameters().values())

    def statistics(self):
        return self.network.statistics


def test_the_target_critic_sees_observations_on_the_scale_of_its_critic():
    from stimloop.components.brains.mlp import Mlp
    from stimloop.loops.lanes import Lanes

    policy, critic = Mlp(hidden=[8], explore=True), Critic()
    policy.inputs["observation"] = policy.inputs["observation"].sized((3,))
    policy.outputs["action"] = policy.outputs["action"].sized((2,))
    policy.build(Lanes.of(1), 0)
    core = SoftActorCritic(policy, critic, 2, learning_rate=1e-3, gamma=0.9, tau=0.01, ent_coef=0.1,
                           target_entropy=-2.0, target_update_interval=1)
    generator = torch.Generator().manual_seed(0)
    batch = {"observation": torch.randn(16, 3, generator=generator), "action": torch.zeros(16, 2),
             "reward": torch.zeros(16), "successor": torch.randn(16, 3, generator=generator),
             "terminated": torch.zeros(16)}
    normaliser.update(critic.statistics(), 50 + 7 * batch["observation"].numpy())
    core.update(batch, generator)
    for name, array in critic.statistics().items():
        assert np.array_equal(core.target.statistics()[name], array)
        assert core.target.statistics()[name] is not array
    assert not np.array_equal(core.target.network.arrays["layer1/weight"], critic.network.arrays["layer1/weight"])
