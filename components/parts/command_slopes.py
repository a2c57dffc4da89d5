"""Slopes of a critic's promise by the command, through a model of the brain, written out for plain networks.

Climbing asks for them some dozens of times at each step of the patient, for few commands at a time: what counts is the
number of operations, and autograd's bookkeeping would be most of them. So all members of a network go up and down
together, and what an observation (and a memory of earlier commands) adds to the first layers is worked out once for
all commands. Other networks are left to autograd (`parts/command_scores.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from .blind_ensemble import BlindEnsemble
from .ensembles import Ensemble
from .lstm import slope_of_gates
from .remembering import RememberingEnsemble
from .written_layers import plain_network

_BACK: dict[str, Any] = {"relu": lambda above, activity: torch.ops.aten.threshold_backward(above, activity, 0),
                         "tanh": torch.ops.aten.tanh_backward}


@runtime_checkable
class Bounded(Protocol):
    """Says reach * tanh of what a network says, mean over its members."""

    network: Ensemble
    reach: Any  # [outputs] NumPy


class _Asked(Protocol):
    """A network that is given once what its first inputs are, and asked often about the last ones."""

    def rows(self, rows: torch.Tensor) -> Any:
        """Return what is known beforehand of the questions `rows` [n]."""

    def up(self, base: Any, last: torch.Tensor) -> torch.Tensor:
        """Return what the members say [members, n, out] of the last inputs [n, some], given what was known."""

    def down(self, above: torch.Tensor) -> torch.Tensor:
        """Return slopes by the last inputs [members, n, some] of slopes [members, n, out] by what was said."""


class _Members:
    """All members of a network at once."""

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
        """Return what the members say [members, n, out] of the last inputs [n, some], or [members, n, some]."""
        values = torch.baddbmm(base, last.expand(len(base), *last.shape[-2:]), self._own.transpose(1, 2))
        self._activity: list[torch.Tensor] = []
        for turned, bias in zip(self._turned[1:], self._biases[1:], strict=True):
            values = values.relu_() if self._activation == "relu" else values.tanh_()
            self._activity.append(values)
            values = torch.baddbmm(bias, values, turned)
        return values

    def down(self, above: torch.Tensor) -> torch.Tensor:
        """Return slopes by the last inputs [members, n, some] of slopes [members, n, out]."""
        for weight, activity in zip(reversed(self._weights[1:]), reversed(self._activity), strict=True):
            above = _BACK[self._activation](above.bmm(weight), activity)
        return above.bmm(self._own)


class _Remembering:
    """The same for members that hear, beside the command, what their memory makes of it and of those before.

    Args:
        network: of which the last inputs are the command.
        first: what is known of the others [batch, ...].
        memory: `prepared` memory of earlier commands for each row.
    """

    def __init__(self, network: RememberingEnsemble, first: torch.Tensor, memory: Mapping[str, torch.Tensor]) -> None:
        self._read = _Members(network, first)
        self._heard = network.parameters()["memory/heard"].detach()
        self._drive, self._cell = (memory[name].transpose(0, 1) for name in ("drive", "cell"))

    def rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._read.rows(rows), self._drive[:, rows], self._cell[:, rows]

    def up(self, base: tuple[torch.Tensor, torch.Tensor, torch.Tensor], last: torch.Tensor) -> torch.Tensor:
        known, drive, self._before = base
        commands, count = last.expand(len(drive), *last.shape), self._before.shape[-1]
        gates = torch.baddbmm(drive, commands, self._heard.transpose(1, 2))
        gates[..., :2 * count].sigmoid_()
        gates[..., 2 * count:3 * count].tanh_()
        gates[..., 3 * count:].sigmoid_()
        i, f, g, o = gates.split(count, dim=-1)
        self._gates, self._bent = gates, (f * self._before).addcmul_(i, g).tanh_()
        return self._read.up(known, torch.cat([commands, o * self._bent], dim=2))

    def down(self, above: torch.Tensor) -> torch.Tensor:
        channels = self._heard.shape[2]
        direct, of_said = self._read.down(above).split([channels, self._bent.shape[-1]], dim=2)
        to_gates, to_last, to_cell = slope_of_gates(self._gates, self._before, self._bent)
        of_cell = of_said * to_cell
        of_gates = torch.cat([to_gates.mul_(of_cell.repeat(1, 1, 3)), to_last.mul_(of_said)], dim=2)
        return torch.baddbmm(direct, of_gates, self._heard)


class CommandSlopes:
    """Works out promises and slopes of commands for a batch of observations.

    Args:
        model: what the brain does.
        critic: what that promises; the least of its members counts.
        seen: [batch, perceived + recorded].
        perceived: numbers of an observation that the critic is shown.
        memory: what the model remembers for each row, `prepared`; None for one that remembers nothing.
    """

    def __init__(self, model: Bounded, critic: Ensemble, seen: torch.Tensor, perceived: int,
                 memory: Mapping[str, torch.Tensor] | None = None) -> None:
        self._brain: _Asked = _Members(model.network, seen)
        if memory is not None and isinstance(model.network, RememberingEnsemble):
            self._brain = _Remembering(model.network, seen, memory)
        self._judge = _Members(critic, seen[:, :perceived])
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
        of_action = self._judge.down(least).sum(0).mul_(self._reach / len(bent))
        return promise[:, 0], self._brain.down(torch.ops.aten.tanh_backward(of_action.expand_as(bent), bent)).sum(0)


def slopes_for(model: Any, critic: Any, seen: torch.Tensor, perceived: int,
               memory: Mapping[str, torch.Tensor] | None) -> CommandSlopes | None:
    """Return what works out slopes through these, if they are plain networks."""
    judge = plain_network(critic)
    if isinstance(model, Bounded) and isinstance(model.network, BlindEnsemble):
        return None
    if isinstance(model, Bounded) and isinstance(judge, Ensemble) and not model.network.layer_norm:
        return CommandSlopes(model, judge, seen, perceived, memory)
    return None
