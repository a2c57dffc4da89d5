"""Recurrent soft actor-critic as a component: what it remembers, when it learns, stopped, and given nonsense."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl
from stimloop.loops.errors import AssemblyError, Diverged
from stimloop.loops.storage.runs import first_difference

from .imagining import same, weights

TEXT = """
name: recurring
until: 90 steps
lanes: 2
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain:   {type: brains.modular_rnn, params: {sizes: [6, 5, 4], density: 0.5, summary: 8, hidden: [8], explore: true,
            random_steps: 20}, inputs: [body.observation, body.status]}
  critic:  {type: critics.recurrent_q, params: {units: 6, hidden: [8]},
            inputs: [body.observation, brain.action, body.status]}
  learner: {type: learners.recurrent_sac, params: {batch_size: 3, learning_starts: 20, buffer_size: 6, train_freq: 2},
            inputs: [body.observation, body.reward, body.status, brain.action], uses: {policy: brain, value: critic}}
"""
EVALUATE = "evaluate: {test: {every: 30 steps, episodes: 2, without: [learner], set: {brain.params.explore: false}}}\n"


def assembly(text=TEXT, **changes):
    made = sl.Assembly.from_yaml(text)
    for address, value in changes.items():
        made = made.set(address.replace("__", "."), value)
    return made


def test_it_remembers_whole_episodes_as_they_happened():
    with assembly().build() as loop:
        ports = ("body.observation", "body.reward", "body.status", "brain.action")
        log = {port: [] for port in ports}
        for port, rows in log.items():
            loop.tap(port, lambda now, value, rows=rows: rows.append(value.copy()))
        loop.run("40 steps")
        seen, reward, status, done = (np.array(log[port]) for port in ports)
        first, second = np.flatnonzero(status[:, 0] == 1)[:2]
        episode = loop.components["learner"].memory._episodes[0]
        np.testing.assert_array_equal(episode["observation"], seen[first:second, 0])
        np.testing.assert_array_equal(episode["action"], done[first:second - 1, 0])
        np.testing.assert_array_equal(episode["reward"], reward[first + 1:second, 0])
        assert not episode["terminated"].any()  # time ran out: that is no end


def test_updates_follow_steps_once_an_episode_is_over():
    with assembly().build() as loop:
        loop.run("20 steps")
        before = weights(loop)
        assert loop.peek("learner.updates") is None
        loop.run("60 steps")
        assert loop.peek("learner.updates") == (60 - 20) // 2
        assert loop.peek("learner.remembered") == 6
        assert not any(np.array_equal(a, b) for a, b in zip(before, weights(loop), strict=True))


def test_nothing_is_learned_before_an_episode_is_over():
    with assembly(learner__params__learning_starts=0, learner__params__train_freq=1).build() as loop:
        loop.run("12 steps")
        assert loop.peek("learner.updates") is None
        loop.run("14 steps")
        assert loop.peek("learner.updates") == 2


def test_it_goes_on_exactly_from_any_state_in_mid_episode_too():
    whole = assembly().build()
    whole.run("70 steps")
    for stop in (3, 19, 33, 52):
        first, second = assembly().build(), assembly().build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("70 steps")
        assert same(weights(whole), weights(second)), stop
        assert whole.peek("learner.q_loss") == second.peek("learner.q_loss")
        np.testing.assert_array_equal(whole.peek("critic.value"), second.peek("critic.value"))


def test_an_evaluation_changes_nothing(tmp_path):
    plain = assembly().run(folder=tmp_path / "plain")
    watched = assembly(TEXT + EVALUATE).run(folder=tmp_path / "watched")
    assert first_difference(plain, watched) is None
    assert watched.evaluations("test")["steps"].tolist() == [0, 30, 60, 90]


def test_a_policy_without_memory_and_cut_gradients_belong_to_it_too():
    changes = {"learner__params__truncate": 3, "learner__params__ent_coef": 0.01, "learner__params__max_grad_norm": 1.0}
    text = TEXT.replace("brains.modular_rnn, params: {sizes: [6, 5, 4], density: 0.5, summary: 8, hidden: [8]",
                        "brains.mlp, params: {hidden: [16]")
    with assembly(text, **changes).build() as loop:
        before = weights(loop)
        loop.run("40 steps")
        assert loop.peek("learner.ent_coef") == pytest.approx(0.01)
        assert not any(np.array_equal(a, b) for a, b in zip(before, weights(loop), strict=True))


def test_the_critic_remembers_lane_by_lane_and_judges_again_without_remembering_twice():
    with assembly(until="30 steps", learner=None).build() as loop:
        told, seen, status, done = ([] for _ in range(4))
        for port, rows in (("critic.value", told), ("body.observation", seen), ("body.status", status),
                           ("brain.action", done)):
            loop.tap(port, lambda now, value, rows=rows: rows.append(value.copy()))
        loop.run("30 steps")
        network = loop.components["critic"].network
    state = network.nothing(2)
    for value, observation, flags, action in zip(told, seen, status, done, strict=True):
        state[flags == 1] = 0
        state = network.tick(observation, state)
        expected = network.judge(np.ascontiguousarray(state[:, 0, -1].swapaxes(0, 1)), action).min(axis=0)
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(("old", "new", "what"), [
    ("critics.recurrent_q, params: {units: 6, hidden: [8]},", "critics.q_ensemble, params: {hidden: [8]},",
     "is no SequenceValue: it lacks judge, summarise"),
    ("hidden: [8], explore", "hidden: [8], forget: never, explore", "remembers from one episode to the next"),
    (", value: critic}", "}", "needs a reference 'value'"),
    ("learning_starts: 20", "learning_rate: 1e39", "beyond single precision"),
    ("units: 6, hidden: [8]", "units: 6, hidden: []", "needs layers of neurons"),
])
def test_bad_input_is_refused_in_words(old, new, what):
    with pytest.raises(AssemblyError, match=what):
        assembly(TEXT.replace(old, new)).build()


def test_a_policy_that_does_not_explore_is_told():
    with assembly(brain__params__explore=False).build() as loop:
        assert any("does not explore" in warning for warning in loop.components["learner"].warnings)


def test_a_loss_that_is_not_finite_is_told():
    with assembly(learner__params__learning_rate=1e30, learner__params__gradient_steps=3).build() as loop, \
            pytest.raises(Diverged, match=r"learning has diverged after \d+ updates"):
        loop.run("90 steps")
