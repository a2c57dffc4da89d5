"""Action values that remember what was observed in an episode so far, of which the lowest counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.bounds import Count
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import WAITING, begins, status_input
from ..parts.networked import Networked
from ..parts.recurrent_values import RecurrentValues


class RecurrentQ(Networked):
    """Says how much reward an action promises, by all that was observed since the episode began.

    For brains that remember: what the present observation does not tell, its past may. Each member sums the
    observations up with a long short-term memory of its own, and a perceptron reads that summary and the action
    (`parts/recurrent_values.py`); of the members the least counts, as in `critics.q_ensemble`. Memory advances with
    each new observation and begins anew at FIRST. Asked about a single observation it answers as at the beginning of
    an episode. `learners.recurrent_sac` teaches it.

    Args:
        members: number of networks.
        units: numbers of a summary, which are as many as each layer of the memory has.
        layers: of the memory (the critics of Pan et al. 2024, arXiv:2406.06714, have two).
        hidden: neurons of each layer of the perceptron that judges.
        weights: artifact to begin with; without it weights are drawn from the seed.
    """

    def __init__(self, *, members: Count = 2, units: Count = 256, layers: Count = 2,
                 hidden: list[Count] = [256, 256], weights: Weights | None = None) -> None:  # noqa: B006
        if not hidden or min(hidden) < 1:
            raise AssemblyError([Problem(f"what judges needs layers of neurons, not {hidden}", "hidden",
                                         "Write for example [256, 256].")])
        self.members, self.units, self.layers, self.hidden = members, units, layers, list(hidden)
        self.weights = weights
        self.inputs = {
            "observation": Port("the situation", ("observation",), wakes=True),
            "action": Port("what is done in it", ("action",), wakes=True),
            "status": status_input(wakes=True),
        }
        self.outputs = {"value": Port("reward promised, discounted: the least of the members", ())}

    @classmethod
    def example(cls) -> RecurrentQ:
        return cls(units=6, hidden=[8])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the networks, and take the weights of the artifact."""
        super().build(lanes, seed)
        seen, done = (int(self.inputs[name].shape[0]) for name in ("observation", "action"))  # type: ignore[arg-type]
        self.network: RecurrentValues = RecurrentValues(
            seen, done, self.units, self.layers, self.hidden,
            [derive(seed, "weights", member) for member in range(self.members)])
        self.take_weights()
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget everything observed; what was learned stays."""
        self._state = self.network.nothing(self.lanes.count)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Take a new observation in, and judge what is done now."""
        status = inputs["status"]
        if "status" in inputs.new and (begun := begins(status)).any():
            self._state = np.where(begun[:, None, None, None, None], np.float32(0), self._state)
        if "observation" in inputs.new:
            after = self.network.tick(inputs["observation"], self._state)
            rests = (status & WAITING) != 0
            self._state = np.where(rests[:, None, None, None, None], self._state, after) if rests.any() else after
        return {"value": self._judge(self._state, inputs["action"]).min(axis=0)}

    def _judge(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
        return self.network.judge(np.ascontiguousarray(state[:, 0, -1].swapaxes(0, 1)), action)

    def value(self, observation: Any, action: Any = None) -> Any:
        """Return values [members, batch] of first observations and actions [batch, ...]; tensors in, gradients out."""
        if isinstance(observation, np.ndarray):
            return self._judge(self.network.tick(observation, self.network.nothing(len(observation))), action)
        return self.judge(self.summarise(observation[:, None]), action[:, None])[..., 0]

    def summarise(self, observation: Any, truncate: int = 0) -> Any:
        """Return what each member makes of episodes up to each tick [members, batch, time, units], as tensors.

        `observation` is [batch, time, observation] from the first tick of an episode on; gradients reach back over
        `truncate` ticks and no further (0: over all).
        """
        return self.network.summarise(observation, truncate)

    def judge(self, summary: Any, action: Any) -> Any:
        """Return values [members, batch, time] of actions [batch, time, action] in the situations summarised."""
        return self.network.judge(summary, action)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "state": self._state.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if "state" in state:
            self._state = np.array(state["state"], np.float32)
