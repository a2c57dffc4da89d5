"""Gain and offset: from one range into another."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ..parts.passing import sender, spread


class Gain(Component):
    """Scales and shifts: `output = gain * input + offset`.

    It brings a policy's action in [-1, 1] into a stimulator's own range. The output declares the bounds that follow
    from those of the input; units are never converted silently, so the output's are written here.

    Args:
        gain: one factor for all elements, or one for each.
        offset: one shift for all elements, or one for each.
        units: units of the output, for example `uA`.
    """

    def __init__(self, gain: float | list[float] = 1.0, offset: float | list[float] = 0.0, units: str = "") -> None:
        if not np.isfinite(gain).all() or not np.isfinite(offset).all():
            raise ValueError(f"gain {gain} and offset {offset} must be finite")
        self.gain, self.offset, self.units = gain, offset, units
        self._factors = np.float32(gain), np.atleast_1d(np.float32(offset))
        self.transparent = bool((np.abs(gain) <= 1).all() and not np.any(offset))  # adds nothing to a limited current
        self.inputs = {"input": Port("what is scaled", ("n",), reads="now", wakes=True, also=("hold",))}
        self.outputs = {"output": Port("gain * input + offset", ("n",), units=units)}

    @classmethod
    def example(cls) -> Gain:
        return cls(gain=5.0)

    def infer(self) -> None:
        port = self.outputs["output"]
        for given in (self.gain, self.offset):
            if isinstance(given, list) and not port.known:
                port = self.outputs["output"] = replace(port, shape=(len(given),))
                self.inputs["input"] = replace(self.inputs["input"], shape=port.shape)
        given = sender(self, "input")
        low, high = given.range
        lengths = {len(given) for given in (self.gain, self.offset) if isinstance(given, list)}
        if port.known and lengths <= {port.shape[0]} and isfinite(low) and isfinite(high):
            ends = np.concatenate([self._scale(min(low, 0.0)), self._scale(max(high, 0.0))])  # 0: before any message
            port = replace(port, low=float(ends.min()), high=float(ends.max()))
        self.outputs["output"] = port if port.axes == given.axes else replace(port, axes=given.axes)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        size = int(self.outputs["output"].shape[0])  # type: ignore[arg-type]
        self._gain = spread(self.gain, size).astype(np.float32)
        self._offset = spread(self.offset, size).astype(np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        value = inputs["input"] * self._gain  # [lanes, n]
        value += self._offset
        return {"output": value}

    def _scale(self, end: float) -> np.ndarray:
        """The same arithmetic as `step`, so that bounds hold to the last bit; float32 [n], or [1]."""
        return np.float32(end) * self._factors[0] + self._factors[1]
