"""No adversary gets a pulse past the safety limiter: whole loops, a stimulator behind it, every wiring allowed.

    python tests/crash/prove.py limiter

The referee below listens to what the limiter publishes and integrates it with arithmetic of its own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stimloop.components.basics.add import Add
from stimloop.components.basics.gain import Gain
from stimloop.components.basics.sample_hold import SampleHold
from stimloop.components.links.busy_processor import BusyProcessor
from stimloop.components.links.jitter import Jitter
from stimloop.components.links.loss import Loss
from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Advice
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.components.stimulators.pulse_train import PulseTrain
from stimloop.loops.component import Component
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import idle
from stimloop.loops.system import Part, Source, System

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

    def step(self, now, inputs):
        self.following = now + int(self.random.choice(self.gaps)) + int(self.random.integers(3))
        command = self.attack()
        self.pulses += int(np.count_nonzero((command != 0) & (np.sign(command) != np.sign(self.last))))
        self.last = command
        return {"command": command}

    def next_wake(self, now):
        return self.following

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
    broken: dict[str, int] = field(default_factory=dict)
    worst_net: float = 0.0  # uC
    steps: int = 0

    def __post_init__(self) -> None:
        shape = (LANES, CHANNELS)
        self.held, self.since = np.zeros(shape), 0
        self.net, self.phase, self.width, self.on = (np.zeros(shape) for _ in range(4))
        self.sign, self.zero_from = np.zeros(shape), np.full(shape, -(10**15))
        self.onset = {1: np.full(shape, -(10**15)), -1: np.full(shape, -(10**15))}
        self.arrivals, self.command_at, self.idle = deque(), 0, np.zeros(LANES, bool)

    def find(self, name: str, where: Any) -> None:
        if np.any(where):
            self.broken[name] = self.broken.get(name, 0) + int(np.count_nonzero(where))

    def command(self, now: int, value: np.ndarray) -> None:
        self.arrivals.append(now)

    def status(self, now: int, value: np.ndarray) -> None:
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
            starts = begun & (sign == side)
            if limiter.rate is not None:
                self.find("rate", starts & (now - onset < int(1e9 / limiter.rate)))
            onset[starts] = now
        self.phase[begun] = self.width[begun] = 0
        self.sign[begun] = sign[begun]
        self.zero_from = np.where((new == 0) & (self.held != 0), now, self.zero_from)
        self.held = new

    def finish(self, now: int) -> None:
        limiter, time = self.limiter, now - self.since
        active = self.held != 0
        if limiter.stale is not None:
            self.watch(now, active)
        self.net += self.held * time
        self.phase += np.abs(self.held) * time
        self.width += active * time
        self.worst_net = max(self.worst_net, float(np.abs(self.net).max()) / UNITS)
        if limiter.charge_per_phase is not None:
            self.find("charge_per_phase", self.phase > limiter.charge_per_phase * UNITS * ROUNDING)
        if limiter.net_charge is not None:
            self.find("net_charge", np.abs(self.net) > limiter.net_charge * UNITS * ROUNDING)
        if limiter.pulse_width is not None:
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

    def watch(self, now: int, active: np.ndarray) -> None:
        """Was anything delivered while the command in force was stale?"""
        while self.arrivals and self.arrivals[0] <= now:
            following = self.arrivals.popleft()
            if following > max(self.since, self.command_at + self.limiter.stale):
                self.find("stale", active)
            self.command_at = following
        if now > max(self.since, self.command_at + self.limiter.stale):
            self.find("stale", active)


LIMITS: dict[str, dict[str, Any]] = {
    "amplitudes": {"sum_peak": 30.0},
    "charge": {"charge_per_phase": 0.0005, "net_charge": 0.002},
    "pulses": {"pulse_width": 450 * US, "rate": 255.0, "duty": 0.4, "duty_window": 20 * MS},
    "all": {"sum_peak": 60.0, "charge_per_phase": 0.004, "net_charge": 0.01, "pulse_width": 2 * MS, "rate": 500.0,
            "duty": 0.8, "duty_window": 50 * MS, "stale": 3 * MS,
            "warn": Advice(peak=4.0, charge_per_phase=0.001, net_charge=0.005)},
}
WIRINGS = ("direct", "status", "delay", "gain", "sum", "jitter", "loss", "busy", "sampled")


def build(wiring: str, limits: dict[str, Any], seed: int, sender: Component,
          pulsed: bool) -> tuple[Loop, SafetyLimiter]:
    """An attacker, a link or two, the limiter, a stimulator and a brain."""
    limiter = SafetyLimiter(peak=PEAK, **limits)
    links = {"gain": Gain(gain=-1.5, offset=0.25, units="uA"), "sum": Add(), "loss": Loss(probability=0.3),
             "jitter": Jitter(latency=MS, spread=2 * MS, in_order=False), "sampled": SampleHold(period=777 * US),
             "busy": BusyProcessor(service=300 * US, spread=100 * US, when_busy="latest")}
    parts = {"sender": Part(create=lambda: sender)}
    source = Source("sender", "command", delay=MS + 1 if wiring == "delay" else 0)
    if wiring in links:
        inputs = {"a": source, "b": source} if wiring == "sum" else {"input": source}
        parts["link"] = Part(create=lambda: links[wiring], inputs=inputs)
        source = Source("link", "output")
    inputs = {"command": source}
    if wiring == "status":
        parts["patient"] = Part(create=lambda: Patient(seed))
        inputs["status"] = Source("patient", "status")
    stimulator = PulseTrain(channels=CHANNELS, units="uA") if pulsed else ElectrodeField(channels=CHANNELS, units="uA")
    parts |= {"limiter": Part(create=lambda: limiter, inputs=inputs),
              "stimulator": Part(create=lambda: stimulator, inputs={"command": Source("limiter", "command")}),
              "brain": Part(create=Brain, inputs={"current": Source("stimulator", "current")})}
    return Loop(System(parts, lanes=LANES, seed=seed)), limiter


def attend(loop: Loop, limiter: SafetyLimiter, wiring: str) -> Referee:
    """Let a referee listen to the loop."""
    referee = Referee(limiter)
    loop.tap("limiter.command", referee.delivered)
    if wiring == "status":
        loop.tap("patient.status", referee.status)
        referee.idle[:] = True
    if wiring in ("direct", "status"):
        loop.tap("sender.command", referee.command)
    elif limiter.stale is not None:
        loop.tap("sender.command" if wiring == "delay" else "link.output",
                 lambda now, value: referee.command(now + (MS + 1 if wiring == "delay" else 0), value))
    return referee


def prove(pulses: int, seed: int = 0) -> dict[str, Any]:
    """Attack through every wiring and set of limits with about `pulses` pulses in all, and send balanced ones.

    Returns what was found; "holds" is whether no delivered pulse broke a limit and balanced pulses left no charge.
    """
    found: dict[str, Any] = {"pulses": 0, "steps": 0, "interventions": 0, "over_a_limit": 0, "broken": {}}
    cases = [(wiring, name) for wiring in WIRINGS for name in LIMITS]
    for k, (wiring, name) in enumerate(cases):
        sender = Adversary(seed * 1000 + k)
        loop, limiter = build(wiring, LIMITS[name], seed * 1000 + k, sender, pulsed=k % 2 == 1)
        referee = attend(loop, limiter, wiring)
        decisions: list[int] = []
        loop.tap("limiter.decisions", lambda now, batch, rows=decisions: rows.append(len(batch)))
        while sender.pulses < pulses / len(cases):
            loop.run(loop.now + 50 * MS)
        referee.finish(loop.now)
        loop.close()
        found["pulses"] += sender.pulses
        found["steps"] += referee.steps
        found["interventions"] += sum(decisions)
        found["over_a_limit"] += sum(referee.broken.values())
        if referee.broken:
            found["broken"][f"{wiring}/{name}"] = referee.broken
    found |= balance(max(1, pulses // 10), seed)
    found["holds"] = bool(found["over_a_limit"] == 0 and found["interventions"] > 0
                          and found["balanced_pulses_cut"] == 0 and found["largest_rest_coulomb"] <= 1e-12)
    return found


def balance(pulses: int, seed: int) -> dict[str, Any]:
    """Send balanced pulses within the limits; the largest charge left after one, in coulomb, is what counts."""
    sender = Balanced(seed)
    limits = {"charge_per_phase": 0.01, "net_charge": 0.01, "pulse_width": 4 * 450 * US, "stale": 20 * MS}
    loop, limiter = build("direct", limits, seed, sender, pulsed=False)
    referee, rest, cut = attend(loop, limiter, "direct"), [0.0], []
    loop.tap("limiter.command", lambda now, value: rest.append(
        0.0 if value.any() or len(sender.plan) != 0 else float(np.abs(referee.net).max()) / UNITS * 1e-6))
    loop.tap("limiter.decisions", lambda now, batch: cut.append(len(batch)))
    while sender.pulses < pulses:
        loop.run(loop.now + 50 * MS)
    charge = loop.peek("limiter.charge")
    loop.close()
    return {"balanced_pulses": sender.pulses, "balanced_pulses_cut": sum(cut), "largest_rest_coulomb": max(rest),
            "metered_rest_coulomb": float(np.abs(charge).min()) * 1e-6}
