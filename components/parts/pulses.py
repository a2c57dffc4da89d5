"""What a stimulator makes of a command, and whether a limiter's rules can hold behind it.

A stimulator that turns it into pulses says which in its attribute `pulse`. One that adds it to what is left of earlier
commands says in `keeps` what part is left at the next one, and promises that a command of minus zero leaves nothing of
an electrode's current: so a limiter tells "off" from "nothing more", which is a command of zero.
A stimulator without these holds the command itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...loops.errors import Problem
from ...loops.time import SECOND, say


@dataclass(frozen=True)
class Pulse:
    """Pulses as high as the command that is in force when they begin; an electrode whose command is zero stops at once.

    A stimulator that makes such pulses says so in its attribute `pulse`; a safety limiter before it reads it there.
    It also promises that no pulse begins which would bring the sum over a lane's electrodes above that of the commands.
    """

    width: int  # ns of one phase
    interval: int  # least ns between the beginnings of two pulses of an electrode
    pause: int  # least ns at zero between two pulses of an electrode
    balanced: bool  # two phases of opposite sign and equal charge


@dataclass(frozen=True)
class PulseRules:
    """The rules of a limiter that only the stimulator can keep, as it was asked for them; times in ns."""

    width: int | None  # pulse_width
    rate: float | None
    rest: int
    phases: bool  # is the charge or the width of a phase limited?
    net: bool  # is the net charge limited or noted?
    train_phase: int | None


def judge(pulse: Pulse | None, rules: PulseRules) -> list[Problem]:
    """Say which rules would not hold behind a stimulator that makes these pulses (None: holds the command itself)."""
    if pulse is None:
        return [] if rules.train_phase is None else [Problem(
            "train_phase is set, but the stimulator behind does not say that it makes pulses", "train_phase",
            "Remove train_phase, or state `pulse = Pulse(...)` in the stimulator (components/parts/pulses.py).")]
    found = []
    if rules.train_phase not in (None, pulse.width):
        found.append(Problem(f"train_phase is not the width of the stimulator's phases, {say(pulse.width)}",
                             "train_phase", "Remove it: the limiter reads the width from the stimulator."))
    if rules.width is not None and pulse.width > rules.width:
        found.append(Problem(f"the stimulator's phases of {say(pulse.width)} are wider than {say(rules.width)}",
                             "pulse_width", f"Write width: {say(rules.width)} at the stimulator, or "
                             f"pulse_width: {say(pulse.width)}."))
    if rules.rate is not None and pulse.interval < int(SECOND / rules.rate):
        found.append(Problem(f"the stimulator's pulses may follow each other after {say(pulse.interval)}; "
                             f"that is more than {rules.rate:g} per second", "rate",
                             f"Write rate: {rules.rate:g} Hz or a longer pause at the stimulator, or "
                             f"rate: {int(SECOND / pulse.interval) + 1}."))
    if rules.phases and pulse.pause < rules.rest:
        found.append(Problem(f"pauses of {say(pulse.pause)} between pulses are shorter than rest, {say(rules.rest)}: "
                             "two pulses could count as one phase of twice the charge", "rest",
                             f"Write pause: {say(rules.rest)} or a lower rate at the stimulator."))
    if rules.net:
        found.append(Problem("net charge cannot be seen in a command that is the height of pulses", "net_charge",
                             "Remove it; pulses of `phases: two` are balanced."))
    return found


def part_of_peak(keeps: float) -> float:
    """Return the part of a peak that each command may have where commands add up: their sum then stays within the peak.

    sum of keeps^k = 1 / (1 - keeps); a little less, for the rounding of each addition in float32.
    """
    return 1.0 - keeps - 2.0**-22 if keeps else 1.0


def judge_keeping(keeps: float, rules: list[str]) -> list[Problem]:
    """Say which of a limiter's rules would not hold behind a stimulator that adds commands up."""
    if part_of_peak(keeps) < 2.0**-20:
        return [Problem(f"the stimulator keeps {keeps:.9g} of what it delivers: commands add up almost without end", "",
                        "Write a larger decay at the stimulator.")]
    return [Problem(f"the stimulator adds each command to {keeps:.3g} of what it delivered before, so that the current "
                    f"goes on after the command: {', '.join(rules)} would not hold", rules[0],
                    "Remove it, or write decay: 1 at the stimulator.")] if rules else []
