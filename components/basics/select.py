"""Some elements of a vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.bounds import Amount
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ..parts.passing import carry


class Select(Component):
    """Passes on the elements that are asked for, in the order asked.

    Args:
        indices: positions in the input, counted from 0; one may stand several times.
    """

    def __init__(self, indices: list[Amount] = [0]) -> None:  # noqa: B006 (never written)
        if not indices or min(indices) < 0:
            raise ValueError(f"indices {indices} select nothing; write positions counted from 0, for example [0, 2]")
        self.indices = list(indices)
        self.transparent = len(set(indices)) == len(indices)  # the same current twice would be more of it
        self.inputs = {"input": Port("what is selected from", (None,), reads="now", wakes=True, also=("hold",))}
        self.outputs = {"output": Port("the elements selected", (len(indices),))}

    @classmethod
    def example(cls) -> Select:
        return cls(indices=[1, 0])

    def infer(self) -> None:
        carry(self)
        self.outputs["output"] = replace(self.outputs["output"], axes=())

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        size = int(self.inputs["input"].shape[0])  # type: ignore[arg-type]
        if max(self.indices) >= size:
            raise AssemblyError([Problem(f"index {max(self.indices)} is asked of an input with {size} elements",
                                         "indices", f"Write positions from 0 to {size - 1}.")])
        self._indices = np.asarray(self.indices)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"output": inputs["input"][:, self._indices]}
