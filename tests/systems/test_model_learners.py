"""MBPO and MoPAC as components: their reductions, a reference written straight down, resuming, and nonsense."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.components.parts.ensemble_fit import EnsembleFit  # noqa: E402
from stimloop.loops.errors import AssemblyError, Diverged  # noqa: E402
from stimloop.loops.seeds import derive  # noqa: E402

from .imagining import COMPAT, assembly, mbpo, sac, same, weights  # noqa: E402


def test_with_real_steps_alone_it_is_soft_actor_critic():
    with assembly(ratio_schedule=[0, 1, 1, 1], gradient_steps=2).build() as loop, sac().build() as plain:
        for each in (loop, plain):
            each.run("270 steps")
        learner = loop.components["learner"]
        assert learner.core.updates == plain.components["learner"].core.updates == 500
        assert learner._fits == 0
        assert len(learner.imagined) == 0
        assert same(weights(loop), weights(plain))


def test_without_plans_it_is_mbpo():
    with assembly(planning=False).build() as loop, mbpo().build() as plain:
        for each in (loop, plain):
            each.run("120 steps")
        ours, theirs = (each.components["learner"] for each in (loop, plain))
        assert len(ours.imagined) == len(theirs.imagined) > 50
        for name, column in ours.imagined.columns.items():
            assert torch.equal(column, theirs.imagined.columns[name])
        assert same(weights(loop, ("brain", "critic", "model")), weights(plain, ("brain", "critic", "model")))


class Reference:
    """Algorithm 2 of Janner et al. 2019 written straight down, one row at a time, on the real steps that were made."""

    def __init__(self, loop, seed):
        self.parts = loop.components
        self.fit = EnsembleFit(self.parts["model"].network)
        self.imagining, self.fitting = (torch.Generator().manual_seed(derive(seed, name))
                                        for name in ("imagination", "fitting"))
        self.rows = []

    def refresh(self, real, epoch):
        o, a, r, o2 = (torch.stack([torch.tensor(row[i]) for row in real]) for i in range(4))
        self.fit.fit(torch.cat([o, a], 1), torch.cat([r[:, None], o2 - o], 1), self.fitting)
        start = o[torch.randint(len(o), (12,), generator=self.imagining)]
        for _ in range(int(2 + min(epoch / 2, 1) * 2)):
            noise, elites = torch.randn(12, 2, generator=self.imagining), self.parts["model"].network.elites
            with torch.no_grad():
                action = torch.cat([self.parts["brain"].respond({"observation": start[i:i + 1],
                                                                 "noise": noise[i:i + 1]})[0]["action"]
                                    for i in range(12)])
                member = [int(elites[int(k)]) for k in torch.randint(2, (12,), generator=self.imagining)]
                said = [self.parts["model"].network.forward(torch.cat([start[i], action[i]])[None], [member[i]])
                        for i in range(12)]
                mean, variance = (torch.cat([part[j][0] for part in said]) for j in (0, 1))
                drawn = mean + (variance / 2).exp() * torch.randn(mean.shape, generator=self.imagining)
            self.rows += [(start[i], action[i], drawn[i, 0], start[i] + drawn[i, 1:]) for i in range(12)]
            start = start + drawn[:, 1:]
        self.rows = self.rows[-int(2 + min(epoch / 2, 1) * 2) * 12 * 30 // 15:]


def test_what_it_imagines_is_that_of_the_algorithm_row_by_row():
    """The reference imagines with a twin whose weights are set to those of the loop before each refresh."""
    with mbpo().build() as loop, mbpo().build() as twin:
        learner, real = loop.components["learner"], []
        reference = Reference(twin, twin.components["learner"].seed)
        before = learner.imagine

        def spied(start, length):
            for name in ("brain", "critic"):
                twin.components[name].load_state_dict({"learned": loop.components[name].state_dict()["learned"]})
            reference.refresh(real, learner.epoch)
            yield from before(start, length)

        learner.imagine = spied
        remember = learner.remember

        def remembered(rows, inputs):
            real.extend(zip(rows.observation, rows.action, rows.reward, rows.successor, strict=True))
            remember(rows, inputs)

        learner.remember = remembered
        loop.run("120 steps")
        assert learner._fits == 7
        assert len(learner.imagined) == len(reference.rows)
        newest = torch.arange(learner.imagined.added - len(learner.imagined), learner.imagined.added)
        for i, name in enumerate(("observation", "action", "reward", "successor")):
            ours = learner.imagined.columns[name][newest % learner.imagined.size]
            assert torch.allclose(ours, torch.stack([row[i] for row in reference.rows]), atol=1e-4), name


@pytest.mark.parametrize("params", [{}, {"planning": False}, COMPAT, {"horizon_value": "q", "iterations": 2},
                                    {"method": "cem", "elites": 3, "iterations": 2, "policy_sequences": 2}],
                         ids=["mopac", "mbpo", "compat", "q", "cem"])
def test_it_goes_on_exactly_from_any_state(params):
    names, params = ("brain", "critic", "value", "model"), dict(params)
    whole = assembly(**params).build()
    whole.run("95 steps")
    for stop in (20, 21, 50, 66):
        first, second = assembly(**params).build(), assembly(**params).build()
        first.run(f"{stop} steps")
        second.load(first.save())
        second.run("95 steps")
        assert same(weights(whole, names), weights(second, names)), stop
        assert whole.peek("learner.model_loss") == second.peek("learner.model_loss")


def test_it_does_what_its_schedules_say():
    told = {}
    with assembly().build() as loop:
        for name in ("rollout_length", "real_ratio", "model_rows", "mean_rollout_length", "effective_size"):
            loop.tap(f"learner.{name}", lambda now, value, name=name: told.setdefault(name, []).append(float(value)))
        loop.run("110 steps")
    assert told["rollout_length"] == [2, 2, 3, 3, 4, 4, 4]  # refreshed at 20, 35, 50, ...; epochs of 30
    assert set(told["real_ratio"]) == {0.25}
    assert told["model_rows"] == [24, 48, 72, 72, 96, 96, 96]
    assert told["mean_rollout_length"] == [2, 2, 3, 3, 4, 4, 4]
    assert all(1 <= size <= 6 for size in told["effective_size"])


def test_fitting_ends_with_its_epoch_and_imagining_goes_on():
    with assembly(model_train_end_epoch=1).build() as loop:
        loop.run("110 steps")
        assert loop.components["learner"]._fits == 2
        assert loop.components["learner"]._refreshed == 7


def test_real_steps_may_count_only_with_their_whole_episode():
    with assembly(insert="episode_end").build() as loop:
        loop.run("25 steps")
        assert len(loop.components["learner"].buffer) == 21


@pytest.mark.parametrize(("params", "said"), [
    ({"ratio_schedule": [0, 1, 0.5, 1.5]}, "no minibatch is real by more than the whole"),
    ({"rollout_schedule": [0, 1, 0, 5]}, "imagined lives of no step"),
    ({"rollout_schedule": [5, 1, 1, 5]}, "is not a schedule"),
    ({"termination": "hoper"}, 'Did you mean "hopper"'),
    ({"proposal": "particles"}, "each variant follows the policy"),
    ({**COMPAT, "policy_sequences": 1}, "each variant follows the policy"),
    ({**COMPAT, "method": "cem"}, "each variant follows the policy"),
    ({"method": "cem", "effective_noise": False}, "elites are what was done"),
    ({"method": "cem"}, "10 of 6 variants cannot be elites"),
])
def test_nonsense_is_refused(params, said):
    with pytest.raises((AssemblyError, ValueError), match=said):
        assembly(**params).build()


def test_what_judges_a_horizon_sees_it_on_the_scale_of_what_it_follows():
    """With tau 1 the slow copy is the state value itself after each update; so it is after resuming."""
    made = assembly(tau=1.0).set("value.params.normalise", True)
    seen = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    with made.build() as loop, made.build() as again:
        loop.run("100 steps")
        again.load(loop.save())
        for each in (loop, again):
            learner, value = (each.components[name] for name in ("learner", "value"))
            assert value.statistics()["count"] >= 90
            with torch.no_grad():
                assert torch.equal(learner._worth(seen), value.value(seen))


@pytest.mark.parametrize("judge", ["v", "q"])
def test_a_horizon_is_judged_in_the_units_of_rewards(judge):
    """Critics say scaled rewards and the model raw ones: what a plan adds up has to be of one unit."""
    seen, value = torch.randn(20, 6, generator=torch.Generator().manual_seed(1)), []
    for scale in (1.0, 64.0):  # a power of two changes no digit
        with assembly(horizon_value=judge, reward_scale=scale, learning_starts=10_000).build() as loop:
            value.append(loop.components["learner"]._worth(seen).detach())
    assert torch.equal(value[0], 64 * value[1])  # the same weights, taken for rewards of another unit


def test_a_value_at_the_horizon_has_to_come_from_somewhere():
    with pytest.raises(AssemblyError, match="horizon is worth"):
        assembly().set("learner.uses", {"policy": "brain", "value": "critic", "model": "model"}).build()


@pytest.mark.parametrize(("params", "never"), [
    ({"rollout_schedule": [0, 2, 1, 1]}, True), ({"rollout_schedule": [0, 2, 1, 1.9]}, True),
    ({"rollout_schedule": [0, 2, 1, 2]}, False), ({"rollout_schedule": [0, 2, 2, 1]}, False),
    ({"rollout_schedule": [0, 2, 1, 1], "planning": False}, False),
    ({"rollout_schedule": [0, 2, 1, 1], "ratio_schedule": [0, 1, 1, 1]}, False),
    ({"rollout_schedule": [0, 2, 1, 1], "horizon_value": "none"}, False)])
def test_plans_that_nothing_can_tell_apart_are_warned_of(params, never):
    """A value at the horizon stands for the last reward: of one step nothing else is left to compare."""
    with assembly(**params).build() as loop:
        told = loop.components["learner"].warnings
        assert len(told) == never
        assert all("never plans: of an imagined life of 1 step" in text for text in told)


@pytest.mark.parametrize(("params", "never"), [
    ({"particles": 1}, True), ({"particles": 1, "policy_sequences": 1}, False), ({"particles": 2}, False),
    ({"particles": 1, "proposal": "particles", "effective_noise": False}, True),
    ({"particles": 1, "planning": False}, False), ({"particles": 1, "ratio_schedule": [0, 1, 1, 1]}, False)])
def test_a_plan_with_nothing_to_compare_is_warned_of(params, never):
    with assembly(**params).build() as loop:
        told = loop.components["learner"].warnings
        assert len(told) == never
        assert all("never plans: of one variant" in text for text in told)


def test_a_state_value_is_not_asked_about_actions():
    with pytest.raises(AssemblyError, match=r"uses\.state_value .*this value judges what is done"):
        assembly().set("learner.uses.state_value", "critic").build()


class Guess(sl.Component):
    """A model of one's own that plays the role Model, and no more."""

    def __init__(self):
        self.inputs = {name: sl.Port(name, (name,)) for name in ("observation", "action")}
        self.outputs = {}

    def predict(self, input, generator=None):
        return input

    def loss(self, input, target):
        return target

    def parameters(self):
        return []


class Elite(Guess):
    """Can be lived in, but not fitted."""

    elites = (0,)

    def predict(self, input, generator=None, member=None):
        return input


@pytest.mark.parametrize(("kind", "said"), [
    (Guess, "has no elites and takes no `member`"), (Elite, "nothing here can fit Elite to real steps")])
def test_a_model_that_cannot_be_lived_in_or_fitted_is_refused(kind, said):
    made = assembly().set("model", None).add("model", kind, inputs=["body.observation", "brain.action"])
    with pytest.raises(AssemblyError, match=rf"uses\.model .*{said}"):
        made.build()


def test_a_model_that_is_no_number_is_told_with_its_epoch():
    with assembly(planning=False, model_train_end_epoch=1).build() as loop:
        loop.run("64 steps")  # fitted for the last time after 35, imagined in after 65
        for array in loop.components["model"].network.arrays.values():
            if array.dtype == np.float32:
                array[...] = np.nan
        with pytest.raises(Diverged, match="epoch 1 is not finite"):
            loop.run("80 steps")
