"""A second interpreter of systems, slow and plain, written from the page's words alone.

It keeps the whole history of every wire and answers `now`, `hold`, `mean` and `all` by searching it; what was handed
over is a set. It shares with the kernel the components and the data classes, and nothing of how a loop runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from stimloop.components.basics.silence import Silence
from stimloop.loops.component import Component, Inputs
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import derive
from stimloop.loops.system import System
from stimloop.loops.time import Clock


class Refused(Exception):
    """The page calls this system an error."""


@dataclass
class History:
    """One wire: everything that ever arrives on it, as (arrival, number of the publication, value)."""

    receiver: str
    name: str
    sender: str
    output: str
    delay: int
    reads: str
    port: Port
    arrivals: list[tuple[int, Any, Any]] = field(default_factory=list)
    handed: set[Any] = field(default_factory=set)

    def publish(self, now: int, number: int, value: Any) -> None:
        if self.port.kind == "signal":
            self.arrivals.append((now + self.delay, number, value))
        elif not len(value):
            self.arrivals.append((now + self.delay, number, None))
        else:
            rows = zip(value.time.tolist(), value.lane, value.index, value.value, strict=True)
            for i, (time, lane, index, payload) in enumerate(rows):
                arrival = max(time + self.delay, now)
                self.arrivals.append((arrival, (number, i), (time + self.delay, int(lane), int(index), payload)))

    def read(self, now: int, previous: int | None, lanes: int) -> tuple[Any, bool]:
        """Return the value, and whether it holds anything never handed over before."""
        if self.port.kind == "event":
            return self._read_events(now)
        initial = (-1, None, self.port.start(lanes))
        if self.reads == "now":
            rows = [self._in_force(now, initial)]
        elif previous is None:
            rows = [initial]
        elif self.reads == "hold":
            rows = [self._in_force(previous, initial)]
        else:
            rows = [self._in_force(previous, initial), *(row for row in self.arrivals if previous < row[0] < now)]
        numbers = {number for _, number, _ in rows} - {None}
        new = bool(numbers - self.handed)
        self.handed |= numbers
        if self.reads == "all":
            return [(arrival, value) for arrival, _, value in rows], new
        if self.reads == "mean" and previous is not None:
            return _average(rows, previous, now), new
        return rows[0][2], new

    def _in_force(self, at: int, initial: tuple) -> tuple:
        arrived = [row for row in self.arrivals if row[0] <= at]
        return max(arrived, key=lambda row: (row[0], row[1]), default=initial)

    def _read_events(self, now: int) -> tuple[Events, bool]:
        last = now if self.reads == "now" else now - 1
        due = [row for row in self.arrivals if row[0] <= last and row[1] not in self.handed]
        self.handed |= {number for _, number, _ in due}
        rows = sorted((row[2] for row in due if row[2] is not None), key=lambda row: row[:3])
        if not rows:
            return Events.empty(self.port.shape, self.port.dtype), bool(due)  # type: ignore[arg-type]
        time, lane, index, value = zip(*rows, strict=True)
        return Events(np.array(time, np.int64), np.array(lane, np.int32), np.array(index, np.int32),
                      np.array(value, self.port.dtype).reshape(len(rows), *self.port.shape)), True  # type: ignore[arg-type]


def _average(rows: list[tuple], previous: int, now: int) -> np.ndarray:
    """The time average over (previous, now), exactly, rounded once to the port's own type."""
    starts = [previous, *(arrival for arrival, _, _ in rows[1:])]
    ends = [*starts[1:], now]
    first = rows[0][2]
    mean = np.empty(first.size, first.dtype)
    for i in range(first.size):
        total = sum(Fraction(float(value.flat[i])) * (end - start)
                    for (_, _, value), start, end in zip(rows, starts, ends, strict=True))
        mean[i] = float(total / (now - previous))
    return mean.reshape(first.shape)


class Slow:
    """Runs a system by the page's words."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.components: dict[str, Component] = {name: part.create() for name, part in system.parts.items()}
        silent = {name for name, component in self.components.items() if isinstance(component, Silence)}
        self.wires = [History(name, key, source.component, source.port, source.delay,
                              source.reads or self.components[name].inputs[key].reads,
                              self.components[name].inputs[key])
                      for name, part in system.parts.items() for key, source in part.inputs.items()
                      if name not in silent]  # silence does not listen
        for wire in self.wires:
            if wire.sender in silent:
                self.components[wire.sender].outputs[wire.output] = wire.port
        self._size()
        sources = [(name, source) for name, part in system.parts.items() for source in part.inputs.values()]
        wired = {name for name, _ in sources} | {source.component for _, source in sources}
        used = {target for part in system.parts.values() for target in part.uses.values()}
        self.scheduled = {name for name in system.parts if name in wired or name not in used}
        self.order = self._sort(self._edges())
        for name, component in self.components.items():
            component.used = {key: self.components[target] for key, target in system.parts[name].uses.items()}
        for name, component in self.components.items():
            own = system.parts[name].seed
            seed = derive(system.seed, name) if own is None else own
            component.build(Lanes.of(system.lanes), seed)
            component.reset(seed)
        self.wake: dict[str, int | None] = dict.fromkeys(self.scheduled, 0)
        self.previous: dict[str, int | None] = dict.fromkeys(self.scheduled)
        self.instants: list[int] = []
        self.published = 0

    def _size(self) -> None:
        """Fill each open size from the other end of a wire (toys need no more than one hop)."""
        for wire in self.wires * 2:
            sender, receiver = self.components[wire.sender].outputs, self.components[wire.receiver].inputs
            sizes = tuple(a if isinstance(a, int) else b for a, b in
                          zip(sender[wire.output].sizes, receiver[wire.name].sizes, strict=True))
            sender[wire.output] = sender[wire.output].sized(sizes)
            wire.port = receiver[wire.name] = receiver[wire.name].sized(sizes)

    # -- who steps before whom -----------------------------------------------------------------------------------------

    def _binds(self, wire: History) -> bool:
        """No delay (for events: none as long as the sender's period), and the input reads `now` or wakes."""
        if wire.reads != "now" and not wire.port.wakes:
            return False
        if not wire.delay:
            return True
        sender = self.components[wire.sender]
        if wire.port.kind == "signal":
            return False
        if type(sender).next_wake is not Component.next_wake or sender.period is None:
            return True  # nobody knows how long ago it stepped
        period = sender.period
        longest = -(-1_000_000_000 * period.denominator // period.numerator) if isinstance(period, Clock) else period
        return wire.delay < longest

    def _edges(self) -> set[tuple[str, str]]:
        wires = {(wire.sender, wire.receiver) for wire in self.wires if self._binds(wire)}
        uses = {name: part.uses for name, part in self.system.parts.items()}
        changers: dict[str, set[str]] = {}
        for name, references in uses.items():
            for role, target in references.items():
                if self.components[name].uses[role].changes:
                    changers.setdefault(target, set()).add(name)
        edges = set(wires)
        for target, who in changers.items():
            readers = {name for name in uses if _holds(name, target, uses)}
            rest = ({target} | readers) - who
            for changer in who & self.scheduled:
                behind = any(_leads(other, changer, wires) for other in rest)
                edges |= {(other, changer) if behind else (changer, other) for other in rest & self.scheduled}
        for who in changers.values():
            pairs = [(a, b) for a in who & self.scheduled for b in who & self.scheduled if a != b]
            if not all(_leads(a, b, edges) or _leads(b, a, edges) for a, b in pairs):
                raise Refused("two changers that no path orders")
        return edges

    def _sort(self, edges: set[tuple[str, str]]) -> list[str]:
        order: list[str] = []
        while len(order) < len(self.scheduled):
            free = [name for name in sorted(self.scheduled, reverse=True) if name not in order
                    and all(before in order for before, after in edges if after == name)]
            if not free:
                raise Refused("loop without delay")
            order.append(free[0])
        return order

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, until: int) -> None:
        """Run every instant before `until`."""
        while (now := self._following()) is not None and now < until:
            self.instants.append(now)
            for name in self.order:
                if self.wake[name] == now or any(now == row[0] for wire in self.wires if wire.receiver == name
                                                 and wire.port.wakes for row in wire.arrivals):
                    self._step(name, now)

    def _following(self) -> int | None:
        last = self.instants[-1] if self.instants else -1
        times = [when for when in self.wake.values() if when is not None]
        times += [row[0] for wire in self.wires if wire.port.wakes for row in wire.arrivals]
        return min((when for when in times if when > last), default=None)

    def _step(self, name: str, now: int) -> None:
        component, previous, new, values = self.components[name], self.previous[name], set(), {}
        for wire in self.wires:
            if wire.receiver == name:
                values[wire.name], fresh = wire.read(now, previous, self.system.lanes)
                if fresh:
                    new.add(wire.name)
        outputs = component.step(now, Inputs(values, frozenset(new), previous))
        for key, value in outputs.items():
            if component.outputs[key].kind == "signal":
                value = np.asarray(value, component.outputs[key].dtype)
            self.published += 1
            for wire in self.wires:
                if (wire.sender, wire.output) == (name, key):
                    wire.publish(now, self.published, value)
        self.previous[name] = now
        self.wake[name] = component.next_wake(now)


def _holds(name: str, target: str, uses: dict[str, Any]) -> bool:
    """Does `name` hold a reference to `target`, directly or through another object it uses?"""
    return any(held == target or _holds(held, target, uses) for held in uses[name].values())


def _leads(start: str, goal: str, edges: set[tuple[str, str]]) -> bool:
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        for before, after in edges:
            if before == name and after not in seen:
                seen.add(after)
                todo.append(after)
    return goal in seen
