"""Drives a safety limiter without a loop, and checks what it delivered by plain arithmetic of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Rule
from stimloop.loops.component import Inputs
from stimloop.loops.lanes import Lanes

PER_MICROCOULOMB = 1e9  # uA * ns


def built(limiter: SafetyLimiter, channels: int = 1, lanes: int = 1, units: str = "uA", low: float = -np.inf,
          high: float = np.inf) -> SafetyLimiter:
    """Size a limiter as the kernel would for a sender with these units and bounds, and build it."""
    wired = replace(limiter.inputs["command"], shape=(channels,), units=units, low=low, high=high)
    limiter.peers_in = {"command": wired}
    for ports in (limiter.inputs, limiter.outputs):
        for name, port in ports.items():
            ports[name] = port.sized(tuple(channels if size == "channel" else size for size in port.sizes))
    limiter.infer()
    limiter.build(Lanes.of(lanes), seed=0)
    return limiter


@dataclass
class Trace:
    """What a limiter delivered: amplitude [lanes, channels] from each instant on, and its decisions."""

    times: list[int] = field(default_factory=list)
    delivered: list[np.ndarray] = field(default_factory=list)
    requested: list[np.ndarray] = field(default_factory=list)
    decisions: list[tuple[int, int, int, float, float, Rule]] = field(default_factory=list)
    charge: np.ndarray | None = None
    end: int = 0

    def at(self, time: int) -> np.ndarray:
        return self.delivered[int(np.searchsorted(self.times, time, "right")) - 1]

    def rules(self) -> set[Rule]:
        return {row[-1] for row in self.decisions}


def drive(limiter: SafetyLimiter, commands: list[tuple[int, object]], end: int,
          statuses: list[tuple[int, object]] | None = None) -> Trace:
    """Step the limiter at t = 0, at each command and status, and whenever it asks for it; up to `end` included."""
    lanes, channels = limiter.lanes.count, limiter.inputs["command"].shape[0]
    value = limiter.inputs["command"].start(lanes)
    status = limiter.inputs["status"].start(lanes)
    trace, previous, now = Trace(end=end), None, 0
    commands, statuses = list(commands), None if statuses is None else list(statuses)
    delivered = None
    while True:
        new = set()
        if commands and commands[0][0] == now:
            value = np.broadcast_to(np.asarray(commands.pop(0)[1], np.float32), (lanes, channels)).copy()
            value.setflags(write=False)
            new.add("command")
        if statuses and statuses[0][0] == now:
            status = np.broadcast_to(np.asarray(statuses.pop(0)[1], np.int64), (lanes,))
            new.add("status")
        given = {"command": value} | ({} if statuses is None else {"status": status})
        answer = limiter.step(now, Inputs(given, frozenset(new), previous))
        if "command" in answer:
            assert not answer["command"].flags.writeable or answer["command"] is not delivered
            delivered = answer["command"]
        if "decisions" in answer:
            batch = answer["decisions"]
            trace.decisions += [(int(t), int(lane), int(i), float(v[0]), float(v[1]), Rule(int(v[2]))) for t, lane, i, v
                                in zip(batch.time, batch.lane, batch.index, batch.value, strict=True)]
        trace.charge = answer.get("charge", trace.charge)
        trace.times.append(now)
        trace.delivered.append(delivered)
        trace.requested.append(value)
        if now == end:
            return trace
        wake = limiter.next_wake(now)
        assert wake is None or wake > now
        coming = [row[0][0] for row in (commands, statuses) if row] + [end] + ([wake] if wake is not None else [])
        previous, now = now, min(coming)


def segments(trace: Trace, lane: int, channel: int) -> list[tuple[int, int, float]]:
    """What one contact got, as (start, end, amplitude) of constant amplitude, neighbours of equal amplitude merged."""
    rows: list[tuple[int, int, float]] = []
    for start, stop, value in zip(trace.times, [*trace.times[1:], trace.end], trace.delivered, strict=True):
        amplitude = float(value[lane, channel])
        if rows and rows[-1][2] == amplitude:
            rows[-1] = (rows[-1][0], stop, amplitude)
        elif stop > start:
            rows.append((start, stop, amplitude))
    return rows


def phases(rows: list[tuple[int, int, float]], rest: int) -> list[dict]:
    """Phases of one contact: begin, sign, charge without sign and time active."""
    found: list[dict] = []
    zero_from = -rest  # at zero since; None while active
    for start, stop, amplitude in rows:
        if amplitude == 0:
            zero_from = start if zero_from is None else zero_from
            continue
        sign = 1 if amplitude > 0 else -1
        rested = zero_from is not None and start - zero_from >= rest
        if not found or rested or found[-1]["sign"] != sign:
            found.append({"begin": start, "sign": sign, "charge": 0.0, "width": 0})
        zero_from = None
        found[-1]["charge"] += abs(amplitude) * (stop - start)
        found[-1]["width"] += stop - start
    return found


def widths(rows: list[tuple[int, int, float]], rest: int) -> float:
    """Longest time, in ns and in fractions, for which charge flowed one way that was not brought back without a rest.

    What flows back takes the same share off the time as off the charge.
    """
    longest = Fraction(0)
    charge, time = {1: Fraction(0), -1: Fraction(0)}, {1: Fraction(0), -1: Fraction(0)}
    for start, stop, amplitude in rows:
        if amplitude == 0:
            if stop - start >= rest:
                charge, time = dict.fromkeys(charge, Fraction(0)), dict.fromkeys(time, Fraction(0))
            continue
        sign, moved = (1 if amplitude > 0 else -1), abs(Fraction(amplitude)) * (stop - start)
        if charge[-sign]:
            left = max(charge[-sign] - moved, Fraction(0))
            time[-sign] *= left / charge[-sign]
            charge[-sign] = left
        charge[sign] += moved
        time[sign] += stop - start
        longest = max(longest, time[sign])
    return float(longest)


def beginnings(rows: list[tuple[int, int, float]], sign: int) -> list[int]:
    """When a current of this sign began, whatever was before it."""
    before = [0.0, *(amplitude for _, _, amplitude in rows)]
    return [start for (start, _, amplitude), last in zip(rows, before, strict=False)
            if amplitude * sign > 0 and last * sign <= 0]


def net_charge(rows: list[tuple[int, int, float]]) -> tuple[float, float]:
    """Final and largest |running| net charge, in uA * ns."""
    total = worst = 0.0
    for start, stop, amplitude in rows:
        total += amplitude * (stop - start)
        worst = max(worst, abs(total))
    return total, worst


def violations(trace: Trace, limiter: SafetyLimiter) -> list[str]:
    """Every hard limit that what was delivered breaks (charges within 1e-12 of the limit are rounding)."""
    broken = []
    slack = 1 + 1e-12
    block = np.stack(trace.delivered).astype(np.float64)  # [steps, lanes, channels]
    if not np.isfinite(block).all():
        broken.append("not finite")
    if limiter.peak is not None and (np.abs(block) > np.float64(np.float32(limiter.peak))).any():
        broken.append(f"peak {np.abs(block).max()}")
    if limiter.sum_peak is not None and (np.abs(block).sum(axis=2) > limiter.sum_peak * slack).any():
        broken.append("sum_peak")
    if limiter.slew is not None:
        before, after = block[:-1], block[1:]
        start = np.where(before * after > 0, np.abs(before), 0.0)
        rise = limiter.slew * np.diff(trace.times)[:, None, None] * 1e-9
        if (np.abs(after) > (start + rise) * slack)[np.abs(after) > np.abs(before) * (before * after > 0)].any():
            broken.append("slew")
    for lane in range(block.shape[1]):
        for channel in range(block.shape[2]):
            broken += _contact(segments(trace, lane, channel), limiter, slack)
    return broken


def _contact(rows: list[tuple[int, int, float]], limiter: SafetyLimiter, slack: float) -> list[str]:
    broken = []
    found = phases(rows, limiter.rest)
    charge = max((phase["charge"] for phase in found), default=0.0)
    if limiter.charge_per_phase is not None and charge > limiter.charge_per_phase * PER_MICROCOULOMB * slack:
        broken.append(f"charge per phase {charge}")
    if limiter.net_charge is not None and net_charge(rows)[1] > limiter.net_charge * PER_MICROCOULOMB * slack:
        broken.append(f"net charge {net_charge(rows)[1]}")
    if limiter.pulse_width is not None:
        if any(phase["width"] > limiter.pulse_width for phase in found):
            broken.append("pulse width")
        if widths(rows, limiter.rest) > (limiter.pulse_width + 0.5) * slack:  # to the nearest ns
            broken.append("pulse width with what went before")
    if limiter.rate is not None:
        for sign in (1, -1):
            if any(b - a < int(1e9 / limiter.rate) for a, b in pairwise(beginnings(rows, sign))):
                broken.append("rate")
    if limiter.duty is not None:
        on: dict[int, int] = {}
        for start, stop, amplitude in rows:
            while amplitude and start < stop:
                window = start // limiter.duty_window
                until = min(stop, (window + 1) * limiter.duty_window)
                on[window] = on.get(window, 0) + until - start
                start = until
        if any(time > limiter.duty * limiter.duty_window for time in on.values()):
            broken.append("duty")
    return broken
