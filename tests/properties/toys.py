"""Toy components for random systems: they remember everything they are given, and fold it into all that they say.

One wrong bit anywhere in what the kernel hands over shows in every later value.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from stimloop.loops.component import Component, Inputs, Use
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock


class Knob(Protocol):
    """The role of what is used: it shows a number that changers turn."""

    def show(self) -> Any:
        """Return what the object and everything it uses shows."""

    def turn(self, number: int) -> None:
        """Change what is shown."""


@dataclass(frozen=True)
class Out:
    """An output as planned."""

    kind: str = "signal"
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    per_lane: bool = True
    indices: int = 1
    sized: bool = True  # False: the size comes back from a receiver


@dataclass(frozen=True)
class In:
    """A wired input as planned."""

    sender: str
    port: str
    delay: int
    reads: str
    wakes: bool
    declared: str  # how the port itself reads; `reads` is what the wiring says
    initial: float
    sized: bool


@dataclass(frozen=True)
class Toy:
    """One component as planned."""

    inputs: dict[str, In]
    outputs: dict[str, Out]
    period: int | Clock | None
    wanders: bool  # answers next_wake itself, irregularly
    uses: dict[str, tuple[str, bool]]  # role name -> (object, does it change it?)
    seed: int | None = None


@dataclass(frozen=True)
class Plan:
    """A whole random system."""

    toys: dict[str, Toy]
    lanes: int
    seed: int

    def system(self, **changes: Any) -> System:
        """Return the system, its parts in the order of `toys`."""
        parts = {}
        for name, toy in self.toys.items():
            heard = {key: self.toys[wire.sender].outputs[wire.port] for key, wire in toy.inputs.items()}
            inputs = {key: Source(w.sender, w.port, w.delay, None if w.reads == w.declared else w.reads)
                      for key, w in toy.inputs.items()}
            parts[name] = Part(partial(WanderingToy if toy.wanders else SteadyToy, toy, heard), inputs,
                               {role: target for role, (target, _) in toy.uses.items()}, toy.seed)
        return System(parts, self.lanes, self.seed, "random", **changes)

    def renamed(self, names: dict[str, str], seeds: dict[str, int]) -> Plan:
        """Return the same system under other names, each component with its seed written out."""
        toys = {}
        for name, toy in self.toys.items():
            inputs = {key: replace(wire, sender=names[wire.sender]) for key, wire in toy.inputs.items()}
            uses = {role: (names[target], changes) for role, (target, changes) in toy.uses.items()}
            toys[names[name]] = replace(toy, inputs=inputs, uses=uses, seed=seeds[name])
        return replace(self, toys=toys)

    def sized(self) -> Plan:
        """Return the same system with every size written out (silence can no longer tell one)."""
        toys = {name: replace(toy, inputs={key: replace(wire, sized=True) for key, wire in toy.inputs.items()},
                              outputs={key: replace(out, sized=True) for key, out in toy.outputs.items()})
                for name, toy in self.toys.items()}
        return replace(self, toys=toys)

    def shuffled(self, rng: random.Random) -> Plan:
        """Return the same system with its parts, and the inputs of each, written in another order."""
        toys = list(self.toys.items())
        rng.shuffle(toys)
        mixed = {}
        for name, toy in toys:
            inputs, uses = list(toy.inputs.items()), list(toy.uses.items())
            rng.shuffle(inputs)
            rng.shuffle(uses)
            mixed[name] = replace(toy, inputs=dict(inputs), uses=dict(uses))
        return replace(self, toys=mixed)


# -- toys --------------------------------------------------------------------------------------------------------------


class SteadyToy(Component):
    """Mixes everything it is given into a number, and says things that follow from that number."""

    random = True

    def __init__(self, toy: Toy, heard: dict[str, Out]) -> None:
        self.period = toy.period
        self.inputs = {key: _input(wire, heard[key]) for key, wire in toy.inputs.items()}
        self.inputs["spare"] = Port("never wired", (3,), optional=True)
        self.outputs = {key: _output(out) for key, out in toy.outputs.items()}
        self.uses = {role: Use(Knob, changes) for role, (_, changes) in toy.uses.items()}
        self.log: list[tuple] | None = None

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.knob = np.zeros(1, np.int64)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.dice = LaneRandom(seed, self.lanes)
        self.word = seed & 0xFFFFFFFF
        self.sent = 0

    def show(self) -> Any:
        return (int(self.knob[0]), *(self.used[role].show() for role in sorted(self.used)))

    def turn(self, number: int) -> None:
        self.knob = np.array([number], np.int64)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        seen = {key: plain(inputs[key]) for key in sorted(inputs)}
        heard = (now, inputs.previous, tuple(sorted(inputs.new)), tuple(seen.items()), self.show())
        self.word = crc32(repr((heard, self.dice.bits().tobytes())).encode(), self.word)
        for i, role in enumerate(sorted(self.used)):
            if self.uses[role].changes and self._bits(100 + i) % 3:
                self.used[role].turn(self._bits(200 + i))
        outputs = {}
        for i, (key, port) in enumerate(sorted(self.outputs.items())):
            if self._bits(i) % 4:
                outputs[key] = self._speak(i, port, now, inputs.previous)
        if self.log is not None:
            said = tuple((key, plain(np.asarray(v, self.outputs[key].dtype) if np.isscalar(v) else v))
                         for key, v in outputs.items())
            self.log.append((*heard, said))
        return outputs

    def _bits(self, i: int) -> int:
        return crc32(b"%d" % i, self.word) >> 4

    def _speak(self, i: int, port: Port, now: int, previous: int | None) -> Any:
        bits = self._bits(50 + i)
        if port.kind == "signal":
            shape = port.full_shape(self.lanes.count)
            value = (bits % 23 - 11 + np.arange(int(np.prod(shape))) % 5).reshape(shape).astype(port.dtype)
            return value.item() if not port.per_lane and not shape and bits % 2 else value
        count = bits % 5
        each = [crc32(b"%d" % j, bits) for j in range(count)]
        span = now - (-1 if previous is None else previous)
        tags = self.sent + np.arange(count)
        self.sent += count
        value = np.broadcast_to(tags.reshape(-1, *[1] * len(port.shape)), (count, *port.shape))
        return Events.of([now - b % span for b in each], [b // 64 % self.lanes.count for b in each],
                         np.arange(count), value, port.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {"dice": self.dice.state_dict(), "word": self.word, "sent": self.sent, "learned": {"knob": self.knob}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.knob = np.array(state["learned"]["knob"])
        if "word" in state:
            self.dice.load_state_dict(state["dice"])
            self.word, self.sent = state["word"], state["sent"]


class WanderingToy(SteadyToy):
    """Decides at each step when it wants to be stepped again."""

    def next_wake(self, now: int) -> int | None:
        bits = self._bits(300)
        return None if bits % 11 == 0 else now + 1 + bits % 9


def _input(wire: In, heard: Out) -> Port:
    event = heard.kind == "event"
    ways: tuple[Any, ...] = ("now", "all") if event else ("now", "hold", "all")
    if not event and heard.dtype.startswith("float"):
        ways += ("mean",)
    shape: tuple[int | None, ...] = heard.shape if wire.sized else (None,) * len(heard.shape)
    return Port("heard", shape, dtype=heard.dtype, kind=heard.kind, per_lane=heard.per_lane,  # type: ignore[arg-type]
                indices=heard.indices if wire.sized else None, reads=wire.declared, also=ways,  # type: ignore[arg-type]
                wakes=wire.wakes, initial=wire.initial)


def _output(out: Out) -> Port:
    shape: tuple[int | None, ...] = out.shape if out.sized else (None,) * len(out.shape)
    return Port("said", shape, dtype=out.dtype, kind=out.kind, per_lane=out.per_lane,  # type: ignore[arg-type]
                indices=out.indices if out.sized else None)


def plain(value: Any) -> Any:
    """Return a value as something that can be compared bit for bit."""
    if isinstance(value, Events):
        return ("events", *(plain(column) for column in (value.time, value.lane, value.index, value.value)))
    if isinstance(value, list):
        return ("rows", *((when, plain(row)) for when, row in value))
    return (value.dtype.str, value.shape, value.tobytes())


def listen(loop: Any) -> dict[str, list[tuple]]:
    """Return the trace by component, filled from now on.

    An entry of a toy is (now, previous, new, inputs, what references show, outputs).
    """
    trace: dict[str, list[tuple]] = {name: [] for name in loop.components}
    for name, component in loop.components.items():
        component.log = trace[name]
    return trace


def since(trace: Mapping[str, list[tuple]], start: int, until: int) -> dict[str, list[tuple]]:
    """Return the part of a trace with start <= time < until."""
    return {name: [entry for entry in entries if start <= entry[0] < until] for name, entries in trace.items()}


def traced(system: System, until: int) -> dict[str, list[tuple]]:
    """Run a system in a loop of its own and return its trace."""
    with Loop(system) as loop:
        trace = listen(loop)
        loop.run(until)
    return trace
