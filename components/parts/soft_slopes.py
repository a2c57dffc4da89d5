"""Slopes of one update of soft actor-critic, written out for plain networks; the equations are those of
`parts/soft_actor_critic.py`, which lets autograd find them for any other network.

Besides autograd's bookkeeping this saves the half of the way back through the critics that is multiplied by zero: of
each row only the least member passes a gradient to the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from .distributions import LOG_DEVIATION, squashed_sample
from .ensembles import Ensemble
from .networks import Perceptron
from .written_layers import Passes, Room, layers_of, plain_network

Tensors = list[torch.Tensor]


class Found(NamedTuple):
    """What an update has to know."""

    of_critic: Any  # slopes, in the order of the parameters
    of_policy: Any
    q_loss: torch.Tensor
    policy_loss: torch.Tensor
    q_mean: torch.Tensor
    action: torch.Tensor  # [rows, actions] the policy's, for what was seen
    log_prob: torch.Tensor  # [rows] of it
    worth: torch.Tensor | None = None  # [rows] what the slow critic thinks of it, where that was asked


class SoftSlopes:
    """Works out slopes of minibatches of one size.

    Args:
        policy: network with the heads `mean` and `log_deviation`.
        critic: the members.
        target: their slow copies.
        rows: of a minibatch.
    """

    def __init__(self, policy: Perceptron, critic: Ensemble, target: Ensemble, rows: int) -> None:
        self.rows, self._networks = rows, (policy, critic, target)
        room: Room = {}
        of_policy = layers_of(policy)[0]
        self._policy, self._after = Passes(of_policy, rows, room), Passes(of_policy, rows, room, returns=False)
        self._stacked = {name: torch.empty_like(parameter, requires_grad=False)
                         for name, parameter in critic.parameters().items()}
        places = layers_of(critic, self._stacked)
        members = layers_of(critic)
        self._told = [Passes(layers, rows, room, place) for layers, place in zip(members, places, strict=True)]
        self._asked = [Passes(layers, rows, room, after=told) for layers, told in zip(members, self._told, strict=True)]
        self._slow = [Passes(layers, rows, room, returns=False) for layers in layers_of(target)]

    @torch.no_grad()
    def compute(self, batch: Mapping[str, torch.Tensor], noise: torch.Tensor, ent_coef: torch.Tensor, gamma: float,
                reward_scale: float, worth: bool) -> Found:
        """Work out the slopes for a minibatch [rows, ...] and noise [2, rows, actions]."""
        for network in self._networks:
            network.gather()
        seen = batch["observation"]
        after, after_log_prob = self._drawn(self._after.up(batch["successor"]), noise[1])
        soft = self._judged(batch["successor"], after) - ent_coef * after_log_prob
        wanted = reward_scale * batch["reward"] + gamma * (1 - batch["terminated"]) * soft
        said = self._policy.up(seen)
        action, log_prob = self._drawn(said, noise[0])
        q_loss, q_mean = self._critics(torch.cat([seen, batch["action"]], dim=1), wanted)
        least, by_action = self._through_critics(seen, action)
        self._policy.back(self._by_heads(said, noise[0], action, by_action, ent_coef))
        policy_loss = (ent_coef * log_prob - least).mean()
        return Found(list(self._stacked.values()), _paired(self._policy), q_loss, policy_loss, q_mean, action, log_prob,
                     self._judged(seen, action) if worth else None)

    @staticmethod
    def _drawn(said: Tensors, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_deviation = said
        return squashed_sample(mean, log_deviation, noise)

    def _judged(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return what the slow critic promises [rows], the least of its members."""
        both = torch.cat([observation, action], dim=1)
        return torch.cat([member.up(both)[0] for member in self._slow], dim=1).min(dim=1).values

    def _critics(self, both: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill in the slopes of the critics; return their loss and the mean of what they say."""
        losses, means = [], []
        for member in self._told:
            told = member.up(both)[0]
            means.append(told.mean())
            missed = told.sub_(wanted[:, None])
            losses.append(torch.square(missed).mean())
            member.back([missed.div_(self.rows)])
        return 0.5 * torch.stack(losses).sum(), torch.stack(means).mean()

    def _through_critics(self, observation: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the critics promise [rows] for the policy's action, and the slopes of -mean by the action."""
        both = torch.cat([observation, action], dim=1)
        least, by = torch.cat([member.up(both)[0] for member in self._asked], dim=1).min(dim=1)
        slopes = torch.empty_like(action)
        for i, member in enumerate(self._asked):
            chosen = (by == i).nonzero()[:, 0]
            above = action.new_full((len(chosen), 1), -1 / self.rows)
            slopes[chosen] = member.down(chosen, above, observation.shape[1])
        return least, slopes

    def _by_heads(self, said: Tensors, noise: torch.Tensor, action: torch.Tensor, by_action: torch.Tensor,
                  ent_coef: torch.Tensor) -> Tensors:
        """Return the slopes of the policy's loss by mean and log-deviation, through action and log-probability.

        With b = mean + deviation * noise and a = tanh(b), da/db = 1 - a^2 and the slope of the log-probability is 2 a
        by b (of -log(1 - a^2), Haarnoja et al. 2018, eq. 21) and -1 by the log-deviation besides.
        """
        share, (least, most) = ent_coef / self.rows, LOG_DEVIATION
        by_before = by_action * (1 - action * action) + 2 * share * action
        moved = said[1].clamp(least, most).exp_().mul_(noise)
        within = (said[1] >= least) & (said[1] <= most)
        return [by_before, (by_before * moved - share) * within]


class StateSlopes:
    """The same for a value of states, which learns what is wanted of it."""

    def __init__(self, network: Perceptron, rows: int) -> None:
        self.rows, self._network, self._passes = rows, network, Passes(layers_of(network)[0], rows, {})

    @torch.no_grad()
    def compute(self, observation: torch.Tensor, wanted: torch.Tensor) -> tuple[Tensors, tuple[torch.Tensor, ...]]:
        """Return slopes in the order of the parameters; loss and mean of what was said."""
        self._network.gather()
        told = self._passes.up(observation)[0]
        mean, missed = told.mean(), told.sub_(wanted[:, None])
        loss = 0.5 * torch.square(missed).mean()
        self._passes.back([missed.div_(self.rows)])
        return _paired(self._passes), (loss, mean)


def _paired(passes: Passes) -> Tensors:
    """Return slopes as a network names its parameters: weight and bias of each layer, then of each head."""
    return [slope for pair in zip(passes.of_weights, passes.of_biases, strict=True) for slope in pair]


def slopes_for(policy: Any, critic: Any, target: Any, rows: int) -> SoftSlopes | None:
    """Return what works out the slopes of these, if they are plain networks of the kinds it knows."""
    acts, judges, slow = (plain_network(each) for each in (policy, critic, target))
    if (isinstance(acts, Perceptron) and acts.heads == ["mean", "log_deviation"] and isinstance(judges, Ensemble)
            and isinstance(slow, Ensemble)):
        return SoftSlopes(acts, judges, slow, rows)
    return None


def state_slopes_for(value: Any, rows: int) -> StateSlopes | None:
    """Return what works out the slopes of a value of states, if it is a plain network."""
    network = plain_network(value)
    return StateSlopes(network, rows) if isinstance(network, Perceptron) else None
