"""A learned emulator of a stimulated brain: what it is about to do, of all that it perceived and received so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Count, Share
from ...loops.component import Inputs
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import idle, status_input
from ..parts import flags
from ..parts.networked import Networked
from ..parts.reach import half_range
from ..parts.sequence_network import Memory, SequenceNetwork, meaning


class Emulator(Networked):
    """Says what a brain is going to do that has perceived this, and was stimulated so, since the episode began.

    The emulator network (EN) of Bryan, Jiang and Rao 2022 (arXiv:2210.11478): a recurrent network from observation,
    recorded activity and stimulation delivered to the action, within its bounds by tanh. A learner that uses it fits it
    to whole episodes, and sends gradients through it to the stimulation; it publishes how wrong it was about what came.
    A model without memory that `coprocessors.copac` can ask is `world_models.action_model`.

    Args:
        memory: what remembers: `lstm`, units whose rates are `retanh`, or `none`.
        units: that remember.
        hidden: neurons of each layer between memory and action.
        leak: share of the way that a `retanh` unit goes at each tick.
        weights: artifact to begin with; without it weights are drawn from the seed.
    """

    def __init__(self, *, memory: Memory = "lstm", units: Count = 32, hidden: list[Count] = [32],  # noqa: B006
                 leak: Share = 0.1, weights: Weights | None = None) -> None:
        self.remembers, self.units, self.hidden, self.leak, self.weights = memory, units, list(hidden), leak, weights
        self.inputs = {
            "observation": Port("what the brain perceives", ("observation",), wakes=True),
            "recording": Port("activity of the brain that is recorded", ("recording",), optional=True,
                              also=("hold",)),
            "condition": Port("stimulation delivered", ("condition",)),
            "target": Port("what the brain does then", ("target",), also=("hold",)),
            "status": status_input(),
        }
        self.outputs = {
            "prediction": Port("what the brain was expected to do", ("target",)),
            "error": Port("mean squared error of that expectation, as a share of half the range squared", (), low=0),
        }

    @classmethod
    def example(cls) -> Emulator:
        return cls(units=4, hidden=[5])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the network, and take the weights of the artifact."""
        super().build(lanes, seed)
        self._heard = [name for name in ("observation", "recording", "condition") if name != "recording"
                       or name in self.peers_in]
        targets = int(self.inputs["target"].shape[0])  # type: ignore[arg-type]
        self.reach = half_range(self.peers_in.get("target", self.inputs["target"]), targets, "inputs.target")
        size = sum(int(self.inputs[name].shape[0]) for name in self._heard)  # type: ignore[arg-type]
        self.network: SequenceNetwork = SequenceNetwork(size, targets, self.remembers, self.units, self.hidden,
                                                        self.leak, derive(seed, "weights"))
        self.take_weights()
        self.reset(seed)

    @property
    def meaning(self) -> dict[str, str]:
        """What the weights mean beside their sizes."""
        return meaning(self.remembers, self.leak)

    def reset(self, seed: int) -> None:
        """Forget what was perceived."""
        self._state = self.network.begin(self.lanes.count)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Compare what came with what was expected; nothing where nobody acts."""
        status = inputs["status"]
        if "status" in inputs.new and (begun := flags.begun(status, inputs.previous)).any():
            self._state = np.where(begun[:, None], np.float32(0), self._state)
        if "observation" not in inputs.new:
            return {}
        heard = np.concatenate([inputs[name] for name in self._heard], axis=1)
        said, after = self.sequence(heard[:, None], self._state)
        rests = idle(status)
        self._state = np.where(rests[:, None], self._state, after)
        wrong = np.square((said[:, 0] - inputs["target"]) / self.reach).mean(axis=1)
        return {"prediction": said[:, 0], "error": np.where(rests, np.float32(0), wrong)}

    def sequence(self, inputs: Any, memory: Any = None) -> tuple[Any, Any]:
        """Return expected actions [batch, time, target], and the memory; tensors in, gradients out.

        Args:
            inputs: observation (and recording), stimulation [batch, time, ...] beside each other.
            memory: before the first tick, as returned; without one, all begin anew.
        """
        said, after = self.network.run(inputs, memory)
        return (np.tanh(said) * self.reach if isinstance(said, np.ndarray)
                else said.tanh() * said.new_tensor(self.reach)), after

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "state": self._state.copy()}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        if "state" in state:
            self._state = np.array(state["state"], np.float32)
