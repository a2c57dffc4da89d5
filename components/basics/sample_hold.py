"""Sampling at a slower rhythm."""

from __future__ import annotations

from typing import Any

from ...loops.component import Component, Inputs
from ...loops.port import Port
from ...loops.time import Period
from ..parts.passing import carry, frozen


class SampleHold(Component):
    """Samples its input at a rhythm of its own and holds the value in between, as a digitiser does.

    Args:
        period: time between two samples, or their rate.
    """

    def __init__(self, period: Period = 20_000_000) -> None:
        self.period = period
        self.inputs = {"input": Port("what is sampled", ("n",), reads="now", also=("hold", "mean"))}
        self.outputs = {"output": Port("the last sample", ("n",))}

    @classmethod
    def example(cls) -> SampleHold:
        return cls(period=10_000_000)

    def infer(self) -> None:
        carry(self)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"output": frozen(inputs["input"])}
