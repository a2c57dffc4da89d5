"""One round of proximal policy optimisation: the equations, away from loops and buffers.

Schulman et al. 2017 (arXiv:1707.06347): equation 7 clips how far the policy moves, equation 9 adds the error of the
value and the entropy. Advantages are normalised within each minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .adam import Adam

MEASURES = ("policy_loss", "value_loss", "entropy", "clip_fraction", "approx_kl", "grad_norm")


class ProximalPolicy:
    """Improves a policy and a state value from one batch of fresh steps, in place.

    Args:
        policy: what acts (role Policy).
        value: what judges observations (role Value).
        learning_rate: of both, with one optimiser.
        clip_range: how far the probability of an action may move, as a share, before it counts no more.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value's error.
        max_grad_norm: length to which the gradient is shortened.
        target_kl: the round ends early once the policy has moved further than 1.5 times this; None: never.
    """

    def __init__(self, policy: Any, value: Any, *, learning_rate: float, clip_range: float, ent_coef: float,
                 vf_coef: float, max_grad_norm: float, target_kl: float | None) -> None:
        self.policy, self.value = policy, value
        self.clip_range, self.ent_coef, self.vf_coef = clip_range, ent_coef, vf_coef
        self.max_grad_norm, self.target_kl = max_grad_norm, target_kl
        self.parameters = [*policy.parameters(), *value.parameters()]
        self.optimiser = Adam(self.parameters, learning_rate, eps=1e-5)
        self.updates = 0

    def forget(self) -> None:
        """Return to before the first update; what was learned stays."""
        self.optimiser.forget()
        self.updates = 0

    def round(self, batch: Mapping[str, torch.Tensor], epochs: int, size: int, generator: torch.Generator
              ) -> dict[str, float]:
        """Go through the batch [rows, ...] `epochs` times in minibatches of `size`; return means of MEASURES."""
        rows, said = len(batch["advantage"]), []
        for _ in range(epochs):
            order = torch.randperm(rows, generator=generator, device=generator.device)
            for chosen in order.split(size):
                measures, moved = self._update({name: column[chosen] for name, column in batch.items()})
                said.append(measures)
                if moved:
                    break
            else:
                continue
            break
        return dict(zip(MEASURES, torch.stack(said).mean(dim=0).tolist(), strict=True))

    def _update(self, part: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, bool]:
        log_prob, entropy = self.policy.evaluate({"observation": part["observation"]}, part["action"])
        moved = log_prob.float() - part["log_prob"]
        ratio = moved.exp()
        with torch.no_grad():
            kl = (ratio - 1 - moved).mean()  # http://joschu.net/blog/kl-approx.html, its third estimator
            clipped = ((ratio - 1).abs() > self.clip_range).float().mean()
        if self.target_kl is not None and float(kl) > 1.5 * self.target_kl:
            return torch.stack([kl * 0, kl * 0, entropy.mean().detach().float(), clipped, kl, kl * 0]), True
        advantage = part["advantage"]
        if len(advantage) > 1:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        held = ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
        policy_loss = -torch.minimum(ratio * advantage, held * advantage).mean()
        value_loss = (self.value.value(part["observation"]) - part["return"]).square().mean()
        loss = policy_loss - self.ent_coef * entropy.mean() + self.vf_coef * value_loss
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        there = [gradient for gradient in gradients if gradient is not None]
        norm = torch.stack(torch._foreach_norm(there)).norm()
        share = (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        self.optimiser.descend([None if gradient is None else gradient * share for gradient in gradients])
        self.updates += 1
        told = (policy_loss, value_loss, entropy.mean(), clipped, kl, norm)
        return torch.stack([value.detach().float() for value in told]), False

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = int(state["updates"])
        self.optimiser.load_state_dict(state["optimiser"])
