"""Who plays in the limiter's proof: attackers, a sender of balanced pulses, a patient, a brain, and the referee."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.loops.component import Component
from stimloop.loops.events import Events
from stimloop.loops.port import Port
from stimloop.loops.status import idle

US, MS = 1_000, 1_000_000
UNITS = 1e9  # uA * ns in one uC
LANES, CHANNELS = 2, 16
PEAK = 5.0
ROUNDING = 1 + 1e-12


class Adversary(Component):
    """Commands whatever is worst, at instants of its own choosing."""

    gaps = (1, 2, 999, 99_999, 100_000, 100_001, 200 * US, MS, 3 * MS - 1, 3 * MS, 3 * MS + 1, 20 * MS)

    def __init__(self, seed: int) -> None:
        self.inputs = {}
        self.outputs = {"command": Port("an attack", (CHANNELS,), units="uA")}
        self.random = np.random.default_rng(seed)
        self.pulses, self.following = 0, 0
        self.last = np.zeros((LANES, CHANNELS), np.float32)
        self.plan: list[tuple[np.ndarray, int]] = []  # what comes next, and for how long

    def step(self, now, inputs):
        if not self.plan:
            gap = int(self.random.choice(self.gaps)) + int(self.random.integers(3))
            self.plan = self.interrupt() if self.random.integers(12) == 0 else [(self.attack(), gap)]
        command, gap = self.plan.pop(0)
        self.following = now + gap
        self.pulses += int(np.count_nonzero((command != 0) & (np.sign(command) != np.sign(self.last))))
        self.last = command
        return {"command": command}

    def next_wake(self, now):
        return self.following

    def interrupt(self):
        """A current that would be direct but for negligible moments of another one, or of none."""
        shape = (LANES, CHANNELS)
        flow = (self.random.choice([-1.0, 1.0], shape) * self.random.choice([PEAK, PEAK, 0.3])).astype(np.float32)
        blip = (-flow * self.random.choice([0.0, 1e-30, 1e-3, 0.1], shape)).astype(np.float32)
        hold = int(self.random.choice([99_000, 200 * US, 440 * US, MS]))
        moment = int(self.random.choice([1, 1, 5 * US]))
        return [(flow, hold), (blip, moment)] * int(self.random.integers(2, 12))

    def attack(self):
        shape, kind = (LANES, CHANNELS), self.random.integers(8)
        sign = self.random.choice([-1.0, 1.0], shape)
        if kind == 0:  # as before, or the other way round
            return np.where(self.random.random(shape) < 0.5, self.last, -self.last)
        if kind == 1:  # blinks
            return np.where(self.random.random(shape) < 0.5, self.last, np.float32(0))
        if kind == 2:  # numbers that no stimulator could mean
            return (sign * 10.0 ** self.random.uniform(-44, 18, shape)).astype(np.float32)
        if kind == 3:  # a hair above and below the peak
            edge = np.nextafter(np.float32(PEAK), np.float32(self.random.choice([0.0, 9.0])))
            return (sign * edge).astype(np.float32)
        if kind == 4:  # direct current
            return np.full(shape, self.random.choice([-PEAK, PEAK, 0.01]), np.float32)
        return (self.random.uniform(-2, 2, shape) * PEAK * (self.random.random(shape) < 0.7)).astype(np.float32)


class Balanced(Component):
    """Biphasic pulses of two equal charges, with a gap and a slower way back, on all channels together."""

    def __init__(self, seed: int) -> None:
        self.inputs = {}
        self.outputs = {"command": Port("balanced pulses", (CHANNELS,), units="uA", low=-PEAK, high=PEAK)}
        self.random = np.random.default_rng(seed)
        self.pulses, self.plan = 0, []

    def step(self, now, inputs):
        if not self.plan:
            height = self.random.uniform(-PEAK, PEAK, (LANES, CHANNELS)).astype(np.float32)
            width, slower = int(self.random.integers(1, 450 * US)), int(self.random.choice([1, 2, 4]))
            gap, pause = int(self.random.integers(1, 99 * US)), int(self.random.integers(100 * US, 9 * MS))
            rest = np.zeros_like(height)
            self.plan = [(height, width), (rest, gap), (-height / np.float32(slower), slower * width), (rest, pause)]
            self.pulses += height.size
        command, self.duration = self.plan.pop(0)
        return {"command": command.copy()}

    def next_wake(self, now):
        return now + self.duration


class Trigger(Component):
    """Asks for pulses of contacts of its choosing, often too soon."""

    def __init__(self, seed: int) -> None:
        self.inputs, self.outputs = {}, {"trigger": Port("pulse now", (0,), kind="event", indices=CHANNELS)}
        self.random = np.random.default_rng(seed)

    def step(self, now, inputs):
        self.following = now + int(self.random.choice([1, 99 * US, 200 * US, 3 * MS, 5 * MS]))
        lane, channel = np.nonzero(self.random.random((LANES, CHANNELS)) < 0.5)
        return {"trigger": Events.of(now, lane, channel)}

    def next_wake(self, now):
        return self.following


class Patient(Component):
    """Episodes that end and wait at awkward instants."""

    period = 7 * MS

    def __init__(self, seed: int) -> None:
        self.inputs, self.outputs = {}, {"status": Port("", (), dtype="int64", low=0, high=15)}
        self.random = np.random.default_rng(seed)

    def step(self, now, inputs):
        return {"status": self.random.choice([0, 0, 0, 1, 2, 3, 4, 8], LANES)}


class Brain(Component):
    """Takes a current, so that the stimulator has a size."""

    def __init__(self) -> None:
        self.inputs = {"current": Port("", (24,), wakes=True, guarded=True)}
        self.outputs = {}

    def step(self, now, inputs):
        return {}


@dataclass
class Referee:
    """Integrates what was delivered, contact by contact, and counts what breaks a limit."""

    limiter: SafetyLimiter
    pulsed: bool = False  # does it listen to pulses, whose rate is that of their beginnings?
    commands_of_pulses: bool = False  # does it listen to the heights that pulses may have? Then time is not judged
    broken: dict[str, int] = field(default_factory=dict)
    worst_net: float = 0.0  # uC
    steps: int = 0

    def __post_init__(self) -> None:
        shape = (LANES, CHANNELS)
        self.held, self.since = np.zeros(shape), 0
        self.net, self.phase, self.width, self.on = (np.zeros(shape) for _ in range(4))
        self.way = {side: np.zeros(shape) for side in (1, -1)}  # charge that flowed so, and was not brought back
        self.lasted = {side: np.zeros(shape) for side in (1, -1)}  # for how long
        self.pulses_seen, self.began = 0, np.full(shape, -(10**15))
        self.sign, self.zero_from = np.zeros(shape), np.full(shape, -(10**15))
        self.onset = {1: np.full(shape, -(10**15)), -1: np.full(shape, -(10**15))}
        self.arrivals, self.command_at, self.idle = deque(), 0, np.zeros(LANES, bool)

    def find(self, name: str, where: Any) -> None:
        if np.any(where):
            self.broken[name] = self.broken.get(name, 0) + int(np.count_nonzero(where))

    def command(self, now: int, value: np.ndarray) -> None:
        self.arrivals.append(now)

    def status(self, now: int, value: np.ndarray) -> None:
        self.finish(now)  # by what held until now
        self.idle = idle(value)

    def delivered(self, now: int, value: np.ndarray) -> None:
        """Account for what was held until now, then look at what is held from now on."""
        self.finish(now)
        limiter, new = self.limiter, value.astype(np.float64)
        self.steps += 1
        self.find("finite", ~np.isfinite(new))
        self.find("peak", np.abs(new) > PEAK)
        if limiter.sum_peak is not None:
            self.find("sum_peak", np.abs(new).sum(axis=1) > limiter.sum_peak * ROUNDING)
        self.find("idle", (new != 0) & self.idle[:, None])
        sign = np.sign(new)
        rested = (self.held == 0) & (now - self.zero_from >= limiter.rest)
        begun = (sign != 0) & ((sign != self.sign) | rested)
        for side, onset in self.onset.items():
            starts = (sign == side) & (np.sign(self.held) != side)  # whatever was before, and however briefly
            if limiter.rate is not None and not (self.pulsed or self.commands_of_pulses):
                self.find("rate", starts & (now - onset < int(1e9 / limiter.rate)))
            onset[starts] = now
        self.phase[begun] = self.width[begun] = 0
        for charge, time in zip(self.way.values(), self.lasted.values(), strict=True):
            charge[rested] = time[rested] = 0
        self.sign[begun] = sign[begun]
        self.zero_from = np.where((new == 0) & (self.held != 0), now, self.zero_from)
        self.held = new

    def current(self, now: int, value: np.ndarray) -> None:
        """What reaches the neurons: electrode k sits at neuron k and reaches no other."""
        self.find("stray", value[:, CHANNELS:] != 0)
        self.delivered(now, value[:, :CHANNELS])

    def pulses(self, now: int, batch: Events) -> None:
        """Pulses that began: their heights, and how soon they follow each other."""
        self.find("peak", np.abs(batch.value) > PEAK)
        self.pulses_seen += len(batch)
        if self.limiter.rate is not None:
            self.find("rate", now - self.began[batch.lane, batch.index] < int(1e9 / self.limiter.rate))
        self.began[batch.lane, batch.index] = now

    def finish(self, now: int) -> None:
        limiter, time = self.limiter, now - self.since
        active = self.held != 0
        if time:
            self.find("held idle", active & self.idle[:, None])
        if limiter.stale is not None:
            self.watch(now, active)
        self.net += self.held * time
        self.phase += np.abs(self.held) * time
        self.width += active * time
        self.follow(time)
        self.worst_net = max(self.worst_net, float(np.abs(self.net).max()) / UNITS)
        if limiter.charge_per_phase is not None and not self.commands_of_pulses:
            self.find("charge_per_phase", self.phase > limiter.charge_per_phase * UNITS * ROUNDING)
        if limiter.net_charge is not None:
            self.find("net_charge", np.abs(self.net) > limiter.net_charge * UNITS * ROUNDING)
        if limiter.pulse_width is not None and not self.commands_of_pulses:
            self.find("pulse_width", self.width > limiter.pulse_width)
        if limiter.duty is not None:
            window = limiter.duty_window
            while self.since < now:  # one window after the other
                edge = min(now, (self.since // window + 1) * window)
                self.on += active * (edge - self.since)
                self.find("duty", self.on > limiter.duty * window)
                if edge % window == 0:
                    self.on[:] = 0
                self.since = edge
        self.since = now

    def follow(self, time: int) -> None:
        """Charge and time in each direction since the last rest, less what the other direction brought back."""
        limiter, sign, moved = self.limiter, np.sign(self.held), np.abs(self.held) * time
        for side, charge in self.way.items():
            back = (sign == -side) & (charge > 0)
            kept = np.maximum(charge[back] - moved[back], 0)
            self.lasted[side][back] *= kept / charge[back]
            charge[back] = kept
            charge[sign == side] += moved[sign == side]
            self.lasted[side][sign == side] += time
            if limiter.charge_per_phase is not None and not self.commands_of_pulses:
                self.find("charge one way", charge > limiter.charge_per_phase * UNITS * ROUNDING)
            if limiter.pulse_width is not None and not self.commands_of_pulses:
                self.find("width one way", self.lasted[side] > (limiter.pulse_width + 0.5) * ROUNDING)
                self.find("direct current", charge > PEAK * (limiter.pulse_width + 0.5) * ROUNDING)

    def watch(self, now: int, active: np.ndarray) -> None:
        """Was anything delivered while the command in force was stale?"""
        while self.arrivals and self.arrivals[0] <= now:
            following = self.arrivals.popleft()
            if following > max(self.since, self.command_at + self.limiter.stale):
                self.find("stale", active)
            self.command_at = following
        if now > max(self.since, self.command_at + self.limiter.stale):
            self.find("stale", active)
