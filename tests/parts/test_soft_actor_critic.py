"""One update of soft actor-critic against the equations written out again, and known answers."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from stimloop.components.brains.mlp import Mlp  # noqa: E402
from stimloop.components.critics.q_ensemble import QEnsemble  # noqa: E402
from stimloop.components.parts.soft_actor_critic import MEASURES, SoftActorCritic  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402

BATCH, GAMMA, TAU, RATE = 32, 0.9, 0.01, 1e-3
relu, linear = torch.nn.functional.relu, torch.nn.functional.linear


def pair(observations: int = 3, actions: int = 2, hidden: int = 16) -> tuple[Mlp, QEnsemble]:
    """A policy and two critics, built alone."""
    policy, critic = Mlp(hidden=[hidden, hidden], explore=True), QEnsemble(hidden=[hidden, hidden])
    for component in (policy, critic):
        component.inputs["observation"] = component.inputs["observation"].sized((observations,))
    policy.outputs["action"] = policy.outputs["action"].sized((actions,))
    critic.inputs["action"] = critic.inputs["action"].sized((actions,))
    policy.build(Lanes.of(1), 1)
    critic.build(Lanes.of(1), 2)
    return policy, critic


def core(policy: Mlp, critic: QEnsemble, **changes: Any) -> SoftActorCritic:
    actions = int(policy.outputs["action"].shape[0])
    return SoftActorCritic(policy, critic, actions, **{
        "learning_rate": RATE, "gamma": GAMMA, "tau": TAU, "ent_coef": "auto", "target_entropy": -float(actions),
        "target_update_interval": 1, **changes})


def test_a_critic_with_normalised_layers_learns_them_too() -> None:
    policy, _ = pair()
    critic = QEnsemble(hidden=[16, 16], layer_norm=True)
    for name, size in (("observation", 3), ("action", 2)):
        critic.inputs[name] = critic.inputs[name].sized((size,))
    critic.build(Lanes.of(1), 2)
    made, generator = core(policy, critic), torch.Generator().manual_seed(0)
    batch = draw(generator)
    losses = [made.update(batch, generator)["q_loss"] for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]
    for name, start in (("layer1/gain", 1), ("layer2/shift", 0)):
        moved = np.abs(critic.network.arrays[name] - start)  # [members, neurons]
        assert (np.median(moved, axis=1) > 0.005).all(), name  # a neuron that no row wakes learns nothing
        np.testing.assert_allclose(made.target.network.arrays[name], critic.network.arrays[name], atol=0.06)
        assert (made.target.network.arrays[name] != critic.network.arrays[name]).any()


def draw(generator: Any, observations: int = 3, actions: int = 2) -> dict[str, Any]:
    return {"observation": torch.randn(BATCH, observations, generator=generator),
            "action": torch.rand(BATCH, actions, generator=generator) * 2 - 1,
            "reward": torch.randn(BATCH, generator=generator),
            "successor": torch.randn(BATCH, observations, generator=generator),
            "terminated": (torch.rand(BATCH, generator=generator) < 0.2).float()}


class Written:
    """The same algorithm written straight down from the paper, member by member."""

    def __init__(self, policy: Mlp, critic: QEnsemble) -> None:
        self.pi, self.q = ([p.detach().clone().requires_grad_() for p in c.parameters()] for c in (policy, critic))
        self.target = [p.detach().clone() for p in self.q]
        self.log_alpha = torch.zeros((), requires_grad=True)
        self.steps = [torch.optim.Adam(group, RATE) for group in (self.pi, self.q, [self.log_alpha])]

    def act(self, observation: Any, noise: Any) -> tuple[Any, Any]:
        w = self.pi
        hidden = relu(linear(relu(linear(observation, w[0], w[1])), w[2], w[3]))
        normal = torch.distributions.Normal(linear(hidden, w[4], w[5]), linear(hidden, w[6], w[7]).clamp(-20, 2).exp())
        before = normal.mean + normal.stddev * noise
        action = before.tanh()
        slope = torch.log1p(-action.double().square()).float()
        return action, (normal.log_prob(before) - slope).sum(-1)

    def values(self, observation: Any, action: Any, w: list[Any]) -> Any:
        told = []
        for k in range(2):
            x = torch.cat([observation, action], -1)
            x = relu(linear(relu(linear(x, w[0][k], w[1][k])), w[2][k], w[3][k]))
            told.append(linear(x, w[4][k], w[5][k])[:, 0])
        return torch.stack(told)

    def update(self, batch: dict[str, Any], noise: Any) -> None:
        action, log_prob = self.act(batch["observation"], noise[0])
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            after, after_log_prob = self.act(batch["successor"], noise[1])
            soft = self.values(batch["successor"], after, self.target).min(0).values - alpha * after_log_prob
            wanted = batch["reward"] + GAMMA * (1 - batch["terminated"]) * soft
        q_loss = sum(0.5 * (told - wanted).square().mean()
                     for told in self.values(batch["observation"], batch["action"], self.q))
        policy_loss = (alpha * log_prob - self.values(batch["observation"], action, self.q).min(0).values).mean()
        alpha_loss = -(self.log_alpha * (log_prob.detach() - 2.0)).mean()
        groups = (self.pi, self.q, [self.log_alpha])
        losses = (policy_loss, q_loss, alpha_loss)
        gradients = [torch.autograd.grad(loss, group, retain_graph=True)
                     for loss, group in zip(losses, groups, strict=True)]
        for group, given, step in zip(groups, gradients, self.steps, strict=True):
            for parameter, gradient in zip(group, given, strict=True):
                parameter.grad = gradient.clone(memory_format=torch.contiguous_format)
            step.step()
        with torch.no_grad():
            for target, parameter in zip(self.target, self.q, strict=True):
                target.mul_(1 - TAU).add_(TAU * parameter)


def apart(left: Any, right: Any) -> float:
    return max(float((a.detach() - b.detach()).abs().max()) for a, b in zip(left, right, strict=True))


def test_updates_are_those_of_the_paper():
    policy, critic = pair()
    ours, written = core(policy, critic), Written(policy, critic)
    mine, theirs, batches = (torch.Generator().manual_seed(seed) for seed in (1, 1, 5))
    for _ in range(20):
        batch = draw(batches)
        said = ours.update(batch, mine)
        written.update(batch, torch.randn((2, BATCH, 2), generator=theirs))
    assert set(said) == set(MEASURES)
    assert apart(policy.parameters(), written.pi) < 2e-5
    assert apart(critic.parameters(), written.q) < 2e-5
    assert apart(ours.target.parameters(), written.target) < 2e-5
    assert ours.log_ent_coef.item() == pytest.approx(written.log_alpha.item(), abs=1e-6)


def test_a_state_value_learns_what_the_slow_critic_thinks_of_the_policy():
    """Besides, nothing changes: critics and policy are those without it."""
    from stimloop.components.critics.value_mlp import ValueMlp

    value = ValueMlp(hidden=[16, 16], activation="relu")
    value.inputs["observation"] = value.inputs["observation"].sized((3,))
    value.build(Lanes.of(1), 3)
    (policy, critic), plain = pair(), core(*pair())
    ours, written = core(policy, critic, state_value=value), Written(policy, critic)
    v = [p.detach().clone().requires_grad_() for p in value.parameters()]
    slow, step = [p.detach().clone() for p in v], torch.optim.Adam(v, RATE)
    mine, theirs, other, batches = (torch.Generator().manual_seed(seed) for seed in (1, 1, 1, 5))
    for _ in range(20):
        batch, noise = draw(batches), torch.randn((2, BATCH, 2), generator=theirs)
        with torch.no_grad():
            action, log_prob = written.act(batch["observation"], noise[0])
            wanted = (written.values(batch["observation"], action, written.target).min(0).values
                      - written.log_alpha.exp() * log_prob)
        told = linear(relu(linear(relu(linear(batch["observation"], v[0], v[1])), v[2], v[3])), v[4], v[5])[:, 0]
        loss = 0.5 * (told - wanted).square().mean()
        for parameter, gradient in zip(v, torch.autograd.grad(loss, v), strict=True):
            parameter.grad = gradient
        said = ours.update(batch, mine)
        assert said["v_loss"] == pytest.approx(loss.item(), rel=1e-3)
        assert said["v_mean"] == pytest.approx(told.mean().item(), abs=1e-5)
        plain.update(batch, other)
        written.update(batch, noise)
        step.step()
        for kept, parameter in zip(slow, v, strict=True):
            kept.mul_(1 - TAU).add_(TAU * parameter.detach())
    assert apart(value.parameters(), v) < 2e-5
    assert apart(ours.states.parameters(), slow) < 2e-5
    assert apart(plain.policy.parameters(), policy.parameters()) == 0
    assert apart(plain.critic.parameters(), critic.parameters()) == 0


def test_rewards_may_count_more_than_once():
    batch, generators = draw(torch.Generator().manual_seed(5)), [torch.Generator().manual_seed(1) for _ in range(2)]
    scaled, plain = core(*pair(), reward_scale=3.0), core(*pair())
    said = [scaled.update(batch, generators[0]),
            plain.update({**batch, "reward": 3 * batch["reward"]}, generators[1])]
    assert said[0] == said[1]


def test_it_goes_on_from_its_state_to_the_last_bit():
    batches = torch.Generator().manual_seed(5)
    drawn = [draw(batches) for _ in range(8)]

    def finish(ours: SoftActorCritic, first: int, generator: Any) -> None:
        for batch in drawn[first:]:
            ours.update(batch, generator)

    whole, stopped = core(*pair()), core(*pair())
    generator, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    finish(whole, 0, generator)
    for batch in drawn[:4]:
        stopped.update(batch, other)
    learned = [c.state_dict()["learned"] for c in (stopped.policy, stopped.critic)]
    again = core(*pair())
    for component, kept in zip((again.policy, again.critic), learned, strict=True):
        component.load_state_dict({"learned": kept})
    again.load_state_dict(stopped.state_dict())
    finish(again, 4, other)
    assert apart(whole.policy.parameters(), again.policy.parameters()) == 0
    assert apart(whole.critic.parameters(), again.critic.parameters()) == 0
    assert apart(whole.target.parameters(), again.target.parameters()) == 0
    whole.forget()
    assert apart(whole.target.parameters(), whole.critic.parameters()) == 0


def test_a_bandit_is_won():
    """The best arm depends on what is seen: reward is minus the squared distance to 0.6 * sign(observation)."""
    policy, critic = pair(1, 1, 32)
    ours, generator = core(policy, critic, learning_rate=3e-3, ent_coef=0.005), torch.Generator().manual_seed(0)
    for _ in range(800):
        observation = torch.randint(0, 2, (128, 1), generator=generator) * 2.0 - 1
        action = torch.rand(128, 1, generator=generator) * 2 - 1
        reward = -(action - 0.6 * observation)[:, 0].square()
        ours.update({"observation": observation, "action": action, "reward": reward, "successor": observation,
                     "terminated": torch.ones(128)}, generator)
    seen = np.array([[-1], [1]], np.float32)
    assert policy.respond({"observation": seen})[0]["action"][:, 0] == pytest.approx([-0.6, 0.6], abs=0.08)
    assert critic.value(seen, np.array([[-0.6], [0.6]], np.float32)) == pytest.approx(0, abs=0.05)


def test_a_constant_reward_is_worth_what_the_series_says():
    policy, critic = pair(1, 1, 16)
    ours = core(policy, critic, learning_rate=3e-3, ent_coef=0.0, tau=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(1500):
        ours.update({**draw(generator, 1, 1), "reward": torch.ones(BATCH), "terminated": torch.zeros(BATCH)}, generator)
    told = critic.value(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    assert told == pytest.approx(1 / (1 - GAMMA), rel=0.05)


def test_a_linear_system_is_steered_as_riccati_says():
    """x' = 0.9 x + 0.5 u at a cost of x^2 + 0.2 u^2 a step: the best u is -K x, and its value -P x^2."""
    a, b, q, r = 0.9, 0.5, 1.0, 0.2
    p = q
    for _ in range(200):
        p = q + GAMMA * a * a * p - (GAMMA * a * b * p) ** 2 / (r + GAMMA * b * b * p)
    gain = GAMMA * a * b * p / (r + GAMMA * b * b * p)
    policy, critic = pair(1, 1, 32)
    ours = core(policy, critic, learning_rate=3e-3, ent_coef=0.002, tau=0.02)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2500):
        x, u = (torch.rand(128, 1, generator=generator) * 2 - 1 for _ in range(2))
        ours.update({"observation": x, "action": u, "reward": -(q * x.square() + r * u.square())[:, 0],
                     "successor": a * x + b * u, "terminated": torch.zeros(128)}, generator)
    x = np.linspace(-0.7, 0.7, 8, dtype=np.float32)[:, None]
    u = policy.respond({"observation": x})[0]["action"]
    assert np.abs(u + gain * x).max() < 0.12
    assert np.abs(critic.value(x, u).mean(axis=0) + p * x[:, 0] ** 2).max() < 0.1
