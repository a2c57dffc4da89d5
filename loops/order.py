"""The order within an instant: who must step before whom, from wires and references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import combinations

from .component import Component
from .errors import Problems
from .shapes import Wire
from .time import Clock


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
                    links: set[tuple[str, str]], scheduled: set[str], problems: Problems) -> set[tuple[str, str]]:
    """Return (before, after) pairs: changers step after the object and its readers where wires lead there, else before.

    `links` are the (sender, receiver) pairs of same-instant wires.
    """
    changers: dict[str, set[str]] = {}
    for name, references in uses.items():
        for role, target in references.items():
            use = components[name].uses.get(role)
            if use is not None and (use.changes or use.role.__name__ == "Body"):  # a world moves when it is asked
                changers.setdefault(target, set()).add(name)
    edges: set[tuple[str, str]] = set()
    direct = _following(links)
    for target, who in changers.items():
        others = ({target} | readers_of(target, uses)) & scheduled - who
        led_to = set().union(*(reach(direct, other) for other in others))
        for changer in who & scheduled:
            edges |= {(other, changer) if changer in led_to else (changer, other) for other in others}
    direct = _following(links | edges)
    for target, who in changers.items():
        for first, second in combinations(sorted(who & scheduled), 2):
            if second not in reach(direct, first) and first not in reach(direct, second):
                problems.add(f"{first} and {second} both change {target}, and no wire orders them", target,
                             f"Wire an output of one of them into the other, or let only one of them use {target}.")
    return edges


def _following(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
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


def sort(names: Iterable[str], edges: set[tuple[str, str]]) -> tuple[list[str], list[str]]:
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
    left = {name for name in following if name not in set(order)}
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
