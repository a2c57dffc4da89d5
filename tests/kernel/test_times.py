"""Time is whole nanoseconds: parsing is exact, and a clock never drifts."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stimloop.loops.errors import TimeError
from stimloop.loops.time import SECOND, Clock, next_tick, parse_duration, parse_period, say, say_period
from stimloop.loops.until import Until


@pytest.mark.parametrize(("text", "ns"), [
    ("20 ms", 20_000_000), ("20ms", 20_000_000), (" 1.5 s ", 1_500_000_000), ("0.1 s", 100_000_000),
    ("1e-3 s", 1_000_000),
    ("0.000000001 s", 1), ("3 min", 180 * SECOND), ("10 h", 36_000 * SECOND), ("7 us", 7_000), ("7 µs", 7_000),
    ("250 ns", 250), ("0 s", 0), (42, 42), ("4.35 us", 4350), ("1.1 us", 1100), ("33.333333333 s", 33_333_333_333)])
def test_durations_are_exact(text: str | int, ns: int) -> None:
    assert parse_duration(text) == ns
    assert type(parse_duration(text)) is int


@pytest.mark.parametrize(("text", "words"), [
    ("20", "not a time"), ("ms", "not a time"), ("-1 ms", "not a time"), ("20 parsecs", "no unit of time"),
    (-3, "negative"),
    ("0.5 ns", "whole number of nanoseconds"), ("1.0000000001 s", "whole number"), (True, "not a duration"),
    (2.5, "not a duration"), (None, "not a duration"), ("50 Hz", "no unit of time"), ("1 " + "m" * 90, "not a time"),
    ("1e999999999 s", "not a time")])
def test_what_is_no_duration_is_refused(text: object, words: str) -> None:
    with pytest.raises(TimeError, match=words):
        parse_duration(text)  # type: ignore[arg-type]


def test_rates_that_divide_a_second_are_periods_and_others_clocks() -> None:
    assert parse_period("50 Hz") == 20_000_000
    assert parse_period("1 kHz") == 1_000_000
    assert parse_period("500 mHz") == 2 * SECOND
    assert parse_period("30 Hz") == Clock(30)
    assert parse_period("29.97 Hz") == Clock(2997, 100)
    assert parse_period("30 kHz") == Clock(30_000)
    assert parse_period("20 ms") == 20_000_000
    assert parse_period(Clock(7)) == Clock(7)
    assert parse_period(5) == 5


@pytest.mark.parametrize("text", ["0 Hz", "0 ms", 0, "2 GHz", "1.0001 parsec"])
def test_what_is_no_period_is_refused(text: str | int) -> None:
    with pytest.raises(TimeError):
        parse_period(text)


def test_clocks_outside_a_gigahertz_are_refused() -> None:
    for numerator, denominator in ((0, 1), (1, 0), (-3, 1), (SECOND + 1, 1)):
        with pytest.raises(TimeError, match="outside"):
            Clock(numerator, denominator)
    assert Clock(SECOND).after(5) == 6


@pytest.mark.parametrize("clock", [Clock(30), Clock(2997, 100), Clock(30_000), Clock(3), Clock(1, 7),
                                   Clock(999_999_999)])
def test_clock_ticks_are_the_floor_of_the_exact_time(clock: Clock) -> None:
    ten_hours = 36_000 * clock.numerator // clock.denominator  # ticks in ten hours
    for k in (0, 1, 2, 29, 30, 31, 12_345, ten_hours - 1, ten_hours):
        exact = Fraction(k * SECOND * clock.denominator, clock.numerator)
        assert clock.tick(k) <= exact < clock.tick(k) + 1
        assert clock.after(clock.tick(k)) == clock.tick(k + 1)
        if k:
            assert clock.after(clock.tick(k) - 1) == clock.tick(k)


def test_a_camera_of_30_hz_does_not_drift_in_ten_hours() -> None:
    now, clock = 0, Clock(30)
    for _ in range(30 * 60):  # step by step for a minute ...
        now = next_tick(clock, now)
    assert now == 60 * SECOND
    assert clock.tick(30 * 36_000) == 36_000 * SECOND  # ... and exactly there after ten hours
    assert clock.after(36_000 * SECOND - 1) == 36_000 * SECOND


def test_the_grid_of_a_period_begins_at_zero() -> None:
    assert [next_tick(20, now) for now in (0, 1, 19, 20, 21)] == [20, 20, 20, 40, 40]


@pytest.mark.parametrize(("ns", "text"), [(0, "0"), (20_000_000, "20 ms"), (1_020_000_000, "1.02 s"), (7, "7 ns"),
                                          (1_500, "1.5 us"), (3_600_000_000_001, "3600.000000001 s")])
def test_times_are_said_so_that_they_can_be_read_back(ns: int, text: str) -> None:
    assert say(ns) == text
    if ns:
        assert parse_duration(text) == ns


def test_periods_are_said_as_yaml_writes_them() -> None:
    for text in ("20 ms", "30 Hz", "29.97 Hz"):
        assert say_period(parse_period(text)) == text


@pytest.mark.parametrize(("text", "stop"), [
    ("40 min", Until("time", 2_400 * SECOND)), (17, Until("time", 17)), ("30000 steps", Until("steps", 30_000)),
    ("30_000 steps", Until("steps", 30_000)), ("1 step", Until("steps", 1)), ("3 episodes", Until("episodes", 3)),
    ("10 episodes of left", Until("episodes", 10, "left")), ("learner.done", Until("port", 0, "learner", "done")),
    (Until("steps", 2), Until("steps", 2))])
def test_stops_are_read(text: object, stop: Until) -> None:
    assert Until.parse(text) == stop  # type: ignore[arg-type]
    assert Until.parse(str(stop)) == stop


@pytest.mark.parametrize("text", ["soon", "3", "-2 steps", "three episodes", True, 2.5, None, "a.b.c", "4 steps of"])
def test_what_is_no_stop_is_refused_with_the_forms(text: object) -> None:
    with pytest.raises(TimeError, match=r"learner\.done"):
        Until.parse(text)  # type: ignore[arg-type]


def test_a_time_longer_than_can_be_counted_is_refused():
    assert parse_duration("4600000000 s") == 4_600_000_000 * 10**9
    with pytest.raises(TimeError, match="longer than 146 years"):
        parse_duration("4700000000 s")
