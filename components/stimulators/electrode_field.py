"""An array of electrodes that spreads commanded currents over the neurons around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import begins, idle, status_input
from ...loops.time import Period
from ..parts import electrodes
from ..parts.electrodes import Placement


class ElectrodeField(Component):
    """Turns one command per electrode into a current into every neuron.

    Each new command adds weights * command to a buffer, the buffer is the current, and a share `decay` of it is gone
    at the next one (Pan et al. 2024, arXiv:2406.06714: v += W s; current = v; v *= 1 - decay).

    Args:
        channels: number of electrodes.
        placement: `even` along the neurons, `list` at `centres`, `surviving` evenly among neurons not in `dead`,
            `permutation` in distinct neurons drawn by the seed (for brains whose neurons have no order).
        spread: width of each electrode's Gaussian field in neurons; at 0.1 it reaches one neuron.
        centres: places of the electrodes, as neuron numbers from the first of the span.
        dead: neurons to avoid, counted in the same way.
        span: [first, one past the last] neuron within reach; left out, all.
        decay: share of the buffer lost at each command; 1 keeps nothing.
        limit: largest command an electrode takes.
        units: of command and current; empty means arbitrary.
        lose_first: lose each episode's first command, as the published code did.
        period: inject the command in force once per period; left out, once per command.
    """

    def __init__(self, *, channels: int = 2, placement: Placement = "even", spread: float = 0.1,
                 centres: list[float] | None = None, dead: list[int] | None = None, span: list[int] | None = None,
                 decay: float = 1.0, limit: float = 5.0, units: str = "", lose_first: bool = False,
                 period: Period | None = None) -> None:
        electrodes.check(channels, placement, centres, dead, spread, span, decay)
        self.channels, self.placement, self.spread = channels, placement, spread
        self.centres, self.dead, self.span = centres, dead, span
        self.decay, self.lose_first, self.period = decay, lose_first, period
        self.inputs = {
            "command": Port("what each electrode is to deliver", (channels,), axes=("electrode",), units=units,
                            low=-limit, high=limit, guarded=True, wakes=period is None),
            "status": status_input(optional=True),
        }
        self.outputs = {"current": Port("current into each neuron", ("unit",), axes=("neuron",), units=units)}

    @classmethod
    def example(cls) -> ElectrodeField:
        return cls(channels=2)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Place the electrodes."""
        super().build(lanes, seed)
        units = int(self.outputs["current"].shape[0])  # type: ignore[arg-type]
        self.weights = electrodes.array(self.channels, units, self.placement, self.centres, self.dead, self.spread,
                                        self.span, seed)  # [units, channels]
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Empty the buffer."""
        self._buffer = np.zeros((self.lanes.count, len(self.weights)), np.float32)  # what is left of earlier commands

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Inject the command."""
        fresh = self.period is not None or "command" in inputs.new or inputs.previous is None
        status = inputs.get("status")
        if status is not None and "status" in inputs.new:
            first = begins(status)
            if first.any():
                self._buffer = np.where(first[:, None], np.float32(0), self._buffer)
        else:
            first = np.zeros(self.lanes.count, bool)
        if not fresh:
            return {}
        pulse = self.spread_out(inputs["command"])
        if self.lose_first and first.any():
            pulse = np.where(first[:, None], np.float32(0), pulse)
        if status is not None:
            rest = idle(status)
            if rest.any():
                pulse = np.where(rest[:, None], -self._buffer, pulse)
        current = self._buffer + pulse
        self._buffer = current * np.float32(1 - self.decay)
        return {"current": current}

    def spread_out(self, command: np.ndarray) -> np.ndarray:
        """Return the current [lanes, units] of a command [lanes, channels], without what is left of earlier ones."""
        return electrodes.spread_out(self.weights, command)

    def labels(self) -> dict[str, Any]:
        """Name the neuron that each electrode reaches most."""
        return {"electrode": {"neuron": self.weights.argmax(axis=0).tolist()}}

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self._buffer.copy(), "learned": {"weights": self.weights.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.weights = np.array(state["learned"]["weights"], np.float32)
        if "buffer" in state:
            self._buffer = np.array(state["buffer"], np.float32)
