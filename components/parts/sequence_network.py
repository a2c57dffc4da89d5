"""Networks that answer to whole sequences: a memory or none, then layers that read it.

Weights are NumPy arrays that torch shares (`networks.py`): acting, a tick at a time, needs no torch; fitting goes
through all ticks of whole episodes at once.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.seeds import derive
from . import gated_memory
from .modular_network import firing
from .networks import Perceptron, linear

Memory = Literal["none", "lstm", "retanh"]
_GATES = {"none": 0, "lstm": 4, "retanh": 1}  # rows of weights for each unit
_STATES = {"none": 0, "lstm": 2, "retanh": 1}  # numbers that each unit keeps


def meaning(memory: Memory, leak: float) -> dict[str, str]:
    """Say what the weights of such a network mean beside their sizes."""
    return {"activation": "tanh", "memory": memory, **({"leak": f"{leak:g}"} if memory == "retanh" else {})}


class SequenceNetwork(Perceptron):
    """What is heard [batch, time, inputs] -> memory -> tanh layers -> linear outputs [batch, time, outputs].

    Memories are

    * `lstm`: i, f, g, o = W u + U h + b; c <- sig(f) c + sig(i) tanh(g); h <- sig(o) tanh(c) (Hochreiter and
      Schmidhuber 1997, with the forget gate of Gers et al. 2000, whose bias begins at 1);
    * `retanh`: x <- x + leak (-x + U r + W u + b), r = tanh(max(x, 0)) (Michaels et al. 2020, doi
      10.1073/pnas.2005087117);
    * `none`: the layers read what is heard.

    Args:
        inputs, outputs: numbers heard and said.
        memory: its kind.
        units: that remember.
        hidden: neurons of each layer that reads them.
        leak: share of the way that a `retanh` unit goes at each tick.
        seed: of the weights.
    """

    def __init__(self, inputs: int, outputs: int, memory: Memory, units: int, hidden: list[int], leak: float,
                 seed: int) -> None:
        super().__init__(inputs if memory == "none" else units, hidden, {"out": outputs}, "tanh", seed)
        self.memory, self.units, self.leak = memory, units, leak
        self.state_size = _STATES[memory] * units
        if memory == "none":
            return
        rng, rows, bound = np.random.default_rng(derive(seed, "memory")), _GATES[memory] * units, 1 / np.sqrt(units)
        for name, shape in (("input", (rows, inputs)), ("recurrent", (rows, units)), ("bias", (rows,))):
            self.arrays[f"memory/{name}"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        if memory == "lstm":
            self.arrays["memory/bias"][units:2 * units] = 1

    def begin(self, rows: int) -> np.ndarray:
        """Return the state [rows, numbers] of so many rows that have heard nothing yet."""
        return np.zeros((rows, self.state_size), np.float32)

    def run(self, heard: Any, state: Any = None) -> tuple[Any, Any]:
        """Return what is said [batch, time, outputs], and the state after the last tick [batch, numbers].

        Args:
            heard: [batch, time, inputs]; arrays, or tensors for gradients.
            state: before the first tick; without one, all begin anew.
        """
        batch, time = heard.shape[:2]
        if state is None:
            state = self.begin(batch) if isinstance(heard, np.ndarray) else heard.new_zeros((batch, self.state_size))
        told, after = (heard, state) if self.memory == "none" else self._remember(heard, state)
        said = self.forward(told.reshape(batch * time, told.shape[-1]))[0]["out"]
        return said.reshape(batch, time, said.shape[-1]), after

    def _remember(self, heard: Any, state: Any) -> tuple[Any, Any]:
        """Return what the units say [batch, time, units], and their state."""
        arrays = self.arrays_for(heard)
        weights = [arrays[f"memory/{name}"] for name in ("input", "recurrent", "bias")]
        if isinstance(heard, np.ndarray):
            tick = self._lstm if self.memory == "lstm" else self._retanh
            told = []
            for time in range(heard.shape[1]):
                said, state = tick(heard[:, time], state, *weights)
                told.append(said)
            return np.stack(told, axis=1), state
        return (self._lstm_ticks if self.memory == "lstm" else self._retanh_ticks)(heard, state, *weights)

    def _lstm(self, heard: Any, state: Any, into: Any, back: Any, bias: Any) -> tuple[Any, Any]:
        before, cell = np.split(state, 2, axis=1)
        said, cell = gated_memory.tick(linear(heard, into, bias) + linear(before, back, np.float32(0)), cell)
        return said, np.concatenate([said, cell], axis=1)

    def _retanh(self, heard: Any, state: Any, into: Any, back: Any, bias: Any) -> tuple[Any, Any]:
        after = state + np.float32(self.leak) * (linear(firing(state), back, np.float32(0))
                                                 + linear(heard, into, bias) - state)
        return firing(after), after

    def _lstm_ticks(self, heard: Any, state: Any, into: Any, back: Any, bias: Any) -> tuple[Any, Any]:
        """The same for all ticks, by torch's own pass."""
        import torch

        before, cell = (part[None].contiguous() for part in state.chunk(2, dim=1))
        told, before, cell = torch.lstm(heard, (before, cell), [into, back, bias, torch.zeros_like(bias)], True, 1, 0.0,
                                        False, False, True)
        return told, torch.cat([before[0], cell[0]], dim=1)

    def _retanh_ticks(self, heard: Any, state: Any, into: Any, back: Any, bias: Any) -> tuple[Any, Any]:
        from .recurrence import ticks

        batch, time = heard.shape[:2]
        drive = linear(heard.reshape(batch * time, -1), into, bias).reshape(batch, time, self.units)
        return ticks(state, drive, back, heard.new_zeros(self.units), leak=self.leak, alive=None, begins=None,
                     frozen=None, truncate=0)
