"""Recurrent soft actor-critic against numbers worked out by hand, and what padding and ends may do."""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="learning needs torch")

import torch

from stimloop.components.brains.modular_rnn import ModularRnn
from stimloop.components.critics.recurrent_q import RecurrentQ
from stimloop.components.parts.recurrent_actor_critic import RecurrentActorCritic
from stimloop.loops.lanes import Lanes

SETTINGS = {"learning_rate": 1e-3, "gamma": 0.9, "tau": 0.25, "ent_coef": 0.5, "target_entropy": "auto", "truncate": 0,
            "max_grad_norm": None}


class Remembers:
    """Acts as the sum of all it has seen says, times its one number; its log-probability is minus that sum."""

    def __init__(self):
        self.weight = torch.nn.Parameter(torch.tensor(2.0))

    def respond_sequence(self, inputs, memory=None, first=None, truncate=0):
        total = inputs["observation"].cumsum(dim=1)
        return {"action": self.weight * total, "log_prob": -self.weight * total[..., 0]}, None

    def parameters(self):
        return [self.weight]


class Judges:
    """Two members: w times (sum of what was seen + 10 times the action), with w = 1 and 3."""

    def __init__(self):
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 3.0]))

    def summarise(self, observation, truncate=0):
        return observation.cumsum(dim=1).expand(2, -1, -1, -1)

    def judge(self, summary, action):
        return self.weight[:, None, None] * (summary[..., 0] + 10 * action[..., 0])

    def parameters(self):
        return [self.weight]


def two_steps(terminated):
    """Observations 1, 2, 3 (sums 1, 3, 6), actions 0.1 and 0.2, rewards 5 and 7."""
    return {"observation": torch.tensor([[[1.0], [2.0], [3.0]]]), "action": torch.tensor([[[0.1], [0.2]]]),
            "reward": torch.tensor([[5.0, 7.0]]), "terminated": torch.tensor([[0.0, terminated]]),
            "mask": torch.ones(1, 2)}


@pytest.mark.parametrize("terminated", [1.0, 0.0])
def test_two_steps_by_hand_that_end_or_are_cut_off(terminated):
    core = RecurrentActorCritic(Remembers(), Judges(), 1, **SETTINGS)
    # the policy says 2, 6, 12 at the three observations, log-probabilities -2, -6, -12; alpha is 0.5
    after = [1 * (3 + 10 * 6) + 0.5 * 6, 1 * (6 + 10 * 12) + 0.5 * 12]  # least member, minus alpha l
    wanted = [5 + 0.9 * after[0], 7 + 0.9 * (1 - terminated) * after[1]]
    told = [[w * (1 + 10 * 0.1), w * (3 + 10 * 0.2)] for w in (1, 3)]
    losses = core.losses(two_steps(terminated), torch.zeros(1, 3, 1))
    of_critic = 0.5 * sum((told[m][t] - wanted[t]) ** 2 for m in range(2) for t in range(2)) / 2
    of_policy = ((0.5 * -2 - (1 + 20)) + (0.5 * -6 - (3 + 60))) / 2
    assert float(losses.critic) == pytest.approx(of_critic)
    assert float(losses.policy) == pytest.approx(of_policy)
    assert float(losses.entropy) == pytest.approx((2 + 6) / 2)
    assert float(losses.q_mean) == pytest.approx(np.mean(told))
    # slopes: of the critics, (told - wanted) (sum + 10 a) / N; of the policy, alpha dl - 10 da with da = sum, dl = -sum
    slope = [sum((told[m][t] - wanted[t]) * (2, 5)[t] for t in range(2)) / 2 for m in range(2)]
    found, = torch.autograd.grad(losses.critic, core.critic.parameters(), retain_graph=True)
    np.testing.assert_allclose(found.numpy(), slope, rtol=1e-5)
    found, = torch.autograd.grad(losses.policy, core.policy.parameters())
    assert float(found) == pytest.approx(((-0.5 - 10) * 1 + (-0.5 - 10) * 3) / 2)


def test_an_update_moves_all_three_and_the_slow_copy_a_share():
    core = RecurrentActorCritic(Remembers(), Judges(), 1, **{**SETTINGS, "ent_coef": "auto"})
    core.advance(two_steps(1.0), torch.Generator().manual_seed(0))
    # each first step of Adam is the learning rate long, against the slope; entropy 4 is more than the target -1
    assert float(core.policy.weight.detach()) == pytest.approx(2.001)
    assert core.log_ent_coef.item() == pytest.approx(-0.001)
    assert math.exp(core.log_ent_coef.item()) == pytest.approx(core.ent_coef.item())
    moved = core.critic.weight.detach() - torch.tensor([1.0, 3.0])
    assert moved.abs().numpy() == pytest.approx([0.001, 0.001], rel=1e-2)
    np.testing.assert_allclose(core.target.weight.detach() - torch.tensor([1.0, 3.0]), 0.25 * moved, rtol=1e-3)


def networks():
    policy, critic = ModularRnn(sizes=[6, 5, 4], density=0.5, summary=8, hidden=[8]), RecurrentQ(units=6, hidden=[8])
    for part in (policy, critic):
        part.inputs["observation"] = part.inputs["observation"].sized((3,))
    policy.outputs["action"] = policy.outputs["action"].sized((2,))
    critic.inputs["action"] = critic.inputs["action"].sized((2,))
    for part in (policy, critic):
        part.build(Lanes.of(1), 0)
    return policy, critic


def episodes(lengths, junk=0.0):
    drawing, longest, count = torch.Generator().manual_seed(1), max(lengths), len(lengths)
    made = {"observation": torch.full((count, longest + 1, 3), junk), "action": torch.full((count, longest, 2), junk),
            "reward": torch.full((count, longest), junk), "terminated": torch.full((count, longest), junk),
            "mask": torch.zeros(count, longest)}
    for i, n in enumerate(lengths):
        made["observation"][i, :n + 1] = torch.randn(n + 1, 3, generator=drawing)
        made["action"][i, :n] = torch.rand(n, 2, generator=drawing) * 2 - 1
        made["reward"][i, :n] = torch.randn(n, generator=drawing)
        made["terminated"][i, :n] = 0
        made["terminated"][i, n - 1] = float(i % 2)
        made["mask"][i, :n] = 1
    return made, torch.randn(count, longest + 1, 2, generator=drawing)


def slopes(core, batch, noise):
    losses = core.losses(batch, noise)
    of_critic = torch.autograd.grad(losses.critic, list(core.critic.parameters()), retain_graph=True)
    of_policy = torch.autograd.grad(losses.policy, list(core.policy.parameters()), allow_unused=True)
    return [each for each in (*of_critic, *of_policy) if each is not None]


def test_what_stands_after_the_end_of_an_episode_changes_nothing():
    core = RecurrentActorCritic(*networks(), 2, **SETTINGS)
    (clean, noise), (dirty, _) = episodes([2, 5]), episodes([2, 5], junk=3.0)
    for mine, theirs in zip(slopes(core, clean, noise), slopes(core, dirty, noise), strict=True):
        assert torch.equal(mine, theirs)


def test_episodes_side_by_side_weigh_as_much_as_their_steps():
    core = RecurrentActorCritic(*networks(), 2, **SETTINGS)
    both, noise = episodes([2, 5])
    cut = [({name: part[i:i + 1, :n + (name == "observation")] for name, part in both.items()}, noise[i:i + 1, :n + 1])
           for i, n in enumerate((2, 5))]
    first, second = (slopes(core, *each) for each in cut)
    for together, one, two in zip(slopes(core, both, noise), first, second, strict=True):
        torch.testing.assert_close(together, (2 * one + 5 * two) / 7, rtol=1e-3, atol=1e-6)


def test_the_critics_learn_nothing_from_what_the_policy_wants():
    core = RecurrentActorCritic(*networks(), 2, **SETTINGS)
    losses = core.losses(*episodes([3]))
    memory = [parameter for name, parameter in core.critic.network.parameters().items() if name.startswith("memory")]
    assert all(slope is None for slope in torch.autograd.grad(losses.policy, memory, allow_unused=True))


def test_it_goes_on_from_what_it_saved():
    one, other = (RecurrentActorCritic(*networks(), 2, **{**SETTINGS, "ent_coef": "auto"}) for _ in range(2))
    batch, drawing = episodes([2, 4])[0], torch.Generator().manual_seed(0)
    one.advance(batch, drawing)
    other.load_state_dict(one.state_dict())
    for mine, theirs in zip((*one.policy.parameters(), *one.critic.parameters()),
                            (*other.policy.parameters(), *other.critic.parameters()), strict=True):
        theirs.data.copy_(mine.detach())
    told = [core.advance(batch, torch.Generator().manual_seed(5)) for core in (one, other)]
    assert torch.equal(*told)
    assert all(torch.equal(a, b) for a, b in zip(one._target, other._target, strict=True))


def test_it_finds_what_is_rewarded_where_only_memory_tells():
    """The reward is for repeating, at the fifth step, the sign that was shown at the first alone."""
    policy, critic = networks()
    settings = {**SETTINGS, "learning_rate": 0.02, "ent_coef": 0.02, "gamma": 0.0}
    core = RecurrentActorCritic(policy, critic, 2, **settings)
    drawing, size = torch.Generator().manual_seed(0), 32
    sign = torch.randint(0, 2, (size,), generator=drawing) * 2.0 - 1
    seen = torch.zeros(size, 6, 3)
    seen[:, 0, 0] = 5 * sign
    for _ in range(150):
        done = torch.rand(size, 5, 2, generator=drawing) * 2 - 1
        reward = torch.zeros(size, 5)
        reward[:, 4] = done[:, 4, 0] * sign
        core.advance({"observation": seen, "action": done, "reward": reward, "terminated": torch.zeros(size, 5),
                      "mask": torch.ones(size, 5)}, drawing)
    with torch.no_grad():
        told = policy.respond_sequence({"observation": seen})[0]["action"][:, 4, 0]
    assert float((told * sign).mean()) > 0.5
