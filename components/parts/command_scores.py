"""What a command to a stimulator is worth: what the brain would do, and what is thought of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from .command_slopes import CommandSlopes, slopes_for
from .roles import remembers
from .stimulus_search import differentiated

Method = Literal["qmax", "pmax", "inverse"]


class CommandScores:
    """Judges commands by a critic, or by how near they bring the brain to an expert.

    Args:
        used: `action_model`, or `brain` and `stimulator`, or `inverse_model`; `critic`, or `expert`.
        method: see `components/coprocessors/copac.py`.
        perceived: numbers of an observation that critic and expert are shown; what stands behind them is recorded
            activity, which the model alone is shown.
        effort: cost of a squared unit of command, mean over channels.
        bonus: worth of a unit of disagreement among the model's members.
    """

    def __init__(self, used: Mapping[str, Any], method: Method, perceived: int, effort: float, bonus: float) -> None:
        self.used, self.method, self.perceived, self.effort, self.bonus = used, method, perceived, effort, bonus

    def slopes(self, seen: torch.Tensor, memory: Mapping[str, torch.Tensor] | None) -> CommandSlopes | None:
        """Return what works out slopes for these observations without autograd, where networks are plain."""
        if self.method != "qmax" or self.bonus:
            return None
        return slopes_for(self.used.get("action_model"), self.used["critic"], seen, self.perceived, memory)

    def question(self, seen: torch.Tensor, lanes: np.ndarray | None, memory: Any = None) -> Question:
        """Return what scores commands for observations [batch, ...] of these lanes [batch] (None: of nobody's).

        The memory is that of a model of the brain, [batch, ...]; without one nothing was done before.
        """
        return Question(self, seen, lanes, memory)


class Question:
    """Scores commands for one batch of observations [batch, perceived + recorded]."""

    def __init__(self, by: CommandScores, seen: torch.Tensor, lanes: np.ndarray | None, memory: Any = None) -> None:
        self._by, self._seen, self._lanes = by, seen, lanes
        self._world = seen[:, :by.perceived]
        self._looked = False  # for slopes, once it is asked to climb
        self._slopes: CommandSlopes | None = None
        self._memory: Mapping[str, torch.Tensor] | None = None  # worked out once for all commands
        model: Any = by.used.get("action_model")
        if remembers(model):
            self._memory = model.prepared(memory, len(seen))
        if "expert" in by.used:
            with torch.no_grad():
                self._wanted = by.used["expert"].respond({"observation": self._world}, None)[0]["action"]

    def score(self, rows: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
        """Return scores [n] of commands [n, channels] for the observations `rows` [n]; gradients by the commands."""
        by = self._by
        action, apart = self._action(rows, commands)
        if by.method == "qmax":
            worth = by.used["critic"].value(self._world[rows], action)
            worth = worth.amin(0) if worth.ndim == 2 else worth
        else:
            worth = -(action - self._wanted[rows]).norm(dim=1)
        if by.effort:
            worth = worth - by.effort * commands.square().mean(1)
        return worth if apart is None else worth + by.bonus * apart

    def climb(self, rows: torch.Tensor, commands: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores [n] and their slopes [n, channels] by the commands."""
        if not self._looked:
            self._looked, self._slopes = True, self._by.slopes(self._seen, self._memory)
        if self._slopes is None:
            return differentiated(self.score, rows, commands)
        promise, slope = self._slopes.climb(rows, commands)
        if effort := self._by.effort:
            promise = promise - effort * commands.square().mean(1)
            slope = slope - 2 * effort / commands.shape[1] * commands
        return promise, slope

    def _action(self, rows: torch.Tensor, commands: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the brain is expected to do [n, actions], and how far a model's members are apart [n].

        Without a model the brain is asked itself.
        """
        used = self._by.used
        if "action_model" in used:
            both = torch.cat([self._seen[rows], commands], dim=1)
            before = {} if self._memory is None else {"memory": {name: part[rows]
                                                                 for name, part in self._memory.items()}}
            if not self._by.bonus:
                return used["action_model"].predict(both, **before), None
            told = used["action_model"].predictions(both, **before)  # [members, n, actions]
            return told.mean(0), told.std(0, correction=0).mean(-1)
        brain, stimulator = used["brain"], used["stimulator"]
        lanes = None if self._lanes is None else self._lanes[rows.numpy()]
        memory = _rows_of(brain.memory(), lanes)
        told = brain.respond({"observation": self._seen[rows], "current": stimulator.currents(commands, lanes)}, memory)
        return told[0]["action"], None

    def inverse(self) -> torch.Tensor:
        """Return the commands [batch, channels] that are expected to make the brain do what the expert would."""
        with torch.no_grad():
            return self._by.used["inverse_model"].predict(torch.cat([self._seen, self._wanted], dim=1))


def _rows_of(memory: Any, lanes: np.ndarray | None) -> Any:
    """Return a memory's rows of these lanes; memories are arrays [lanes, ...] in nested dictionaries, or None."""
    if memory is None or lanes is None:
        return None
    if isinstance(memory, Mapping):
        return {name: _rows_of(part, lanes) for name, part in memory.items()}
    return torch.from_numpy(np.asarray(memory)[lanes])
