"""An array of electrodes that spreads commanded currents over the neurons around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Count, Positive
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import begins, calm, idle, status_input
from ...loops.time import Period
from ..parts import electrodes, flags
from ..parts.electrodes import Placement, Spread


class ElectrodeField(Component):
    """Turns one command per electrode into a current into every neuron.

    Each new command is added to what its electrode still delivers of earlier ones, weights spread the sum over the
    neurons, and a share `decay` of it is gone at the next command (Pan et al. 2024, arXiv:2406.06714:
    v += W s; current = v; v *= 1 - decay). Where a limiter silences an electrode (a command of minus zero), it is
    empty at once.

    Args:
        channels: number of electrodes.
        placement: `even` along the neurons, `list` at `centres`, `surviving` evenly among neurons not in `dead`,
            `permutation` in distinct neurons drawn by the seed (for brains whose neurons have no order).
        spread: width of each electrode's Gaussian field in neurons; at 0.1 it reaches one neuron.
        centres: places of the electrodes, as neuron numbers from the first of the span.
        dead: neurons to avoid, counted in the same way.
        span: [first, one past the last] neuron within reach; left out, all.
        decay: share lost at each command; 1 keeps nothing. Below 1 the limiter lets through so much less that the sum
            stays within its peak.
        limit: largest command an electrode takes.
        units: of command and current; empty means arbitrary.
        lose_first: lose each episode's first command, as the published code did.
        period: inject the command in force once per period; left out, once per command.
        may_be_dead: let a loop be built though no electrode reaches a neuron that lives, as a control.
    """

    def __init__(self, *, channels: Count = 2, placement: Placement = "even", spread: Spread = 0.1,
                 centres: list[float] | None = None, dead: list[int] | None = None, span: list[int] | None = None,
                 decay: float = 1.0, limit: Positive = 5.0, units: str = "", lose_first: bool = False,
                 period: Period | None = None, may_be_dead: bool = False) -> None:
        electrodes.check(channels, placement, centres, dead, spread, span, decay)
        if not 0 < decay <= 1:
            raise AssemblyError([Problem(f"with decay {decay:g} the current would grow without end", "decay",
                                         "Write a share above 0, at most 1.")])
        self.channels, self.placement, self.spread = channels, placement, spread
        self.random = placement == "permutation"  # where the electrodes are is drawn by the seed
        self.centres, self.dead, self.span, self.may_be_dead = centres, dead, span, may_be_dead
        self.decay, self.lose_first, self.period = decay, lose_first, period
        self.keeps = float(np.float32(1 - decay))  # read by the limiter before it (parts/pulses.py)
        self.warnings = [] if decay == 1 else [
            f"with decay {decay:g} commands add up to {1 / decay:g} times what each is: the limiter lets through "
            f"{decay:g} of its peak"]
        self.inputs = {
            "command": Port("what each electrode is to deliver", (channels,), axes=("electrode",), units=units,
                            low=-limit, high=limit, guarded=True, wakes=period is None),
            "status": status_input(wakes=True, optional=True),
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
        """Keep nothing of earlier commands."""
        self._kept = np.zeros((self.lanes.count, self.channels), np.float32)  # what is left of earlier commands
        self._current = np.zeros((self.lanes.count, len(self.weights)), np.float32)  # in force
        self._command: np.ndarray | None = None  # whose current is in force, where nothing else has a say in it

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Inject the command, if it is a new one; deliver nothing in lanes where nobody acts."""
        status = inputs.get("status")
        if status is None or calm(status):
            return self._inject(now, inputs)
        self._command = None
        first, silent = begins(status) if "status" in inputs.new else np.zeros(status.shape, bool), idle(status)
        self._kept = np.where(first[:, None], np.float32(0), self._kept)
        if "command" in inputs.new if self.period is None else flags.due(self.period, now):
            silent = silent | first if self.lose_first else silent
            return self._deliver(np.where(silent[:, None], np.float32(0), self._add(inputs["command"])))
        current = np.where((silent | first)[:, None], np.float32(0), self._current)
        if inputs.previous is not None and np.array_equal(current, self._current):
            return {}
        self._current = current
        return {"current": current}

    def _inject(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """The ordinary step: nobody begins and nobody rests."""
        if not ("command" in inputs.new if self.period is None else flags.due(self.period, now)):
            return {} if inputs.previous is not None else {"current": self._current}
        command = inputs["command"]
        if self.decay != 1.0:
            return self._deliver(self._add(command))
        if command is not self._command:
            self._command, self._current = command, electrodes.spread_out(self.weights, command)
        return {"current": self._current}

    def _add(self, command: np.ndarray) -> np.ndarray:
        """What each electrode delivers with this command [lanes, channels]."""
        if self.decay == 1.0:
            return command
        return np.where((command == 0) & np.signbit(command), np.float32(0), self._kept + command)

    def _deliver(self, amplitude: np.ndarray) -> dict[str, Any]:
        """Let each electrode deliver this much [lanes, channels], and keep its share of it."""
        self._current = electrodes.spread_out(self.weights, amplitude)
        self._kept = amplitude * np.float32(self.keeps)
        return {"current": self._current}

    def currents(self, commands: Any, lanes: np.ndarray | None = None) -> Any:
        """Return currents [batch, neurons] of commands [batch, channels]; see the role Stimulator."""
        if isinstance(commands, np.ndarray):
            return electrodes.spread_out(self.weights, commands + (0 if lanes is None else self._kept[lanes]))
        left = 0 if lanes is None else commands.new_tensor(self._kept[lanes])
        return (commands + left) @ commands.new_tensor(self.weights).t()

    def labels(self) -> dict[str, Any]:
        """Name the neuron that each electrode reaches most."""
        return {"electrode": {"neuron": self.weights.argmax(axis=0).tolist()}}

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self._kept.copy(), "current": self._current.copy(),
                "learned": {"weights": self.weights.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._command = None
        if "learned" in state:
            self.weights = np.array(state["learned"]["weights"], np.float32)
        if "kept" in state:
            self._kept = np.array(state["kept"], np.float32)
            self._current = np.array(state["current"], np.float32)
