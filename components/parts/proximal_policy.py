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
        """Go through the batch [rows, ...] `epochs` times in minibatches of `size`; return means of MEASURES.

        A minibatch that ends the round is measured and not learned from, so it has no gradient to speak of.
        """
        return dict(zip(MEASURES, self.advance(batch, epochs, size, generator).tolist(), strict=True))

    def advance(self, batch: Mapping[str, torch.Tensor], epochs: int, size: int, generator: torch.Generator
                ) -> torch.Tensor:
        """The same; return the measures without waiting for them (with a `target_kl` every minibatch is waited for)."""
        rows, said, norms = len(batch["advantage"]), [], []
        for _ in range(epochs):
            order = torch.randperm(rows, generator=generator, device=generator.device)
            parts = [column[order].split(size) for column in batch.values()]
            for part in zip(*parts, strict=True):
                measures, norm = self._update(dict(zip(batch, part, strict=True)))
                said.append(measures)
                if norm is None:
                    break
                norms.append(norm)
            else:
                continue
            break
        measures = torch.stack(said).mean(dim=0)
        of_gradients = torch.stack(norms).mean() if norms else measures.new_zeros(())
        return torch.cat([measures, of_gradients[None]])

    def _update(self, part: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return all MEASURES but the last, and the length of the gradient: None where the policy had moved too far."""
        log_prob, entropy = self.policy.evaluate({"observation": part["observation"]}, part["action"])
        judged = self.value.value(part["observation"])
        with torch.no_grad():
            slopes, measures = self._slopes(log_prob.float(), entropy.float(), judged, part)
        if self.target_kl is not None and float(measures[4]) > 1.5 * self.target_kl:
            return measures, None
        asked = [(log_prob, slopes[0]), (judged, slopes[1])]
        if self.ent_coef and entropy.requires_grad:  # a constant deviation has no slope
            asked.append((entropy, torch.full_like(entropy, -self.ent_coef / len(entropy))))
        gradients = torch.autograd.grad([said for said, _ in asked], self.parameters,
                                        [slope.to(said.dtype) for said, slope in asked], allow_unused=True)
        there = [gradient for gradient in gradients if gradient is not None]
        norm = torch.stack(torch._foreach_norm(there)).norm()
        share = (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        shortened = iter(torch._foreach_mul(there, share))  # not in place: autograd may give two parameters one tensor
        self.optimiser.descend([None if gradient is None else next(shortened) for gradient in gradients])
        self.updates += 1
        return measures, norm

    def _slopes(self, log_prob: torch.Tensor, entropy: torch.Tensor, judged: torch.Tensor,
                part: Mapping[str, torch.Tensor]) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return how the loss falls with log-probabilities and with values [rows], and all MEASURES but the last.

        Written out, for the bookkeeping of autograd would cost more than these few lines: of equation 7, the
        probability ratio has a slope where the minimum takes the ratio that is not clipped.
        """
        moved = log_prob - part["log_prob"]
        ratio = moved.exp()
        advantage = part["advantage"]
        if len(advantage) > 1:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        held = ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
        free, kept = ratio * advantage, held * advantage
        lesser, wrong = torch.minimum(free, kept), judged - part["return"]
        to_log_prob = torch.where(free <= kept, free, 0.0) / -len(ratio)
        kl = ratio - 1 - moved  # http://joschu.net/blog/kl-approx.html, its third estimator
        measures = torch.stack([-lesser, wrong * wrong, entropy, (held != ratio).float(), kl]).mean(dim=1)
        return (to_log_prob, wrong * (2 * self.vf_coef / len(wrong))), measures

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = int(state["updates"])
        self.optimiser.load_state_dict(state["optimiser"])
