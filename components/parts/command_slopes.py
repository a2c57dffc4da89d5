"""Slopes of a critic's promise by the command, through a model of the brain, written out for plain networks.

Climbing asks for them some dozens of times at each step of the patient; autograd's bookkeeping would take longer than
the products (`parts/written_layers.py`). Other networks are left to autograd (`parts/command_scores.py`).
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from .ensembles import Ensemble
from .written_layers import Passes, layers_of, plain_network


@runtime_checkable
class Bounded(Protocol):
    """Says reach * tanh of what a network says, mean over its members."""

    network: Ensemble
    reach: Any  # [outputs] NumPy


class CommandSlopes:
    """Works out promises and slopes for so many commands at a time.

    Args:
        model: what the brain does.
        critic: what that promises; the least of its members counts.
        rows: commands.
        perceived: numbers of an observation that the critic is shown.
    """

    def __init__(self, model: Bounded, critic: Ensemble, rows: int, perceived: int) -> None:
        self.rows, self._perceived = rows, perceived
        self._networks, self._reach = (model.network, critic), torch.from_numpy(model.reach)
        self._told = [Passes(layers, rows, {}) for layers in layers_of(model.network)]
        self._judged = [Passes(layers, rows, {}) for layers in layers_of(critic)]
        self._all = torch.arange(rows)

    @torch.no_grad()
    def climb(self, seen: torch.Tensor, commands: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return promises [rows] and their slopes by the commands [rows, channels].

        Args:
            seen: [rows, perceived + recorded].
            commands: [rows, channels].
        """
        for network in self._networks:
            network.gather()
        both = torch.cat([seen, commands], dim=1)
        bent = [member.up(both)[0].tanh() for member in self._told]  # [rows, actions] each
        action = torch.stack(bent).mean(0) * self._reach
        judged = torch.cat([seen[:, :self._perceived], action], dim=1)
        promise, by = torch.cat([member.up(judged)[0] for member in self._judged], dim=1).min(dim=1)
        of_action = torch.empty_like(action)
        for i, member in enumerate(self._judged):
            chosen = (by == i).nonzero()[:, 0]
            of_action[chosen] = member.down(chosen, commands.new_ones(len(chosen), 1), self._perceived)
        of_action *= self._reach / len(self._told)
        slopes = [member.down(self._all, of_action * (1 - told * told), seen.shape[1])
                  for member, told in zip(self._told, bent, strict=True)]
        return promise, torch.stack(slopes).sum(0)


def slopes_for(model: Any, critic: Any, rows: int, perceived: int) -> CommandSlopes | None:
    """Return what works out slopes through these, if they are plain networks."""
    judge = plain_network(critic)
    if isinstance(model, Bounded) and isinstance(judge, Ensemble) and not model.network.layer_norm:
        return CommandSlopes(model, judge, rows, perceived)
    return None
