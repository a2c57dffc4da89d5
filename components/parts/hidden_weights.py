"""Learning that takes time: weights that are learned already but not in force yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any, Literal

import numpy as np

from ...loops.errors import AssemblyError, Problem
from ...loops.time import MILLISECOND, Duration
from . import flat_parameters
from .roles import Normalised

Cost = Duration | Literal["measured"]


class HiddenWeights:
    """Keeps the weights that a learner works on apart from those that act, and hands them over when their time comes.

    `cost` is how long one time of learning takes in simulated nanoseconds, or `measured`: as long as it really took.
    With a cost of 0 there is nothing to hide: what is learned is in force at once.
    """

    def __init__(self, owner: Any, cost: int | Literal["measured"]) -> None:
        """Hide the weights of `owner`: a component with torch `parameters` and something learned."""
        self.owner, self.cost = owner, cost
        weights = list(owner.parameters())
        if not weights:
            raise AssemblyError([Problem("the policy has nothing that can learn: it has no parameters, or all are "
                                         "frozen (requires_grad is False)", "uses.policy", "Let some of them learn, or "
                                         "leave the learner out.")])
        self._acting = [*weights, *_statistics(owner)] if cost else []
        self.forget()

    def forget(self) -> None:
        """Begin with the weights that act."""
        self._hidden = [parameter.detach().clone() for parameter in self._acting]
        self.due: int | None = None  # when what was learned comes into force
        self.since = 0  # when it was learned
        self.ticks = 0  # of acting with the old weights meanwhile

    @contextmanager
    def learning(self, now: int, acts: bool) -> Iterator[None]:
        """Let the owner's parameters be the hidden ones; what is done to them will be in force later.

        `acts` says whether the owner answers at this very instant: if so, once more with the old weights.
        """
        if not self.cost:
            yield
            return
        began = perf_counter_ns()
        self._exchange()
        try:
            yield
        finally:
            self._exchange()
        took = perf_counter_ns() - began if self.cost == "measured" else self.cost
        self.since, self.due = now, now + max(1, int(took))
        self.ticks = int(acts)

    def _exchange(self) -> None:
        for parameter, hidden in zip(self._acting, self._hidden, strict=True):
            kept = parameter.detach().clone()
            parameter.data.copy_(hidden)
            hidden.copy_(kept)

    def deliver(self, now: int, acts: bool) -> dict[str, Any]:
        """Return the learned arrays as one vector, if their time has come, and how stale the acting ones were by then.

        `acts` says whether the owner answers at this very instant.
        """
        if self.due is None:
            return {}
        if now < self.due:
            self.ticks += acts
            return {}
        self._exchange()
        vector = flat_parameters.flatten(self.owner.state_dict()["learned"])
        self._exchange()
        self.due = None
        return {"learned": vector, "staleness": np.asarray((now - self.since) / MILLISECOND),
                "delayed_ticks": np.asarray(self.ticks, np.int64)}

    def state_dict(self) -> dict[str, Any]:
        return {"hidden": {str(i): tensor.numpy().copy() for i, tensor in enumerate(self._hidden)},
                "due": -1 if self.due is None else self.due, "since": self.since, "ticks": self.ticks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        import torch

        for i, tensor in enumerate(self._hidden):
            tensor.copy_(torch.from_numpy(np.array(state["hidden"][str(i)])))
        self.due = None if int(state["due"]) < 0 else int(state["due"])
        self.since = 0 if self.due is None else int(state["since"])
        self.ticks = int(state["ticks"])


def _statistics(owner: Any) -> list[Any]:
    """Return what the owner knows of its observations as tensors that share its memory."""
    import torch

    return [torch.from_numpy(array) for array in owner.statistics().values()] if isinstance(owner, Normalised) else []
