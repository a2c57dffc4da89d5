"""The safety limiter: the only thing that may command a stimulator.

Research simulation only: it makes no claim about any medical device or tissue. Longer than
other links because every rule, and the order of the rules, is written in one place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import begins, calm, idle, status_input
from ...loops.time import SECOND, Duration
from ..parts.command_watch import CommandWatch
from ..parts.decision_log import DecisionLog
from ..parts.flow import most
from ..parts.passing import frozen, seal, sender, spread
from ..parts.phase_meter import PhaseLimits, PhaseMeter
from ..parts.pulses import Pulse, PulseRules, judge, judge_keeping, part_of_peak
from ..parts.stimulation_limits import (
    MICROCOULOMB,
    Advice,
    Rule,
    charge_cap,
    check_levels,
    clip,
    microcoulomb,
    towards_zero,
    wants_charge,
    worst_case,
)


class SafetyLimiter(Component):
    """Keeps stimulation within hard limits, whatever is commanded, and notes every decision.

    A command is an amplitude for each contact, held until the next one. Every rule only makes amplitudes smaller, so
    all limits hold together. A contact whose phase, charge, rate or duty limit is reached goes to zero at that very
    instant and stays there until a new command arrives. Lanes that ended or wait are at zero. Each intervention
    is an event on `decisions`: requested, delivered and the code of the rule (`parts.stimulation_limits.Rule`).

    Args:
        peak: largest |command| of a contact, one number or one for each; more is clipped.
        sum_peak: largest sum of |command| over contacts; more is scaled down together.
        slew: fastest rise of |command| in units per second, reckoned from the previous step; falling is free.
        ramp: time over which the limit `peak` rises from zero when an episode or the run begins.
        charge_per_phase: largest charge of one phase in uC; the phase is cut off when it is reached. Charge that flowed
            the same way before a change of sign counts on, less what flowed back, until a rest.
        charge_density: largest charge density of one phase in uC/cm^2; needs `area`.
        shannon_k: largest k of Shannon (1992), eq. 1, per phase; needs `area` of at least 1 mm^2.
        area: surface of the contacts in mm^2, one number or one for each.
        net_charge: largest |net charge| of a contact in uC since the beginning; keeps direct current out.
        train_phase: width of one phase where the stimulator turns the command into pulses of that amplitude. Left out,
            it is read from the stimulator (its `pulse`); rules that would not hold for its pulses are refused.
        pulse_width: longest time for which the charge of one phase may flow, to the nearest nanosecond; what flows back
            takes the same share off it as off the charge.
        rate: how often per second a current may begin in one direction at a contact, to the nanosecond below 1 / rate;
            behind the limiter of a stimulator that makes pulses, most pulses.
        duty: largest part of each window of `duty_window` in which a contact may be active.
        duty_window: length of these windows, counted from t = 0.
        rest: time at zero that ends a phase; a shorter pause does not.
        stale: watchdog: without a new command for so long everything goes to zero, and the command that comes after
            that is late and counts as zero too.
        warn: levels that are only noted.
    """

    guard = True

    def __init__(self, peak: float | list[float] | None = None, sum_peak: float | None = None,
                 slew: float | None = None, ramp: Duration | None = None, charge_per_phase: float | None = None,
                 charge_density: float | None = None, shannon_k: float | None = None,
                 area: float | list[float] | None = None, net_charge: float | None = None,
                 train_phase: Duration | None = None, pulse_width: Duration | None = None, rate: float | None = None,
                 duty: float | None = None, duty_window: Duration = SECOND, rest: Duration = 100_000,
                 stale: Duration | None = None, warn: Advice | None = None) -> None:
        check_levels(peak=peak, sum_peak=sum_peak, slew=slew, charge_per_phase=charge_per_phase, area=area,
                     charge_density=charge_density, net_charge=net_charge, rate=rate, duty=duty, shannon_k=shannon_k,
                     ramp=ramp, train_phase=train_phase, pulse_width=pulse_width, duty_window=duty_window, rest=rest,
                     stale=stale)
        self.peak, self.sum_peak, self.slew, self.ramp = peak, sum_peak, slew, ramp
        self.charge_per_phase, self.charge_density, self.shannon_k = charge_per_phase, charge_density, shannon_k
        self.area, self.net_charge, self.train_phase, self.pulse_width = area, net_charge, train_phase, pulse_width
        self.rate, self.duty, self.duty_window, self.rest, self.stale = rate, duty, duty_window, rest, stale
        self.warn = Advice() if warn is None else warn
        check_levels("warn.", **vars(self.warn))
        self.warnings: list[str] = []
        self._behind: set[tuple[Pulse | None, float]] = set()  # what stimulators make of the command
        self._check()
        self.inputs = {
            "command": Port("amplitude wanted at each contact", ("channel",), ("channel",), reads="now", wakes=True),
            "status": status_input(wakes=True, optional=True)}
        self.outputs = {
            "command": Port("amplitude allowed at each contact", ("channel",), ("channel",)),
            "charge": Port("net charge delivered by each contact", ("channel",), ("channel",), "uC", "float64"),
            "decisions": Port("requested, delivered, rule", (3,), kind="event", indices="channel")}

    @classmethod
    def example(cls) -> SafetyLimiter:
        return cls(peak=5.0)

    def _check(self) -> None:
        """Refuse parameters that contradict each other."""
        charge = wants_charge(self.charge_per_phase, self.charge_density, self.shannon_k)
        if self.peak is None and self.sum_peak is None and not charge and self.net_charge is None:
            raise ValueError("a limiter without limits protects nothing; write at least peak")
        if self.ramp is not None and self.peak is None:
            raise ValueError("ramp raises the limit peak; write peak too")
        if self.train_phase is not None:
            if self.net_charge is not None or self.warn.net_charge is not None:
                raise ValueError("with train_phase the command is the amplitude of a train of pulses: net_charge "
                                 "cannot be seen in it")
            if self.pulse_width is not None and self.train_phase > self.pulse_width:
                raise ValueError(f"train_phase of {self.train_phase} ns is longer than pulse_width allows")

    def check_stimulator(self, stimulator: Component) -> list[Problem]:
        """Learn what a stimulator makes of the command; return the rules that would not hold behind it."""
        pulse, keeps = getattr(stimulator, "pulse", None), float(getattr(stimulator, "keeps", 0.0))
        self._behind.add((pulse, keeps))
        if len(self._behind) > 1:
            return [Problem("one limiter commands stimulators that make different pulses or currents of the command",
                            "", "Write a limiter for each of them.")]
        phases = wants_charge(self.charge_per_phase, self.charge_density, self.shannon_k)
        timed = phases or any(limit is not None for limit in (self.net_charge, self.pulse_width, self.rate, self.duty))
        if keeps:
            return self._check_keeping(keeps)
        asleep = any(port.guarded and not port.wakes for port in stimulator.inputs.values())
        if pulse is None and timed and (asleep or stimulator.period is not None):
            return [Problem("the stimulator takes the command at instants of its own, so that what it holds is longer "
                            "than the limiter orders: limits of charge, time, rate and duty would not hold", "period",
                            "Remove period from the stimulator, so that each command wakes it.")]
        return judge(pulse, PulseRules(
            self.pulse_width, self.rate, self.rest, phases or self.pulse_width is not None,
            self.net_charge is not None or self.warn.net_charge is not None, self.train_phase))

    def _check_keeping(self, keeps: float) -> list[Problem]:
        """The rules that would not hold behind a stimulator that adds each command to what is left of earlier ones."""
        rules = ("charge_per_phase", "charge_density", "shannon_k", "net_charge", "train_phase", "pulse_width", "rate",
                 "duty", "slew", "ramp")
        found = [name for name in rules if getattr(self, name) is not None]
        found += [f"warn.{name}" for name in rules[:4] if getattr(self.warn, name) is not None]
        return judge_keeping(keeps, found)

    def _find_units(self) -> str:
        """Units of the command: the sender's, or else those in which the stimulator behind takes it."""
        behind = [port.units for port in self.peers.get("command", []) if port.guarded]
        return next((units for units in (sender(self, "command").units, *behind) if units), "")

    def infer(self) -> None:
        port = sender(self, "command")
        low, high = port.range
        cap = np.inf if self.peak is None else float(np.float32(np.max(self.peak)))
        cap = min(cap, np.inf if self.sum_peak is None else float(np.float32(self.sum_peak)))
        self.outputs["command"] = replace(self.outputs["command"], units=self._find_units(),
                                          low=max(min(low, 0.0), -cap), high=min(max(high, 0.0), cap))

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        channels = self._channels = int(self.inputs["command"].shape[0])  # type: ignore[arg-type]
        pulse, keeps = next(iter(self._behind), (None, 0.0))
        self._train = self.train_phase if pulse is None else pulse.width  # ns of a phase; None: the command is held
        self._units = self._find_units()
        self._part = part_of_peak(keeps)  # of the amplitudes allowed, for each command
        self._off = np.float32(-0.0 if keeps else 0.0)  # what silences a contact at once
        try:
            area = None if self.area is None else spread(self.area, channels)
            peak = spread(np.inf if self.peak is None else np.float32(self.peak), channels) * self._part
        except ValueError as error:
            raise AssemblyError([Problem(str(error), "peak or area")]) from None
        hard = charge_cap(self.charge_per_phase, self.charge_density, self.shannon_k, area)
        soft = charge_cap(self.warn.charge_per_phase, self.warn.charge_density, self.warn.shannon_k, area)
        self._hard, self._soft = (np.broadcast_to(cap, (channels,)) for cap in (hard, soft))  # uC a phase [channels]
        self._make_caps(peak)
        self._make_limits()
        self._warn_of_range(area)
        self.reset(seed)

    def _make_caps(self, peak: np.ndarray) -> None:
        """Limits that are plain amplitudes, hard and advisory: (rule, float32 [channels])."""
        caps = [(Rule.PEAK, towards_zero(peak))] if self.peak is not None else []
        level = np.inf if self.warn.peak is None else self.warn.peak * self._part
        notes = [(Rule.WARN_PEAK, np.full(peak.shape, level, np.float32))] if self.warn.peak is not None else []
        if self._train is not None:  # charge of a phase is amplitude times width
            for list_, rule, cap in ((caps, Rule.CHARGE_PER_PHASE, self._hard),
                                     (notes, Rule.WARN_CHARGE_PER_PHASE, self._soft)):
                if np.isfinite(cap).any():
                    exact = cap * microcoulomb(self._units) / max(self._train, 1)
                    list_.append((rule, towards_zero(np.minimum(exact, np.finfo(np.float32).max))))
        self._caps, self._notes = caps, notes
        self._quiet = np.min([np.full(peak.shape, np.finfo(np.float32).max), *(cap for _, cap in caps + notes)], axis=0)
        self._quiet_peak, self._uneven = float(self._quiet.min()), bool(np.ptp(self._quiet))
        self._most, self._much = (None if level is None else level * self._part
                                  for level in (self.sum_peak, self.warn.sum_peak))  # of a lane, hard and advisory
        self._quiet_sum = min((level for level in (self._most, self._much) if level is not None), default=np.inf)

    def _make_limits(self) -> None:
        """Limits that need a meter: charge, time and rate of phases."""
        phases = wants_charge(self.charge_per_phase, self.charge_density, self.shannon_k)
        advised = wants_charge(self.warn.charge_per_phase, self.warn.charge_density, self.warn.shannon_k)
        net = self.net_charge is not None or self.warn.net_charge is not None
        if phases or advised or net:
            microcoulomb(self._units)
        scale = MICROCOULOMB.get(self._units, 0.0)
        held = self._train is None and self._part == 1  # else a command does not show what charge flows
        self._scale = scale if held else 0.0
        self._limits = PhaseLimits(
            charge=self._hard * scale if held and phases else None,
            net=np.full(self._channels, self.net_charge * scale) if self.net_charge is not None else None,
            width=self.pulse_width if held else None,
            interval=None if self.rate is None or not held else int(SECOND / self.rate),
            on_time=None if self.duty is None else int(self.duty * self.duty_window), window=self.duty_window,
            rest=self.rest, track=(held and advised) or self.warn.net_charge is not None,
            quiet_charge=np.minimum(self._hard, self._soft) * scale if held and (phases or advised) else None,
            quiet_net=np.full(self._channels, min(level for level in (self.net_charge, self.warn.net_charge)
                                                  if level is not None) * scale) if net else None)
        self._metered = self._limits.any or bool(self._scale)
        self._plain = not self._metered and self.slew is None and self.ramp is None
        self._careful = self._part < 1  # look at every contact at every step?
        self._charge_notes = [(rule, cap * scale) for rule, cap, on in (
            (Rule.WARN_CHARGE_PER_PHASE, self._soft, held and advised),
            (Rule.WARN_NET_CHARGE, np.full(self._channels, self.warn.net_charge or 0.0),
             self.warn.net_charge is not None)) if on]

    def _warn_of_range(self, area: np.ndarray | None) -> None:
        port = sender(self, "command")
        low, high = (np.broadcast_to(np.asarray(end, float), (self._channels,)) for end in (port.low, port.high))
        caps = [(rule, cap.astype(float)) for rule, cap in (*self._caps, *self._notes)]
        self.warnings = worst_case(np.maximum(np.abs(low), np.abs(high)), caps, self._most, self._units)
        if self.shannon_k is not None and area is not None and (area < 1).any():
            self.warnings.append("Shannon not valid for contacts below 1 mm^2: charge_per_phase holds there instead")
        if self.stale is None:
            self.warnings.append("no watchdog: a command stays in force however old it is; write stale, for example "
                                 "stale: 100 ms")
        if any(pulse is not None and not pulse.balanced for pulse, _ in self._behind):
            self.warnings.append("pulses of one phase are not balanced: no rule limits their net charge")

    def reset(self, seed: int) -> None:
        lanes, shape = self.lanes.count, (self.lanes.count, self._channels)
        self._watch = CommandWatch(lanes, self.stale)
        self._meter = PhaseMeter(lanes, self._channels, self._limits)
        self._offer = self._meter.offer
        self._log = DecisionLog(lanes, self._channels, self._notes, self._charge_notes, self._much)
        self._scales = np.full(shape, self._scale)  # an array is quicker to divide by
        self._since = np.zeros(lanes, np.int64)  # [lanes] when stimulation was allowed anew; ramp counts from there
        self._latched = np.zeros(shape, bool)  # at zero until a new command
        self._given = seal(np.zeros(shape, np.float32))  # what is delivered now
        self._passed: bytes | None = None  # its content, if that alone made it harmless

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if (self._passed is not None and (inputs["command"] is self._given or inputs["command"].tobytes() ==
                                          self._passed) and "command" in inputs.new and self._in_time(now, inputs)):
            return {"command": self._given}
        if self._metered and inputs.previous is not None:
            self._meter.advance(inputs.previous, now)
        command = inputs["command"]
        if "command" in inputs.new and self._harmless(now, command, inputs):
            self._watch.arrived(now)
            self._given = frozen(command)
            self._passed = command.tobytes() if self._plain else None
            said: dict[str, Any] = {"command": self._given}
        else:
            said = self._limit(now, inputs, command)
        if self._scale:
            said["charge"] = self._meter.net / self._scales
        return said

    def next_wake(self, now: int) -> int | None:
        cut = self._meter.cut_at
        if self.stale is None:
            return cut
        deadline = self._watch.deadline()
        if cut is None or deadline is None:
            return cut if deadline is None else deadline
        return min(cut, deadline)

    def _in_time(self, now: int, inputs: Inputs) -> bool:
        """Is a command that was harmless before harmless again, where only its content and its time can matter?"""
        status = inputs.get("status")
        return self.lateness is None and (status is None or calm(status)) and self._watch.is_in_time(now)

    def _harmless(self, now: int, command: np.ndarray, inputs: Inputs) -> bool:
        """Is there nothing to do but to pass the command on? (NaN fails every comparison.)"""
        if self._careful or not self._log.clean or self.lateness is not None or self._watch.doubts(now):
            return False
        status = inputs.get("status")
        if status is not None and not calm(status) and ("status" in inputs.new or status.max() > 1):
            return False  # a FIRST that is new counts
        largest = self._offer(command) if self._metered else most(np.abs(command))
        if not (largest <= self._quiet_peak or (self._uneven and (np.abs(command) <= self._quiet).all())):
            return False
        if not (largest * self._channels <= self._quiet_sum
                or (np.abs(command).sum(axis=1) <= self._quiet_sum * 0.9999).all()):
            return False
        if self.slew is not None and not (inputs.previous is not None
                                          and largest <= self.slew * ((now - inputs.previous) / SECOND)):
            return False
        if self.ramp is not None and now < self._since.max() + self.ramp:
            return False
        return not self._metered or self._meter.pass_on(largest, now)

    def _limit(self, now: int, inputs: Inputs, command: np.ndarray) -> dict[str, Any]:
        """Apply every rule in turn; each one only makes amplitudes smaller."""
        new, self._passed = "command" in inputs.new, None
        if inputs.new or inputs.previous is None:
            wanted = command + np.float32(0)  # [lanes, channels] without minus zeros, which would silence
            rule = np.zeros(wanted.shape, np.int16)
        else:  # woken by its own clock: what is delivered may end, but nothing may rise
            wanted, rule = self._given.copy(), self._log.rule.copy()
        self._silence_lanes(now, inputs, wanted, rule, new)
        for code, cap in self._caps:
            clip(wanted, cap, code, rule)
        self._limit_sum(wanted, rule)
        if inputs.new or inputs.previous is None:
            self._limit_rise(now, inputs.previous, wanted, rule)
        self._log.observe(self._meter)
        if self._metered:
            self._limit_phases(now, wanted, rule, new)
        events = self._log.decide(now, command, wanted, rule, new, self._meter)
        said: dict[str, Any] = {}
        if new or inputs.previous is None or wanted.tobytes() != self._given.tobytes():
            said["command"] = self._given = seal(wanted)
        if len(events):
            said["decisions"] = events
        return said

    def _silence_lanes(self, now: int, inputs: Inputs, wanted: np.ndarray, rule: np.ndarray, new: bool) -> None:
        """Zero where a lane is idle, its command stale or late, or any of its numbers not finite."""
        status = inputs.get("status")
        flagged = status is not None and not calm(status)
        if flagged and "status" in inputs.new:
            first = begins(status)
            self._watch.excuse(first)
            self._since[first] = now
        late = self.lateness is not None and self.stale is not None and self.lateness() > self.stale
        reasons = self._watch.look(now, new, late)  # [lanes] rule or 0
        if flagged:
            reasons = np.where(idle(status), np.int16(Rule.IDLE), np.int16(0) if reasons is None else reasons)
        if not np.isfinite(inputs["command"]).all():  # as long as it is in force, whatever woke the limiter
            unsound = ~np.isfinite(inputs["command"]).all(axis=1)  # [lanes] nothing in such a command is to be trusted
            reasons = np.where(unsound, np.int16(Rule.NON_FINITE), np.int16(0) if reasons is None else reasons)
        if reasons is not None and reasons.any():
            silent = reasons[:, None] != 0
            np.copyto(rule, np.where(inputs["command"] != 0, reasons[:, None], np.int16(0)), where=silent)
            np.copyto(wanted, self._off, where=silent)

    def _limit_sum(self, wanted: np.ndarray, rule: np.ndarray) -> None:
        if self._most is None:
            return
        total = np.abs(wanted).sum(axis=1, dtype=np.float64)  # [lanes]
        over = total > self._most
        if over.any():
            scaled = wanted[over] * (self._most / total[over])[:, None]
            small = towards_zero(scaled)
            rule[over] = np.where(wanted[over] != small, Rule.SUM_PEAK, rule[over])
            wanted[over] = small

    def _limit_rise(self, now: int, previous: int | None, wanted: np.ndarray, rule: np.ndarray) -> None:
        """Soft start of a lane, and the slope of each contact."""
        if self.ramp:
            part = np.minimum((now - self._since) / self.ramp, 1.0)  # [lanes]
            clip(wanted, part[:, None] * self._caps[0][1], Rule.RAMP, rule)
        if self.slew is not None:
            rise = self.slew * ((now - previous) / SECOND) if previous is not None else 0.0
            start = np.where(self._given * wanted > 0, np.abs(self._given).astype(np.float64), 0.0)
            clip(wanted, start + rise, Rule.SLEW, rule)

    def _limit_phases(self, now: int, wanted: np.ndarray, rule: np.ndarray, new: bool) -> None:
        """Cut contacts whose phase, charge, rate or duty limit is reached, and say when the next will be."""
        if new:
            self._latched[:] = False
        elif self._latched.any():
            held = self._latched & (wanted != 0)
            rule[held] = self._log.rule[held]
            wanted[held] = 0.0
        largest = self._offer(wanted)
        if not (self._careful and self._meter.follows) and self._meter.pass_on(largest, now):
            return
        broken = self._meter.judge(now)
        refused = None
        if broken is not None and broken.any():
            refused = broken != 0
            rule[refused] = broken[refused]
            wanted[refused] = 0.0
            self._latched |= refused
        self._meter.commit(refused, now)

    def state_dict(self) -> dict[str, Any]:
        return {"watch": self._watch.state_dict(), "meter": self._meter.state_dict(), "log": self._log.state_dict(),
                "since": self._since.copy(), "latched": self._latched.copy(), "given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "watch" not in state:
            return
        self._watch.load_state_dict(state["watch"])
        self._meter.load_state_dict(state["meter"])
        self._since, self._latched = np.array(state["since"]), np.array(state["latched"])
        self._log.load_state_dict(state["log"])
        self._given, self._passed = frozen(np.array(state["given"], np.float32)), None
