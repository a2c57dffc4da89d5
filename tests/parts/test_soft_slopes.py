"""Slopes of soft actor-critic written out are those that autograd finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")
from stimloop.components.brains.mlp import Mlp  # noqa: E402
from stimloop.components.critics.q_ensemble import QEnsemble  # noqa: E402
from stimloop.components.critics.value_mlp import ValueMlp  # noqa: E402
from stimloop.components.parts import products  # noqa: E402
from stimloop.components.parts.lesions import Lesion  # noqa: E402
from stimloop.components.parts.soft_actor_critic import SoftActorCritic  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402

OBSERVATIONS, ACTIONS, BATCH = 5, 3, 48


def _core(hidden: list[int], activation: Any, members: int, states: bool = True, **brain: Any) -> SoftActorCritic:
    policy = Mlp(hidden=hidden, activation=activation, explore=True, **brain)
    critic = QEnsemble(hidden=hidden, activation=activation, members=members)
    value = ValueMlp(hidden=hidden, activation=activation)
    for seed, component in enumerate((policy, critic, value)):
        component.inputs["observation"] = component.inputs["observation"].sized((OBSERVATIONS,))
        ports = component.outputs if component is policy else component.inputs
        if "action" in ports:
            ports["action"] = ports["action"].sized((ACTIONS,))
        component.build(Lanes.of(1), seed)
    return SoftActorCritic(policy, critic, ACTIONS, learning_rate=1e-3, gamma=0.9, tau=0.05, ent_coef="auto",
                           target_entropy="auto", target_update_interval=1, reward_scale=2.0,
                           state_value=value if states else None)


def _batch(seed: int = 0, rows: int = BATCH) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {"observation": 3 * torch.randn(rows, OBSERVATIONS, generator=generator),
            "action": torch.rand(rows, ACTIONS, generator=generator) * 2 - 1,
            "reward": torch.randn(rows, generator=generator),
            "successor": torch.randn(rows, OBSERVATIONS, generator=generator),
            "terminated": (torch.rand(rows, generator=generator) < 0.3).float()}


def _close(left: Any, right: Any) -> None:
    for mine, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(mine.detach(), theirs.detach(), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize(("hidden", "activation", "members"), [
    ([16, 12], "relu", 2), ([16, 12], "tanh", 2), ([9], "relu", 3), ([8, 9, 7], "relu", 1), ([256, 256], "relu", 2)])
def test_they_are_those_of_autograd(hidden: list[int], activation: str, members: int, pays: bool, monkeypatch) -> None:
    monkeypatch.setattr(products, "PAYS", pays and products._ONEDNN is not None)
    core, batch, noise = _core(hidden, activation, members), _batch(), torch.randn(2, BATCH, ACTIONS)
    slopes, of_states = core._written(batch)
    assert slopes is not None
    assert of_states is not None
    ent_coef = torch.tensor(0.3)
    theirs = core._differentiated(batch, noise, ent_coef)
    wanted = core._learn_states(batch["observation"], theirs, ent_coef, None)
    for _ in range(2):  # memory used again leaves nothing behind
        mine = slopes.compute(batch, noise, ent_coef, core.gamma, core.reward_scale, worth=True)
        _close(mine.of_critic, theirs.of_critic)
        _close(mine.of_policy, theirs.of_policy)
        _close(mine[2:7], theirs[2:7])
        found = core._learn_states(batch["observation"], mine, ent_coef, of_states)
        _close(found[0], wanted[0])
        _close(found[1], wanted[1])


def test_deviations_at_their_bounds_pass_no_slope() -> None:
    core, batch, noise = _core([16], "relu", 2), _batch(), torch.randn(2, BATCH, ACTIONS)
    core.policy.network.arrays["log_deviation/bias"][:] = [5.0, -30.0, 0.0]
    slopes, _ = core._written(batch)
    mine = slopes.compute(batch, noise, torch.tensor(0.3), core.gamma, 1.0, worth=False)
    names = list(core.policy.network.parameters())
    bias = mine.of_policy[names.index("log_deviation/bias")]
    assert bias[0] == 0
    assert bias[1] == 0
    assert bias[2] != 0


def test_critics_that_are_never_the_least_pass_nothing() -> None:
    core, batch, noise = _core([16], "relu", 2), _batch(), torch.randn(2, BATCH, ACTIONS)
    core.critic.network.arrays["out/bias"][1] = 1e3
    slopes, _ = core._written(batch)
    mine = slopes.compute(batch, noise, torch.tensor(0.3), core.gamma, core.reward_scale, worth=False)
    _close(mine.of_policy, core._differentiated(batch, noise, torch.tensor(0.3)).of_policy)


def test_what_is_not_plain_is_left_to_autograd() -> None:
    assert _core([8], "relu", 2, lesion=Lesion(fraction=0.5))._written(_batch()) == (None, None)
    assert _core([8], "relu", 2, normalise=True)._written(_batch()) == (None, None)
    slopes, of_states = _core([8], "relu", 2, states=False)._written(_batch())
    assert slopes is not None
    assert of_states is None


def test_weights_put_into_new_memory_are_seen() -> None:
    core, batch, noise = _core([8], "relu", 2), _batch(), torch.randn(2, BATCH, ACTIONS)
    slopes, _ = core._written(batch)
    for parameter in (*core.policy.parameters(), *core.critic.parameters()):
        parameter.data = parameter.detach() * 2
    mine = slopes.compute(batch, noise, torch.tensor(0.3), core.gamma, core.reward_scale, worth=False)
    theirs = core._differentiated(batch, noise, torch.tensor(0.3))
    _close(mine.of_critic, theirs.of_critic)
    _close(mine.of_policy, theirs.of_policy)
    assert np.allclose(core.policy.network.arrays["mean/bias"], core.policy.parameters()[3].detach().numpy())
