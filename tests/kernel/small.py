"""Parts for kernel tests: a component whose ports and answers are written in the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import status_output
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock

MS = 1_000_000
Say = Callable[[int, Inputs], dict[str, Any]]


class Written(Component):
    """Answers what the test wrote, and remembers each step as (now, inputs, new, previous)."""

    def __init__(self, inputs: Mapping[str, Port], outputs: Mapping[str, Port], say: Say | None,
                 period: int | Clock | None, facts: Mapping[str, Any]) -> None:
        self.inputs, self.outputs, self.period = dict(inputs), dict(outputs), period
        self.say = say
        self.steps: list[tuple[int, dict[str, Any], frozenset[str], int | None]] = []
        self.closed = 0
        for name, value in facts.items():
            setattr(self, name, value)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self.steps.append((now, dict(inputs), inputs.new, inputs.previous))
        return self.say(now, inputs) if self.say is not None else {}

    def close(self) -> None:
        self.closed += 1


class Woken(Written):
    """Asks for the instants that the test wrote."""

    def next_wake(self, now: int) -> int | None:
        return self.wake_at(now)  # type: ignore[attr-defined, no-any-return]


def part(inputs: Mapping[str, Port] | None = None, outputs: Mapping[str, Port] | None = None, say: Say | None = None,
         period: int | Clock | None = None, wired: Mapping[str, str | Source] | None = None,
         uses: Mapping[str, str] | None = None, seed: int | None = None, lanes: int | None = None,
         type: str = "", wants: Mapping[str, Use] | None = None, **facts: Any) -> Part:
    """A part; `wired` gives the source of each input as `component.port`, `wants` the references it asks for."""
    sources = {key: Source.of(source) if isinstance(source, str) else source for key, source in (wired or {}).items()}
    kind = Woken if "wake_at" in facts else Written
    facts["uses"] = wants or {}
    return Part(lambda: kind(inputs or {}, outputs or {}, say, period, facts), sources, uses or {}, seed, lanes, type)


def sender(values: Mapping[int, Any] | Callable[[int], Any], period: int | Clock | None = None,
           port: Port | None = None, **facts: Any) -> Part:
    """A part with one output `value`: what stands in `values` at an instant, or what calling it returns (not None)."""

    def say(now: int, inputs: Inputs) -> dict[str, Any]:
        value = values(now) if callable(values) else values.get(now)
        if value is None:
            return {}
        return {"value": value if isinstance(value, np.ndarray) or not np.isscalar(value) else np.float32([value])}

    if period is None and not callable(values):
        later = sorted(values)
        facts.setdefault("wake_at", lambda now: next((when for when in later if when > now), None))
    return part({}, {"value": port or Port("a number")}, say, period, **facts)


def hearer(port: Port | None = None, source: str | Source = "sender.value", period: int | Clock | None = None,
           **facts: Any) -> Part:
    """A part with one input `value` that only remembers."""
    return part({"value": port or Port("a number")}, {}, None, period, {"value": source}, **facts)


def body(statuses: Callable[[int], Any], period: int = 10, rewards: Callable[[int], Any] | None = None,
         **facts: Any) -> Part:
    """A part that publishes `status` (a list of flags per lane, by tick) and `reward`."""

    def say(now: int, inputs: Inputs) -> dict[str, Any]:
        tick = now // period
        status = np.array(statuses(tick), np.int64)
        reward = np.ones(status.size) if rewards is None else np.array(rewards(tick))
        return {"status": status, "reward": reward.astype(np.float32)}

    return part({}, {"status": status_output(), "reward": Port("reward")}, say, period, **facts)


def loop_of(lanes: int = 1, **parts: Part) -> Loop:
    """Build a loop of these parts."""
    return Loop(System(parts, lanes, name="test"))


def steps(loop: Loop, name: str, key: str | None = None) -> list[Any]:
    """Return what a component was given: (now, value) of an input, or the instants of its steps."""
    rows = loop.components[name].steps  # type: ignore[attr-defined]
    return [now for now, *_ in rows] if key is None else [(now, inputs[key]) for now, inputs, *_ in rows]
