"""A coprocessor that is a network: what it perceives in, stimulation out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import idle, status_input
from ...loops.time import Period
from ..parts import command_bounds, flags
from ..parts.exploration import Exploration
from ..parts.networked import Networked
from ..parts.sequence_network import Memory, SequenceNetwork, meaning


class Network(Networked):
    """Stimulates by a network that remembers, which a learner improves by gradients.

    The co-processor network (CPN) of Bryan, Jiang and Rao 2022 (arXiv:2210.11478): s = amplitude tanh(z), where z is
    what a recurrent network says of the observation, of recorded activity, or of both. While it explores, noise is
    added to tanh(z), and the sum cut off at 1: without it nobody learns what stimulation does. What it remembers is
    of one lane and one episode. `learners.coprocessor_backprop` trains it.

    Args:
        memory: what remembers: `lstm`, units whose rates are `retanh`, or `none`.
        units: that remember.
        hidden: neurons of each layer between memory and stimulation.
        leak: share of the way that a `retanh` unit goes at each tick.
        amplitude: largest command, either way; left out, what the receiver takes, or 5 where it takes anything (as a
            limiter does).
        explore: add noise.
        noise: its standard deviation, as a share of the amplitude.
        random_steps: so many first steps (of all lanes together) are uniformly random, when exploring.
        weights: artifact to begin with; without it weights are drawn from the seed.
        period: time between commands; left out, one per observation that arrives.
    """

    def __init__(self, *, memory: Memory = "lstm", units: Count = 32, hidden: list[Count] = [32],  # noqa: B006
                 leak: Share = 0.1, amplitude: Positive | None = None, explore: bool = False,
                 noise: NonNegative = 0.3, random_steps: Amount = 0, weights: Weights | None = None,
                 period: Period | None = None) -> None:
        self.remembers, self.units, self.hidden, self.leak = memory, units, list(hidden), leak
        self.amplitude, self.explore, self.noise, self.random_steps = amplitude, explore, noise, random_steps
        self.weights, self.period = weights, period
        self.inputs = {
            "observation": Port("what happens in the world", ("observation",), wakes=period is None),
            "recording": Port("activity of the brain that is recorded", ("recording",), optional=True,
                              also=("hold",)),
            "status": status_input(wakes=True),
        }
        self.outputs = {"command": Port("what each channel is to deliver", ("channel",), axes=("electrode",))}

    @classmethod
    def example(cls) -> Network:
        return cls(units=4, hidden=[5], amplitude=2, explore=True)

    def infer(self) -> None:
        """Take the amplitude that was not given from the receivers."""
        least, most = command_bounds.found(None, None, self.peers.get("command", []))
        self._most = self.amplitude or min(-least, most)
        most = max(self._most, 0.0)
        self.outputs["command"] = replace(self.outputs["command"], low=-most, high=most)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the network, and take the weights of the artifact."""
        super().build(lanes, seed)
        self.infer()
        if self._most <= 0:
            raise AssemblyError([Problem("what receives the commands takes none of one of both signs, so there is no "
                                         "amplitude that it takes either way", "params.amplitude",
                                         "Give an amplitude, or wire a receiver that takes both signs.")])
        self._heard = [name for name in ("observation", "recording") if name == "observation" or name in self.peers_in]
        size = sum(int(self.inputs[name].shape[0]) for name in self._heard)  # type: ignore[arg-type]
        self.channels = int(self.outputs["command"].shape[0])  # type: ignore[arg-type]
        self.network: SequenceNetwork = SequenceNetwork(size, self.channels, self.remembers, self.units, self.hidden,
                                                        self.leak, derive(seed, "weights"))
        self.take_weights()
        self.reset(seed)

    @property
    def meaning(self) -> dict[str, str]:
        """What the weights mean beside their sizes."""
        return meaning(self.remembers, self.leak)

    def reset(self, seed: int) -> None:
        """Forget what was perceived, and begin the noise anew."""
        count = self.lanes.count
        self.exploration = Exploration(self.lanes, (self.channels,), 0, self.random_steps, seed)
        self._state, self._last = self.network.begin(count), np.zeros((count, self.channels), np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Command for what is perceived now; between two commands only fall silent where an episode ended."""
        status = inputs["status"]
        if "status" in inputs.new and (begun := flags.begun(status, inputs.previous)).any():
            self._state = np.where(begun[:, None], np.float32(0), self._state)
        acts = ~idle(status)
        fresh = "observation" in inputs.new if self.period is None else flags.due(self.period, now)
        command = self._command(inputs, acts) if fresh and acts.any() else self._last
        command = np.where(acts[:, None], command, np.float32(0))
        if not fresh and np.array_equal(command, self._last):
            return {}
        self._last = command
        return {"command": command}

    def _command(self, inputs: Inputs, acts: np.ndarray) -> np.ndarray:
        """Return commands [lanes, channels] one tick on, and remember it where a lane acts."""
        seen = np.concatenate([inputs[name] for name in self._heard], axis=1)
        said, after = self.network.run(seen[:, None], self._state)
        self._state = np.where(acts[:, None], after, self._state)
        share = np.tanh(said[:, 0])
        if self.explore:
            self.exploration.draw(inputs["status"])
            share = np.clip(share + self.noise * self.exploration.noise, -1, 1)
            wild = self.exploration.wild
            share = np.where(wild[:, None], 2 * self.exploration.uniform - 1, share) if wild.any() else share
        return (self._most * share).astype(np.float32)

    def sequence(self, inputs: Any, memory: Any = None) -> tuple[Any, Any]:
        """Return commands [batch, time, channels] without noise, and the memory; tensors in, gradients out.

        Args:
            inputs: observation (and recording beside it) [batch, time, ...].
            memory: before the first tick, as returned; without one, all begin anew.
        """
        said, after = self.network.run(inputs, memory)
        return self._most * (np.tanh(said) if isinstance(said, np.ndarray) else said.tanh()), after

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "exploration": self.exploration.state_dict(), "state": self._state.copy(),
                "last": self._last.copy()}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        if "exploration" in state:
            self.exploration.load_state_dict(state["exploration"])
            self._state, self._last = np.array(state["state"], np.float32), np.array(state["last"], np.float32)
