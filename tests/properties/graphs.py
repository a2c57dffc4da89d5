"""Random systems: what the kernel's properties are tested on.

A `Plan` is drawn from any `random.Random`: Hypothesis's own (so that failures shrink) or a plain one with a seed.
"""

from __future__ import annotations

import random
from dataclasses import replace
from zlib import crc32

from hypothesis import settings
from hypothesis import strategies as st

from stimloop.loops.errors import AssemblyError
from stimloop.loops.time import Clock

from .toys import In, Out, Plan, Toy, traced

PERIODS = (1, 2, 3, 4, 5, 7, 10)  # ns: small, so that many things fall on one instant
CLOCKS = (Clock(300_000_000), Clock(2_000_000_000, 5), Clock(150_000_000))  # 3.3, 2.5 and 6.7 ns


def examples(ci: int, prove: int) -> settings:
    """Few examples for every day, many under the Hypothesis profile `prove`."""
    many = settings.get_current_profile_name() == "prove"
    return settings(max_examples=prove if many else ci, deadline=None)


def draw_plan(rng: random.Random, tidy: float = 0.97) -> Plan:
    """Draw a system; `tidy` is how often a wire that would close a loop within an instant is put right."""
    names = [chr(ord("a") + i) for i in range(rng.randint(2, 7))]
    rng.shuffle(names)
    outputs = {name: {f"out{i}": _draw_output(rng) for i in range(rng.randint(1, 3))} for name in names}
    toys = {}
    for place, name in enumerate(names):
        period, wanders = _draw_rhythm(rng)
        inputs = {}
        for i in range(rng.randint(0, 4)):
            sender = rng.choice(names)
            port = rng.choice(sorted(outputs[sender]))
            forward = names.index(sender) < place or rng.random() > tidy
            inputs[f"{name}{i}"] = _draw_input(rng, sender, port, outputs[sender][port], forward)
        if period is None and not wanders and not any(wire.wakes for wire in inputs.values()):
            period = rng.choice(PERIODS)
        toys[name] = Toy(inputs, outputs[name], period, wanders, {})
    toys = _draw_references(rng, toys)
    toys = _leave_sizes_out(rng, toys)
    return Plan(dict(sorted(toys.items())), rng.randint(1, 3), rng.randint(0, 2**31))


def _draw_output(rng: random.Random) -> Out:
    if rng.random() < 0.35:
        return Out("event", rng.choice([(0,), (), (2,)]), rng.choice(["float32", "int64"]), indices=5)
    return Out("signal", rng.choice([(), (2,), (2, 3)]), rng.choice(["float32", "float32", "float64", "int64"]),
               rng.random() < 0.85)


def _draw_rhythm(rng: random.Random) -> tuple[int | Clock | None, bool]:
    kind = rng.choice(["grid", "grid", "clock", "woken", "woken", "wanders", "strays"])
    period = {"grid": rng.choice(PERIODS), "strays": rng.choice(PERIODS), "clock": rng.choice(CLOCKS)}.get(kind)
    return period, kind in ("wanders", "strays")


def _draw_input(rng: random.Random, sender: str, port: str, out: Out, forward: bool) -> In:
    ways = ["now", "all"] if out.kind == "event" else ["now", "hold", "all"]
    if out.kind == "signal" and out.dtype.startswith("float"):
        ways.append("mean")
    reads, wakes = rng.choice(ways), rng.random() < 0.35
    delay = rng.choice([0, 0, 0, 1, 2, 3, 6, 11])
    if not forward:
        if delay and out.kind == "event" and rng.random() < 0.5:
            delay = 15  # longer than any period: cuts, unless the sender has none
            reads, wakes = rng.choice([("all", False), ("now", rng.random() < 0.5)])
        elif not delay or out.kind == "event":
            reads, wakes = rng.choice([way for way in ways if way != "now"]), False
    declared = reads if rng.random() < 0.5 else rng.choice(ways)
    return In(sender, port, delay, reads, wakes, declared, rng.choice([0.0, 3.0]), True)


def _draw_references(rng: random.Random, toys: dict[str, Toy]) -> dict[str, Toy]:
    """Let some toys use others, never in a circle."""
    names = list(toys)
    rng.shuffle(names)
    for place, name in enumerate(names[:-1]):
        if rng.random() < 0.35:
            targets = rng.sample(names[place + 1:], rng.randint(1, min(2, len(names) - place - 1)))
            toys[name] = replace(toys[name], uses={f"role{i}": (target, rng.random() < 0.6)
                                                   for i, target in enumerate(targets)})
    return toys


def _leave_sizes_out(rng: random.Random, toys: dict[str, Toy]) -> dict[str, Toy]:
    """Leave the size of some ports open where the other end of a wire says it."""
    told: set[tuple[str, str]] = set()
    for name, toy in toys.items():
        inputs = {key: replace(wire, sized=rng.random() < 0.6) for key, wire in toy.inputs.items()}
        told |= {(wire.sender, wire.port) for wire in inputs.values() if wire.sized}
        toys[name] = replace(toy, inputs=inputs)
    for name, toy in toys.items():
        toys[name] = replace(toy, outputs={key: replace(out, sized=(name, key) not in told or rng.random() < 0.6)
                                           for key, out in toy.outputs.items()})
    return toys


@st.composite
def plans(draw: st.DrawFn, tidy: float = 0.97) -> Plan:
    """Random systems for Hypothesis."""
    return draw_plan(draw(st.randoms(use_true_random=False)), tidy)


def digest(count: int) -> str:
    """Return one number for the traces of so many seeded systems: equal in every process."""
    total = 0
    for seed in range(count):
        try:
            trace = traced(draw_plan(random.Random(seed)).system(), 40)
        except AssemblyError as error:
            trace = {"refused": [(str(error),)]}
        total = crc32(repr(sorted(trace.items())).encode(), total)
    return f"{total:08x}"
