"""A memory of whole episodes, from which minibatches of sequences are drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...loops.errors import RunError

Episode = Mapping[str, np.ndarray]


class EpisodeMemory:
    """Keeps the last `size` episodes whole; episodes of a minibatch stand side by side from their first step on.

    Args:
        size: episodes that are remembered; the oldest make room.
        by_length: is an episode drawn in proportion to its steps? Else all are drawn alike. Always with replacement.
        device: of torch, where minibatches are wanted.
    """

    def __init__(self, size: int, by_length: bool, device: Any = "cpu") -> None:
        self.size, self.by_length, self.device = size, by_length, torch.device(device)
        self.forget()

    def forget(self) -> None:
        """Keep nothing."""
        self._episodes: deque[Episode] = deque(maxlen=self.size)
        self._lengths: deque[int] = deque(maxlen=self.size)

    def __len__(self) -> int:
        return len(self._episodes)

    @property
    def steps(self) -> int:
        """Steps of all episodes that are remembered."""
        return sum(self._lengths)

    def keep(self, episode: Episode) -> None:
        """Remember an episode: `observation` [steps + 1, ...], every other column [steps, ...]."""
        self._episodes.append(episode)
        self._lengths.append(len(episode["observation"]) - 1)

    def sample(self, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draw `count` episodes as `padded` gives them."""
        if not self._episodes:
            raise RunError("nothing to draw from: no episode has ended yet")
        weights = torch.tensor(self._lengths if self.by_length else [1] * len(self), dtype=torch.float64,
                               device=generator.device)
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator).tolist()
        return {name: torch.from_numpy(column).to(self.device)
                for name, column in padded([self._episodes[i] for i in chosen]).items()}

    def state_dict(self) -> dict[str, Any]:
        names = self._episodes[0] if self._episodes else ()
        return {"lengths": np.array(self._lengths, np.int64),
                "columns": {name: np.concatenate([each[name] for each in self._episodes]) for name in names}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.forget()
        lengths = np.asarray(state["lengths"], np.int64)
        parts = {name: np.split(np.array(column), np.cumsum(lengths + (name == "observation"))[:-1])
                 for name, column in state.get("columns", {}).items()}
        for i in range(len(lengths)):
            self.keep({name: column[i] for name, column in parts.items()})


def padded(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
    """Return episodes side by side, zeros after their ends.

    Returns `observation` [episodes, longest + 1, ...], every other column [episodes, longest, ...], flags as float32,
    and `mask` [episodes, longest] float32: 1 where there was a step.
    """
    longest = max(len(each["observation"]) for each in episodes) - 1
    made = {name: np.zeros((len(episodes), longest + (name == "observation"), *part.shape[1:]),
                           np.float32 if part.dtype == bool else part.dtype) for name, part in episodes[0].items()}
    made["mask"] = np.zeros((len(episodes), longest), np.float32)
    for i, episode in enumerate(episodes):
        for name, part in episode.items():
            made[name][i, :len(part)] = part
        made["mask"][i, :len(episode["observation"]) - 1] = 1
    return made
