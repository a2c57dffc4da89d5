"""The safety limiter: known answers in physical units, and adversaries that must not get anything past it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Advice, Rule, charge_cap
from stimloop.loops.component import Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.status import FIRST, TERMINATED, WAITING

from . import limiter_driver as driver

built, drive = driver.built, driver.drive

US = 1_000
MS = 1_000_000


def one(trace, moment: int, lane: int = 0, channel: int = 0) -> float:
    return float(trace.at(moment)[lane, channel])


def test_a_command_within_its_limits_passes_to_the_last_bit():
    limiter = built(SafetyLimiter(peak=5.0), channels=3)
    command = np.array([[0.1, -5.0, 5.0]], np.float32)
    trace = drive(limiter, [(0, command), (20 * MS, -command)], 40 * MS)
    assert (trace.at(0) == command).all()
    assert (trace.at(20 * MS) == -command).all()
    assert trace.decisions == []


def test_more_than_the_peak_is_clipped_and_logged():
    limiter = built(SafetyLimiter(peak=5.0), channels=2)
    trace = drive(limiter, [(MS, [[7.5, -9.0]]), (2 * MS, [[1.0, 2.0]])], 3 * MS)
    assert trace.at(MS).tolist() == [[5.0, -5.0]]
    assert trace.at(2 * MS).tolist() == [[1.0, 2.0]]
    assert trace.decisions == [(MS, 0, 0, 7.5, 5.0, Rule.PEAK), (MS, 0, 1, -9.0, -5.0, Rule.PEAK)]


def test_zero_is_published_before_the_first_command():
    trace = drive(built(SafetyLimiter(peak=5.0), channels=2), [], MS)
    assert trace.at(0).tolist() == [[0.0, 0.0]]


def test_each_contact_may_have_a_peak_of_its_own():
    limiter = built(SafetyLimiter(peak=[1.0, 2.0]), channels=2)
    commands = [(0, [[3.0, 3.0]]), (MS, [[0.0, 0.0]]), (2 * MS, [[2.0, 2.0]]), (3 * MS, [[1.0, 2.0]])]
    trace = drive(limiter, commands, 4 * MS)
    assert [trace.at(k * MS).tolist() for k in range(4)] == [[[1, 2]], [[0, 0]], [[1, 2]], [[1, 2]]]
    assert [row[:3] for row in trace.decisions] == [(0, 0, 0), (0, 0, 1), (2 * MS, 0, 0)]


def test_the_sum_over_contacts_is_scaled_down_together():
    limiter = built(SafetyLimiter(peak=10.0, sum_peak=6.0), channels=3)
    trace = drive(limiter, [(0, [[8.0, -4.0, 0.0]])], MS)
    assert trace.at(0) == pytest.approx(np.array([[4.0, -2.0, 0.0]]), rel=1e-6)
    assert np.abs(trace.at(0).astype(float)).sum() <= 6.0
    assert trace.rules() == {Rule.SUM_PEAK}


def test_a_phase_is_cut_off_at_the_nanosecond_at_which_its_charge_is_reached():
    """100 uA for 10 ms are 1 uC: a longer pulse ends there, a pulse of exactly that length is left alone."""
    long = drive(built(SafetyLimiter(charge_per_phase=1.0)), [(0, [[100.0]]), (30 * MS, [[0.0]])], 40 * MS)
    assert driver.segments(long, 0, 0) == [(0, 10 * MS, 100.0), (10 * MS, 40 * MS, 0.0)]
    assert long.decisions == [(10 * MS, 0, 0, 100.0, 0.0, Rule.CHARGE_PER_PHASE)]
    exact = drive(built(SafetyLimiter(charge_per_phase=1.0)), [(0, [[100.0]]), (10 * MS, [[0.0]])], 40 * MS)
    assert driver.segments(exact, 0, 0) == [(0, 10 * MS, 100.0), (10 * MS, 40 * MS, 0.0)]
    assert exact.decisions == []


def test_what_is_cut_stays_cut_until_a_new_command():
    """Whatever else steps the limiter, and however long the contact has rested."""
    limiter = built(SafetyLimiter(charge_per_phase=1.0))
    statuses = [(k * 7 * MS, 0) for k in range(6)]
    trace = drive(limiter, [(0, [[100.0]]), (36 * MS, [[100.0]])], 40 * MS, statuses)
    assert driver.segments(trace, 0, 0) == [(0, 10 * MS, 100.0), (10 * MS, 36 * MS, 0.0), (36 * MS, 40 * MS, 100.0)]
    assert len(trace.decisions) == 1


def test_a_stale_limiter_is_still_stale_when_it_is_loaded():
    limiters = [built(SafetyLimiter(peak=5.0, stale=15 * MS)) for _ in range(2)]
    command = np.ones((1, 1), np.float32)
    limiters[0].step(0, Inputs({"command": command}, frozenset({"command"}), None))
    limiters[0].step(15 * MS, Inputs({"command": command}, frozenset(), 0))
    limiters[1].load_state_dict(limiters[0].state_dict())
    late = [one_.step(20 * MS, Inputs({"command": command}, frozenset({"command"}), 15 * MS)) for one_ in limiters]
    assert [answer["command"].item() for answer in late] == [0.0, 0.0]


def test_a_blink_does_not_begin_a_new_phase_but_a_rest_and_a_change_of_sign_do():
    limiter = built(SafetyLimiter(charge_per_phase=1.0, rest=100 * US))
    blink = [(0, [[100.0]]), (6 * MS, [[0.0]]), (6 * MS + 99 * US, [[100.0]]), (20 * MS, [[0.0]])]
    trace = drive(limiter, blink, 30 * MS)
    assert driver.segments(trace, 0, 0)[2] == (6 * MS + 99 * US, 10 * MS + 99 * US, 100.0)
    limiter = built(SafetyLimiter(charge_per_phase=1.0, rest=100 * US))
    rest = [(0, [[100.0]]), (6 * MS, [[0.0]]), (6 * MS + 100 * US, [[100.0]]), (14 * MS, [[-100.0]]),
            (22 * MS, [[0.0]])]
    trace = drive(limiter, rest, 30 * MS)
    assert trace.decisions == []
    assert driver.net_charge(driver.segments(trace, 0, 0))[0] == pytest.approx(100 * (6 + 7.9 - 8) * MS)


def test_an_amplitude_that_vanishes_beside_the_charge_does_not_go_on_for_ever():
    """10 ms of 100 uA fill the phase to the last bit; 1e-44 uA more would not change the sum, and is refused."""
    for limits, rule in (({"charge_per_phase": 1.0}, Rule.CHARGE_PER_PHASE), ({"net_charge": 1.0}, Rule.NET_CHARGE)):
        trace = drive(built(SafetyLimiter(**limits)), [(0, [[100.0]]), (10 * MS, [[1e-44]])], 30 * MS)
        assert driver.segments(trace, 0, 0)[1:] == [(10 * MS, 30 * MS, 0.0)]
        assert [row[-1] for row in trace.decisions] == [rule]


@pytest.mark.parametrize("units", ["A", "mA", "uA", "nA"])
def test_limits_in_charge_know_the_unit_of_the_command(units):
    """1 uC is reached by the same current in whatever unit it is written."""
    scale = {"A": 1e-6, "mA": 1e-3, "uA": 1.0, "nA": 1e3}[units]
    trace = drive(built(SafetyLimiter(charge_per_phase=1.0), units=units), [(0, [[128.0 * scale]])], 30 * MS)
    cut = driver.segments(trace, 0, 0)[0][1]
    assert cut == pytest.approx(7_812_500, abs=2)  # 1 uC / 128 uA
    assert float(trace.charge[0, 0]) == pytest.approx(1.0, abs=1e-6)


def test_charge_limits_are_refused_without_a_physical_unit():
    for limits in ({"charge_per_phase": 1.0}, {"charge_density": 30.0, "area": 6.0}, {"shannon_k": 1.7, "area": 6.0},
                   {"net_charge": 1.0}, {"peak": 1.0, "warn": Advice(net_charge=1.0)},
                   {"peak": 1.0, "train_phase": 100, "charge_per_phase": 1.0}):
        with pytest.raises(AssemblyError, match="unit"):
            built(SafetyLimiter(**limits), units="")
        with pytest.raises(AssemblyError, match="mV"):
            built(SafetyLimiter(**limits), units="mV")
    free = drive(built(SafetyLimiter(peak=5.0, sum_peak=8.0), units=""), [(0, [[1.0]])], MS)  # amplitudes need none
    assert free.charge is None


def test_shannon_and_density_by_hand():
    """Shannon (1992): at k = 1.5 a contact of 6 mm^2 takes sqrt(0.06 * 10^1.5) = 1.3774 uC, 22.96 uC/cm^2."""
    cap = charge_cap(None, None, 1.5, np.array([6.0]))
    assert cap[0] == pytest.approx(1.37745, rel=1e-5)
    density = cap[0] / 0.06
    assert np.log10(density) == pytest.approx(1.5 - np.log10(cap[0]))
    assert charge_cap(None, 30.0, None, np.array([6.0]))[0] == pytest.approx(1.8)  # 30 uC/cm^2 on 0.06 cm^2
    assert charge_cap(0.5, 30.0, 1.5, np.array([6.0, 100.0])).tolist() == [0.5, 0.5]


def test_shannon_is_not_claimed_for_microelectrodes():
    with pytest.raises(AssemblyError, match="Shannon not valid"):
        built(SafetyLimiter(shannon_k=1.7, area=0.002))
    limiter = built(SafetyLimiter(shannon_k=1.7, area=[0.002, 6.0], charge_per_phase=0.004), channels=2)
    assert any("Shannon not valid" in warning for warning in limiter.warnings)
    with pytest.raises(AssemblyError, match="area"):
        built(SafetyLimiter(shannon_k=1.7))


def test_net_charge_keeps_direct_current_out():
    limiter = built(SafetyLimiter(net_charge=2.0))
    commands = [(k * 10 * MS, [[50.0]]) for k in range(20)] + [(200 * MS, [[-50.0]]), (230 * MS, [[0.0]])]
    trace = drive(limiter, commands, 250 * MS)
    rows = driver.segments(trace, 0, 0)
    assert rows[0] == (0, 40 * MS, 50.0)  # 50 uA * 40 ms = 2 uC; then every new command is refused
    assert Rule.NET_CHARGE in trace.rules()
    assert rows[-2] == (200 * MS, 230 * MS, -50.0)  # the way back is open
    assert float(trace.charge[0, 0]) == pytest.approx(0.5)


def test_balanced_pulses_net_to_zero():
    """10^4 biphasic pulses of -4.7 mA, 0.2 ms, with a 30 us gap: less than 1e-12 C remain."""
    limiter = built(SafetyLimiter(peak=12.7, charge_per_phase=1.0, net_charge=1.0), units="mA")
    commands = []
    for k in range(10_000):
        start = k * 7_692_307
        commands += [(start, [[-4.7]]), (start + 200 * US, [[0.0]]), (start + 230 * US, [[4.7]]),
                     (start + 430 * US, [[0.0]])]
    trace = drive(limiter, commands, commands[-1][0] + MS)
    assert trace.decisions == []
    assert len(driver.phases(driver.segments(trace, 0, 0), limiter.rest)) == 20_000
    assert abs(float(trace.charge[0, 0])) * 1e-6 <= 1e-12
    assert abs(driver.net_charge(driver.segments(trace, 0, 0))[0]) * 1e-3 * 1e-9 <= 1e-12


@pytest.mark.parametrize("units", ["", "uA"])
def test_pulse_width_and_rate(units):
    limiter = built(SafetyLimiter(peak=10.0, pulse_width=450 * US, rate=100.0), units=units)
    pulses = [(0, [[1.0]]), (600 * US, [[0.0]]), (5 * MS, [[2.0]]), (6 * MS, [[0.0]]), (10 * MS, [[3.0]]),
              (10 * MS + 400 * US, [[0.0]])]
    trace = drive(limiter, pulses, 20 * MS)
    assert driver.segments(trace, 0, 0) == [(0, 450 * US, 1.0), (450 * US, 10 * MS, 0.0),
                                            (10 * MS, 10 * MS + 400 * US, 3.0), (10 * MS + 400 * US, 20 * MS, 0.0)]
    assert [row[-1] for row in trace.decisions] == [Rule.PULSE_WIDTH, Rule.RATE]


def test_duty_cycle_counts_each_window_anew():
    limiter = built(SafetyLimiter(peak=10.0, duty=0.25, duty_window=100 * MS))
    commands = [(k * 10 * MS, [[1.0]]) for k in range(30)]
    rows = driver.segments(drive(limiter, commands, 300 * MS), 0, 0)
    assert [row[:2] for row in rows if row[2]] == [(0, 25 * MS), (100 * MS, 125 * MS), (200 * MS, 225 * MS)]


def test_a_held_command_is_cut_in_a_later_window_too():
    limiter = built(SafetyLimiter(peak=10.0, duty=0.5, duty_window=100 * MS))
    rows = driver.segments(drive(limiter, [(60 * MS, [[1.0]])], 300 * MS), 0, 0)
    assert rows == [(0, 60 * MS, 0.0), (60 * MS, 150 * MS, 1.0), (150 * MS, 300 * MS, 0.0)]


def test_ramp_and_slew():
    limiter = built(SafetyLimiter(peak=10.0, ramp=100 * MS))
    trace = drive(limiter, [(k * 25 * MS, [[10.0]]) for k in range(6)], 150 * MS)
    assert [one(trace, k * 25 * MS) for k in range(6)] == [0.0, 2.5, 5.0, 7.5, 10.0, 10.0]
    limiter = built(SafetyLimiter(peak=10.0, ramp=100 * MS), lanes=2)
    trace = drive(limiter, [(k * 25 * MS, [[10.0]] * 2) for k in range(1, 8)], 180 * MS,
                  [(0, [0, 0]), (100 * MS, [FIRST, 0]), (110 * MS, [0, 0])])
    assert [trace.at(k * 25 * MS)[:, 0].tolist() for k in range(3, 8)] == [
        [7.5, 7.5], [0, 10], [2.5, 10], [5, 10], [7.5, 10]]
    limiter = built(SafetyLimiter(peak=10.0, slew=100.0))  # 1 per 10 ms
    trace = drive(limiter, [(0, [[5.0]]), (10 * MS, [[5.0]]), (20 * MS, [[5.0]]), (30 * MS, [[-5.0]]),
                            (40 * MS, [[0.0]])], 50 * MS)
    assert [one(trace, k * 10 * MS) for k in range(5)] == pytest.approx([0.0, 1.0, 2.0, -1.0, 0.0])
    assert trace.rules() == {Rule.SLEW}


def test_the_watchdog_zeroes_at_its_deadline_and_refuses_what_comes_late():
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    trace = drive(limiter, [(0, [[1.0]]), (10 * MS, [[2.0]]), (60 * MS, [[3.0]]), (70 * MS, [[4.0]])], 80 * MS)
    assert driver.segments(trace, 0, 0) == [(0, 10 * MS, 1.0), (10 * MS, 25 * MS, 2.0), (25 * MS, 70 * MS, 0.0),
                                            (70 * MS, 80 * MS, 4.0)]
    assert [row[-1] for row in trace.decisions] == [Rule.STALE, Rule.LATE]


def test_a_command_at_the_very_deadline_is_in_time():
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    trace = drive(limiter, [(0, [[9.0]]), (15 * MS, [[2.0]]), (30 * MS, [[3.0]])], 40 * MS)
    assert driver.segments(trace, 0, 0) == [(0, 15 * MS, 5.0), (15 * MS, 30 * MS, 2.0), (30 * MS, 40 * MS, 3.0)]


def test_only_the_first_command_of_a_lane_is_excused():
    """The first command is clipped, so looked at closely; the one after the pause is late all the same."""
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    trace = drive(limiter, [(0, [[9.0]]), (40 * MS, [[2.0]])], 50 * MS)
    assert one(trace, 40 * MS) == 0.0
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS), lanes=2)
    trace = drive(limiter, [(0, [[1.0]] * 2), (45 * MS, [[2.0]] * 2), (50 * MS, [[3.0]] * 2)], 55 * MS,
                  [(0, [0, 0]), (40 * MS, [FIRST, 0])])
    assert [trace.at(k * MS)[:, 0].tolist() for k in (41, 45, 47, 50)] == [[0, 0], [2, 0], [2, 0], [3, 3]]


def test_an_episode_that_begins_excuses_the_pause_but_revives_nothing():
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    status = [(0, 0), (40 * MS, FIRST)]
    trace = drive(limiter, [(0, [[1.0]]), (45 * MS, [[3.0]])], 50 * MS, status)
    assert one(trace, 41 * MS) == 0.0
    assert one(trace, 45 * MS) == 3.0


def test_a_loop_that_lags_behind_the_wall_clock_delivers_nothing():
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    limiter.lateness = lambda: 16 * MS
    trace = drive(limiter, [(0, [[1.0]])], 10 * MS)
    assert one(trace, 5 * MS) == 0.0
    assert trace.rules() == {Rule.LATE}


def test_idle_lanes_get_nothing_and_others_go_on():
    limiter = built(SafetyLimiter(peak=5.0), lanes=3)
    status = [(0, [FIRST, FIRST, WAITING]), (10 * MS, [TERMINATED, 0, WAITING]), (20 * MS, [FIRST, 0, FIRST]),
              (30 * MS, [TERMINATED | FIRST, 0, 0])]
    trace = drive(limiter, [(0, [[2.0]] * 3)], 40 * MS, status)
    assert [trace.at(k * 10 * MS)[:, 0].tolist() for k in range(4)] == [[2, 2, 0], [0, 2, 0], [2, 2, 2], [2, 2, 2]]
    assert trace.rules() == {Rule.IDLE}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_zeroes_its_lane(bad):
    limiter = built(SafetyLimiter(peak=5.0), channels=2, lanes=2)
    trace = drive(limiter, [(0, [[1.0, bad], [1.0, 2.0]]), (MS, [[1.0, 2.0], [1.0, 2.0]])], 2 * MS)
    assert trace.at(0).tolist() == [[0.0, 0.0], [1.0, 2.0]]
    assert trace.at(MS).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert {row[1] for row in trace.decisions} == {0}
    assert trace.rules() == {Rule.NON_FINITE}
    asked = [row[3] for row in trace.decisions if row[2] == 1]
    assert asked == ([0.0] if np.isnan(bad) else [np.sign(bad) * np.finfo(np.float32).max])


def test_a_train_is_limited_through_its_amplitude():
    """Phases of 100 us: 1 uC are 10 mA; the charge of a balanced train is not counted."""
    limiter = built(SafetyLimiter(peak=20.0, charge_per_phase=1.0, train_phase=100 * US), units="mA", low=-20, high=20)
    trace = drive(limiter, [(0, [[15.0]]), (900 * MS, [[10.0]])], 2000 * MS)
    assert driver.segments(trace, 0, 0) == [(0, 2000 * MS, 10.0)]
    assert trace.rules() == {Rule.CHARGE_PER_PHASE}
    assert trace.charge is None
    assert any("charge_per_phase allows 10 mA" in warning for warning in limiter.warnings)


def test_warning_levels_are_noted_once_and_change_nothing():
    limiter = built(SafetyLimiter(peak=10.0, warn=Advice(peak=5.0, sum_peak=8.0, charge_per_phase=0.05)), channels=2)
    commands = [(0, [[6.0, 0.0]]), (5 * MS, [[6.0, 0.0]]), (10 * MS, [[6.0, 3.0]]), (15 * MS, [[0.0, 0.0]]),
                (20 * MS, [[6.0, 0.0]]), (30 * MS, [[0.0, 0.0]])]
    trace = drive(limiter, commands, 40 * MS)
    assert [(row[0], row[2], row[-1]) for row in trace.decisions] == [
        (0, 0, Rule.WARN_PEAK), (10 * MS, 0, Rule.WARN_CHARGE_PER_PHASE), (10 * MS, 0, Rule.WARN_SUM_PEAK),
        (10 * MS, 1, Rule.WARN_SUM_PEAK), (20 * MS, 0, Rule.WARN_PEAK), (30 * MS, 0, Rule.WARN_CHARGE_PER_PHASE)]
    assert all((given == asked).all() for given, asked in zip(trace.delivered, trace.requested, strict=True))


@pytest.mark.parametrize("hard", [None, 1.0])
def test_the_warning_level_of_net_charge(hard):
    """0.1 uC are passed after 10 ms of 10 uA, once; the way back takes the warning away, and it may come again."""
    limiter = built(SafetyLimiter(peak=20.0, net_charge=hard, warn=Advice(net_charge=0.1)))
    commands = [(0, [[10.0]]), (5 * MS, [[10.0]]), (9 * MS, [[12.0]]), (15 * MS, [[-20.0]]), (20 * MS, [[10.0]]),
                (40 * MS, [[0.0]])]
    trace = drive(limiter, commands, 50 * MS)
    assert trace.rules() == {Rule.WARN_NET_CHARGE}
    moments = [row[0] for row in trace.decisions]
    assert len(moments) == 2
    assert 10 * MS - 166_667 <= moments[0] <= 15 * MS  # at the next look after it was passed
    assert 30 * MS < moments[1] <= 40 * MS
    assert all((given == asked).all() for given, asked in zip(trace.delivered, trace.requested, strict=True))


def test_the_declared_range_is_judged_at_build():
    half = built(SafetyLimiter(peak=5.0), channels=2, low=0, high=np.array([5, np.inf]))
    assert "no finite range" in half.warnings[0]
    assert not any("Shannon" in text for text in built(SafetyLimiter(shannon_k=1.7, area=1.0)).warnings)
    assert built(SafetyLimiter(peak=5.0, stale=MS), low=-5, high=5).warnings == []
    assert "no watchdog" in built(SafetyLimiter(peak=5.0), low=-5, high=5).warnings[0]
    worst = built(SafetyLimiter(peak=[5.0, 1.0]), channels=2, low=0, high=6).warnings[0]
    assert "in channel 1; peak allows 1 uA" in worst
    assert "peak allows 5 uA" in built(SafetyLimiter(peak=5.0), low=-8, high=2).warnings[0]
    assert "no finite range" in built(SafetyLimiter(peak=5.0)).warnings[0]
    noting = SafetyLimiter(peak=5.0, sum_peak=8.0, stale=MS, warn=Advice(peak=3.0))
    told = built(noting, channels=2, low=0, high=4).warnings
    assert len(told) == 1  # twice 4 is just within the sum
    assert "only noted" in told[0]
    small = built(SafetyLimiter(peak=5.0, sum_peak=8.0, stale=MS), channels=2, low=0, high=6)
    assert "could reach 10 uA; sum_peak allows 8 uA" in small.warnings[-1]


def test_the_output_declares_what_the_limits_allow():
    port = built(SafetyLimiter(peak=5.0), low=0, high=8).outputs["command"]
    assert (port.low, port.high, port.units) == (0.0, 5.0, "uA")


def test_contradictions_are_refused():
    for limits in ({}, {"slew": 3.0}, {"peak": -1.0}, {"peak": [1.0, -1.0]}, {"peak": float("nan")},
                   {"ramp": 5, "sum_peak": 2.0},
                   {"peak": 1.0, "duty": 1.5}, {"peak": 1.0, "rate": 0.0}, {"peak": 1.0, "stale": 0},
                   {"peak": 1.0, "train_phase": 100, "net_charge": 1.0},
                   {"peak": 1.0, "train_phase": 100, "pulse_width": 99}):
        with pytest.raises(ValueError, match=r"."):
            SafetyLimiter(**limits)
    with pytest.raises(AssemblyError, match="3"):
        built(SafetyLimiter(peak=[1.0, 2.0, 3.0]), channels=2)


# --- adversaries -----------------------------------------------------------------------------------------------------

def optional(values):
    return st.one_of(st.none(), values)


durations = st.one_of(st.integers(1, 5), st.sampled_from([99_999, 100_000, 100_001, 200_000]),
                      st.integers(1, 30 * MS))
tame = st.one_of(st.sampled_from([0.0, 5.0, -5.0, 1.0]), st.floats(-5, 5, width=32))
amplitudes = st.one_of(st.sampled_from([0.0, -0.0, 5.0, -5.0, 5.0000005, 1e30, -1e30, np.nan, np.inf, -np.inf, 1e-30]),
                       st.floats(-200, 200, width=32))


@st.composite
def attacks(draw):
    """Limits, and commands and statuses at instants an adversary would choose."""
    limits = {"peak": draw(st.sampled_from([5.0, 100.0])), "sum_peak": draw(optional(st.just(7.0))),
              "charge_per_phase": draw(optional(st.sampled_from([1e-6, 0.01, 0.1]))),
              "net_charge": draw(optional(st.sampled_from([0.003, 0.2]))),
              "pulse_width": draw(optional(st.sampled_from([1, 200 * US]))),
              "rate": draw(optional(st.sampled_from([130.0, 1000.0]))),
              "duty": draw(optional(st.sampled_from([0.0, 0.3, 1.0]))), "duty_window": 20 * MS,
              "stale": draw(optional(st.just(3 * MS))), "slew": draw(optional(st.just(1000.0))),
              "rest": draw(st.sampled_from([0, 100_000])),
              "warn": draw(optional(st.just(Advice(peak=3.0, charge_per_phase=0.005, net_charge=0.001))))}
    now, commands = 0, []
    values = draw(st.sampled_from([tame, amplitudes]))
    for _ in range(draw(st.integers(1, 25))):
        commands.append((now, np.array(draw(st.lists(values, min_size=4, max_size=4)), np.float32).reshape(2, 2)))
        now += draw(durations)
    now, statuses = 0, []
    for _ in range(draw(st.integers(0, 5))):
        statuses.append((now, draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 8]), min_size=2, max_size=2))))
        now += draw(durations)
    return limits, commands, statuses or None


@settings(max_examples=150, deadline=None)
@given(attacks())
def test_no_adversary_gets_past_a_hard_limit(attack):
    limits, commands, statuses = attack
    limiter = built(SafetyLimiter(**limits), channels=2, lanes=2)
    trace = drive(limiter, commands, commands[-1][0] + 60 * MS, statuses)
    assert driver.violations(trace, limiter) == []
    for given_, asked in zip(trace.delivered, trace.requested, strict=True):
        sound = np.isfinite(asked)
        assert (np.abs(given_[sound]) <= np.abs(asked[sound])).all()
        assert (given_[sound] * asked[sound] >= 0).all()
    changed = {(int(t), lane, channel) for t, asked, given_ in
               zip(trace.times, trace.requested, trace.delivered, strict=True)
               for lane, channel in zip(*np.nonzero(~(asked == given_)), strict=True) if t in dict(commands)}
    assert changed <= {(row[0], row[1], row[2]) for row in trace.decisions}  # no intervention without an event


def test_a_command_that_is_not_finite_is_one_decision_however_often_the_limiter_wakes():
    limiter = built(SafetyLimiter(peak=5.0, stale=None), channels=2, lanes=2)
    trace, previous = [], None
    command = np.array([[0, np.nan], [0, 5]], np.float32)
    for now, new in ((0, {"command", "status"}), (200 * US, set()), (60 * MS, set())):
        given_ = {"command": command, "status": np.array([2, 0])}
        batch = limiter.step(now, driver.Inputs(given_, frozenset(new), previous)).get("decisions")
        trace += [] if batch is None else [(now, int(lane), int(i), Rule(int(v[2]))) for lane, i, v
                                           in zip(batch.lane, batch.index, batch.value, strict=True)]
        previous = now
    assert trace == [(0, 0, 1, Rule.NON_FINITE)]


@settings(max_examples=60, deadline=None)
@given(attacks())
def test_the_quick_path_and_the_careful_one_agree(attack):
    """What is passed on by bounds alone is what looking at every contact would have delivered."""
    limits, commands, statuses = attack
    quick, careful = (built(SafetyLimiter(**limits), channels=2, lanes=2) for _ in range(2))
    careful._careful = True
    end = commands[-1][0] + 60 * MS
    one, two = drive(quick, commands, end, statuses), drive(careful, commands, end, statuses)
    for lane in range(2):
        for channel in range(2):
            assert driver.segments(one, lane, channel) == driver.segments(two, lane, channel)
    interventions = [[row for row in trace.decisions if row[-1] < Rule.WARN_PEAK] for trace in (one, two)]
    assert interventions[0] == interventions[1]


@settings(max_examples=40, deadline=None)
@given(attacks(), st.integers(0, 24))
def test_saved_in_the_middle_it_goes_on_the_same(attack, cut):
    limits, commands, _ = attack
    end = commands[-1][0] + 20 * MS
    whole = built(SafetyLimiter(**limits), channels=2, lanes=2)
    pair = [built(SafetyLimiter(**limits), channels=2, lanes=2) for _ in range(2)]
    value, previous = np.zeros((2, 2), np.float32), None
    for k, (now, command) in enumerate([*commands, (end, commands[-1][1])]):
        value = command
        inputs = Inputs({"command": value}, frozenset({"command"}), previous)
        expected = whole.step(now, inputs)
        if k == cut:
            pair[1].load_state_dict(pair[0].state_dict())
            pair.reverse()
        answer = pair[0].step(now, inputs)
        assert (answer["command"] == expected["command"]).all()
        assert whole.next_wake(now) == pair[0].next_wake(now)
        assert len(answer.get("decisions", ())) == len(expected.get("decisions", ()))
        previous = now
    whole.reset(0)
    assert (whole.state_dict()["meter"]["net"] == 0).all()


@pytest.mark.parametrize("limits", [{"peak": 5.0}, {"peak": 5.0, "stale": 30 * MS},
                                    {"peak": 5.0, "sum_peak": 400.0, "charge_per_phase": 1.0, "net_charge": 10.0,
                                     "stale": 30 * MS}])
def test_a_tick_of_64_channels_is_cheap(limits):
    """The bound of the issue is 15 us; three times that here, for a shared machine, best of several rounds."""
    limiter = built(SafetyLimiter(**limits), channels=64)
    commands = [np.random.default_rng(k).uniform(-5, 5, (1, 64)).astype(np.float32) for k in range(2)]
    for command in commands:
        command.setflags(write=False)
    best, now = np.inf, 0
    status = np.zeros(1, np.int64)
    for _ in range(7):
        start = time.perf_counter()
        for k in range(400):
            given_ = Inputs({"command": commands[k % 2], "status": status}, frozenset({"command", "status"}),
                            now - 20_000 if now else None)
            limiter.step(now, given_)
            limiter.next_wake(now)
            now += 20_000
        best = min(best, (time.perf_counter() - start) / 400)
    assert best < 45e-6, f"{best * 1e6:.1f} us"
