"""No adversary gets a pulse past the safety limiter: whole loops, a stimulator behind it, every wiring allowed.

    python tests/crash/prove.py limiter

One referee listens to what the limiter publishes, another to the current that the stimulator gives, and to its pulses;
both integrate it with arithmetic of their own.
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
from stimloop.loops.time import Clock

from .limiter_players import (
    CHANNELS,
    LANES,
    MS,
    PEAK,
    UNITS,
    US,
    Adversary,
    Balanced,
    Brain,
    Patient,
    Referee,
    Trigger,
)

LIMITS: dict[str, dict[str, Any]] = {
    "amplitudes": {"sum_peak": 30.0},
    "charge": {"charge_per_phase": 0.0005, "net_charge": 0.002},
    "pulses": {"pulse_width": 450 * US, "rate": 255.0, "duty": 0.4, "duty_window": 20 * MS},
    "all": {"sum_peak": 60.0, "charge_per_phase": 0.004, "net_charge": 0.01, "pulse_width": 2 * MS, "rate": 500.0,
            "duty": 0.8, "duty_window": 50 * MS, "stale": 3 * MS,
            "warn": Advice(peak=4.0, charge_per_phase=0.001, net_charge=0.005)},
}
SITES = {"channels": CHANNELS, "units": "uA", "placement": "list", "centres": [float(k) for k in range(CHANNELS)],
         "spread": 0.02}  # each electrode reaches exactly one neuron
TRAINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # limits and stimulator, where commands become pulses
    "train": ({"sum_peak": 30.0, "charge_per_phase": 0.0005, "pulse_width": 200 * US, "rate": 130.0}, {}),
    "one phase": ({"charge_per_phase": 0.0005, "pulse_width": MS, "rate": 255.0, "duty": 0.4, "duty_window": 20 * MS},
                  {"phases": "one", "rate": Clock(250), "width": MS}),
    "gaps": ({"charge_per_phase": 0.004, "duty": 0.8, "duty_window": 50 * MS, "stale": 3 * MS,
              "warn": Advice(peak=4.0, charge_per_phase=0.001)},
             {"rate": Clock(400), "width": 900 * US, "gap": 50 * US}),
    "triggered": ({"sum_peak": 9.0, "charge_per_phase": 0.0005, "pulse_width": 300 * US, "rate": 255.0,
                   "stale": 3 * MS}, {"rate": None, "width": 300 * US, "pause": 4 * MS}),
    "both": ({"sum_peak": 9.0, "charge_per_phase": 0.0005, "pulse_width": 300 * US},
             {"width": 300 * US, "pause": 100 * US}),
}
KEEPING = {  # limits, where the field adds commands up: what it keeps is lost at this share
    "keeps": ({"sum_peak": 30.0, "stale": 3 * MS}, 0.3),
    "keeps long": ({"warn": Advice(peak=4.0)}, 0.02),
}
WIRINGS = ("direct", "status", "delay", "gain", "sum", "jitter", "loss", "busy", "sampled")


def build(wiring: str, limits: dict[str, Any], seed: int, sender: Component,
          train: dict[str, Any] | None = None, decay: float = 1.0) -> tuple[Loop, SafetyLimiter]:
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
    stimulator = ElectrodeField(**SITES, decay=decay) if train is None else PulseTrain(**SITES, **train)
    hears = {"command": Source("limiter", "command")}
    if train is not None and "pause" in train:
        parts["trigger"] = Part(create=lambda: Trigger(seed))
        hears["trigger"] = Source("trigger", "trigger")
    parts |= {"limiter": Part(create=lambda: limiter, inputs=inputs),
              "stimulator": Part(create=lambda: stimulator, inputs=hears),
              "brain": Part(create=Brain, inputs={"current": Source("stimulator", "current")})}
    return Loop(System(parts, lanes=LANES, seed=seed)), limiter


def attend(loop: Loop, limiter: SafetyLimiter, wiring: str, pulsed: bool = False) -> tuple[Referee, Referee]:
    """Let a referee listen to the limiter's commands, and one to the stimulator's current."""
    first, second = Referee(limiter, commands_of_pulses=pulsed), Referee(limiter, pulsed=pulsed)
    loop.tap("limiter.command", first.delivered)
    loop.tap("stimulator.current", second.current)
    if pulsed:
        loop.tap("stimulator.pulses", second.pulses)
    for referee in (first, second):
        if wiring == "status":
            loop.tap("patient.status", referee.status)
            referee.idle[:] = True
        if wiring in ("direct", "status"):
            loop.tap("sender.command", referee.command)
        elif limiter.stale is not None:
            late = MS + 1 if wiring == "delay" else 0
            loop.tap("sender.command" if wiring == "delay" else "link.output",
                     lambda now, value, tell=referee.command, late=late: tell(now + late, value))
    return first, second


def prove(pulses: int, seed: int = 0, tick_us: float = 15.0) -> dict[str, Any]:
    """Attack through every wiring and set of limits with about `pulses` pulses in all, and send balanced ones.

    Returns what was found; "holds" is whether no delivered pulse broke a limit, balanced pulses left no charge, and a
    tick of 64 channels took at most `tick_us` microseconds in every configuration of TICKS; those above are named in
    "tick_us_above".
    """
    found: dict[str, Any] = {"pulses": 0, "pulses_of_trains": 0, "steps": 0, "interventions": 0, "over_a_limit": 0,
                             "broken": {}}
    cases = [(wiring, name) for wiring in WIRINGS for name in (*LIMITS, *TRAINS, *KEEPING)]
    for k, (wiring, name) in enumerate(cases):
        broken = attack(wiring, name, seed * 1000 + k, pulses / len(cases), found)
        if broken:
            found["broken"][f"{wiring}/{name}"] = broken
    found |= balance(max(1, pulses // 10), seed)
    ticks = {name: round(cost(limits), 2) for name, limits in TICKS.items()}
    found |= {"tick_us": ticks, "tick_us_above": [name for name, cost_us in ticks.items() if cost_us > tick_us]}
    found["holds"] = bool(found["over_a_limit"] == 0 and found["interventions"] > 0
                          and found["balanced_pulses_cut"] == 0 and found["rests"] > 0
                          and max(found["largest_rest_coulomb"], found["metered_rest_coulomb"]) <= 1e-12
                          and not found["tick_us_above"])
    return found


def attack(wiring: str, name: str, seed: int, pulses: float, found: dict[str, Any]) -> dict[str, Any]:
    """Attack once, add to what was found, and return what was broken, by referee."""
    sender = Adversary(seed)
    limits, train = TRAINS[name] if name in TRAINS else (KEEPING[name][0] if name in KEEPING else LIMITS[name], None)
    loop, limiter = build(wiring, limits, seed, sender, train, KEEPING[name][1] if name in KEEPING else 1.0)
    referees = attend(loop, limiter, wiring, train is not None)
    decisions: list[int] = []
    loop.tap("limiter.decisions", lambda now, batch: decisions.append(len(batch)))
    while sender.pulses < pulses:
        loop.run(loop.now + 50 * MS)
    for referee in referees:
        referee.finish(loop.now)
    loop.close()
    found["pulses"] += sender.pulses
    found["pulses_of_trains"] += referees[1].pulses_seen
    found["steps"] += referees[0].steps
    found["interventions"] += sum(decisions)
    found["over_a_limit"] += sum(sum(referee.broken.values()) for referee in referees)
    return {who: referee.broken for who, referee in zip(("command", "current"), referees, strict=True)
            if referee.broken}


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
    loop, limiter = build("direct", limits, seed, sender)
    referee, rest, metered, cut = attend(loop, limiter, "direct")[1], [0.0], [0.0], []

    def look(now: int, value: np.ndarray) -> None:
        if not value.any() and len(sender.plan) == 0:  # between two pulses
            rest.append(float(np.abs(referee.net).max()) / UNITS * 1e-6)
            metered.append(float(np.abs(loop.peek("limiter.charge")).max()) * 1e-6)

    loop.tap("stimulator.current", look)
    loop.tap("limiter.decisions", lambda now, batch: cut.append(len(batch)))
    while sender.pulses < pulses:
        loop.run(loop.now + 50 * MS)
    loop.close()
    return {"balanced_pulses": sender.pulses, "balanced_pulses_cut": sum(cut), "largest_rest_coulomb": max(rest),
            "metered_rest_coulomb": max(metered), "rests": len(rest) - 1}
