"""Proximal policy optimisation as a component: what it gathers, its first pass, resuming, and both kinds of action."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.loops.errors import AssemblyError, PortError  # noqa: E402
from stimloop.loops.status import is_step  # noqa: E402

TEXT = """
name: learning
until: 120 steps
lanes: 3
components:
  body:    {type: BODY, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true}, inputs: [body.observation, body.status]}
  critic:  {type: critics.value_mlp, params: {hidden: [8, 8]}, inputs: [body.observation]}
  learner: {type: learners.ppo, params: {n_steps: 8, batch_size: 12, n_epochs: 3},
            inputs: [body.observation, body.reward, body.status, brain.action, brain.log_prob],
            uses: {policy: brain, value: critic}}
"""
BODIES = ["bodies.point_mass, params: {max_steps: 7}", "bodies.cartpole"]


def assembly(body=BODIES[0], **changes):
    made = sl.Assembly.from_yaml(TEXT.replace("BODY", body))
    for address, value in changes.items():
        made = made.set(address.replace("__", "."), value)
    return made


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_the_first_pass_finds_the_policy_as_it_acted(body, normalise):
    """Nothing was learned between acting and the round, so every probability ratio is 1."""
    with assembly(body, brain__params__normalise=normalise, critic__params__normalise=normalise).build() as loop:
        learner, batches = loop.components["learner"], []
        original = learner.batch

        def spied():
            batch = original()
            log_prob, _ = learner.core.policy.evaluate({"observation": batch["observation"]}, batch["action"])
            batches.append((log_prob.detach() - batch["log_prob"]).abs().max().item())
            return batch

        learner.batch = spied
        loop.run("120 steps")
    assert len(batches) == 5
    assert max(batches) < 1e-4


def test_it_gathers_what_happened_and_nothing_else():
    with assembly(learner__params__n_steps=40).build() as loop:
        rows = []
        loop.tap("body.status", lambda now, value: rows.append((value.copy(), loop.peek("body.reward"))))
        loop.run("90 steps")
        steps = loop.components["learner"]._steps
        made = [(reward[lane], lane) for status, reward in rows[1:] for lane in range(3) if is_step(status)[lane]]
        assert steps["made"].sum() == len(made) == 90
        assert steps["reward"][steps["made"]].tolist() == [reward for reward, _ in made]
        assert not (steps["follows"] & ~steps["made"]).any()


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_it_goes_on_exactly_from_any_state(body, normalise):
    def weights(loop):
        learned = [loop.components[name].state_dict()["learned"] for name in ("brain", "critic")]
        return [array for layers in learned for layer in layers.values() for array in layer.values()]

    changes = {"brain__params__normalise": normalise, "critic__params__normalise": normalise}
    whole = assembly(body, **changes).build()
    whole.run("120 steps")
    for stop in (5, 24, 70):
        first, second = assembly(body, **changes).build(), assembly(body, **changes).build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("120 steps")
        assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))


def test_a_policy_that_does_not_explore_is_refused():
    with pytest.raises(AssemblyError, match=r"learner.uses.policy.*draws no actions.*\n.*explore: true in its params"):
        assembly(brain__params__explore=False).build()
    with assembly().build() as loop:
        loop.components["brain"].explore = False  # as a policy of another kind, which does not say so
        with pytest.raises(PortError, match="explore: true in its params") as told:
            loop.run("3 steps")
    assert "while stepping `learner`" in told.value.__notes__[0]


def test_normalisers_know_what_the_learner_heard_once_it_has_learned():
    with assembly(brain__params__normalise=True, critic__params__normalise=True).build() as loop:
        loop.run("40 steps")
        for name in ("brain", "critic"):
            known = loop.components[name].statistics()
            assert known["count"][0] > 0
            assert known["count"][0] % 3 == 0
            assert known["variance"].min() > 0
            assert (known["variance"] != 1).all()
        assert "normaliser" in loop.components["brain"].learned()


def test_a_dropped_step_cuts_what_is_counted_for_the_steps_before():
    """The body begins anew at once, so every 7th step has no successor; what was gained after it is not its doing."""
    made = assembly("bodies.point_mass, params: {max_steps: 7, restart: at_once}", learner__params__unfinished="drop",
                    learner__params__n_steps=20, learner__params__gae_lambda=1.0, learner__params__gamma=1.0)
    with made.build() as loop:
        learner = loop.components["learner"]
        loop.run("60 steps")
        steps, batch = learner._steps, learner.batch()
        value = {name: learner.core.value.value(steps[name][steps["made"]]) for name in ("observation", "successor")}
        lane = np.nonzero(steps["made"])[1]
        for each in range(3):
            reward = steps["reward"][:, each][steps["made"][:, each]]
            before, after = (value[name][lane == each] for name in ("observation", "successor"))
            found = batch["advantage"].numpy()[lane == each]
            for start in range(0, len(reward) - 6, 6):  # six steps of an episode are kept
                of = slice(start, start + 6)
                assert found[start] == pytest.approx(reward[of].sum() + after[of][-1] - before[start], abs=1e-4)
