"""The order within an instant: who must step before whom, from wires and references."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from heapq import heapify, heappop, heappush
from itertools import combinations

from .component import Component
from .errors import Problems
from .shapes import Wire
from .time import Clock

MOST_CYCLES = 20  # told at once


def same_instant(wire: Wire, components: Mapping[str, Component]) -> bool:
    """Does this wire make its receiver step after its sender, when both step at one instant?"""
    port = components[wire.receiver].inputs[wire.input]
    if not (wire.reads == "now" or port.wakes):
        return False
    delay = wire.source.delay
    if delay == 0:
        return True
    sender = components[wire.source.component]
    if sender.outputs[wire.source.port].kind == "signal":
        return False
    period = sender.period if type(sender).next_wake is Component.next_wake else None  # else nobody knows its rhythm
    shortest = period if isinstance(period, int) else period.tick(1) + 1 if isinstance(period, Clock) else None
    return shortest is None or delay < shortest  # an event's own time may lie a whole period back


def readers_of(target: str, uses: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Components that hold a reference to `target`, directly or through another object they use."""
    found: set[str] = set()
    todo = [target]
    while todo:
        held = todo.pop()
        for name, references in uses.items():
            if held in references.values() and name not in found:
                found.add(name)
                todo.append(name)
    return found


def reference_edges(components: Mapping[str, Component], uses: Mapping[str, Mapping[str, str]],
                    links: set[tuple[str, str]], scheduled: set[str], problems: Problems,
                    unsure: Set[tuple[str, str]] = frozenset()) -> set[tuple[str, str]]:
    """Return (before, after) pairs: changers step after the object and its readers where wires lead there, else before.

    `links` are the (sender, receiver) pairs of same-instant wires; `unsure` are pairs that may be joined too, by wires
    which have problems of their own: what depends on them is left open.
    """
    changers: dict[str, set[str]] = {}
    for name, references in uses.items():
        for role, target in references.items():
            use = components[name].uses.get(role)
            if use is not None and (use.changes or use.is_world):  # a world moves when it is asked
                changers.setdefault(target, set()).add(name)
    edges: set[tuple[str, str]] = set()
    open_pairs = set(unsure)
    direct, perhaps = following(links), following(links | unsure)
    for target, who in changers.items():
        others = ({target} | readers_of(target, uses)) & scheduled - who
        led_to = set().union(*(reach(direct, other) for other in others))
        may_lead_to = set().union(*(reach(perhaps, other) for other in others)) if unsure else led_to
        for changer in who & scheduled:
            after, before = {(other, changer) for other in others}, {(changer, other) for other in others}
            if changer in led_to or changer not in may_lead_to:
                edges |= after if changer in led_to else before
            else:
                open_pairs |= after | before
    direct = following(links | edges | open_pairs)
    for target, who in changers.items():
        for first, second in combinations(sorted(who & scheduled), 2):
            if second not in reach(direct, first) and first not in reach(direct, second):
                problems.add(f"{first} and {second} both change {target}, and no wire orders them", target,
                             f"Wire an output of one of them into the other, or let only one of them use {target}.")
    return edges


def following(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return what comes directly after each name."""
    direct: dict[str, set[str]] = {}
    for before, after in edges:
        direct.setdefault(before, set()).add(after)
    return direct


def reach(direct: Mapping[str, set[str]], start: str) -> set[str]:
    """Return everything that edges lead to from `start` (itself only where it stands in a cycle)."""
    seen: set[str] = set()
    todo = list(direct.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(direct.get(name, ()))
    return seen


def cycles(names: Collection[str], edges: Set[tuple[str, str]],
           together: Set[tuple[str, str]] = frozenset()) -> list[list[str]]:
    """Return cycles that have no edge in common, at most MOST_CYCLES: cutting one leaves the others as they are.

    Edges in `together` are taken away all at once, with the first cycle that goes by one of them.
    """
    found: list[list[str]] = []
    left = set(edges)
    while len(found) < MOST_CYCLES and (cycle := sort(names, left)[1]):
        found.append(cycle)
        hops = set(zip(cycle, cycle[1:] + cycle[:1], strict=True))
        left -= hops
        if hops & together:
            left -= together
    return found


def sort(names: Iterable[str], edges: Set[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the names in order, and one cycle (empty when there is none)."""
    following: dict[str, set[str]] = {name: set() for name in names}
    waiting = dict.fromkeys(following, 0)
    for before, after in edges:
        following[before].add(after)
        waiting[after] += 1
    ready = [name for name, count in waiting.items() if count == 0]
    heapify(ready)
    order = []
    while ready:
        name = heappop(ready)
        order.append(name)
        for other in following[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heappush(ready, other)
    left = set(following) - set(order)
    return order, _cycle(left, following)


def _cycle(left: set[str], following: Mapping[str, set[str]]) -> list[str]:
    """Walk backwards among what is left until a name comes again: that is a cycle, returned in forward order."""
    while loose := {name for name in left if not following[name] & left}:
        left = left - loose  # what only hangs on a cycle is no part of one
    if not left:
        return []
    path = [min(left)]
    while True:
        name = min(other for other in left if path[-1] in following[other])
        if name in path:
            return path[path.index(name):][::-1]
        path.append(name)
