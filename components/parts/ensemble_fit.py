"""Fitting an ensemble of dynamics to rows: bootstraps, a hold-out, early stopping, and the members to be trusted.

As Janner et al. 2019 (arXiv:1906.08253) fit the ensemble of Chua et al. 2018 (arXiv:1805.12114): warm from one call to
the next, until no member's error on the hold-out falls any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from ...loops.errors import AssemblyError, Diverged, Problem, RunError
from .adam import Adam
from .dynamics_ensemble import DynamicsEnsemble, through_member, through_stack
from .ensemble_slopes import Slopes

DECAYS = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)  # of the weights of four hidden layers and the last
_CONSTANT = 1e-12  # deviation below which a number of the input counts as constant


@dataclass(frozen=True)
class FitReport:
    """How one call went."""

    rows: int  # that it was given
    passes: int  # through the bootstraps
    steps: int  # of the optimiser
    seconds: float
    loss: float  # of the last minibatch, mean over members
    holdout: np.ndarray  # [members] mean squared error of the mean on the hold-out, weights as restored
    elites: np.ndarray  # [elites] members of the least, the best first
    val_loss: float  # mean error of the elites
    stopped: Literal["patience", "time"]  # why it ended


def network_of(model: Any) -> DynamicsEnsemble:
    """Return the network of a model, once it is built; refuse one without a network that can be fitted here."""
    network = getattr(model, "network", None)
    if not isinstance(network, DynamicsEnsemble):
        raise AssemblyError([Problem(f"nothing here can fit {type(model).__name__} to real steps: its `network` is no "
                                     "DynamicsEnsemble (parts/dynamics_ensemble.py)", "uses.model",
                                     "Use a world_models.gaussian_ensemble, or build the model around one.")])
    if network.outputs < 2:
        raise AssemblyError([Problem("an observation of 0 numbers: there is nothing to foresee", "inputs.observation",
                                     "Let the body publish something, or learn without a model (learners.sac).")])
    return network


class EnsembleFit:
    """Fits an ensemble in place, call after call; what the optimiser knows is kept between calls and can be saved.

    Args:
        network: the ensemble.
        learning_rate: of Adam.
        eps: of Adam.
        decays: weight of |W|^2 / 2 in the loss, one for each layer; without it those of the sources, spread over the
            layers that there are.
        batch_size: rows of a minibatch of each member.
        holdout: share of the rows that no member learns from.
        holdout_most: rows of the hold-out at most.
        improvement: share by which a member's error must fall below its best to count.
        patience: passes in which no member improves that are put up with.

    The arithmetic is done where the network's parameters lie.
    """

    def __init__(self, network: DynamicsEnsemble, *, learning_rate: float = 1e-3, eps: float = 1e-8,
                 decays: Sequence[float] | None = None, batch_size: int = 256, holdout: float = 0.2,
                 holdout_most: int = 5000, improvement: float = 0.01, patience: int = 5) -> None:
        self.network, self.batch_size = network, batch_size
        self.holdout, self.holdout_most = holdout, holdout_most
        self.improvement, self.patience = improvement, patience
        depth, each = len(network.layers), decays if decays is not None else spread(len(network.layers))
        if len(each) != depth:
            raise RunError(f"{len(each)} weight decays for {depth} layers: give one for each hidden layer and the last")
        self._names = [*(f"{name}/{part}" for part in ("weight", "bias") for name in network.layers),
                       "bounds/most", "bounds/least"]
        self._tensors = [network.parameters()[name].detach() for name in self._names]
        self.device = self._tensors[0].device
        self._optimiser = Adam(self._tensors, learning_rate, eps, [*each, *[0.0] * (depth + 2)])
        self._kept: dict[int, Slopes] = {}  # by rows of a minibatch

    def forget(self) -> None:
        """Return to before the first call; what the network has learned stays."""
        self._optimiser.forget()

    def fit(self, inputs: Any, targets: Any, generator: torch.Generator, max_seconds: float | None = None) -> FitReport:
        """Fit the ensemble to rows until no member gets better, or (looked at after each pass) time is over.

        Args:
            inputs: [rows, in] observations and actions, arrays or tensors, in their own units.
            targets: [rows, outputs] what came of them, the reward first.
            generator: what hold-out, bootstraps and their order are drawn from: the same again, the same fit again.
            max_seconds: wall time; with it a fit is as long as the machine lets it be.

        Raises RunError for rows that cannot be learned from, Diverged where the loss is no number any more.
        """
        began = perf_counter()
        given, wanted = self._checked(inputs, targets)
        if self.device.type == "cpu":
            self.network.gather()  # what somebody put into new memory is not in `_tensors` yet
        held, learned = self._split(len(given), generator)
        self._scale(given[learned])
        given, depth = self._scaled(given), len(self.network.layers)
        tests, rows = (given[held], wanted[held]), (given[learned], wanted[learned])
        drawn = self._draw((self.network.members, len(learned)), generator)
        best, passes, steps = Best(self._tensors[:2 * depth], self.improvement, self.patience), 0, 0
        late, loss = False, 0.0
        while not (best.over or late):
            slopes = self._pass(rows, drawn, generator)
            passes, steps = passes + 1, steps - (-len(learned) // self.batch_size)
            errors, loss = self._errors(*tests), float(slopes.losses().mean())
            self._check(best, f"in pass {passes}, step {steps} of this fit", errors, loss)
            best.take(errors)
            late = max_seconds is not None and perf_counter() - began > max_seconds
        best.restore()
        self._check(best, f"in {passes} passes of this fit", np.where(best.errors < Best.START, best.errors, np.inf),
                    loss)  # who never fell below the start has learned nothing
        errors = self._errors(*tests)
        chosen = np.argsort(errors, kind="stable")[:len(self.network.elites)]
        self.network.set({"holdout": errors, "elites": chosen})
        return FitReport(len(given), passes, steps, perf_counter() - began, loss, errors, chosen,
                         float(errors[chosen].mean()), "patience" if best.over else "time")

    def _checked(self, inputs: Any, targets: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows as tensors on the device; refuse what nothing can be learned from."""
        given, wanted = (torch.as_tensor(np.array(rows) if isinstance(rows, np.ndarray) else rows, dtype=torch.float32,
                                         device=self.device) for rows in (inputs, targets))
        sizes = (self.network.inputs, self.network.outputs)
        if len(given) != len(wanted) or (given.shape[1:], wanted.shape[1:]) != ((sizes[0],), (sizes[1],)):
            raise RunError(f"the model is fitted to inputs [rows, {sizes[0]}] and targets [rows, {sizes[1]}], and was "
                           f"given {tuple(given.shape)} and {tuple(wanted.shape)}")
        if int(self.holdout * len(given)) < 1:
            raise RunError(f"{len(given)} rows are too few to fit a model to: a share of {self.holdout:g} is held out, "
                           "and that has to be one row at least. Let the learner begin later")
        for what, rows in (("inputs", given), ("targets", wanted)):
            wrong = ~torch.isfinite(rows)
            if bool(wrong.any()):
                bad, columns = wrong.any(1), wrong.any(0).nonzero().flatten().tolist()
                raise Diverged(f"{int(bad.sum())} of {len(rows)} rows to fit the model to hold NaN or infinity in "
                               f"their {what}, columns {columns}, the first in row {int(bad.nonzero()[0])}: the body "
                               "left the range where its numbers mean anything. End its episodes before that (a "
                               "termination function), or leave such rows out")
        return given, wanted

    def _split(self, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows that are held out, and those to learn from."""
        order = torch.randperm(rows, generator=generator, device=generator.device).to(self.device)
        count = min(int(self.holdout * rows), self.holdout_most)
        return order[:count], order[count:]

    def _scale(self, rows: torch.Tensor) -> None:
        """Bring inputs to one scale by what is learned from."""
        wide = rows.double()
        deviation = wide.std(0, correction=0)
        self.network.set({"scaler/mean": wide.mean(0).cpu().numpy(),
                          "scaler/deviation": torch.where(deviation < _CONSTANT, 1.0, deviation).cpu().numpy()})

    def _scaled(self, rows: torch.Tensor) -> torch.Tensor:
        mean, deviation = (torch.from_numpy(self.network.arrays[f"scaler/{name}"]).to(self.device)
                           for name in ("mean", "deviation"))
        return (rows - mean) / deviation

    def _draw(self, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
        """Draw each member's rows [members, rows], with replacement."""
        return torch.randint(shape[1], shape, generator=generator, device=generator.device).to(self.device)

    def _pass(self, rows: tuple[torch.Tensor, torch.Tensor], drawn: torch.Tensor, generator: torch.Generator) -> Slopes:
        """Go once through every member's rows, in an order of its own; return the slopes of the last minibatch."""
        order = torch.stack([torch.randperm(drawn.shape[1], generator=generator, device=generator.device)
                             for _ in drawn]).to(self.device)
        for chosen in drawn.gather(1, order).split(self.batch_size, 1):
            slopes = self._slopes(chosen.shape[1])
            slopes.take(*rows, chosen)
            self._optimiser.descend(slopes.compute())
        return slopes

    def _slopes(self, rows: int) -> Slopes:
        if rows not in self._kept:
            if len(self._kept) > 1:  # the remainder of another number of rows
                self._kept = {size: kept for size, kept in self._kept.items() if size == self.batch_size}
            depth = len(self.network.layers)
            weights, biases, (most, least) = self._tensors[:depth], self._tensors[depth:-2], self._tensors[-2:]
            self._kept[rows] = Slopes(weights, biases, most, least, rows)
        return self._kept[rows]

    @torch.no_grad()
    def _errors(self, inputs: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
        """Return each member's mean squared error of the mean [members] on scaled inputs."""
        depth, outputs = len(self.network.layers), self.network.outputs
        pairs = list(zip(self._tensors[:depth], self._tensors[depth:-2], strict=True))
        pairs[-1] = (pairs[-1][0][:, :outputs], pairs[-1][1][:, :outputs])
        said: Iterator[torch.Tensor] = (
            iter(through_stack(inputs, pairs)) if self.device.type != "cpu" else
            (through_member(inputs, [(weight[member], bias[member]) for weight, bias in pairs])
             for member in range(self.network.members)))
        return torch.stack([(each - targets).square().mean(dtype=torch.float64) for each in said]).cpu().numpy()

    def _check(self, best: Best, when: str, errors: np.ndarray, loss: float) -> None:
        """Stop where a member does not say numbers that mean anything; the network keeps its best weights so far."""
        wrong = [f"hold-out error of member {i} {error:g}" for i, error in enumerate(errors) if not np.isfinite(error)]
        if not wrong and np.isfinite(loss):
            return
        best.restore()
        raise Diverged(f"fitting the model has diverged {when}: {', '.join([*wrong, f'loss {loss:g}'])}. Lower its "
                       "learning_rate, or look for rows of extreme scale (rewards and changes of observation are not "
                       "normalised; basics.gain brings them back). The weights are those of each member's best pass "
                       "before; the optimiser's moments are not to be used again")

    def state_dict(self) -> dict[str, Any]:
        return {"optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])


class Best:
    """Each member's weights at its least error on the hold-out, and whether to go on.

    Args:
        tensors: [members, ...] each; copied where a member improves, written back by `restore`.
        improvement: share of its best by which a member's error must fall.
        patience: passes without any improvement that are put up with.
    """

    START = 1e10  # an error that the first pass of any sound model falls below

    def __init__(self, tensors: Sequence[torch.Tensor], improvement: float, patience: int) -> None:
        self._tensors, self._kept = list(tensors), [tensor.clone() for tensor in tensors]
        self._improvement, self._patience = improvement, patience
        self.errors = np.full(len(tensors[0]), self.START)  # [members] at the weights kept
        self._idle = 0

    @property
    def over(self) -> bool:
        """Have there been more passes without any improvement than are put up with?"""
        return self._idle > self._patience

    def take(self, errors: np.ndarray) -> None:
        """Note the errors [members] after a pass."""
        better = self.errors - errors > self._improvement * self.errors
        self._idle = 0 if better.any() else self._idle + 1
        self.errors = np.where(better, errors, self.errors)
        rows = torch.from_numpy(np.flatnonzero(better)).to(self._tensors[0].device)
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            kept[rows] = tensor[rows]

    def restore(self) -> None:
        """Give every member its best weights back."""
        for kept, tensor in zip(self._kept, self._tensors, strict=True):
            tensor.copy_(kept)


def spread(layers: int) -> list[float]:
    """Return a weight decay for each of so many layers: those of the sources for five, else between them."""
    return np.interp(np.linspace(0, 1, layers), np.linspace(0, 1, len(DECAYS)), DECAYS).tolist()
