"""Random numbers of a search, lane by lane, as many as a memory says were drawn before: a search is a pure function."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.lanes import Lanes
from ...loops.seeds import LaneRandom


class Draws:
    """Draws of some lanes, which go on where they ended.

    Args:
        seed: of the search.
        lanes: [states] global numbers of the lanes.
        drawn: [states] how many numbers each has drawn so far.
    """

    def __init__(self, seed: int, lanes: np.ndarray, drawn: np.ndarray) -> None:
        self._random = LaneRandom(seed, Lanes(len(lanes), lanes), "sequences")
        self._random.load_state_dict({"count": drawn})

    @property
    def drawn(self) -> np.ndarray:
        """How many numbers each lane has drawn [states]."""
        return self._random.state_dict()["count"]

    def normal(self, shape: tuple[int, ...]) -> Any:
        """Return standard normal numbers [states, *shape] as a float32 tensor."""
        import torch

        return torch.from_numpy(self._random.normal(shape).astype(np.float32))

    def seeds(self) -> np.ndarray:
        """Return a seed for each lane [states] int64."""
        return (self._random.bits() >> np.uint64(1)).astype(np.int64)
