"""Build-time checks of what a learner is told: it must see, read and time things as those do whom it teaches."""

from __future__ import annotations

from collections.abc import Mapping

from .component import Component
from .errors import Problems
from .shapes import Wire
from .system import System
from .time import say

SAID = ("action", "log_prob", "value", "memory")  # what an actor said of one and the same moment
ByInput = Mapping[tuple[str, str], Wire]


def is_learner(component: Component) -> bool:
    """Does it change what it uses?"""
    return any(use.changes for use in component.uses.values())


def check_views(system: System, components: Mapping[str, Component], wires: list[Wire], problems: Problems) -> None:
    """A learner sees what those see that it uses, takes an action as the body does, and hears of a tick as a whole."""
    by_input = {(w.receiver, w.input): w for w in wires}
    for name, component in components.items():
        _check_reward(name, by_input, problems)
        if is_learner(component):
            _check_seen(name, system.parts[name].uses, by_input, components, problems)
            _check_said(name, by_input, components, problems)
            _check_ticks(name, by_input, components, problems)


def _check_seen(name: str, uses: Mapping[str, str], by_input: ByInput, components: Mapping[str, Component],
                problems: Problems) -> None:
    """An input named as one of what it uses has the same source and delay; others learn of another world."""
    for role, target in uses.items():
        if target not in components or role not in components[name].uses:
            continue
        for key in components[target].inputs:
            mine, theirs = by_input.get((name, key)), by_input.get((target, key))
            if mine and theirs and _view(mine) != _view(theirs):
                verb = "changes" if components[name].uses[role].changes else "learns from"
                problems.add(f"{name} {verb} {target} but sees another {key!r}: {_seen(mine)}, not {_seen(theirs)}",
                             f"{name}.inputs.{key}", f"Write {{{key}: {{like: {target}.{key}}}}}.")


def _check_said(name: str, by_input: ByInput, components: Mapping[str, Component], problems: Problems) -> None:
    """What an actor said is in force for a learner when its action is for the body, also where it uses only a critic.

    Read `now` by one alone, what was said of one observation would be taught with another. A body that takes the `mean`
    of what a faster brain says begins with what is in force for a learner that holds: both are of one observation.
    """
    bodies = [wire for (receiver, key), wire in by_input.items()
              if key == "action" and {"status", "reward"} <= set(components[receiver].outputs)]
    acted = by_input.get((name, "action"))
    for key in SAID:
        mine = by_input.get((name, key))
        if mine is None or components[name].inputs[key].kind == "event":
            continue
        for wire in bodies:
            same = str(wire.source) == str((acted or mine).source) or (
                key != "action" and wire.source.component == mine.source.component)
            if same and (wire.reads == "now") != (mine.reads == "now"):
                told = f"acts on {'it' if key == 'action' else wire.source} by {wire.reads!r}"
                problems.add(f"reads {mine.source} by {mine.reads!r}, but {wire.receiver} {told}",
                             f"{name}.inputs.{key}", f"Write {{{key}: {{from: {mine.source}, reads: {wire.reads}}}}}.")


def _check_reward(name: str, by_input: ByInput, problems: Problems) -> None:
    """A reward that comes earlier or later than its status counts for another step, or for another episode."""
    status, reward = by_input.get((name, "status")), by_input.get((name, "reward"))
    if status and reward and status.source.delay != reward.source.delay:
        problems.add(f"{_seen(reward)} and {_seen(status)} are not of the same step", f"{name}.inputs.reward",
                     f"Give both the same delay: {_write('reward', reward, status.source.delay)}.")


def _check_ticks(name: str, by_input: ByInput, components: Mapping[str, Component], problems: Problems) -> None:
    """An observation may come late, as a sense does, but not before the status of its tick: that makes wrong steps."""
    seen, status = by_input.get((name, "observation")), by_input.get((name, "status"))
    if not seen or not status or seen.source.component != status.source.component:
        return  # a sensor in between may take its time
    if seen.source.delay < status.source.delay:
        problems.add(f"{status.source} arrives after the observation of its tick: no step is made of them, or a wrong "
                     "one", f"{name}.inputs.status", f"Write {_write('status', status, seen.source.delay)}, and the "
                     "same delay for reward and for the status of what it uses.")


def _write(key: str, wire: Wire, delay: int) -> str:
    return f"{{{key}: {{from: {wire.source}, delay: {say(delay) if delay else 0}}}}}"


def _view(wire: Wire) -> tuple[str, int]:
    return str(wire.source), wire.source.delay


def _seen(wire: Wire) -> str:
    return f"{wire.source}" + (f" after {say(wire.source.delay)}" if wire.source.delay else "")
