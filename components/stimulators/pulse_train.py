"""Trains of current pulses with exact edges, as clinical stimulators give them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Count, Positive
from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.events import Events
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import idle, status_input
from ...loops.time import Clock, Duration, Period, next_tick, say, say_period
from ..parts import electrodes, flags
from ..parts.electrodes import Placement, Spread
from ..parts.pulses import Pulse


class PulseTrain(Component):
    """Gives rectangular current pulses whose height is the command in force when each begins.

    The current changes exactly at the pulses' edges (whole nanoseconds), so a receiver that reads `mean` or `all` gets
    their exact charge. A pulse that has begun keeps its height whatever other height is commanded: a biphasic one
    leaves no charge behind. Only a command of zero, or a lane where nobody acts, stops it at once; `stopped` tells what
    charge it leaves. No pulse begins in a lane where nobody acts, on an electrode still in a pulse or its pause, late,
    or where the lane's pulses together would be higher than its commands together.

    Args:
        channels: number of electrodes.
        rate: of regular pulses, all electrodes together; None: pulses only at events on `trigger`.
        width: duration of each phase.
        phases: `one`, or `two` of opposite sign and equal charge.
        gap: pause between the two phases.
        pause: shortest rest after a pulse; triggers in it are ignored. Left out: what `rate` leaves, or none.
        placement, spread, centres, dead, span: of the electrodes, as in `stimulators.electrode_field`.
        limit: largest command an electrode takes.
        units: of command and current; empty means arbitrary.
        late: in a real-time loop, skip pulses when the loop is further than this behind the wall clock.
        may_be_dead: let a loop be built though no electrode reaches a neuron that lives, as a control.
    """

    def __init__(self, *, channels: Count = 2, rate: Period | None = Clock(130), width: Duration = 200_000,  # noqa: B008
                 phases: Literal["one", "two"] = "two", gap: Duration = 0, pause: Duration | None = None,
                 placement: Placement = "even", spread: Spread = 0.1, centres: list[float] | None = None,
                 dead: list[int] | None = None, span: list[int] | None = None, limit: Positive = 5.0, units: str = "",
                 late: Duration = 1_000_000, may_be_dead: bool = False) -> None:
        electrodes.check(channels, placement, centres, dead, spread, span)
        self.channels, self.rate, self.late, self.may_be_dead = channels, rate, late, may_be_dead
        self.random = placement == "permutation"  # where the electrodes are is drawn by the seed
        self.array = (channels, placement, centres, dead, spread, span)
        # edges after the onset, and the sign of the current from each edge on
        self._edges = np.array([0, width] if phases == "one" else sorted({0, width, width + gap, 2 * width + gap}))
        self._signs = np.array([1, 0] if phases == "one" else [1, -1, 0] if not gap else [1, 0, -1, 0], np.float32)
        self.pulse = self._describe(width, phases == "two", pause)
        self.inputs = {
            "command": Port("height of the next pulse of each electrode", (channels,), axes=("electrode",), units=units,
                            low=-limit, high=limit, guarded=True, wakes=True),
            "trigger": Port("electrodes to pulse now", (0,), kind="event", indices=channels, wakes=True, optional=True),
            "status": status_input(wakes=True, optional=True),
        }
        self.outputs = {
            "current": Port("current into each neuron", ("unit",), axes=("neuron",), units=units),
            "pulses": Port("pulses that begin, with their height", (), kind="event", indices=channels, units=units),
            "stopped": Port("pulses stopped before their end, with the charge left: units x seconds", (), kind="event",
                            indices=channels),
        }

    @classmethod
    def example(cls) -> PulseTrain:
        return cls(channels=2)

    def _describe(self, width: int, balanced: bool, pause: int | None) -> Pulse:
        """What this makes of a command, for the limiter before it; refuses pulses that cannot be."""
        length = int(self._edges[-1])
        if width <= 0:
            raise AssemblyError([Problem("a pulse without duration delivers nothing", "width", "Write width: 200 us.")])
        shortest = self.rate if isinstance(self.rate, int) else self.rate.tick(1) if self.rate else None
        if shortest is not None and length + (pause or 0) > shortest:
            with_pause = f" and pauses of {say(pause)}" if pause else ""
            raise AssemblyError([Problem(
                f"pulses of {say(length)}{with_pause} do not fit a rate of {say_period(self.rate)}", "rate",
                "Shorten `width`, `gap` or `pause`, or lower the rate.")])
        if pause is None:
            pause = 0 if shortest is None else shortest - length
        return Pulse(width=width, interval=length + pause, pause=pause, balanced=balanced)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Place the electrodes."""
        super().build(lanes, seed)
        channels, placement, centres, dead, spread, span = self.array
        units = int(self.outputs["current"].shape[0])  # type: ignore[arg-type]
        self.weights = electrodes.array(channels, units, placement, centres, dead, spread, span, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """End every pulse."""
        shape = (self.lanes.count, self.channels)
        self._onset = np.full(shape, -1, np.int64)  # of the pulse an electrode is in, -1: in none
        self._height = np.zeros(shape, np.float32)
        self._flow = np.zeros(shape, np.float32)  # what each electrode delivers at present

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Begin, turn and end pulses at this instant."""
        over = (self._onset >= 0) & (now - self._onset >= self.pulse.interval)
        if over.any():
            self._onset = np.where(over, -1, self._onset)
        command = inputs["command"]
        silent = command == 0  # [lanes, electrodes]
        if "status" in inputs:
            silent |= idle(inputs["status"])[:, None]
        outputs = self._stop(now, silent)
        asked = self._asked(now, inputs)
        if asked is not None:
            asked &= (self._onset < 0) & ~silent
            asked &= self._fits(now, asked, command)
            if asked.any():
                self._onset = np.where(asked, now, self._onset)
                self._height = np.where(asked, command, self._height)
                lane, electrode = np.nonzero(asked)
                outputs["pulses"] = Events.of(now, lane, electrode, self._height[lane, electrode])
        place = np.searchsorted(self._edges, now - self._onset, side="right") - 1  # phase of each electrode's pulse
        flow = np.where(self._onset >= 0, self._height * self._signs[place], np.float32(0))
        if inputs.previous is None or not np.array_equal(flow, self._flow):
            outputs["current"] = electrodes.spread_out(self.weights, flow)
        self._flow = flow
        return outputs

    def _stop(self, now: int, silent: np.ndarray) -> dict[str, Any]:
        """Give up the pulses of silent electrodes; their time runs on, so that the next one is not sooner."""
        given = now - self._onset  # [lanes, electrodes] ns, where there is a pulse
        cut = silent & (self._onset >= 0) & (self._height != 0) & (given < self._edges[-1])
        if not cut.any():
            return {}
        lane, electrode = np.nonzero(cut)
        spent = np.clip(given[cut][:, None] - self._edges[:-1], 0, np.diff(self._edges))  # [pulses, phases] ns
        left = (spent * self._signs[:-1]).sum(axis=1) * 1e-9 * self._height[cut]
        self._height = np.where(cut, np.float32(0), self._height)
        return {"stopped": Events.of(now, lane, electrode, left.astype(np.float32))}

    def _fits(self, now: int, asked: np.ndarray, command: np.ndarray) -> np.ndarray:
        """Lanes [lanes, 1] whose pulses, begun at different times, are together no higher than the commands."""
        going_on = (self._onset >= 0) & (now - self._onset < self._edges[-1])
        size = np.abs(command, dtype=np.float64)
        heights = np.where(going_on, np.abs(self._height), np.where(asked, size, 0.0))
        return heights.sum(axis=1, keepdims=True) <= size.sum(axis=1, keepdims=True)

    def _asked(self, now: int, inputs: Inputs) -> np.ndarray | None:
        """Return where a pulse is due at this very instant [lanes, electrodes], None for nowhere."""
        due = None
        if self.lateness is not None and self.lateness() > self.late:
            return due
        if self.rate is not None and flags.due(self.rate, now):
            due = np.ones(self._onset.shape, bool)
        if "trigger" in inputs.new and len(inputs["trigger"]):
            due = np.zeros(self._onset.shape, bool) if due is None else due
            due[inputs["trigger"].lane, inputs["trigger"].index] = True
        return due

    def next_wake(self, now: int) -> int | None:
        """The next edge of any pulse, or the next pulse."""
        running = self._onset[self._onset >= 0]
        edges = running[:, None] + self._edges
        later = edges[edges > now]
        wakes = [int(later.min())] if later.size else []
        if self.rate is not None:
            wakes.append(next_tick(self.rate, now))
        return min(wakes, default=None)

    def labels(self) -> dict[str, Any]:
        """Name the neuron that each electrode reaches most."""
        return {"electrode": {"neuron": self.weights.argmax(axis=0).tolist()}}

    def state_dict(self) -> dict[str, Any]:
        return {"onset": self._onset.copy(), "height": self._height.copy(), "flow": self._flow.copy(),
                "learned": {"weights": self.weights.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "learned" in state:
            self.weights = np.array(state["learned"]["weights"], np.float32)
        if "onset" in state:
            self._onset, self._height = np.array(state["onset"]), np.array(state["height"])
            self._flow = np.array(state["flow"])
