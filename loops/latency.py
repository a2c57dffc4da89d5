"""Latency of every closed chain: what the delays add up to, and how it acts once everybody's step times are counted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

from .component import Component
from .shapes import Wire
from .time import Clock, say

if TYPE_CHECKING:
    from .graph import Graph

_TICKS = 4000  # instants looked at for one component
_CHAINS = 64  # closed chains reported for one body


@dataclass(frozen=True)
class Chain:
    """One closed chain body -> ... -> body, with its nominal and effective latency in nanoseconds."""

    wires: tuple[Wire, ...]
    nominal: int
    shortest: int  # effective, over all phases of the clocks
    longest: int
    waits: tuple[int, ...] = ()  # the longest wait at each hop beyond its delay; empty when nobody can foresee them

    @property
    def path(self) -> str:
        """`body.observation -> brain.action -> body`."""
        return " -> ".join([str(wire.source) for wire in self.wires] + [self.wires[-1].receiver])

    @property
    def is_foreseen(self) -> bool:
        """Are the step times along the chain known, so that it is known how it acts?"""
        return bool(self.waits)

    def __str__(self) -> str:
        if not self.is_foreseen:
            return f"{self.path}: nominal {say(self.nominal)}, acts when its components choose to wake"
        acts = say(self.shortest) if self.shortest == self.longest else f"{say(self.shortest)} to {say(self.longest)}"
        return f"{self.path}: nominal {say(self.nominal)}, acts like {acts}"


def analyse(graph: Graph) -> list[Chain]:
    """Return the closed chains through every body, and notice where a delay does not act as it is written."""
    instants = step_times(graph)
    chains = [_measure(graph, path, instants) for body in graph.bodies for path in _paths(graph, body)]
    told: set[tuple[str, str]] = set()
    for chain in chains:
        _notice_delay(graph, chain, told)
    _notice_subsampling(graph, instants)
    return chains


def step_times(graph: Graph) -> dict[str, list[int]]:
    """Return, for each scheduled component, the first instants at which it steps (delays of events: as published)."""
    horizon = _horizon(graph)
    times: dict[str, set[int]] = {name: {0} | _grid(graph.components[name], horizon) for name in graph.order}
    changed = True
    while changed:
        changed = False
        for wire in graph.wires:
            if wire.receiver in times and graph.components[wire.receiver].inputs[wire.input].wakes:
                arriving = {t + wire.source.delay for t in times[wire.source.component]}
                arriving = {t for t in arriving if t <= horizon}
                if not arriving <= times[wire.receiver] and len(times[wire.receiver]) < _TICKS:
                    times[wire.receiver] |= arriving
                    changed = True
    return {name: sorted(found) for name, found in times.items()}


def _horizon(graph: Graph) -> int:
    """Three rounds of the least common period, or as many ticks of the slowest clock as are affordable."""
    periods = [c.period if isinstance(c.period, int) else c.period.tick(1)
               for c in graph.components.values() if c.period is not None]
    if not periods:
        return 0
    delays = sum(wire.source.delay for wire in graph.wires)
    whole = lcm(*periods)
    return min(3 * whole + delays, max(3 * max(periods), 500 * min(periods)) + delays)


def _grid(component: Component, horizon: int) -> set[int]:
    period = component.period
    if period is None:
        return set()
    if isinstance(period, Clock):
        return {period.tick(k) for k in range(_TICKS) if period.tick(k) <= horizon}
    return set(range(0, min(horizon, period * _TICKS) + 1, period))


def _paths(graph: Graph, body: str) -> Iterator[tuple[Wire, ...]]:
    """Simple closed chains of signal and event wires through a body, shortest first."""
    outgoing: dict[str, list[Wire]] = {}
    for wire in graph.wires:
        outgoing.setdefault(wire.source.component, []).append(wire)
    found = 0
    layer: list[tuple[Wire, ...]] = [(wire,) for wire in outgoing.get(body, ()) if wire.source.port != "status"]
    while layer and found < _CHAINS:
        longer = []
        for path in layer:
            last = path[-1].receiver
            if last == body:
                found += 1
                yield path
                continue
            visited = {wire.receiver for wire in path}
            longer += [(*path, wire) for wire in outgoing.get(last, ())
                       if wire.receiver not in visited and wire.source.port != "status"]
        layer = longer[: 50 * _CHAINS]


def _measure(graph: Graph, path: tuple[Wire, ...], instants: dict[str, list[int]]) -> Chain:
    nominal = sum(wire.source.delay for wire in path)
    starts = instants[path[0].source.component]
    found = [walk for start in starts if (walk := _walk(graph, path, instants, start)) is not None]
    if not found:
        return Chain(path, nominal, nominal, nominal)
    totals = [total for total, _ in found]
    waits = tuple(max(w[i] for _, w in found) for i in range(len(path)))
    return Chain(path, nominal, min(totals), max(totals), waits)


def _walk(graph: Graph, path: tuple[Wire, ...], instants: dict[str, list[int]],
          start: int) -> tuple[int, list[int]] | None:
    """Follow one value from the instant it is published to the instant from which the body acts on it."""
    now, waits = start, []
    for hop, wire in enumerate(path):
        arrival = now + wire.source.delay
        last = hop == len(path) - 1
        port = graph.components[wire.receiver].inputs[wire.input]
        exact = wire.reads in ("mean", "all") or (wire.reads == "hold" and port.wakes)
        steps = instants[wire.receiver]  # in order
        place = bisect_left(steps, arrival)
        if place == len(steps):
            return None
        taken = steps[place]
        if last:
            now = arrival if exact else taken
        elif wire.reads == "now":
            now = taken
        else:  # an integrator speaks of it at its next step
            place = bisect_right(steps, arrival if exact else taken)
            if place == len(steps):
                return None
            now = steps[place]
        waits.append(now - arrival)
    return now - start, waits


def _notice_delay(graph: Graph, chain: Chain, told: set[tuple[str, str]]) -> None:
    """Say once for each delayed wire where its value waits, when the chain acts later than its delays add up to."""
    delayed = next((wire for wire in chain.wires if wire.source.delay), None)
    if delayed is None or chain.longest == chain.nominal:  # also where nothing is foreseen
        return
    hop = max(range(len(chain.wires)), key=lambda i: chain.waits[i])
    waiting = chain.wires[hop]
    if (str(delayed), waiting.receiver) in told:
        return
    told.add((str(delayed), waiting.receiver))
    component = graph.components[waiting.receiver]
    waking = [w for w in graph.wires if w.receiver == waiting.receiver and component.inputs[w.input].wakes]
    if component.period is None and waking:
        rhythm = graph.components[waking[0].source.component].period
        when = f"only with {waking[0].source}" + (f" (every {say(rhythm)})" if isinstance(rhythm, int) else "")
        fix = f"Give {waiting.receiver} a period, or let {waiting.input} wake it."
    else:
        when = "at its own period"
        fix = f"Shorten the period of {waiting.receiver}, or take the wait as part of the loop."
    graph.problems.notice(f"delay {say(chain.nominal)} acts like {say(chain.longest)}: {waiting.receiver} steps {when}",
                          f"{delayed.receiver}.{delayed.input}", fix)


def _notice_subsampling(graph: Graph, instants: dict[str, list[int]]) -> None:
    for wire in graph.wires:
        port = graph.components[wire.receiver].inputs[wire.input]
        if wire.reads not in ("now", "hold") or wire.receiver not in instants or port.kind == "event":
            continue
        fast, slow = instants[wire.source.component], instants[wire.receiver]
        if len(slow) > 1 and len(fast) >= 2 * len(slow) - 1:
            ratio = round((len(fast) - 1) / (len(slow) - 1))
            graph.problems.notice(f"sub-sampled {ratio}:1, {wire.source} publishes more often than it is read",
                                  f"{wire.receiver}.{wire.input}", "Read mean or all to lose nothing.")
