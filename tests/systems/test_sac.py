"""Soft actor-critic as a component: in a loop, stopped and resumed, beside an evaluation, and given nonsense."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl
from stimloop.components.parts.flat_parameters import flatten
from stimloop.loops.errors import AssemblyError, Diverged
from stimloop.loops.storage.runs import first_difference

from .imagining import same, weights

TEXT = """
name: learning
until: 120 steps
lanes: 2
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true, random_steps: 20},
            inputs: [body.observation, body.status]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.sac, params: {batch_size: 16, learning_starts: 20, buffer_size: 90},
            inputs: [body.observation, body.reward, body.status, brain.action], uses: {policy: brain, value: critic}}
"""
EVALUATE = "evaluate: {test: {every: 20 steps, episodes: 2, without: [learner], set: {brain.params.explore: false}}}\n"


def assembly(**changes):
    made = sl.Assembly.from_yaml(TEXT)
    for address, value in changes.items():
        made = made.set(address.replace("__", "."), value)
    return made


def test_what_it_remembers_is_what_happened():
    with assembly().build() as loop:
        log = {name: [] for name in ("observation", "reward", "status")}
        for name, rows in log.items():
            loop.tap(f"body.{name}", lambda now, value, rows=rows: rows.append(value.copy()))
        actions = []
        loop.tap("brain.action", lambda now, value: actions.append(value.copy()))
        loop.run("60 steps")
        columns = loop.components["learner"].buffer.columns
        expected = [(log["observation"][t - 1][lane], actions[t - 1][lane], log["reward"][t][lane],
                     log["observation"][t][lane])
                    for t in range(1, len(log["status"])) for lane in range(2) if log["status"][t][lane] != 1]
        assert len(expected) == len(loop.components["learner"].buffer) == 60
        for i, row in enumerate(expected):
            for name, value in zip(("observation", "action", "reward", "successor"), row, strict=True):
                assert np.array_equal(columns[name][i].numpy(), value)


def test_updates_follow_steps_and_change_the_very_weights_that_act():
    with assembly(learner__params__train_freq=4, learner__params__gradient_steps=3).build() as loop:
        loop.run("20 steps")
        before = weights(loop)
        assert loop.peek("learner.updates") is None
        loop.run("60 steps")
        assert loop.peek("learner.updates") == (60 - 20) // 4 * 3
        assert not same(before, weights(loop))
        seen = loop.peek("body.observation")
        told = loop.components["critic"].value(seen, loop.peek("brain.action")).min(axis=0)
        loop.run("62 steps")
        assert told.shape == (2,)


def test_it_goes_on_exactly_from_any_state():
    whole = assembly().build()
    whole.run("120 steps")
    for stop in (3, 19, 21, 64, 97):
        first, second = assembly().build(), assembly().build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("120 steps")
        assert same(weights(whole), weights(second)), stop
        assert whole.peek("learner.q_loss") == second.peek("learner.q_loss")


def test_an_evaluation_changes_nothing(tmp_path):
    plain = assembly().run(folder=tmp_path / "plain")
    watched = sl.Assembly.from_yaml(TEXT + EVALUATE).run(folder=tmp_path / "watched")
    assert first_difference(plain, watched) is None
    rows = watched.evaluations("test")
    assert rows["steps"].tolist() == [0, 20, 40, 60, 80, 100, 120]
    assert rows["updates"].tolist()[-1] == 100


def test_a_loss_that_is_not_finite_is_told():
    with assembly(learner__params__learning_rate=1e30).build() as loop, \
            pytest.raises(Diverged, match=r"learning has diverged after \d+ updates: .*Lower learning_rate") as told:
        loop.run("120 steps")
    assert "while stepping `learner` (learners.sac)" in told.value.__notes__[0]


def test_choices_are_not_for_it():
    text = TEXT.replace("bodies.point_mass, params: {max_steps: 7}", "bodies.cartpole")
    with pytest.raises(AssemblyError, match="learner"):
        sl.Assembly.from_yaml(text).build()


def test_a_learner_without_a_critic_is_refused():
    with pytest.raises(AssemblyError, match="needs a reference 'value' to a Value"):
        sl.Assembly.from_yaml(TEXT.replace(", value: critic", "")).build()


def test_a_critic_that_nobody_wires_is_told():
    text = TEXT.replace(", inputs: [body.observation, brain.action]}", "}")
    with pytest.raises(AssemblyError, match=r"the size of critic\.observation, critic\.action is not known"):
        sl.Assembly.from_yaml(text).build()


def costly(cost="30 ms"):
    """The same with a learner that takes its time; the body steps every 20 ms."""
    wired = TEXT.replace("inputs: [body.observation, body.status]}", "inputs: [body.observation, body.status, "
                         "learner.learned]}").replace("buffer_size: 90", f"buffer_size: 90, cost: {cost}")
    return sl.Assembly.from_yaml(wired)


def test_what_is_learned_comes_into_force_when_its_time_has_come():
    with costly().build() as loop:
        period, told, acting = loop.components["body"].period, [], []
        loop.tap("learner.updates", lambda now, value: told.append(("learns", now)))
        loop.tap("learner.learned", lambda now, value: told.append(("delivers", now, value)))
        loop.attend(lambda now: acting.append((now, flatten(loop.components["brain"].state_dict()["learned"]))))
        loop.run("100 steps")
    learns, delivers = ([row for row in told if row[0] == kind] for kind in ("learns", "delivers"))
    cost = 30_000_000
    assert [row[1] for row in delivers] == [row[1] + cost for row in learns][:len(delivers)]
    assert learns[1][1] == delivers[0][1]  # it was busy until then, and steps had come meanwhile
    for now, vector in acting:
        if now % period == 0:  # the brain answers: with the weights that have arrived, and no others
            arrived = [row[2] for row in delivers if row[1] <= now]
            assert np.array_equal(vector, arrived[-1] if arrived else acting[0][1])
    assert not np.array_equal(delivers[0][2], delivers[-1][2])


def test_learning_that_takes_time_is_resumed_exactly_too():
    whole = costly().build()
    whole.run("90 steps")
    for stop in (25, 41):
        first, second = costly().build(), costly().build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("90 steps")
        assert same(weights(whole), weights(second))


def test_learning_that_takes_time_has_to_reach_the_policy():
    with pytest.raises(AssemblyError, match=r"what is learned would reach nobody.*\n.*learner\.learned"):
        assembly(learner__params__cost="30 ms").build()


def test_measured_learning_says_that_no_two_runs_are_alike():
    with costly("measured").build() as loop:
        assert any("no two runs" in str(notice) for notice in loop.notices)
        loop.run("60 steps")
        assert loop.peek("learner.updates") > 0


def test_what_learns_is_left_out_of_tests_unless_the_assembly_wants_learning_there():
    rows = {}
    for words in ("without: [learner]", "learning: false", "learning: true"):
        a = sl.Assembly.from_yaml(TEXT + EVALUATE.replace("without: [learner]", words))
        with a.set({"learner.params.learning_starts": 4, "learner.params.batch_size": 4}).build() as loop:
            loop.run("60 steps")
            test = loop.evaluations["test"]
            assert test.loop.components.keys() ^ loop.components.keys() == (
                set() if words == "learning: true" else {"learner", "critic"})
            rows[words] = [row["return"] for row in test.rows]
            learned, tested = (flatten(each.components["brain"].state_dict()["learned"]) for each in (loop, test.loop))
            assert np.array_equal(learned, tested) is (words != "learning: true")
    assert len(rows["learning: false"]) > 2
    assert np.array_equal(rows["without: [learner]"], rows["learning: false"])
    assert not np.array_equal(rows["without: [learner]"], rows["learning: true"])
    with sl.Assembly.from_yaml(TEXT + EVALUATE.replace("without: [learner], ", "")).build() as loop:
        assert "learner" not in loop.evaluations["test"].loop.components, "left out by default"


class Reader(sl.Component):
    """Reads how often was learned."""

    def __init__(self):
        self.inputs = {"count": sl.Port("updates", (), dtype="int64", per_lane=False, wakes=True)}
        self.outputs = {}

    def step(self, now, inputs):
        return {}


def test_who_cannot_be_without_what_learns_is_told_why_it_is_missing():
    a = sl.Assembly.from_yaml(TEXT + EVALUATE.replace("without: [learner], ", "")).add(
        "reader", Reader, inputs=[{"count": "learner.updates"}])
    with pytest.raises(AssemblyError, match=r"test: reader .*not wired\n.*\n.*learner is left out.*learning: true"):
        a.build()
    a.set("evaluate.test.without", ["reader"]).build().close()
    a.set("evaluate.test.learning", True).build().close()


def test_a_policy_that_never_explores_is_told():
    for explores in (True, False):
        with assembly(brain__params__explore=explores, brain__params__random_steps=0).build() as loop:
            notices = [str(notice) for notice in loop.graph.problems.notices]
        assert any("does not explore" in notice for notice in notices) != explores, notices


def test_a_critic_that_cannot_tell_actions_apart_is_refused():
    blind = assembly().set({"critic": {"type": "critics.value_mlp"}})
    with pytest.raises(AssemblyError, match=r"the critic judges situations(.|\n)*critics\.q_ensemble"):
        blind.build()


def test_a_policy_without_probabilities_is_refused():
    with pytest.raises(AssemblyError, match="a clipped head knows no probabilities"):
        assembly(brain__params={"hidden": [8, 8], "head": "clipped"}).build()


def test_a_policy_that_answers_to_more_than_is_kept_is_refused():
    stimulated = (assembly()
                  .add("constant", "coprocessors.constant", inputs=["body.observation", "body.status"], command=[1, 1])
                  .add("limiter", "links.safety_limiter", inputs=["constant.command", "body.status"], peak=5)
                  .add("stimulator", "stimulators.electrode_field", inputs=["limiter.command"], channels=2)
                  .set("brain.inputs.current", "stimulator.current"))
    with pytest.raises(AssemblyError, match="also answers to its current, which this learner does not keep"):
        stimulated.build()


def sparse():
    """The same body, seen at every third tick only by policy, critic and learner."""
    seen = {"from": "sense.output"}
    made = assembly().add("sense", "basics.sample_hold", period="60 ms", inputs={"input": "body.observation"})
    return made.set({f"{name}.inputs.observation": seen for name in ("brain", "critic", "learner")})


def test_it_counts_steps_where_observations_come_seldom():
    with sparse().set({"learner.params.train_freq": 2, "learner.params.unfinished": "drop"}).build() as loop:
        loop.run("110 steps")
        learner = loop.components["learner"]
        assert 20 < len(learner.buffer) < 110 / 2
        assert learner.steps == 110
        assert loop.peek("learner.updates") == (110 - 20) // 2


@pytest.mark.parametrize("lag", ["20 ms", "60 ms"])
def test_a_late_sense_is_learned_from(lag):
    late = assembly()
    for listener in ("brain", "critic", "learner"):
        late = late.set(f"{listener}.inputs.observation", {"from": "body.observation", "delay": lag})
    with late.set("learner.params.learning_starts", 0).build() as loop:
        loop.run("40 steps")
        assert loop.components["learner"].steps == 40
        assert 30 < len(loop.components["learner"].buffer) < 40
        assert loop.peek("learner.updates") == 40


def test_choices_are_refused_in_one_line_each():
    choosing = assembly().set({"body": {"type": "bodies.cartpole"}, "brain.params.random_steps": 0})
    with pytest.raises(AssemblyError) as caught:
        choosing.build()
    told = {problem.where.partition(" ")[0]: str(problem) for problem in caught.value.problems}
    assert set(told) == {"critic.inputs.action", "learner.inputs.action"}
    assert len(caught.value.problems) == 2
    assert "one of 2 choices" in told["learner.inputs.action"]
    assert "learners.ppo" in told["learner.inputs.action"]
    assert "brain.action is one of 2 choices, the input takes shape (action,)" in told["critic.inputs.action"]
