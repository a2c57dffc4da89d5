"""Imagined steps, guided and not, against brute force in worlds whose every step is known."""

from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")
from stimloop.components.parts import guidance as module  # noqa: E402
from stimloop.components.parts.guidance import AS_PUBLISHED, Guidance, Planner  # noqa: E402
from stimloop.components.parts.imagination import Actor, ImaginedWorld, branch  # noqa: E402
from stimloop.components.parts.path_integral import Weighing  # noqa: E402
from stimloop.loops.errors import Diverged  # noqa: E402

GAMMA = 0.9


class Drift:
    """A line on which an action moves; each member pulls with another force, and being near 1 is rewarded."""

    elites = (0, 2)

    def predict(self, values, generator=None, member=None):
        place, action = values[:, :1], values[:, 1:2]
        change = 0.5 * action + 0.1 * member[:, None].float()
        return torch.cat([-(place + change - 1).square(), change], dim=1)


class Pull:
    """A policy that does half of what is left, and draws around it."""

    def respond(self, inputs, memory):
        mean = 0.5 * (1 - inputs["observation"])
        return {"action": mean if "noise" not in inputs else mean + 0.1 * inputs["noise"]}, None


def never(observation, action, successor):
    return torch.zeros(len(observation), dtype=torch.bool)


def beyond(observation, action, successor):
    return successor[:, 0] > 1.2


def value(observation):
    return 3 * observation[:, 0]


def world(terminated=never, seed=0):
    return ImaginedWorld(Drift(), terminated, torch.Generator().manual_seed(seed))


def planner(how, terminated=never, judge=value, seed=0):
    made = world(terminated, seed)
    return Planner(how, made, Actor(Pull(), 1, made.generator), GAMMA, judge, torch.Generator().manual_seed(seed + 1))


START = torch.tensor([[-1.0], [0.0], [0.9], [2.0]])


def test_branches_follow_the_policy_and_end_with_the_episode():
    made = world(beyond)
    steps = list(branch(made, Actor(Pull(), 1, made.generator), START, 4))
    assert len(steps) == 4
    for before, after in pairwise(steps):
        going = before["terminated"] == 0
        assert torch.equal(after["observation"], before["successor"][going])
    for step in steps:
        change = step["successor"] - step["observation"] - 0.5 * step["action"]
        assert all(any(abs(float(pull) - 0.1 * elite) < 1e-5 for elite in Drift.elites) for pull in change)
        assert torch.equal(step["terminated"] == 1, step["successor"][:, 0] > 1.2)
    assert torch.equal(steps[0]["observation"], START)
    assert not list(branch(made, Actor(Pull(), 1, made.generator), torch.tensor([[5.0]]), 4))[1:]


def brute_force(how, start, noise, member, proposal, terminated, judge, horizon):
    """One start, one variant after the other: (gain, actions) of each."""
    judged, found = horizon - (judge is not None), []
    for k in range(len(noise)):
        place, gain, going, done = start[None], 0.0, True, torch.zeros(horizon)
        for t in range(judged):
            asked = Pull().respond({"observation": place}, None)[0]["action"][0, 0] if proposal is None else proposal[t]
            done[t] = (asked + noise[k, t, 0]).clamp(-how.bound, how.bound)
            said = Drift().predict(torch.cat([place, done[t].view(1, 1)], dim=1), None, member[None])
            after = place + said[:, 1:]
            gain += GAMMA**t * float(said[0, 0]) * (going or not how.mask_terminated)
            going = going and not bool(terminated(place, None, after))
            place = after
        if proposal is not None and how.last_action == "zero":  # where nothing is judged, what noise leaves of 0
            done[judged:] = noise[k, judged:, 0].clamp(-how.bound, how.bound)
        if judge is not None and (going or not how.mask_terminated):
            gain += GAMMA**(horizon - 1) * float(judge(place))
        found.append((gain, done))
    return found


def weights_of(how, gains):
    """What each of one start's variants counts [variants]."""
    if how.method == "mppi":
        return how.weighing.weights(gains[None])[0]
    best = sorted(range(len(gains)), key=lambda k: -gains[k])[:how.elites]
    weights = torch.zeros(len(gains))
    weights[best] = 1 / how.elites if how.elite_weights == "equal" else how.weighing.weights(gains[None, best])[0]
    return weights


class Calm(Pull):
    """The same without drawing, so that brute force need not follow the order of draws."""

    def respond(self, inputs, memory):
        return super().respond({"observation": inputs["observation"]}, memory)


@pytest.mark.parametrize("terminated", [never, beyond])
@pytest.mark.parametrize("judge", [value, None])
@pytest.mark.parametrize("how", [Guidance(particles=6), replace(AS_PUBLISHED, particles=6),
                                 Guidance(particles=6, bound=0.4), Guidance(particles=6, effective_noise=False),
                                 Guidance(particles=6, bound=0.4, effective_noise=False,
                                          weighing=Weighing("fixed", 10.0)),
                                 Guidance(particles=6, bound=0.4, last_action="zero"),
                                 Guidance(particles=6, bound=0.4, policy_sequences=2, weighing=Weighing("fixed", 10.0)),
                                 Guidance(particles=6, method="cem", elites=3),
                                 Guidance(particles=6, method="cem", elites=4, elite_weights="weighed",
                                          policy_sequences=1, weighing=Weighing("fixed", 0.5))])
def test_a_plan_is_that_of_brute_force(how, judge, terminated):
    made, horizon = planner(how, terminated, judge), 3
    made = replace(made, actor=replace(made.actor, policy=Calm()))
    states = [made.noise.get_state(), made.world.generator.get_state()]
    plan = made.improve(START, horizon)
    for generator, state in zip((made.noise, made.world.generator), states, strict=True):
        generator.set_state(state)
    members = made.world.members(len(START))
    noise = how.noise * torch.randn((len(START), 6, horizon, 1), generator=made.noise)
    judged, all_done = horizon - (judge is not None), []
    for i, start in enumerate(START):
        proposal = None
        if how.proposal == "mean":
            noise[i, 0], proposal, place = 0, torch.zeros(horizon), start[None]
            for t in range(judged):
                proposal[t] = Calm().respond({"observation": place}, None)[0]["action"][0, 0]
                place = place + Drift().predict(torch.cat([place, proposal[t].view(1, 1)], 1), None,
                                                members[i:i + 1])[:, 1:]
        tried = torch.cat([noise[i], torch.zeros(how.policy_sequences, horizon, 1)])  # this policy draws nothing
        found = brute_force(how, start, tried, members[i], proposal, terminated, judge, horizon)
        gains, done = torch.tensor([gain for gain, _ in found]), torch.stack([actions for _, actions in found])
        weights = weights_of(how, gains)
        added = done - proposal if how.effective_noise else tried[:, :, 0]
        change = (weights[:, None] * added).sum(dim=0)
        kept = ((done[0] if proposal is None else proposal) + change).clamp(-how.bound, how.bound)
        if how.last_action == "policy":
            kept[judged:] = 0
        all_done.append(done[:, :judged])
        assert torch.allclose(plan.change[i, :, 0], change if proposal is None else kept - proposal, atol=1e-3)
        assert torch.allclose(plan.returns[i], gains, atol=1e-4)
        assert torch.allclose(plan.actions[i, :, 0], kept, atol=1e-3)
        assert float(plan.size[i]) == pytest.approx(float(1 / weights.square().sum()), rel=1e-3)
    assert float(plan.cut) == pytest.approx(float((torch.stack(all_done).abs() >= how.bound).float().mean()))


def test_after_the_end_nothing_is_gained_and_nothing_is_stored():
    """A chain of three: over at the second step, so what the third and the horizon promise counts nothing."""
    masked, blind = planner(Guidance(particles=4), beyond), planner(replace(AS_PUBLISHED, particles=4), beyond)
    start = torch.tensor([[1.19]])
    for made, rows in ((masked, 1), (blind, 3)):
        (_, steps), = made.refresh(start, 3)
        assert len(steps["reward"]) == rows
    member = torch.tensor([2])
    ended = masked._gains(start, member, torch.zeros(1, 4, 2, 1))
    assert torch.allclose(ended, torch.full((1, 4), -(1.39 - 1) ** 2))
    goes_on = blind._gains(start, member, torch.zeros(1, 4, 2, 1))
    assert torch.allclose(goes_on, torch.full((1, 4), -(0.39**2) - GAMMA * 0.59**2 + GAMMA**2 * 3 * 1.59))


def test_the_last_action_is_the_policys_or_what_noise_left():
    (plan, steps), = planner(Guidance(particles=8)).refresh(START, 3)
    last = steps["action"][-len(START):]
    assert torch.allclose(plan.actions[:, -1], torch.zeros(4, 1))
    assert ((last - 0.5 * (1 - steps["observation"][-len(START):])).abs() < 0.5).all()
    (plan, steps), = planner(replace(AS_PUBLISHED, particles=8)).refresh(START, 3)
    assert torch.equal(steps["action"][-len(START):], plan.actions[:, -1])
    assert torch.allclose(plan.actions[:, -1], plan.change[:, -1])
    (plan, steps), = planner(Guidance(particles=8, last_action="zero")).refresh(START, 3)  # by itself
    assert torch.equal(steps["action"][-len(START):], plan.actions[:, -1])
    assert (plan.actions[:, -1] != 0).all()


def test_a_plan_is_lived_as_it_stands_or_on_top_of_what_the_policy_does():
    for closed in (False, True):
        made = planner(Guidance(particles=8, closed_loop=closed, bound=0.8))
        made = replace(made, actor=replace(made.actor, policy=Calm()))
        (plan, steps), = made.refresh(START, 4)
        seen, done = (steps[name].view(4, len(START)) for name in ("observation", "action"))
        asked = plan.actions[:, :3, 0].T
        lived = (0.5 * (1 - seen[:3]) + plan.change[:, :3, 0].T).clamp(-0.8, 0.8)  # in the states that are reached
        assert torch.allclose(done[:3], lived if closed else asked)
        assert not torch.allclose(done[:3], asked if closed else lived)  # another member lives than planned


def test_parts_are_planned_one_after_the_other_as_if_alone(monkeypatch):
    """How many starts are planned at once decides who draws which numbers, and nothing else."""
    monkeypatch.setattr(module, "_CHUNK", 16)
    made, alone = (planner(Guidance(particles=8, proposal="sample")) for _ in range(2))
    parts = list(made.refresh(START, 3))
    assert len(parts) == 2
    for (plan, steps), start in zip(parts, START.split(2), strict=True):
        same = alone.improve(start, 3)
        assert torch.equal(plan.actions, same.actions)
        lived = [torch.cat(each) for each in zip(*((step["observation"], step["action"], step["successor"])
                                                   for step in alone.live(start, same)), strict=True)]
        assert all(torch.equal(steps[name], values) for name, values in
                   zip(("observation", "action", "successor"), lived, strict=True))


def test_who_takes_plans_may_learn_between_two_parts(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 16)
    made = planner(Guidance(particles=8))
    weight = torch.ones(1, requires_grad=True)
    made = replace(made, value=lambda observation: weight * observation[:, 0])
    for plan, steps in made.refresh(START, 3):
        assert torch.is_grad_enabled()
        assert not any(part.requires_grad for part in (plan.actions, plan.returns, *steps.values()))


def test_more_iterations_gain_more_and_pessimism_shuns_what_members_disagree_on():
    def gain(how):
        made = planner(how)
        plan = made.improve(START, 4)
        member = torch.zeros(4, dtype=torch.int64)
        return made._gains(START, member, plan.actions[:, None, :3]).mean()

    weak = Guidance(particles=64, weighing=Weighing("effective", share=0.1))
    policy = planner(weak)
    proposal = policy._proposal(START, torch.zeros(4, dtype=torch.int64), 4, 3)
    before = policy._gains(START, torch.zeros(4, dtype=torch.int64), proposal[:, None, :3]).mean()
    assert before < gain(weak) < gain(replace(weak, iterations=4))
    assert gain(weak) < gain(replace(weak, iterations=4, method="cem", elites=8))
    bold, shy = (planner(replace(weak, pessimism=p)).improve(START, 4).returns.mean() for p in (0.0, 2.0))
    assert shy < bold


class Noisy:
    """Five elites that are one and the same, and a reward of pure chance."""

    elites = (0, 1, 2, 3, 4)

    def predict(self, values, generator=None, member=None):
        return torch.cat([torch.randn((len(values), 1), generator=generator), 0 * values[:, :1]], dim=1)


def test_pessimism_fears_disagreement_and_not_the_noise_of_the_world():
    for terminated in (never, beyond):
        bold, shy = (planner(Guidance(particles=16, pessimism=p), terminated) for p in (0.0, 1.0))
        bold, shy = (replace(made, world=replace(made.world, model=Noisy())) for made in (bold, shy))
        assert torch.allclose(bold.improve(START, 5).returns, shy.improve(START, 5).returns, atol=1e-5)


@pytest.mark.parametrize("least", [0.05, 0.3, 0.9])
def test_elites_narrow_down_to_the_least_noise_and_never_beyond_the_first(least):
    how = Guidance(particles=64, iterations=8, noise=0.5, method="cem", elites=6, min_noise=least)
    draws = torch.Generator().manual_seed(0)
    found = how.search.find(torch.zeros(4, 3, 1), torch.zeros(4, 0, 3, 1),
                            lambda shape: torch.randn((4, *shape), generator=draws),
                            lambda tried: -tried.square().sum(dim=(2, 3)))
    assert torch.allclose(found.deviation, torch.tensor(min(least, 0.5)), atol=0.02 if least == 0.05 else 1e-6)


def test_a_model_that_runs_away_is_told():
    class Wild(Drift):
        def predict(self, values, generator=None, member=None):
            return super().predict(values, generator, member) * float("nan")

    made = planner(Guidance(particles=4))
    with pytest.raises(Diverged, match="planning has diverged"):
        replace(made, world=replace(made.world, model=Wild())).improve(START, 3)
