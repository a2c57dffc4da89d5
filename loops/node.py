"""What the loop keeps for each component and each output port while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from .component import Component, Inputs
from .errors import PortError
from .events import Events
from .port import Port
from .wire import EventPipe, HoldPipe, SignalPipe

WATCHED = 100  # so many values of each port are checked whole; later ones only for finiteness

FEW = 16  # numbers of a value up to which plain Python is quicker than NumPy

# What publishing checks: everything; finiteness of one number, of few in one lane, of few, of many; nothing.
WATCH, ONE_FLOAT, SHORT_ROW, FEW_FLOATS, FLOATS, PLAIN = range(6)

Tap = Callable[[int, Any], None]
Pipe = SignalPipe | HoldPipe | EventPipe


def own(value: np.ndarray) -> np.ndarray:
    """Return the value, or a copy of it when it is a view of memory that its sender could still write."""
    base = value.base
    while base is not None:
        if not isinstance(base, np.ndarray) or base.flags.writeable:
            return value.copy()
        base = base.base
    return value


class Cell:
    """One output port at run time: its last value, and everything that wants the next one."""

    __slots__ = ("always", "count", "direct", "dtype", "event", "floating", "key", "lanes", "mode", "pipes", "port",
                 "shape", "taps", "value", "wakes", "watchers")

    def __init__(self, owner: str, name: str, port: Port, lanes: int, always: bool) -> None:
        self.key = f"{owner}.{name}"
        self.port = port
        self.lanes = lanes
        self.dtype = np.dtype(port.dtype)
        self.shape = port.full_shape(lanes) if port.kind == "signal" else ()
        self.event = port.kind == "event"
        self.floating = self.dtype.kind == "f"
        self.always = always
        # receivers that read a plain `now`: (their inputs, input name, bit, receiver, does it wake?, strict)
        self.direct: tuple[tuple[Inputs, str, int, Node, bool, bool], ...] = ()
        self.wakes: tuple[Node, ...] = ()  # receivers behind pipes that are stepped in the same instant
        self.pipes: tuple[tuple[Any, Node, bool], ...] = ()  # (pipe, receiver, does an arrival wake it?)
        self.taps: tuple[Tap, ...] = ()
        self.watchers: tuple[Callable[[Any], None], ...] = ()  # given each value that is not the one before, uncounted
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before t = 0."""
        self.value: Any = None
        self.count = 0  # values published
        self.mode = WATCH

    def admit(self, value: Any, now: int, previous: int | None) -> Any:
        """Check a value whole, freeze it, and choose what later ones are checked for."""
        watching = self.count < WATCHED or self.always
        if not self.event and not self.port.per_lane and not isinstance(value, np.ndarray):
            value = np.asarray(value, self.dtype)  # a metric may be a plain number
        if watching:
            self.inspect(value, now, previous)
        elif not self.event:
            self.form(value)
            self.finite(value)
            if self.port.per_lane:
                self.mode = self._finiteness() if self.floating else PLAIN
        elif value.value.dtype.kind == "f" and not np.isfinite(value.value).all():
            raise PortError(f"{self.key} published a payload that is not finite")
        if not self.event:
            value = own(value)
            value.setflags(write=False)
        return value

    def _finiteness(self) -> int:
        size = prod(self.shape)
        if size > FEW:
            return FLOATS
        return ONE_FLOAT if size == 1 else SHORT_ROW if len(self.shape) == 2 and self.lanes == 1 else FEW_FLOATS

    def inspect(self, value: Any, now: int, previous: int | None) -> None:
        """Hold a value against the whole declaration; raises PortError."""
        if self.event:
            self._inspect_events(value, now, previous)
            return
        self.form(value)
        self.finite(value)
        self._inspect_bounds(value)

    def form(self, value: Any) -> None:
        """Raise PortError when a value is no array of the declared shape and dtype."""
        if not isinstance(value, np.ndarray):
            raise PortError(f"{self.key} published {type(value).__name__}; publish a NumPy array {self.shape}")
        if value.shape != self.shape:
            raise PortError(f"{self.key} published shape {value.shape}; its port says {self.shape} (lanes first)")
        if value.dtype != self.dtype:
            raise PortError(f"{self.key} published {value.dtype}; its port says {self.dtype}")

    def finite(self, value: np.ndarray) -> None:
        """Raise PortError naming lane and place when a value is not finite."""
        if self.floating and not np.isfinite(value).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
            raise PortError(f"{self.key} published {value[place]} at [lane, ...] = {list(place)}; "
                            "look at what feeds it, or shorten its time step")

    def _inspect_bounds(self, value: np.ndarray) -> None:
        if value.size == 0 or self.dtype.kind == "b":
            return
        slack = 1e-5 if self.floating else 0
        low, high = np.asarray(self.port.low), np.asarray(self.port.high)
        if (value < low - slack * np.maximum(1, abs(np.where(np.isfinite(low), low, 0)))).any() or (
                value > high + slack * np.maximum(1, abs(np.where(np.isfinite(high), high, 0)))).any():
            raise PortError(f"{self.key} published values in [{value.min()}, {value.max()}]; "
                            f"its port says [{np.min(low)}, {np.max(high)}]")

    def _inspect_events(self, value: Any, now: int, previous: int | None) -> None:
        if not isinstance(value, Events):
            raise PortError(f"{self.key} published {type(value).__name__}; publish Events")
        if value.value.shape[1:] != self.port.shape:
            raise PortError(f"{self.key} published payloads {value.value.shape[1:]}; its port says {self.port.shape}")
        if not len(value):
            return
        if not value.is_sorted():
            raise PortError(f"{self.key} published events out of order; make them with Events.of")
        earliest = -1 if previous is None else previous
        if value.time[0] <= earliest or value.time[-1] > now:
            raise PortError(f"{self.key} published events at {value.time[0]}..{value.time[-1]} ns; they must lie after "
                            f"its previous step ({earliest} ns) and not after now ({now} ns)")
        if value.lane.min() < 0 or value.lane.max() >= self.lanes:
            raise PortError(f"{self.key} published events for lanes {value.lane.min()}..{value.lane.max()} "
                            f"of {self.lanes}")
        indices = self.port.indices
        if value.index.min() < 0 or (isinstance(indices, int) and value.index.max() >= indices):
            raise PortError(f"{self.key} published indices {value.index.min()}..{value.index.max()} of {indices}")
        if value.value.dtype.kind == "f" and not np.isfinite(value.value).all():
            raise PortError(f"{self.key} published a payload that is not finite")


class Node:
    """One component at run time: where its inputs come from, and when it is stepped."""

    __slots__ = ("arrives", "bits", "cells", "component", "direct", "due", "external", "idle", "inputs", "lanes",
                 "name", "names", "news", "own_wake", "pending", "period", "pipes", "previous", "rank", "step", "wake")

    def __init__(self, name: str, component: Component, rank: int, lanes: int) -> None:
        self.name = name
        self.component = component
        self.step = component.step
        self.rank = rank
        self.lanes = lanes
        self.cells: dict[str, Cell] = {}
        self.inputs = Inputs()
        self.direct: list[tuple[str, Cell]] = []  # plain `now` signals: the cell writes them into `inputs`
        self.pipes: list[tuple[str, Any, int, bool]] = []  # (input, pipe, bit, strict)
        self.names: list[str] = []  # input name of each bit
        self.news: dict[int, frozenset[str]] = {}  # bits -> names, made once
        period = component.period
        self.own_wake = type(component).next_wake is not Component.next_wake
        self.period = period if isinstance(period, int) and not self.own_wake else 0
        self.idle = period is None and not self.own_wake
        self.external = False
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before t = 0."""
        self.previous: int | None = None
        self.wake: int | None = None  # its own next instant
        self.pending: set[int] = set()  # instants at which delayed values arrive and wake it
        self.arrives = -1  # the one of them that was scheduled last
        self.due = -1  # the instant for which it stands in the ready heap
        self.inputs.previous = None
        self.inputs.new = frozenset()
        self.bits = 0  # one for each input with a value not given yet (pipes keep their own)
        for name, _ in self.direct:
            self.inputs[name] = self.component.inputs[name].start(self.lanes)
        for _, pipe, _, _ in self.pipes:
            pipe.clear()

    def listen(self, name: str, cell: Cell | None, pipe: Pipe | None, strict: bool) -> None:
        """Add one input: written by its cell at each publication (a plain `now`), or taken from a pipe."""
        bit = 1 << len(self.names)
        self.names.append(name)
        if pipe is not None:
            self.pipes.append((name, pipe, bit, strict))
        elif cell is not None:
            wakes = self.component.inputs[name].wakes
            self.direct.append((name, cell))
            cell.direct += ((self.inputs, name, bit, self, wakes, strict),)
            self.inputs[name] = self.component.inputs[name].start(self.lanes)

    def take(self, now: int) -> Inputs:
        """Return the inputs as each of them reads at `now`."""
        inputs, bits, previous = self.inputs, self.bits, self.previous
        self.bits = 0
        for name, pipe, bit, strict in self.pipes:
            inputs[name], fresh = pipe.take(now, previous)
            if fresh:
                bits |= bit
                if strict and pipe.lost:
                    self.skipped(name)
        inputs.previous = previous
        try:
            inputs.new = self.news[bits]
        except KeyError:
            inputs.new = self.name_new(bits)
        return inputs

    def name_new(self, bits: int) -> frozenset[str]:
        """Return the input names of `bits`, made once."""
        self.news[bits] = names = frozenset(n for k, n in enumerate(self.names) if bits >> k & 1)
        return names

    def cell(self, name: str) -> Cell:
        """Return the run-time side of an output; raises PortError with the names there are."""
        if name not in self.cells:
            raise PortError(f"{self.name} published {name!r}, which is none of its outputs: {', '.join(self.cells)}")
        return self.cells[name]

    def look_over(self, outputs: Mapping[str, Any]) -> None:
        """Raise PortError for the first of a step's outputs that is none, or no array where a signal is due."""
        for name, value in outputs.items():
            cell = self.cell(name)
            if not cell.event and not isinstance(value, np.ndarray):
                cell.form(value)

    def skipped(self, name: str) -> None:
        """Refuse to go on when a status or reward was passed over."""
        raise PortError(f"{self.name}.{name} passed over a value of a status or reward: {self.name} steps more slowly "
                        f"than the body. Let this input read all: {self.name}: {{inputs: {{{name}: {{reads: all}}}}}}")
