"""Slopes of a critic's promise by the command, through a model of the brain, written out for plain networks.

Climbing asks for them some dozens of times at each step of the patient, for few commands at a time: what counts is the
number of operations, and autograd's bookkeeping would be most of them. So all members of a network go up and down
together, and what an observation adds to the first layers is worked out once for all commands. Other networks are
left to autograd (`parts/command_scores.py`).
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from .blind_ensemble import BlindEnsemble
from .ensembles import Ensemble
from .written_layers import plain_network

_BACK: dict[str, Any] = {"relu": lambda above, activity: torch.ops.aten.threshold_backward(above, activity, 0),
                         "tanh": torch.ops.aten.tanh_backward}


@runtime_checkable
class Bounded(Protocol):
    """Says reach * tanh of what a network says, mean over its members."""

    network: Ensemble
    reach: Any  # [outputs] NumPy


class _Members:
    """All members of a network at once, given once what its first inputs are, and asked often about the last ones."""

    def __init__(self, network: Ensemble, first: torch.Tensor) -> None:
        network.gather()
        known = {name: parameter.detach() for name, parameter in network.parameters().items()}
        self._weights = [known[f"{name}/weight"] for name in network.layers]  # [members, out, in] each
        self._biases = [known[f"{name}/bias"][:, None] for name in network.layers]
        self._turned = [weight.transpose(1, 2) for weight in self._weights]
        self._own = self._weights[0][:, :, first.shape[1]:]  # what the last inputs add to the first layer
        count = len(self._own)
        self._base = torch.baddbmm(self._biases[0], first.expand(count, *first.shape),
                                   self._turned[0][:, :first.shape[1]])  # [members, batch, neurons]
        self._activation = network.activation

    def rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what the first inputs `rows` [n] add [members, n, neurons]."""
        return self._base[:, rows]

    def up(self, base: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Return what the members say [members, n, out] of the last inputs [n, some]."""
        values = torch.baddbmm(base, last.expand(len(base), *last.shape), self._own.transpose(1, 2))
        self._activity: list[torch.Tensor] = []
        for turned, bias in zip(self._turned[1:], self._biases[1:], strict=True):
            values = values.relu_() if self._activation == "relu" else values.tanh_()
            self._activity.append(values)
            values = torch.baddbmm(bias, values, turned)
        return values

    def down(self, above: torch.Tensor) -> torch.Tensor:
        """Return slopes by the last inputs [n, some], summed over members, of slopes [members, n, out]."""
        for weight, activity in zip(reversed(self._weights[1:]), reversed(self._activity), strict=True):
            above = _BACK[self._activation](above.bmm(weight), activity)
        return above.bmm(self._own).sum(0)


class CommandSlopes:
    """Works out promises and slopes of commands for a batch of observations.

    Args:
        model: what the brain does.
        critic: what that promises; the least of its members counts.
        seen: [batch, perceived + recorded].
        perceived: numbers of an observation that the critic is shown.
    """

    def __init__(self, model: Bounded, critic: Ensemble, seen: torch.Tensor, perceived: int) -> None:
        self._brain, self._judge = _Members(model.network, seen), _Members(critic, seen[:, :perceived])
        self._reach = torch.from_numpy(model.reach)
        self._asked: torch.Tensor | None = None

    @torch.no_grad()
    def climb(self, rows: torch.Tensor, commands: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return promises [n] and their slopes [n, channels] of commands [n, channels] for observations `rows` [n]."""
        if self._asked is not rows:
            self._asked, self._bases = rows, (self._brain.rows(rows), self._judge.rows(rows))
        bent = self._brain.up(self._bases[0], commands).tanh_()  # [members, n, actions]
        told = self._judge.up(self._bases[1], bent.mean(0).mul_(self._reach))  # [members, n, 1]
        promise, by = told.min(dim=0)
        least = torch.zeros_like(told).scatter_(0, by[None], 1)
        of_action = self._judge.down(least).mul_(self._reach / len(bent))
        return promise[:, 0], self._brain.down(torch.ops.aten.tanh_backward(of_action.expand_as(bent), bent))


def slopes_for(model: Any, critic: Any, seen: torch.Tensor, perceived: int) -> CommandSlopes | None:
    """Return what works out slopes through these, if they are plain networks."""
    judge = plain_network(critic)
    if isinstance(model, Bounded) and isinstance(model.network, BlindEnsemble):
        return None
    if isinstance(model, Bounded) and isinstance(judge, Ensemble) and not model.network.layer_norm:
        return CommandSlopes(model, judge, seen, perceived)
    return None
