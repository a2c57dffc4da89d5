"""Proximal policy optimisation: one update against the equations written out again, and known answers."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from stimloop.components.brains.mlp import Mlp  # noqa: E402
from stimloop.components.critics.value_mlp import ValueMlp  # noqa: E402
from stimloop.components.parts.proximal_policy import MEASURES, ProximalPolicy  # noqa: E402
from stimloop.components.parts.returns import advantages  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402

SETTINGS = {"learning_rate": 1e-3, "clip_range": 0.2, "ent_coef": 0.01, "vf_coef": 0.5, "max_grad_norm": 0.5,
            "target_kl": None}


def pair(observations: int = 3, actions: int = 2, hidden: int = 16, choices: int = 0) -> tuple[Mlp, ValueMlp]:
    policy, value = Mlp(hidden=[hidden, hidden], explore=True, choices=choices), ValueMlp(hidden=[hidden, hidden])
    for component in (policy, value):
        component.inputs["observation"] = component.inputs["observation"].sized((observations,))
    if not choices:
        policy.outputs["action"] = policy.outputs["action"].sized((actions,))
    policy.build(Lanes.of(1), 1)
    value.build(Lanes.of(1), 2)
    return policy, value


def gather(policy: Mlp, observation: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Actions of a policy that explores, and their log-probability."""
    size = len(observation)
    noise = rng.random(size) if policy.choices else rng.standard_normal((size, policy.outputs["action"].shape[0]))
    answer, _ = policy.respond({"observation": observation, "noise": noise})
    return answer["action"], answer["log_prob"].astype(np.float32)


def as_batch(**columns: np.ndarray) -> dict[str, Any]:
    return {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in columns.items()}


def test_an_update_is_that_of_the_paper():
    rng, (policy, value) = np.random.default_rng(0), pair()
    seen = rng.standard_normal((64, 3)).astype(np.float32)
    action, log_prob = gather(policy, seen, rng)
    batch = as_batch(observation=seen, action=action, log_prob=log_prob + rng.normal(0, 0.2, 64).astype(np.float32),
                     advantage=rng.standard_normal(64).astype(np.float32),
                     **{"return": rng.standard_normal(64).astype(np.float32)})
    core = ProximalPolicy(policy, value, **SETTINGS)
    before = [parameter.detach().clone().requires_grad_() for parameter in core.parameters]
    w, v = before[:8], before[8:]
    linear, tanh = torch.nn.functional.linear, torch.tanh
    hidden = linear(linear(batch["observation"], w[0], w[1]).relu(), w[2], w[3]).relu()
    normal = torch.distributions.Normal(linear(hidden, w[4], w[5]), linear(hidden, w[6], w[7]).exp())
    a = batch["action"]
    now = (normal.log_prob(a.atanh()) - torch.log1p(-a.square())).sum(-1)
    ratio = (now - batch["log_prob"]).exp()
    A = (batch["advantage"] - batch["advantage"].mean()) / (batch["advantage"].std() + 1e-8)
    clip = torch.minimum(ratio * A, ratio.clamp(0.8, 1.2) * A).mean()
    judged = linear(tanh(linear(tanh(linear(batch["observation"], v[0], v[1])), v[2], v[3])), v[4], v[5])[:, 0]
    loss = -clip + 0.5 * (judged - batch["return"]).square().mean() - 0.01 * normal.entropy().sum(-1).mean()
    gradients = torch.autograd.grad(loss, before)
    norm = torch.sqrt(sum(g.square().sum() for g in gradients))
    said = core.round(batch, 1, 64, torch.Generator().manual_seed(0))
    assert set(said) == set(MEASURES)
    assert said["policy_loss"] == pytest.approx(-clip.item(), abs=1e-5)
    assert said["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert said["clip_fraction"] == pytest.approx(((ratio - 1).abs() > 0.2).float().mean().item())
    optimiser = torch.optim.Adam(before, 1e-3, eps=1e-5)
    for parameter, gradient in zip(before, gradients, strict=True):
        parameter.grad = gradient * (0.5 / norm).clamp(max=1)
    optimiser.step()
    for mine, theirs in zip(core.parameters, before, strict=True):
        assert float((mine - theirs).detach().abs().max()) < 2e-5


def test_a_round_stops_where_the_policy_has_moved_far():
    """It ends at the first minibatch whose estimate is beyond 1.5 times the target, before learning from it."""
    rng, (policy, value) = np.random.default_rng(0), pair()
    seen = rng.standard_normal((64, 3)).astype(np.float32)
    action, log_prob = gather(policy, seen, rng)
    batch = as_batch(observation=seen, action=action, log_prob=log_prob, advantage=action[:, 0],
                     **{"return": np.zeros(64, np.float32)})
    settings = {**SETTINGS, "learning_rate": 0.003}
    free, norms, moved = ProximalPolicy(policy, value, **settings), [], []
    learned = [parameter.detach().clone() for parameter in free.parameters]
    for _ in range(50):
        said = free.round(batch, 1, 64, torch.Generator().manual_seed(0))
        moved.append(said["approx_kl"])
        norms.append(said["grad_norm"])
    stop = next(i for i, kl in enumerate(moved) if kl > 1.5 * 0.01)
    assert 2 < stop < 40
    with torch.no_grad():
        for parameter, before in zip(free.parameters, learned, strict=True):
            parameter.copy_(before)
    core = ProximalPolicy(policy, value, **{**settings, "target_kl": 0.01})
    said = core.round(batch, 50, 64, torch.Generator().manual_seed(0))
    assert core.updates == stop
    assert said["approx_kl"] == pytest.approx(np.mean(moved[:stop + 1]), rel=1e-3)
    assert said["grad_norm"] == pytest.approx(np.mean(norms[:stop]), rel=1e-3)


@pytest.mark.parametrize("choices", [0, 3])
def test_a_bandit_is_won(choices):
    rng, (policy, value) = np.random.default_rng(0), pair(1, 1, 16, choices)
    core = ProximalPolicy(policy, value, **{**SETTINGS, "learning_rate": 3e-3, "ent_coef": 0.0})
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        seen = rng.choice([-1.0, 1.0], (256, 1)).astype(np.float32)
        action, log_prob = gather(policy, seen, rng)
        if choices:
            reward = (action == np.where(seen[:, 0] > 0, 2, 0)).astype(np.float32)
        else:
            reward = -np.square(action[:, 0] - 0.6 * seen[:, 0])
        judged = value.value(seen)
        core.round(as_batch(observation=seen, action=action, log_prob=log_prob, advantage=reward - judged,
                            **{"return": reward}), 10, 256, generator)
    best = policy.respond({"observation": np.array([[-1], [1]], np.float32)})[0]["action"]
    assert best.ravel() == pytest.approx([0, 2] if choices else [-0.6, 0.6], abs=0.1)


def test_a_linear_system_is_steered_as_riccati_says():
    """x' = 0.9 x + 0.5 u at a cost of x^2 + 0.5 u^2 a step: the best u is -K x."""
    a, b, q, r, gamma = 0.9, 0.5, 1.0, 0.5, 0.9
    p = q
    for _ in range(200):
        p = q + gamma * a * a * p - (gamma * a * b * p) ** 2 / (r + gamma * b * b * p)
    gain = gamma * a * b * p / (r + gamma * b * b * p)
    rng, (policy, value) = np.random.default_rng(0), pair(1, 1, 32)
    core = ProximalPolicy(policy, value, **{**SETTINGS, "learning_rate": 1e-3, "ent_coef": 0.0})
    generator, lanes, time = torch.Generator().manual_seed(0), 256, 4
    for _ in range(120):
        x, rows = rng.uniform(-1, 1, (lanes, 1)).astype(np.float32), []
        for _ in range(time):
            u, log_prob = gather(policy, x, rng)
            after = (a * x + b * u).astype(np.float32)
            rows.append((x, u, log_prob, -(q * x**2 + r * u**2)[:, 0].astype(np.float32), after))
            x = after
        seen, done, log_prob, reward, after = (np.stack(column) for column in zip(*rows, strict=True))
        judged, later = (value.value(part.reshape(-1, 1)).reshape(time, lanes) for part in (seen, after))
        none = np.zeros((time, lanes), bool)
        found = advantages(reward, judged, later, none, ~none, ~none, gamma, 0.95)
        core.round(as_batch(observation=seen.reshape(-1, 1), action=done.reshape(-1, 1), log_prob=log_prob.ravel(),
                            advantage=found.ravel().astype(np.float32),
                            **{"return": (found + judged).ravel().astype(np.float32)}), 10, 512, generator)
    x = np.linspace(-0.7, 0.7, 8, dtype=np.float32)[:, None]
    assert np.abs(policy.respond({"observation": x})[0]["action"] + gain * x).max() < 0.12
