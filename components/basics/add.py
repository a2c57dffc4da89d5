"""A sum of signals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ..parts.passing import sender


class Add(Component):
    """Publishes the sum of everything that is wired to it, element by element.

    All terms have the same size. They are added in the order of their input names, so that the last bit of the sum
    does not depend on how the assembly is written; a term that has not arrived yet counts as zero.
    """

    open_inputs = True

    def __init__(self) -> None:
        self.inputs: dict[str, Port] = {}
        self.outputs = {"output": Port("sum of the inputs", ("n",))}

    @classmethod
    def example(cls) -> Add:
        return cls()

    def infer(self) -> None:
        ports = [self.outputs["output"], *self.inputs.values()]
        size = next((port.shape[0] for port in ports if len(port.shape) == 1 and port.known), None)
        if size is not None:
            for side in (self.inputs, self.outputs):
                for name, port in side.items():
                    if len(port.shape) == 1 and not port.known:
                        side[name] = port.sized((size,))
        ends = [sender(self, name).range for name in self.inputs]
        units = {sender(self, name).units for name in self.inputs}
        if ends:
            low, high = np.float32(sum(low for low, _ in ends)), np.float32(sum(high for _, high in ends))
            self.outputs["output"] = replace(
                self.outputs["output"], units=units.pop() if len(units) == 1 else "",
                # one step wider: the float32 sum of values at their bounds may round outwards
                low=float(np.nextafter(low, np.float32(-np.inf))), high=float(np.nextafter(high, np.float32(np.inf))))

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        shape = self.outputs["output"].shape
        for name, port in self.inputs.items():
            if port.kind == "event" or port.shape != shape:
                raise AssemblyError([Problem(f"a term of shape {port.shape} cannot be added to {shape}", name,
                                             "Add signals of one size; join others with basics.concat.")])
        self._names = sorted(self.inputs)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        total = np.zeros(self.outputs["output"].full_shape(self.lanes.count), np.float32)  # [lanes, n]
        for name in self._names:
            total += inputs[name]
        return {"output": total}
