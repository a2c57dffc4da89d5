"""A ring of past transitions on the learner's device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...loops.errors import RunError
from .transitions import Rows


class ReplayBuffer:
    """Keeps the last `size` transitions and draws minibatches uniformly, with replacement.

    Memory is taken as it fills. Where it lies (`device`) minibatches come from, without a copy between devices.
    """

    def __init__(self, size: int, shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype]], device: str = "cpu"
                 ) -> None:
        """Make room for `size` rows; `shapes` are shape and type of one row of each column."""
        self.size = size
        self.columns = {name: torch.zeros((size, *shape), dtype=dtype, device=device)
                        for name, (shape, dtype) in shapes.items()}
        self._views = {name: column.numpy() for name, column in self.columns.items() if column.device.type == "cpu"}
        self.forget()

    def forget(self) -> None:
        """Keep nothing."""
        self.added = 0  # rows ever added

    def __len__(self) -> int:
        return min(self.added, self.size)

    def resize(self, size: int) -> None:
        """Make room for `size` rows instead; where that is less, the newest stay."""
        if size == self.size:
            return
        kept = min(len(self), size)
        newest = torch.arange(self.added - kept, self.added) % self.size
        for name, column in self.columns.items():
            made = torch.zeros((size, *column.shape[1:]), dtype=column.dtype, device=column.device)
            made[:kept] = column.index_select(0, newest.to(column.device))
            self.columns[name] = made
        self._views = {name: column.numpy() for name, column in self.columns.items() if column.device.type == "cpu"}
        self.size, self.added = size, kept

    def add(self, rows: Mapping[str, np.ndarray | torch.Tensor]) -> None:
        """Add rows [rows, ...] of every column; the oldest make room."""
        count = len(next(iter(rows.values())))
        if count > self.size:
            rows = {name: values[-self.size:] for name, values in rows.items()}
        start = (self.added + count - min(count, self.size)) % self.size
        first = min(min(count, self.size), self.size - start)  # before the end of the ring
        for name, values in rows.items():
            self._write(name, slice(start, start + first), values[:first])
            if first < len(values):
                self._write(name, slice(0, len(values) - first), values[first:])
        self.added += count

    def _write(self, name: str, where: slice, values: np.ndarray | torch.Tensor) -> None:
        if isinstance(values, torch.Tensor):
            self.columns[name][where] = values
        elif name in self._views:
            self._views[name][where] = values
        else:
            self.columns[name][where] = torch.from_numpy(np.array(values)).to(self.columns[name].device)

    def sample(self, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draw `count` rows [count, ...] of every column."""
        if not self.added:
            raise RunError("nothing to draw from: no step has reached the replay buffer yet")
        chosen = torch.randint(len(self), (count,), generator=generator, device=generator.device)
        return {name: column.index_select(0, chosen) for name, column in self.columns.items()}

    def state_dict(self) -> dict[str, Any]:
        filled = {name: column[:len(self)].cpu().numpy().copy() for name, column in self.columns.items()}
        return {"added": self.added, "columns": filled}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.added = int(state["added"])
        for name, column in self.columns.items():
            kept = torch.from_numpy(np.array(state["columns"][name]))
            if kept.shape[1:] != column.shape[1:] or len(kept) != len(self):
                raise RunError(f"the replay buffer saved has {name} {tuple(kept.shape)}, this one takes "
                               f"{(len(self), *column.shape[1:])}: give it the same size and the same ports")
            column[:len(kept)] = kept


def transition_columns(observation: tuple[int, ...], action: tuple[int, ...], action_type: str,
                       observation_type: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the columns of ordinary transitions: shape of a row and type."""
    seen = getattr(torch, observation_type)
    return {"observation": (observation, seen), "action": (action, getattr(torch, action_type)),
            "reward": ((), torch.float32), "successor": (observation, seen), "terminated": ((), torch.float32)}


def as_columns(rows: Rows) -> dict[str, np.ndarray]:
    """Return transitions as the columns that `transition_columns` names."""
    return {"observation": rows.observation, "action": rows.action, "reward": rows.reward,
            "successor": rows.successor, "terminated": rows.terminated.astype(np.float32)}
