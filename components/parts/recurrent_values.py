"""Action values with memory: several networks side by side, each of which sums an episode up before it judges.

A member is a long short-term memory (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735, with the forget
gates of Gers et al. 2000, doi 10.1162/089976600300015015) over the observations o(t), whose output h(t) is the summary,
and a perceptron that reads h(t) and the action. In each layer, with i, f, o through a sigmoid and g through tanh,

    i, f, g, o = W x(t) + U h(t-1) + b;   c(t) = f c(t-1) + i g;   h(t) = o tanh(c(t))

and h = c = 0 before an episode. The summary hangs on no action, so one serves all that are judged in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...loops.seeds import derive
from . import gated_memory
from .ensembles import rows_through
from .networks import Perceptron, SharedArrays, activate


class RecurrentValues(SharedArrays):
    """Arrays of layer i of the memory are `memory{i}/input` W [members, 4 units, in], `memory{i}/recurrent` U and
    `memory{i}/bias` b, gates in the order i, f, g, o; then those of the perceptrons, [members, ...] each."""

    def __init__(self, inputs: int, actions: int, units: int, layers: int, hidden: Sequence[int], seeds: Sequence[int]
                 ) -> None:
        super().__init__()
        self.units, self.memories, self.activation = units, [f"memory{i}" for i in range(1, layers + 1)], "relu"
        members = [Perceptron(units + actions, list(hidden), {"out": 1}, "relu", derive(seed, "judge"))
                   for seed in seeds]
        self.layers = [*members[0].layers, "out"]
        drawn = [self._draw(inputs, np.random.default_rng(derive(seed, "memory"))) for seed in seeds]
        self.arrays = {name: np.stack([each[name] for each in drawn]) for name in drawn[0]}
        self.arrays |= {name: np.stack([each.arrays[name] for each in members]) for name in members[0].arrays}

    def _draw(self, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw everything uniform within 1 / sqrt(units), as torch does."""
        bound, made = self.units ** -0.5, {}
        for i, name in enumerate(self.memories):
            for part, size in (("input", (inputs if not i else self.units,)), ("recurrent", (self.units,)),
                               ("bias", ())):
                made[f"{name}/{part}"] = rng.uniform(-bound, bound, (4 * self.units, *size)).astype(np.float32)
        return made

    def nothing(self, rows: int) -> np.ndarray:
        """Return the state of so many rows before an episode: h and c, [rows, 2, layers, members, units]."""
        members = len(self.arrays["out/bias"])
        return np.zeros((rows, 2, len(self.memories), members, self.units), np.float32)

    def tick(self, observation: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return the state one observation [rows, in] later; rows one by one, as in `networks.linear`."""
        self.gather()
        members = state.shape[3]
        after, heard = np.empty_like(state), np.broadcast_to(observation, (members, *observation.shape))
        for i, name in enumerate(self.memories):
            before, kept = (state[:, part, i].swapaxes(0, 1) for part in (0, 1))  # [members, rows, units]
            weight = [self.arrays[f"{name}/{part}"] for part in ("input", "recurrent", "bias")]
            gates = rows_through(heard, weight[0], weight[2]) + rows_through(before, weight[1], weight[2] * 0)
            heard, kept = gated_memory.tick(gates, kept)
            after[:, 0, i], after[:, 1, i] = heard.swapaxes(0, 1), kept.swapaxes(0, 1)
        return after

    def summarise(self, observation: Any, truncate: int = 0) -> Any:
        """Return summaries [members, batch, time, units] of episodes [batch, time, in] up to each tick, as tensors."""
        import torch

        arrays, (batch, time), depth = self.arrays_for(observation), observation.shape[:2], len(self.memories)
        flat = [arrays[f"{name}/{part}"].unbind() for name in self.memories for part in ("input", "recurrent", "bias")]
        told, still = [], torch.zeros_like(flat[2][0])
        for member in zip(*flat, strict=True):
            weights = [part for i in range(depth) for part in (*member[3 * i:3 * i + 3], still)]
            state = observation.new_zeros(2, depth, batch, self.units).unbind()
            parts = []
            for piece in observation.transpose(0, 1).split(truncate or time):
                said, *after = torch.lstm(piece.contiguous(), list(state), weights, True, depth, 0.0,
                                          torch.is_grad_enabled(), False, False)
                state = tuple(part.detach() for part in after)
                parts.append(said)
            told.append(torch.cat(parts) if len(parts) > 1 else parts[0])
        return torch.stack(told).transpose(1, 2)

    def judge(self, summary: Any, action: Any) -> Any:
        """Return values [members, ...] of actions [..., actions] in situations [members, ..., units]."""
        arrays = self.arrays_for(summary)
        pairs = [(arrays[f"{name}/weight"], arrays[f"{name}/bias"]) for name in self.layers]
        rows = (len(summary), int(np.prod(summary.shape[1:-1])))
        if isinstance(summary, np.ndarray):
            given = np.broadcast_to(action, (len(summary), *action.shape))
            values: Any = np.concatenate([summary, given], axis=-1).reshape(*rows, -1)
            for depth, (weight, bias) in enumerate(pairs):
                values = rows_through(activate(values, "relu") if depth else values, weight, bias)
            return values[..., 0].reshape(summary.shape[:-1])
        import torch

        from .backpropagation import through_layers

        flat, told = action.flatten(0, -2), []
        members = zip(*[zip(weight.unbind(), bias.unbind(), strict=True) for weight, bias in pairs], strict=True)
        for known, member in zip(summary, members, strict=True):
            values = torch.cat([known.reshape(rows[1], -1), flat], dim=-1)
            told.append(through_layers(values, "relu", member[:-1], member[-1:])[1][0][..., 0])
        return torch.stack(told).reshape(summary.shape[:-1])
