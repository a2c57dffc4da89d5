"""The conservative term against values worked out by hand, against SAC without it, and what it does to a critic."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from parts.test_soft_actor_critic import apart, draw, pair  # noqa: E402
from stimloop.components.parts.conservative import Conservative  # noqa: E402
from stimloop.components.parts.soft_actor_critic import SoftActorCritic  # noqa: E402

SETTINGS: dict[str, Any] = {"learning_rate": 1e-3, "gamma": 0.9, "tau": 0.01, "ent_coef": "auto",
                            "target_entropy": "auto", "target_update_interval": 1}
TERM: dict[str, Any] = {"cql_weight": 1.0, "temperature": 1.0, "samples": 10, "target_action_gap": None,
                        "max_grad_norm": None}


class Told:
    """A value that says what a table says: Q(s, a) = s + k a^2 for each member's k."""

    def __init__(self, *slopes: float) -> None:
        self.slopes = torch.tensor(slopes, requires_grad=True)

    def parameters(self) -> list[Any]:
        return [self.slopes]

    def value(self, observation: Any, action: Any) -> Any:
        return observation[:, 0] + self.slopes[:, None] * action[:, 0].square()


def made(critic: Any, policy: Any = None, actions: int = 1, **changes: Any) -> Conservative:
    return Conservative(policy, critic, actions, **{**TERM, **changes})


def column(*values: float) -> Any:
    return torch.tensor(values)[:, None]


def test_the_term_is_the_one_worked_out_by_hand():
    """Two observations, the actions 0 and 1 drawn with densities 1/2 and 1/4, 1/2 taken, Q = s + 2 a^2 and s - a^2."""
    gaps = made(Told(2.0, -1.0)).gaps(
        column(3.0, 7.0), column(0.5, 0.5), torch.tensor([[[0.0], [1.0]]] * 2), torch.tensor([[0.5, 0.25]] * 2).log())
    # (exp(s) / (1/2) + exp(s + 2) / (1/4)) / 2 = exp(s) (1 + 2 e^2), whatever s is; taken: s + 2/4, and s - 1/4
    by_hand = [np.log(1 + 2 * np.exp(2)) - 0.5, np.log(1 + 2 * np.exp(-1)) + 0.25]
    np.testing.assert_allclose(gaps.detach().numpy(), by_hand, rtol=1e-5)


def test_a_cold_term_is_the_best_action_and_a_hot_one_the_mean():
    critic, actions = Told(2.0), torch.linspace(-1, 1, 101)[None, :, None]
    density = torch.full((1, 101), -float(np.log(2)))
    gaps = {t: float(made(critic, temperature=t).gaps(column(3.0), column(0.0), actions, density).detach())
            for t in (0.001, 1000.0)}
    assert gaps[0.001] == pytest.approx(2.0, abs=0.01)  # of a = 1, above a = 0
    # T log(2 mean exp(Q / T)) goes to mean Q + T log 2: the size of the space of actions stays
    assert gaps[1000.0] - 1000 * np.log(2) == pytest.approx(2 / 3, abs=0.03)


def test_drawn_actions_estimate_the_integral_over_all_of_them():
    """With 2 actions and Q = s + k a_0^2 the integral of exp Q over the square is known from a fine grid."""
    policy, _ = pair(observations=1, actions=2)
    critic, rows = Told(1.5), 400
    batch = {"observation": torch.zeros(rows, 1), "successor": torch.ones(rows, 1), "action": torch.zeros(rows, 2)}
    term = made(critic, policy, 2, samples=50)
    actions, log_density = term.draw(batch)
    assert actions.shape == (rows, 150, 2)
    grid = np.linspace(-1, 1, 20001)
    exactly = np.log(np.trapezoid(np.exp(1.5 * grid**2), grid) * 2)
    for kind in (slice(0, 50), slice(50, 100), slice(100, 150), slice(None)):  # uniform, of now, of what follows, all
        told = (1.5 * actions[:, kind, 0].square() - log_density[:, kind]).flatten()
        assert float(told.exp().mean().log()) == pytest.approx(exactly, abs=0.1), kind


def test_densities_are_those_of_the_policy_at_what_it_saw():
    policy, critic = pair()
    batch = draw(torch.Generator().manual_seed(3))
    actions, log_density = made(critic, policy, 2, samples=4).draw(batch)
    np.testing.assert_allclose(log_density[:, :4], -2 * np.log(2), rtol=1e-6)
    for kind, seen in ((slice(4, 8), "observation"), (slice(8, 12), "successor")):
        for i in range(kind.start, kind.stop):
            told, _ = policy.evaluate({"observation": batch[seen]}, actions[:, i])
            np.testing.assert_allclose(log_density[:, i], told.detach().double(), rtol=1e-3, atol=1e-3)


def test_the_gradient_is_that_of_the_loss_written_down():
    policy, critic = pair()
    batch = draw(torch.Generator().manual_seed(3))
    zeros = [torch.zeros_like(p) for p in critic.parameters()]
    term = made(critic, policy, 2, cql_weight=0.7)
    got, of_weight, (told, weight, _) = term.hold_back(batch, zeros)
    term.forget(0)
    actions, log_density = term.draw(batch)
    losses = []
    for k in range(2):
        rows = []
        for row in range(len(batch["reward"])):
            seen = batch["observation"][row].expand(30, -1)
            promised = critic.value(seen, actions[row])[k] - log_density[row]
            taken = critic.value(seen[:1], batch["action"][row:row + 1])[k, 0]
            rows.append((promised.exp().mean()).log() - taken)
        losses.append(torch.stack(rows).mean())
    expected = torch.autograd.grad(0.7 * sum(losses), critic.parameters())
    assert apart(got, expected) < 1e-5
    assert of_weight is None
    assert float(weight) == pytest.approx(0.7)
    assert float(told) == pytest.approx(float(sum(losses).detach()) / 2, rel=1e-4)


def learners(**changes: Any) -> tuple[SoftActorCritic, Any, Any]:
    policy, critic = pair()
    held = Conservative(policy, critic, 2, **{**TERM, **changes}) if changes else None
    return SoftActorCritic(policy, critic, 2, **SETTINGS, conservative=held), policy, critic


def test_without_weight_it_is_soft_actor_critic_to_the_last_bit():
    plain, held = learners(), learners(cql_weight=0.0)
    for core, _, _ in (plain, held):
        batches, noise = torch.Generator().manual_seed(5), torch.Generator().manual_seed(1)
        for _ in range(10):
            told = core.update(draw(batches), noise)
    for mine, theirs in zip(plain[1:], held[1:], strict=True):
        assert apart(mine.parameters(), theirs.parameters()) == 0
    assert {"cql_loss", "cql_weight", "critic_grad_norm"} <= told.keys()
    other = learners(cql_weight=1.0)
    batches, noise = torch.Generator().manual_seed(5), torch.Generator().manual_seed(1)
    other[0].update(draw(batches), noise)
    assert apart(plain[2].parameters(), other[2].parameters()) > 0


def test_a_long_gradient_is_cut_to_its_length_and_a_short_one_left():
    policy, critic = pair()
    batch, zeros = draw(torch.Generator().manual_seed(3)), [torch.zeros_like(p) for p in critic.parameters()]
    whole, _, (_, _, norm) = made(critic, policy, 2).hold_back(batch, zeros)
    for limit, length in ((float(norm) / 3, float(norm) / 3), (float(norm) * 3, float(norm))):
        cut, _, _ = made(critic, policy, 2, max_grad_norm=limit).hold_back(batch, zeros)
        assert float(torch.stack([g.norm() for g in cut]).norm()) == pytest.approx(length, rel=1e-4)
        assert apart([g * length / float(norm) for g in whole], cut) < 1e-6


@pytest.mark.parametrize(("gap", "direction"), [(-50.0, 1), (50.0, -1)])
def test_a_learned_weight_rises_where_the_term_is_above_its_aim_and_falls_below(gap: float, direction: int):
    core, _, _ = learners(target_action_gap=gap, cql_weight=2.0)
    batches, noise = torch.Generator().manual_seed(5), torch.Generator().manual_seed(1)
    weights = [core.update(draw(batches), noise)["cql_weight"] for _ in range(6)]
    assert weights[0] == pytest.approx(2.0)
    assert all((after - before) * direction > 0 for before, after in pairwise(weights))


def test_a_learned_weight_goes_on_where_it_was_saved():
    core, _, _ = learners(target_action_gap=-5.0, cql_weight=2.0)
    batches, noise = torch.Generator().manual_seed(5), torch.Generator().manual_seed(1)
    for _ in range(3):
        core.update(draw(batches), noise)
    held = core.conservative
    assert held is not None
    state, batch = held.state_dict(), draw(batches)
    first = held.draw(batch)
    fresh = made(core.critic, core.policy, 2, target_action_gap=-5.0, cql_weight=2.0)
    fresh.load_state_dict(state)
    assert float(fresh.weight()) == float(held.weight()) != 2.0
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(first, fresh.draw(batch), strict=True))


def test_a_conservative_critic_promises_less_for_actions_that_nobody_tried():
    """A bandit whose reward is its action, 0.5 at the most in the data: SAC's critic goes on upwards, CQL's not."""
    rng, promised = np.random.default_rng(0), {}
    action = torch.from_numpy(rng.uniform(-0.5, 0.5, (256, 1)).astype(np.float32))
    seen, one = torch.zeros(256, 1), torch.ones(256)
    batch = {"observation": seen, "successor": seen, "action": action, "reward": action[:, 0], "terminated": one}
    for weight in (0.0, 1.0):
        policy, critic = pair(observations=1, actions=1)
        held = made(critic, policy, cql_weight=weight)
        core = SoftActorCritic(policy, critic, 1, **{**SETTINGS, "learning_rate": 3e-3}, conservative=held)
        noise = torch.Generator().manual_seed(1)
        for _ in range(300):
            core.advance(batch, noise)
        asked = column(0.0, 0.4, 0.95)
        with torch.no_grad():
            promised[weight] = critic.value(torch.zeros(3, 1), asked).mean(0).numpy()
    plain, conservative = promised[0.0], promised[1.0]
    assert plain[1] == pytest.approx(0.4, abs=0.1)  # what the data say
    assert plain[2] > plain[1] + 0.2  # what they do not say is made up
    assert conservative[2] < conservative[1] - 0.2  # and is not believed
    assert conservative[2] < plain[2] - 0.5
