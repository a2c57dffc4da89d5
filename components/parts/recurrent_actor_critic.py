"""One update of recurrent soft actor-critic: the equations, away from loops and memories.

Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, equations 5 to 9 and 18) for policies and critics with
memory, as Pan et al. 2024 (arXiv:2406.06714) trained their brain: a minibatch is of whole episodes, in which the policy
runs from its first state on, and so do the memories of the critics. With the policy's draw a'(t), its log-probability
l(t), terminations d, and N steps that were really made,

    y(t)       = r(t) + gamma (1 - d(t)) (min over members of Q'(h'(t+1), a'(t+1)) - alpha l(t+1))
    of critics = 1 / (2 N) sum over members and steps of (Q(h(t), a(t)) - y(t))^2
    of policy  = 1 / N sum over steps of alpha l(t) - min over members of Q(h(t), a'(t))
    of alpha   = -log(alpha) (target entropy + mean l)

where h sums up the observations until t and hangs on no action, Q' and h' are slow copies, and a step at which time
ran out is followed by what the critics think of its last observation: only a terminal state has no future. One draw at
each tick serves both as what is judged there and as what follows the tick before. All gradients of an update are
taken before any weight changes (decision 0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import torch

from . import sequences
from .actor_critic_state import ActorCriticState
from .adam import Adam, shorten
from .imitation import mean_over
from .soft_actor_critic import Auto

Batch = Mapping[str, torch.Tensor]


class Losses(NamedTuple):
    """What is lessened, by whom; and what is worth telling."""

    critic: torch.Tensor
    policy: torch.Tensor
    entropy: torch.Tensor
    q_mean: torch.Tensor


class RecurrentActorCritic(ActorCriticState):
    """Improves a policy with memory and its action values from minibatches of whole episodes, in place.

    Args:
        policy: what acts (role Policy), with or without memory.
        critic: what judges (role SequenceValue), any number of members.
        actions: numbers of an action.
        learning_rate: of all three.
        gamma: discount of one step.
        tau: share by which the slow copy of the critic follows at each update.
        ent_coef: weight alpha of the entropy; `auto` learns it, from 1 on.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        truncate: ticks over which gradients reach back, in policy and critic; 0: all.
        max_grad_norm: length to which the gradients of policy and critic are shortened; None: they are not.
    """

    def __init__(self, policy: Any, critic: Any, actions: int, *, learning_rate: float, gamma: float, tau: float,
                 ent_coef: Auto, target_entropy: Auto, truncate: int, max_grad_norm: float | None) -> None:
        self.policy, self.critic, self.actions = policy, critic, actions
        self.gamma, self.tau, self.truncate, self.max_grad_norm = gamma, tau, truncate, max_grad_norm
        self.target_entropy = -float(actions) if target_entropy == "auto" else float(target_entropy)
        self.target = deepcopy(critic)
        self._policy, self._critic = list(policy.parameters()), list(critic.parameters())
        self._target = [parameter.detach() for parameter in self.target.parameters()]
        device = self._policy[0].device
        self.log_ent_coef = torch.zeros((), requires_grad=True, device=device)
        self._fixed = None if ent_coef == "auto" else torch.full((), float(ent_coef), device=device)
        self.optimiser = Adam([*self._critic, *self._policy, self.log_ent_coef], learning_rate)
        self.forget()

    def forget(self) -> None:
        """Return to before the first update; what the policy and the critic have learned stays."""
        self.updates = 0
        with torch.no_grad():
            self.log_ent_coef.zero_()
            for mine, theirs in zip(self._target, self._critic, strict=True):
                mine.copy_(theirs)
        self.optimiser.forget()

    @property
    def ent_coef(self) -> torch.Tensor:
        """The weight of the entropy in force."""
        return self.log_ent_coef.detach().exp() if self._fixed is None else self._fixed

    def losses(self, batch: Batch, noise: torch.Tensor) -> Losses:
        """Return what critics and policy are to lessen, with gradients for each.

        Args:
            batch: `observation` [episodes, steps + 1, ...], `action` [episodes, steps, actions], `reward`,
                `terminated` and `mask` [episodes, steps], as `EpisodeMemory.sample` gives them.
            noise: standard normal [episodes, steps + 1, actions].
        """
        seen, mask = batch["observation"], batch["mask"]
        drawn = sequences.answer(self.policy, {"observation": seen, "noise": noise}, self.truncate)
        action, log_prob = drawn["action"], drawn["log_prob"]
        wanted = self._wanted(batch, action.detach(), log_prob.detach())
        summary = self.critic.summarise(seen[:, :-1], self.truncate)
        told = self.critic.judge(summary, batch["action"])  # [members, episodes, steps]
        of_critic = 0.5 * mean_over(torch.square(told - wanted).sum(dim=0), mask)
        promised = self.critic.judge(summary.detach(), action[:, :-1]).min(dim=0).values
        of_policy = mean_over(self.ent_coef * log_prob[:, :-1] - promised, mask)
        return Losses(of_critic, of_policy, -mean_over(log_prob[:, :-1], mask).detach(),
                      mean_over(told.mean(dim=0), mask).detach())

    def _wanted(self, batch: Batch, action: torch.Tensor, log_prob: torch.Tensor) -> torch.Tensor:
        """Return the target y of each step [episodes, steps]."""
        with torch.no_grad():
            after = self.target.summarise(batch["observation"])[:, :, 1:]
            soft = self.target.judge(after, action[:, 1:]).min(dim=0).values - self.ent_coef * log_prob[:, 1:]
            return batch["reward"] + self.gamma * (1 - batch["terminated"]) * soft

    def advance(self, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Make one update; return its measures for `told`, without waiting for them."""
        noise = torch.randn((*batch["observation"].shape[:2], self.actions), generator=generator,
                            device=generator.device)
        ent_coef, losses = self.ent_coef, self.losses(batch, noise)
        of_critic, _ = shorten(torch.autograd.grad(losses.critic, self._critic, retain_graph=True),
                               self.max_grad_norm)
        of_policy, norm = shorten(torch.autograd.grad(losses.policy, self._policy, allow_unused=True),
                                  self.max_grad_norm)
        of_ent_coef = losses.entropy - self.target_entropy if self._fixed is None else None
        self.optimiser.descend([*of_critic, *of_policy, of_ent_coef])
        torch._foreach_lerp_(self._target, [kept.detach() for kept in self._critic], self.tau)
        self.updates += 1
        return torch.stack([part.detach() for part in (losses.critic, losses.policy, ent_coef, losses.entropy,
                                                       losses.q_mean, norm)])
