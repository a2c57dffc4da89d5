"""One update of soft actor-critic: the equations, away from loops and buffers.

Haarnoja et al. 2018 (arXiv:1812.05905): equations 5 and 6 for the critics, 7 to 9 for the policy; two critics of which
the lesser counts (section 5). The temperature follows equation 18 in its logarithm, which keeps it positive, and with
the slope of the temperature itself, as Stable-Baselines3 does: the factor by which the logarithm would scale it is left
out. All gradients of an update are taken before any weight changes (decision 0016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import torch

from ...loops.errors import AssemblyError, Problem
from . import conservative as held
from .actor_critic_state import ActorCriticState
from .adam import Adam
from .conservative import Conservative, Gradients
from .roles import Normalised
from .soft_slopes import Found, SoftSlopes, StateSlopes, slopes_for, state_slopes_for

MEASURES = ("q_loss", "policy_loss", "ent_coef", "entropy", "q_mean", "grad_norm")
Auto = Literal["auto"] | float
OF_STATES = ("v_loss", "v_mean")  # besides, where a state value is learned too


def check_partners(policy: Any, critic: Any) -> list[str]:
    """Refuse a critic that cannot tell actions apart, and a policy that knows no probabilities; return warnings."""
    if "action" not in getattr(critic, "inputs", {"action"}):
        raise AssemblyError([Problem("the critic judges situations, not what is done in them", "uses.value",
                                     "Use critics.q_ensemble.")])
    if getattr(policy, "head", "") == "clipped":
        raise AssemblyError([Problem("a clipped head knows no probabilities to learn from", "uses.policy",
                                     "Write head: gaussian in its params.")])
    return [] if getattr(policy, "explore", True) is not False else [
        "the policy does not explore and learns from its own habits alone: write explore: true in its params"]


def check_state_value(value: Any) -> None:
    """Refuse a value that asks what is done, where situations are to be judged whatever is done in them."""
    if "action" in getattr(value, "inputs", ()):
        raise AssemblyError([Problem("this value judges what is done, and situations alone are asked about",
                                     "uses.state_value", "Use critics.value_mlp.")])


def check_action(shape: tuple[Any, ...]) -> int:
    """Return the numbers of an action whose port has such a shape; refuse choices, and none at all."""
    if len(shape) != 1:
        raise AssemblyError([Problem(f"learns policies whose action is a vector, not {shape}", "action",
                                     "Choices are learned by learners.ppo.")])
    if not shape[0]:
        raise AssemblyError([Problem("an action of 0 numbers: there is nothing to learn", "inputs.action",
                                     "Look at the action space of the body.")])
    return int(shape[0])


class SoftActorCritic(ActorCriticState):
    """Improves a policy and its action values from minibatches of transitions, in place.

    Args:
        policy: what acts (role Policy).
        critic: what judges actions (role Value), any number of members.
        actions: numbers of an action.
        learning_rate: of all three.
        gamma: discount of one step.
        tau: share by which the target critic follows at each update of it.
        ent_coef: weight of the entropy; `auto` learns it, from 1 on.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        target_update_interval: updates between two of the target critic.
        reward_scale: rewards count so many times.
        state_value: what judges situations whatever is done in them (role Value), learned beside: what the target
            critic thinks of the policy's action, with its entropy (Haarnoja et al. 2018a, arXiv:1801.01290, eq. 5).
            A planner asks its slow copy by `judge_states`; nothing else hangs on it.
        conservative: what holds the critic back besides, where all that can be learned from was collected before.
    """

    def __init__(self, policy: Any, critic: Any, actions: int, *, learning_rate: float, gamma: float, tau: float,
                 ent_coef: Auto, target_entropy: Auto, target_update_interval: int,
                 reward_scale: float = 1.0, state_value: Any = None, conservative: Conservative | None = None
                 ) -> None:
        self.policy, self.critic, self.actions = policy, critic, actions
        self.gamma, self.tau, self.interval = gamma, tau, target_update_interval
        self.target_entropy = -float(actions) if target_entropy == "auto" else float(target_entropy)
        self.target = deepcopy(critic)
        self._policy, self._critic = list(policy.parameters()), list(critic.parameters())
        device = self._policy[0].device
        self.log_ent_coef = torch.zeros((), requires_grad=True, device=device)
        self._fixed = None if ent_coef == "auto" else torch.full((), float(ent_coef), device=device)
        self.reward_scale, self.state_value, self.conservative = reward_scale, state_value, conservative
        self.states = None if state_value is None else deepcopy(state_value)
        self._value = [] if state_value is None else list(state_value.parameters())
        slow = [self.target] if self.states is None else [self.target, self.states]
        self._scales = [pair for mine, theirs in zip(slow, (critic, state_value), strict=False)
                        if isinstance(theirs, Normalised)
                        for pair in zip(mine.statistics().values(), theirs.statistics().values(), strict=True)]
        self._target = [parameter.detach() for part in slow for parameter in part.parameters()]
        of_weight = [] if conservative is None else [conservative.log_weight]
        self.optimiser = Adam([*self._critic, *self._policy, self.log_ent_coef, *self._value, *of_weight],
                              learning_rate)
        self._slopes: dict[int, tuple[SoftSlopes | None, StateSlopes | None]] = {}  # by rows of a minibatch
        self.forget()

    def forget(self) -> None:
        """Return to before the first update; what the policy and the critic have learned stays."""
        self.updates = 0
        with torch.no_grad():
            self.log_ent_coef.zero_()
            for mine, theirs in zip(self._target, (*self._critic, *self._value), strict=True):
                mine.copy_(theirs)
        self.optimiser.forget()

    def update(self, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> dict[str, float]:
        """Make one update from rows [batch, ...]; return the measures named in MEASURES."""
        return self.told(self.advance(batch, generator))

    def told(self, measures: torch.Tensor) -> dict[str, float]:
        """Return measures of an update by name: of all that a learner does with a device, what waits for it."""
        names = [*MEASURES, *(OF_STATES if self.states is not None else ()),
                 *(held.MEASURES if self.conservative is not None else ())]
        return dict(zip(names, measures.tolist(), strict=True))

    def advance(self, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        """Make one update from rows [batch, ...]; return its measures for `told`, without waiting for them."""
        noise = torch.randn((2, len(batch["reward"]), self.actions), generator=generator, device=generator.device)
        ent_coef = self.log_ent_coef.detach().exp() if self._fixed is None else self._fixed
        slopes, of_states = self._written(batch)
        found = self._differentiated(batch, noise, ent_coef) if slopes is None else slopes.compute(
            batch, noise, ent_coef, self.gamma, self.reward_scale, worth=of_states is not None)
        entropy = -found.log_prob.detach().mean()
        of_ent_coef = entropy - self.target_entropy if self._fixed is None else None  # of log_ent_coef
        of_value, told_value = self._learn_states(batch["observation"], found, ent_coef, of_states)
        of_critic, of_weight, told_gap = self._hold_back(batch, found.of_critic)
        self.optimiser.descend([*of_critic, *found.of_policy, of_ent_coef, *of_value, *of_weight])
        self.updates += 1
        if self.updates % self.interval == 0:
            torch._foreach_lerp_(self._target, [kept.detach() for kept in (*self._critic, *self._value)], self.tau)
        norm = torch.stack(torch._foreach_norm([g for g in found.of_policy if g is not None])).norm()
        told_of = (found.q_loss, found.policy_loss, ent_coef, entropy, found.q_mean, norm, *told_value, *told_gap)
        return torch.stack([value.detach() for value in told_of])

    def _hold_back(self, batch: Mapping[str, torch.Tensor], of_critic: Gradients
                   ) -> tuple[Gradients, Gradients, tuple[torch.Tensor, ...]]:
        """Return gradients of the critic and of the conservative weight, and measures, if it is to be held back."""
        if self.conservative is None:
            return of_critic, (), ()
        of_critic, of_weight, told = self.conservative.hold_back(batch, of_critic)
        return of_critic, (of_weight,), told

    def _written(self, batch: Mapping[str, torch.Tensor]) -> tuple[SoftSlopes | None, StateSlopes | None]:
        """Return what works out slopes for minibatches of this size without autograd, where networks are plain."""
        rows, seen = len(batch["reward"]), batch["observation"]
        if not (seen.is_cpu and seen.ndim == 2 and seen.dtype is torch.float32):
            return None, None
        if rows not in self._slopes:
            slopes = slopes_for(self.policy, self.critic, self.target, rows)
            self._slopes = {rows: (slopes, None if slopes is None else state_slopes_for(self.state_value, rows))}
        return self._slopes[rows]

    def _differentiated(self, batch: Mapping[str, torch.Tensor], noise: torch.Tensor, ent_coef: torch.Tensor) -> Found:
        """Let autograd find the slopes, whatever the networks are."""
        answer = self._ask(batch["observation"], noise[0])
        action, log_prob = answer["action"], answer["log_prob"]
        wanted = self._target_value(batch, noise[1], ent_coef)
        told = self.critic.value(batch["observation"], batch["action"])  # [members, batch]
        q_loss = 0.5 * torch.square(told - wanted).mean(dim=-1).sum()
        with self._fixed_critic():
            policy_loss = (ent_coef * log_prob - self._least(self.critic, batch["observation"], action)).mean()
        of_critic, of_policy = _gradients(q_loss, self._critic), _gradients(policy_loss, self._policy)
        return Found(of_critic, of_policy, q_loss, policy_loss, told.mean(), action, log_prob)

    def _learn_states(self, observation: torch.Tensor, found: Found, ent_coef: torch.Tensor,
                      slopes: StateSlopes | None) -> tuple[Sequence[torch.Tensor | None], tuple[torch.Tensor, ...]]:
        """Return gradients and measures of the state value, if one is learned."""
        if self.state_value is None:
            return (), ()
        with torch.no_grad():
            worth = self._least(self.target, observation, found.action) if found.worth is None else found.worth
            wanted = worth - ent_coef * found.log_prob
        if slopes is not None:
            return slopes.compute(observation, wanted)
        told = self.state_value.value(observation)
        loss = 0.5 * torch.square(told - wanted).mean()
        return torch.autograd.grad(loss, self._value), (loss, told.mean())

    def _target_value(self, batch: Mapping[str, torch.Tensor], noise: torch.Tensor, ent_coef: torch.Tensor
                      ) -> torch.Tensor:
        """Reward and the soft value of what came after [batch] (eq. 3, 6), without gradients."""
        self._to_scale()
        with torch.no_grad():
            after = self._ask(batch["successor"], noise)
            soft = self._least(self.target, batch["successor"], after["action"]) - ent_coef * after["log_prob"]
            return self.reward_scale * batch["reward"] + self.gamma * (1 - batch["terminated"]) * soft

    def _to_scale(self) -> None:
        """Let slow copies see an observation on the scale of what they follow, wherever they are asked."""
        for mine, theirs in self._scales:
            mine[...] = theirs

    def judge(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return what the target critic promises for actions [rows], the least of its members."""
        self._to_scale()
        with torch.no_grad():
            return self._least(self.target, observation, action)

    def judge_states(self, observation: torch.Tensor) -> torch.Tensor:
        """Return what the slow copy of the state value promises for observations [rows]."""
        self._to_scale()
        with torch.no_grad():
            return self.states.value(observation)  # type: ignore[union-attr]

    @contextmanager
    def _fixed_critic(self) -> Iterator[None]:
        """Let gradients pass through the critic, not into it: half the work of the way back."""
        for parameter in self._critic:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._critic:
                parameter.requires_grad_(True)

    def _ask(self, observation: torch.Tensor, noise: torch.Tensor) -> dict[str, Any]:
        return self.policy.respond({"observation": observation, "noise": noise}, None)[0]

    @staticmethod
    def _least(critic: Any, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        values = critic.value(observation, action)
        return values.min(dim=0).values if values.ndim == 2 else values


def _gradients(loss: torch.Tensor, parameters: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
