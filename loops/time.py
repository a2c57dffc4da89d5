"""Time in whole nanoseconds: durations, rates and clocks that never drift."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from .errors import TimeError

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
MICROSECOND = 1_000
LONGEST = 2**62  # ns; recorded times are 64-bit integers

_UNITS = {"ns": 1, "us": MICROSECOND, "µs": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "min": 60 * SECOND,
          "h": 3600 * SECOND}
_RATES = {"mHz": Fraction(1, 1000), "Hz": Fraction(1), "kHz": Fraction(1000), "MHz": Fraction(1_000_000)}
_NUMBER = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?)\s*([A-Za-zµ]+)\s*")


@dataclass(frozen=True)
class Clock:
    """A rate that need not divide a second: tick k happens at floor(k * 10^9 / rate) nanoseconds."""

    numerator: int  # ticks ...
    denominator: int = 1  # ... in so many seconds

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0 or self.numerator > SECOND * self.denominator:
            raise TimeError(f"a clock of {self.numerator}/{self.denominator} Hz is outside (0, 1 GHz]")

    def tick(self, k: int) -> int:
        """Return the instant of tick k in nanoseconds."""
        return k * SECOND * self.denominator // self.numerator

    def after(self, now: int) -> int:
        """Return the first tick later than `now`."""
        k = (now + 1) * self.numerator // (SECOND * self.denominator)
        while self.tick(k) <= now:
            k += 1
        return self.tick(k)


@dataclass(frozen=True)
class Text:
    """Marks a parameter that may be written as text in YAML; `parse` turns the text into the value."""

    parse: Any
    name: str = "text"


def parse_duration(text: str | int) -> int:
    """Read `20 ms`, `0.5 s` or `3 min` as nanoseconds; an int is taken as nanoseconds already.

    Raises TimeError when the text has no unit or is not a whole number of nanoseconds.
    """
    if isinstance(text, bool) or not isinstance(text, (str, int)):
        raise TimeError(f"{text!r} is not a duration; write for example '20 ms'")
    if isinstance(text, int):
        if not 0 <= text <= LONGEST:
            raise TimeError(f"a duration of {text} ns is negative or longer than time is counted")
        return text
    if text.strip() == "0":
        return 0
    value, unit = _split(text)
    if unit not in _UNITS:
        raise TimeError(f"{text!r} has no unit of time; write one of {', '.join(_UNITS)}, for example '20 ms'")
    return _whole(value * _UNITS[unit], text)


def parse_period(text: str | int | Clock) -> int | Clock:
    """Read a period (`20 ms`) or a rate (`50 Hz`); a rate that does not divide a second becomes a Clock."""
    if isinstance(text, Clock):
        return text
    if isinstance(text, str):
        value, unit = _split(text)
        if unit in _RATES:
            rate = value * _RATES[unit]
            if rate <= 0:
                raise TimeError(f"{text!r} is not a rate above zero")
            period = SECOND / rate
            return int(period) if period.denominator == 1 else Clock(rate.numerator, rate.denominator)
    duration = parse_duration(text)
    if duration == 0:
        raise TimeError("a period of 0 would never let time pass")
    return duration


def next_tick(period: int | Clock, now: int) -> int:
    """Return the first instant of the grid of `period` later than `now`."""
    if isinstance(period, Clock):
        return period.after(now)
    return now - now % period + period


def say(now: int) -> str:
    """Write an instant or duration for people: `20 ms`, `1.020 s`."""
    if now == 0:
        return "0"
    for unit, size in (("s", SECOND), ("ms", MILLISECOND), ("us", MICROSECOND)):
        if now >= size:
            return f"{now / size:.9f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{now} ns"


def say_period(period: int | Clock) -> str:
    """Write a period or clock the way a YAML file would."""
    if isinstance(period, Clock):
        rate = Fraction(period.numerator, period.denominator)
        return f"{rate.numerator if rate.denominator == 1 else float(rate)} Hz"
    return say(period)


def _split(text: str) -> tuple[Fraction, str]:
    match = _NUMBER.fullmatch(text) if len(text) < 64 else None
    if not match:
        raise TimeError(f"{text!r} is not a time; write for example '20 ms' or '50 Hz'")
    return Fraction(match.group(1)), match.group(2)


def _whole(value: Fraction, text: str) -> int:
    if value > LONGEST:
        raise TimeError(f"{text!r} is longer than 146 years, the longest time that is counted")
    if value.denominator != 1:
        raise TimeError(f"{text!r} is not a whole number of nanoseconds")
    return int(value)


Duration = Annotated[int, Text(parse_duration, "duration")]
Period = Annotated[int | Clock, Text(parse_period, "period")]
