"""Several signals joined into one vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ..parts.passing import known, sender


class Concat(Component):
    """Joins everything that is wired to it into one vector, in the order in which the wires are written.

    Images and matrices are flattened; a number counts as one element, a value for all lanes is repeated in each.
    """

    open_inputs = True
    transparent = True

    def __init__(self) -> None:
        self.inputs: dict[str, Port] = {}
        self.outputs = {"output": Port("the inputs, one after the other", (None,))}

    @classmethod
    def example(cls) -> Concat:
        return cls()

    def infer(self) -> None:
        ports = list(self.inputs.values())
        if not ports or not all(known(*port.shape) for port in ports):
            return
        ends = [sender(self, name).range for name in self.inputs]
        self.outputs["output"] = replace(
            self.outputs["output"], shape=(sum(int(np.prod(port.shape)) for port in ports),),  # type: ignore[arg-type]
            low=float(np.float32(min(0.0, *(low for low, _ in ends)))),
            high=float(np.float32(max(0.0, *(high for _, high in ends)))))

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        for name, port in self.inputs.items():
            if port.kind == "event":
                raise AssemblyError([Problem("events cannot be joined into a vector", name,
                                             "Wire a signal, for example rates instead of spikes.")])

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        joined = np.empty(self.outputs["output"].full_shape(self.lanes.count), np.float32)  # [lanes, n]
        start = 0
        for name, port in self.inputs.items():
            size = int(np.prod(port.shape))  # type: ignore[arg-type]
            lanes = self.lanes.count if port.per_lane else 1
            joined[:, start:start + size] = inputs[name].reshape(lanes, size)
            start += size
        return {"output": joined}
