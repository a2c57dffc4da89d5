"""What keeps a critic from promising much for actions that nobody tried: the conservative term, and its weight.

Kumar et al. 2020 (arXiv:2006.04779), equation 4, CQL(H): beside half the squared error of soft actor-critic a critic
lessens, for the observations s of the data and the actions a* that were taken in them,

    weight * mean over s of [ T log sum_a exp(Q(s, a) / T) - Q(s, a*) ].

The sum over all actions is estimated by importance sampling, as in appendix F there: the mean of exp(Q / T) / density
over actions that were drawn from known densities, uniform ones (density 2^-A in [-1, 1]^A), those of the policy for s,
and those of the policy for what came after s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

import numpy as np
import torch

from . import devices

MEASURES = ("cql_loss", "cql_weight", "critic_grad_norm")
_MOST = 1e6  # of a weight that is learned

Gradients = Sequence[torch.Tensor | None]


class Conservative:
    """Adds the conservative term to the gradients of a critic, and keeps these short.

    Args:
        policy: whose actions are doubted (role Policy).
        critic: what is held back (role Value), any number of members.
        actions: numbers of an action.
        cql_weight: of the term, for each member; where it is learned, what it begins with.
        temperature: T above.
        samples: actions of each of the three kinds, for each observation.
        target_action_gap: the value of the term that a learned weight aims at (appendix F, dual gradient descent);
            None: the weight is fixed.
        max_grad_norm: length to which the gradient of the critic is cut, all members together; None: it is not.
    """

    def __init__(self, policy: Any, critic: Any, actions: int, *, cql_weight: float, temperature: float, samples: int,
                 target_action_gap: float | None, max_grad_norm: float | None) -> None:
        self.policy, self.critic, self.actions, self.samples = policy, critic, actions, samples
        self.temperature, self.gap, self.max_grad_norm = temperature, target_action_gap, max_grad_norm
        self._parameters = list(critic.parameters())
        device = self._parameters[0].device
        self._begin = cql_weight
        self.fixed = torch.full((), cql_weight, device=device)
        self.log_weight = torch.zeros((), requires_grad=True, device=device)
        self.generator = devices.generator(device)
        self.forget(0)

    def forget(self, seed: int) -> None:
        """Return to the first weight; what is drawn follows from the seed."""
        self.generator.manual_seed(seed)
        with torch.no_grad():
            self.log_weight.fill_(log(self._begin) if self.gap is not None else 0.0)

    def weight(self) -> torch.Tensor:
        """Return the weight of the term."""
        return self.fixed if self.gap is None else self.log_weight.detach().exp().clamp(max=_MOST)

    def hold_back(self, batch: Mapping[str, torch.Tensor], of_critic: Gradients
                  ) -> tuple[Gradients, torch.Tensor | None, tuple[torch.Tensor, ...]]:
        """Return the gradients of a critic with the term, that of the learned weight's logarithm, and MEASURES."""
        actions, log_density = self.draw(batch)
        gaps = self.gaps(batch["observation"], batch["action"], actions, log_density)  # [members]
        weight = self.weight()
        added = torch.autograd.grad(gaps.sum(), self._parameters, allow_unused=True)
        together = [mine if more is None else weight * more if mine is None else mine + weight * more
                    for mine, more in zip(of_critic, added, strict=True)]
        told = gaps.detach().mean()
        of_weight = None if self.gap is None else self.gap - told  # less weight where the gap is smaller than wished
        norm = torch.stack(torch._foreach_norm([each for each in together if each is not None])).norm()
        return self._cut(together, norm), of_weight, (told, weight, norm)

    @torch.no_grad()
    def draw(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw actions [rows, 3 samples, actions] for the observations of a minibatch; return log-densities too."""
        rows, size, drawing = len(batch["observation"]), self.samples, self.generator
        uniform = torch.rand((rows, size, self.actions), generator=drawing, device=drawing.device) * 2 - 1
        noise = torch.randn((2, rows * size, self.actions), generator=drawing, device=drawing.device)
        actions, densities = [uniform], [torch.full_like(uniform[..., 0], -self.actions * log(2))]
        for name, mine in zip(("observation", "successor"), noise, strict=True):
            seen = batch[name].repeat_interleave(size, dim=0)
            told = self.policy.respond({"observation": seen, "noise": mine}, None)[0]
            actions.append(told["action"].view(rows, size, self.actions))
            densities.append(told["log_prob"].view(rows, size))
        return torch.cat(actions, dim=1), torch.cat(densities, dim=1)

    def gaps(self, observation: torch.Tensor, taken: torch.Tensor, actions: torch.Tensor, log_density: torch.Tensor
             ) -> torch.Tensor:
        """Return the term of each member [members], with gradients.

        Args:
            observation: [rows, observation].
            taken: actions of the data [rows, actions].
            actions: drawn ones [rows, drawn, actions].
            log_density: of these [rows, drawn].
        """
        rows, drawn = log_density.shape
        asked = torch.cat([taken[:, None], actions], dim=1).flatten(0, 1)
        seen = observation.repeat_interleave(1 + drawn, dim=0)
        promised = self.critic.value(seen, asked).reshape(-1, rows, 1 + drawn)
        among = torch.logsumexp(promised[..., 1:] / self.temperature - log_density, dim=-1) - log(drawn)
        return (self.temperature * among - promised[..., 0]).mean(dim=-1)

    def _cut(self, gradients: Gradients, norm: torch.Tensor) -> Gradients:
        if self.max_grad_norm is None:
            return gradients
        share = (self.max_grad_norm / (norm + 1e-6)).clamp(max=1)
        return [None if each is None else each * share for each in gradients]

    def state_dict(self) -> dict[str, Any]:
        return {"log_weight": float(self.log_weight.detach()), "generator": devices.keep(self.generator)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.log_weight.fill_(float(state["log_weight"]))
        devices.restore(self.generator, np.asarray(state["generator"]))
