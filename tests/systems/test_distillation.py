"""Distillation: what is remembered, what is lessened, who acts, and a run that is stopped in mid-episode."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="learning needs torch")

import torch

import stimloop as sl
from stimloop.components.brains.modular_rnn import ModularRnn
from stimloop.components.parts.imitation import Imitation
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes

from .imagining import same, weights

TEXT = """
name: distilling
until: 120 steps
lanes: 2
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [handover.action]}
  brain:   {type: brains.modular_rnn, params: {sizes: [6, 5, 4], density: 0.5, summary: 8, hidden: [8]},
            inputs: [body.observation, body.status]}
  expert:  {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
  handover: {type: protocols.handover, params: {share: [0, 40, 1, 0]},
             inputs: [{learner: brain.action}, {teacher: expert.action}, body.status]}
  learner: {type: learners.distillation, params: {batch_size: 3, gradient_steps: 2},
            inputs: [body.observation, body.status, brain.action], uses: {policy: brain, expert: expert}}
"""
MLP = "brains.mlp, params: {hidden: [16]}"
RNN = "brains.modular_rnn, params: {sizes: [6, 5, 4], density: 0.5, summary: 8, hidden: [8]}"


def assembly(text=TEXT, **changes):
    made = sl.Assembly.from_yaml(text)
    for address, value in changes.items():
        made = made.set(address.replace("__", "."), value)
    return made


def alone(text=TEXT):
    """The same without a handover: the brain acts; the expert's action is wired to a metrics port of its own size."""
    return text.replace("inputs: [handover.action]", "inputs: [brain.action]")


def test_it_remembers_whole_episodes_and_what_the_expert_says_of_them():
    with assembly().build() as loop:
        log = {name: [] for name in ("body.observation", "body.status", "expert.action")}
        for port, rows in log.items():
            loop.tap(port, lambda now, value, rows=rows: rows.append(value.copy()))
        loop.run("30 steps")
        seen, status, said = log.values()
        begun = [t for t in range(len(status)) if status[t][0] == 1]
        episodes = list(loop.components["learner"].memory._episodes)
        assert len(episodes) == 2 * (len(begun) - 1) == 4
        for lane in range(2):
            first, second = begun[0], begun[1]
            episode = episodes[lane]
            np.testing.assert_array_equal(episode["observation"], [row[lane] for row in seen[first:second]])
            np.testing.assert_allclose(episode["expert"], [row[lane] for row in said[first:second - 1]], atol=1e-6)
            assert len(episode["expert"]) == 7


def test_it_learns_when_episodes_are_over_and_tells_how_far_the_brain_is_from_the_expert():
    with assembly(learner__params__train_freq=2, learner__params__gradient_steps=5).build() as loop:
        before, log = weights(loop, ["brain"]), []
        loop.tap("brain.action", lambda now, value: log.append(("brain", value.copy())))
        loop.tap("expert.action", lambda now, value: log.append(("expert", value.copy())))
        loop.run("14 steps")
        assert loop.peek("learner.updates") == 5  # two episodes of seven steps, one in each lane
        brain, expert = (np.stack([value for who, value in log if who == name])[:7] for name in ("brain", "expert"))
        assert loop.peek("learner.error") == pytest.approx(np.square(brain - expert).mean(), rel=1e-4)
        assert loop.peek("learner.agreement") == pytest.approx((np.abs(brain - expert) <= 0.1).mean())
        after = weights(loop, ["brain"])
        assert not same(before, after)
        expert = weights(loop, ["expert"])
    with assembly().build() as untouched:
        assert same(weights(untouched, ["expert"]), expert)


@pytest.mark.parametrize("kind", [RNN, MLP])
def test_a_brain_with_memory_learns_what_the_expert_does_and_so_does_one_without(kind):
    text = TEXT.replace(RNN, kind)
    made = assembly(text, learner__params__gradient_steps=15, learner__params__learning_rate=0.01)
    with made.build() as loop:
        errors = []
        loop.tap("learner.error", lambda now, value: errors.append(float(value)))
        loop.run("220 steps")
    assert np.mean(errors[-5:]) < 0.25 * errors[0]


@pytest.mark.parametrize("kind", [RNN, MLP])
def test_it_goes_on_exactly_from_any_state_in_mid_episode_too(kind):
    text = TEXT.replace(RNN, kind)
    whole = assembly(text).build()
    whole.run("80 steps")
    for stop in (3, 15, 22, 41, 66):
        first, second = assembly(text).build(), assembly(text).build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("80 steps")
        assert same(weights(whole, ["brain"]), weights(second, ["brain"])), stop
        assert whole.peek("learner.loss") == second.peek("learner.loss")
        assert whole.peek("learner.error") == second.peek("learner.error")


def brain():
    made = ModularRnn(sizes=[6, 5, 4], density=0.5, summary=8, hidden=[8])
    made.inputs["observation"] = made.inputs["observation"].sized((3,))
    made.outputs["action"] = made.outputs["action"].sized((2,))
    made.build(Lanes.of(1), 0)
    return made


SETTINGS = {"learning_rate": 1e-3, "truncate": 0, "rate_penalty": 0.0, "weight_penalty": 0.0, "max_grad_norm": None}


def batch(lengths, junk=0.0, seed=0):
    made, longest = torch.Generator().manual_seed(seed), max(lengths)
    rows = [(torch.randn(n + 1, 3, generator=made), torch.rand(n, 2, generator=made) * 2 - 1) for n in lengths]
    seen, expert = torch.full((len(rows), longest + 1, 3), junk), torch.full((len(rows), longest, 2), junk)
    mask = torch.zeros(len(rows), longest)
    for i, (observation, action) in enumerate(rows):
        seen[i, :len(observation)], expert[i, :len(action)], mask[i, :len(action)] = observation, action, 1
    return {"observation": seen, "expert": expert, "mask": mask}


def slopes(core, given):
    return torch.autograd.grad(core.loss(given)[0], core.student.parameters(), allow_unused=True)


def test_the_loss_is_the_mean_square_difference_over_the_steps_that_were_made():
    core, given = Imitation(brain(), **{**SETTINGS, "rate_penalty": 0.5}), batch([2, 4])
    differences, rates = [], []
    for i, steps in enumerate((2, 4)):
        memory = None
        for t in range(steps):
            said, memory = core.student.respond({"observation": given["observation"][i:i + 1, t].numpy()}, memory)
            differences.append(said["action"][0] - given["expert"][i, t].numpy())
            rates.append(said["rates"][0])
    loss, missed = core.loss(given)
    assert float(missed) == pytest.approx(np.square(differences).mean(), rel=1e-5)
    assert float(loss) == pytest.approx(np.square(differences).mean() + 0.5 * np.square(rates).mean(), rel=1e-5)


def test_what_stands_after_the_end_of_an_episode_changes_nothing():
    core = Imitation(brain(), **SETTINGS)
    for mine, theirs in zip(slopes(core, batch([2, 5])), slopes(core, batch([2, 5], junk=7.0)), strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_episodes_side_by_side_weigh_as_much_as_their_steps():
    core, both = Imitation(brain(), **SETTINGS), batch([2, 5])
    alone = [slopes(core, {name: part[i:i + 1, :n + (name == "observation")] for name, part in both.items()})
             for i, n in enumerate((2, 5))]
    for together, first, second in zip(slopes(core, both), *alone, strict=True):
        if together is not None:
            torch.testing.assert_close(together, (2 * first + 5 * second) / 7, rtol=1e-4, atol=1e-7)


def test_the_weights_term_pulls_weights_and_no_biases():
    made = brain()
    core = Imitation(made, **{**SETTINGS, "weight_penalty": 1e9, "learning_rate": 1e-3})
    before = {name: part.detach().clone() for name, part in made.network.parameters().items()}
    core.advance({**batch([3]), "expert": torch.zeros(1, 3, 2)})
    for name in ("recurrent/weight", "layer1/weight"):
        moved = made.network.parameters()[name].detach() - before[name]
        there = before[name] != 0
        torch.testing.assert_close(moved[there], -1e-3 * before[name][there].sign(), rtol=1e-3, atol=1e-6)


def test_a_longer_gradient_is_shortened():
    core = Imitation(brain(), **{**SETTINGS, "max_grad_norm": 1e-12})
    assert core.told(core.advance(batch([3])))["grad_norm"] > 1e-6  # its length before
    assert float(max(part.abs().max() for part in core.optimiser._first)) <= 1e-12


def test_strict_anatomy_survives_learning():
    with assembly(learner__params__gradient_steps=10).build() as loop:
        loop.run("80 steps")
        learned = loop.components["brain"].state_dict()["learned"]
        weight, there = learned["recurrent"]["weight"], learned["anatomy"]["connections"]
        network = loop.components["brain"].network
        in_force = network.connections(torch.zeros(1)).detach().numpy()
        assert (in_force[there == 0] == 0).all()
        assert (weight * there != 0).any()


@pytest.mark.parametrize(("share", "taught"), [(1.0, 1.0), (0.0, 0.0)])
def test_the_teacher_acts_always_or_never(share, taught):
    with assembly(handover__params__share=share).build() as loop:
        rows = []
        loop.tap("handover.taught", lambda now, value: rows.append(value.copy()))
        loop.run("40 steps")
        assert np.mean(rows) == taught
        who = "expert.action" if taught else "brain.action"
        np.testing.assert_array_equal(loop.peek("handover.action"), loop.peek(who))


def test_the_teacher_hands_over_ever_more():
    with assembly(handover__params__share=[0, 2000, 1.0, 0.0], learner=None).build() as loop:
        rows = []
        loop.tap("handover.taught", lambda now, value: rows.append(value.mean()))
        loop.run("2400 steps")
    parts = np.array_split(rows[:1100], 4)  # ticks of two lanes
    np.testing.assert_allclose([np.mean(part) for part in parts], [0.88, 0.64, 0.41, 0.17], atol=0.1)
    assert not np.any(rows[-150:])


def test_by_episode_it_stays_who_it_was():
    with assembly(handover__params__share=0.5, handover__params__every="episode", learner=None).build() as loop:
        rows, status = [], []
        loop.tap("handover.taught", lambda now, value: rows.append(value.copy()))
        loop.tap("body.status", lambda now, value: status.append(value.copy()))
        loop.run("400 steps")
    changed = np.any(np.diff(np.array(rows, int), axis=0) != 0, axis=1)
    begun = np.any(np.array(status) == 1, axis=1)[1:]
    assert changed.any()
    assert not changed[~begun].any()


@pytest.mark.parametrize(("old", "new", "what"), [
    ("expert: expert}", "expert: brain}", "its own expert"),
    ("summary: 8, hidden: [8]}", "summary: 8, hidden: [8], forget: never}", "remembers from one episode to the next"),
    ("summary: 8, hidden: [8]}", "summary: 8, hidden: [8], period: 10 ms}", "ticks by a period of its own"),
    ("share: [0, 40, 1, 0]", "share: [0, 40, 2, 0]", "2 is no share"),
    ("share: [0, 40, 1, 0]", "share: [40, 0, 1, 0]", "step 0 does not come after step 40"),
    ("gradient_steps: 2", "learning_rate: 1e39", "beyond single precision"),
    (", expert: expert}", "}", "needs a reference 'expert'"),
])
def test_bad_input_is_refused_in_words(old, new, what):
    with pytest.raises(AssemblyError, match=what):
        assembly(TEXT.replace(old, new)).build()


def test_choices_are_not_for_it():
    text = alone().replace("bodies.point_mass, params: {max_steps: 7}", "bodies.cartpole")
    text = "\n".join(line for line in text.splitlines() if "handover" not in line and "teacher" not in line)
    with pytest.raises(AssemblyError, match="learns actions that are vectors"):
        assembly(text).build()
