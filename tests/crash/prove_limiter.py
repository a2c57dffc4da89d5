"""No adversary gets a pulse past the safety limiter: whole loops, a stimulator behind it, every wiring allowed.

    python tests/crash/prove.py limiter

The referee listens to what the limiter publishes and integrates it with arithmetic of its own.
"""

from __future__ import annotations

from time import perf_counter
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
from stimloop.loops.component import Component, Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

from .limiter_players import CHANNELS, LANES, MS, PEAK, UNITS, US, Adversary, Balanced, Brain, Patient, Referee

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


def prove(pulses: int, seed: int = 0, tick_us: float = 15.0) -> dict[str, Any]:
    """Attack through every wiring and set of limits with about `pulses` pulses in all, and send balanced ones.

    Returns what was found; "holds" is whether no delivered pulse broke a limit, balanced pulses left no charge, and
    a tick of 64 channels took at most `tick_us` microseconds.
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
    found["tick_us"] = {name: round(cost(limits), 2) for name, limits in TICKS.items()}
    found["holds"] = bool(found["over_a_limit"] == 0 and found["interventions"] > 0
                          and found["balanced_pulses_cut"] == 0 and found["largest_rest_coulomb"] <= 1e-12
                          and found["tick_us"]["peak and watchdog"] <= tick_us)
    return found


TICKS: dict[str, dict[str, Any]] = {
    "peak and watchdog": {"peak": PEAK, "stale": 30 * MS},
    "charge too": {"peak": PEAK, "stale": 30 * MS, "sum_peak": 1e3, "charge_per_phase": 1.0, "net_charge": 1.0},
    "every rule": {"peak": PEAK, "stale": 30 * MS, "sum_peak": 1e3, "charge_per_phase": 1.0, "net_charge": 1.0,
                   "pulse_width": 100 * MS, "rate": 1e6, "duty": 0.9, "slew": 1e9},
}


def cost(limits: dict[str, Any], rounds: int = 9, ticks: int = 400) -> float:
    """Microseconds of one tick of 64 channels, every sign turning at each one: the median of several rounds."""
    limiter = SafetyLimiter(**limits)
    port = Port("", (64,), units="uA", low=-PEAK, high=PEAK)
    limiter.peers_in = {"command": port}
    for ports in (limiter.inputs, limiter.outputs):
        for name, own in ports.items():
            ports[name] = own.sized(tuple(64 if size == "channel" else size for size in own.sizes))
    limiter.infer()
    limiter.build(Lanes.of(1), 0)
    one = np.random.default_rng(0).uniform(-PEAK, PEAK, (1, 64)).astype(np.float32)
    commands, status = (one, -one), np.zeros(1, np.int64)
    for command in commands:
        command.setflags(write=False)
    given = [Inputs({"command": command, "status": status}, frozenset(("command", "status"))) for command in commands]
    now, seconds = 0, []
    for _ in range(rounds):
        start = perf_counter()
        for k in range(ticks):
            inputs = given[k % 2]
            inputs.previous = now or None
            now += 200 * US
            limiter.step(now, inputs)
            limiter.next_wake(now)
        seconds.append(perf_counter() - start)
    return float(np.median(seconds)) / ticks * 1e6


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
