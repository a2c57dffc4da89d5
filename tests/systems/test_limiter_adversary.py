"""Ways that once led past the safety limiter, and whole families of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Advice, Rule
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.components.stimulators.pulse_train import PulseTrain
from stimloop.loops.status import FIRST

from . import limiter_driver as driver

built, drive = driver.built, driver.drive

US = 1_000
MS = 1_000_000


def one_way(rows: list[tuple[int, int, float]], rest: int) -> float:
    """Largest charge, in uA * ns, that flowed one way between any two instants without a rest between them."""
    worst, since = 0.0, {1: 0.0, -1: 0.0}
    for start, stop, amplitude in rows:
        if amplitude == 0 and stop - start >= rest:
            since = {1: 0.0, -1: 0.0}
        for sign in since:
            since[sign] = max(0.0, since[sign] + sign * amplitude * (stop - start))
            worst = max(worst, since[sign])
    return worst


@pytest.mark.parametrize("limits", [{"pulse_width": 10 * MS}, {"charge_per_phase": 0.05}])
def test_a_blink_while_another_contact_turns_over_does_not_restart_a_phase(limits):
    limiter = built(SafetyLimiter(peak=5.0, rest=MS, **limits), channels=2)
    commands = [(k * 100 * US, [[0.0 if k % 99 == 98 else 5.0, 1.0 if (k + 1) // 99 % 2 else -1.0]])
                for k in range(1000)]
    trace = drive(limiter, commands, 100 * MS)
    assert driver.violations(trace, limiter) == []
    assert {row[-1] for row in trace.decisions} <= {Rule.CHARGE_PER_PHASE, Rule.PULSE_WIDTH}
    assert any(row[2] == 0 for row in trace.decisions)


def test_a_phase_that_is_refused_does_not_lower_the_bounds():
    """Contact 0 may not turn over (its rate); it goes on as it was, and so does the reckoning of its phase."""
    limiter = built(SafetyLimiter(peak=5.0, rest=MS, charge_per_phase=0.05, rate=1.0), channels=2)
    commands = [(0, [[-1.0, 0.0]]), (100 * US, [[5.0, 0.0]]), (200 * US, [[5.0, 5.0]]), (10_050 * US, [[-5.0, 5.0]]),
                (10_060 * US, [[0.1, 0.1]]), (10_070 * US, [[0.1, 0.1]])]
    trace = drive(limiter, commands, 30 * MS)
    assert Rule.RATE in trace.rules()
    assert driver.violations(trace, limiter) == []


@pytest.mark.parametrize("blip", [0.0, -1e-30, -0.01])
def test_a_negligible_reversal_does_not_restart_the_charge_of_a_phase(blip):
    """5 uA for 99 us and then 1 us the other way, again and again: 0.5 nC flow, and no more."""
    limiter = built(SafetyLimiter(peak=5.0, charge_per_phase=5e-4, rest=10 * MS))
    trace = drive(limiter, [(k * US, [[blip if k % 100 == 99 else 5.0]]) for k in range(2000)], 2 * MS)
    rows = driver.segments(trace, 0, 0)
    assert 0.49e6 < one_way(rows, 10 * MS) <= 0.5e6 * (1 + 1e-12)
    assert driver.net_charge(rows)[0] <= 0.5e6


def test_balanced_phases_without_a_rest_are_left_alone():
    """Each takes the whole charge that is allowed, and brings it back at a fifth of the current."""
    limiter = built(SafetyLimiter(peak=5.0, charge_per_phase=1.0))
    commands = [(k * 1200 * MS + part, [[value]]) for k in range(5) for part, value in ((0, 5.0), (200 * MS, -1.0))]
    trace = drive(limiter, commands, 5999 * MS)
    assert trace.decisions == []


@pytest.mark.parametrize("blip", [0.0, -1e-30, -0.01])
@pytest.mark.parametrize("moment", [1, US])
def test_a_negligible_reversal_does_not_restart_the_width_of_a_phase(blip, moment):
    """5 uA for 99 us and then a moment the other way, again and again: they flow for 450 us, and hardly longer."""
    limiter = built(SafetyLimiter(peak=5.0, pulse_width=450 * US, rest=10 * MS))
    commands = [(k * 99 * US + part, [[value]]) for k in range(60)
                for part, value in ((0, 5.0), (99 * US - moment, blip))]
    trace = drive(limiter, commands, 7 * MS)
    rows = driver.segments(trace, 0, 0)
    flowed = sum(stop - start for start, stop, amplitude in rows if amplitude > 0)
    returned = sum((stop - start) * abs(amplitude) / 5.0 for start, stop, amplitude in rows if amplitude < 0)
    assert 450 * US <= flowed <= 450 * US + returned + 1
    assert Rule.PULSE_WIDTH in trace.rules()
    assert driver.violations(trace, limiter) == []


@pytest.mark.parametrize("blip", [0.0, -1e-30, -0.01])
def test_a_negligible_reversal_does_not_hide_a_pulse_from_the_rate(blip):
    """1000 pulses of 900 us a second, with 100 us of next to nothing between them: 250 may begin."""
    limiter = built(SafetyLimiter(peak=5.0, rate=250.0, rest=10 * MS))
    commands = [(k * MS + part, [[value]]) for k in range(100) for part, value in ((0, 5.0), (900 * US, blip))]
    trace = drive(limiter, commands, 100 * MS)
    begun = driver.beginnings(driver.segments(trace, 0, 0), 1)
    assert begun == [k * 4 * MS for k in range(25)]
    assert trace.rules() == {Rule.RATE}


def pulses(*parts, gap=0, pause=0):
    """Twenty pulses of these (amplitude, duration) parts, with gaps between the parts and pauses between the pulses."""
    now, commands = 0, []
    for _ in range(20):
        for amplitude, duration in parts:
            commands.append((now, [[amplitude]]))
            now += duration
            if gap:
                commands.append((now, [[0.0]]))
                now += gap
        if pause:
            commands.append((now, [[0.0]]))
            now += pause
    return [*commands, (now, [[0.0]])], now


@pytest.mark.parametrize(("commands", "end"), [
    pulses((-5.0, 200 * US), (5.0, 200 * US), pause=7 * MS),
    pulses((-5.0, 200 * US), (5.0, 200 * US), gap=30 * US, pause=7 * MS),
    pulses((-5.0, 200 * US), (5.0, 200 * US), pause=50 * US),  # no rest between the pulses
    pulses((-5.0, 200 * US), (5.0, 200 * US)),  # nor any pause
    pulses((-5.0, 90 * US), (1.0, 450 * US), pause=7 * MS),
    pulses((-5.0, 90 * US), (1.0, 450 * US)),
    pulses((-0.3, 450 * US), (1.5, 90 * US)),
    pulses((-3.3, 140 * US), (1.1, 420 * US), pause=50 * US),  # equal but for rounding
    pulses(*((float(np.float32(np.sin(2 * np.pi * (k + 0.5) / 88))), 10 * US) for k in range(88))),  # 1.1 kHz
])
def test_honest_pulses_keep_their_width(commands, end):
    """Phases that bring back what the one before moved are left alone, however they follow each other."""
    limiter = built(SafetyLimiter(peak=5.0, pulse_width=450 * US, charge_per_phase=0.0012, rest=100 * US))
    trace = drive(limiter, commands, end + MS)
    assert trace.decisions == []
    assert driver.violations(trace, limiter) == []


def test_a_train_whose_phases_do_not_balance_is_cut_off_when_the_difference_has_lasted():
    """200 us there and 160 back: 40 us remain of each pulse; the seventh would make it 440 + 200."""
    limiter = built(SafetyLimiter(peak=5.0, pulse_width=450 * US, rest=MS))
    commands, end = pulses((5.0, 200 * US), (-4.0, 200 * US))
    trace = drive(limiter, commands, end)
    assert trace.decisions[0][0] == 7 * 400 * US + 170 * US
    assert trace.rules() == {Rule.PULSE_WIDTH}


moments = st.sampled_from([1, 50 * US, 100 * US, 300 * US, 999 * US, MS, 3 * MS, 9 * MS])
values = st.sampled_from([0.0, 5.0, -5.0, 1.0, -1.0, 1e-30, -1e-30, 0.3])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(moments, st.tuples(values, values, values)), min_size=2, max_size=40),
       st.sampled_from([{"pulse_width": 10 * MS}, {"charge_per_phase": 0.05}, {"rate": 200.0},
                        {"charge_per_phase": 0.02, "rate": 500.0, "pulse_width": 4 * MS}]),
       st.sampled_from([0, 100 * US, MS]))
def test_no_order_of_blinks_and_reversals_moves_more_one_way_than_a_phase_may(steps, limits, rest):
    commands, now = [], 0
    for wait, value in steps:
        commands.append((now, [list(value)]))
        now += wait
    quick, careful = (built(SafetyLimiter(peak=5.0, rest=rest, **limits), channels=3) for _ in range(2))
    careful._careful = True
    traces = [drive(limiter, commands, now + 20 * MS) for limiter in (quick, careful)]
    assert driver.violations(traces[0], quick) == []
    for channel in range(3):
        rows, slow = (driver.segments(trace, 0, channel) for trace in traces)
        assert rows == slow
        if "pulse_width" in limits:
            assert one_way(rows, rest) <= 5.0 * (limits["pulse_width"] + 0.5) * (1 + 1e-12)
        if "charge_per_phase" in limits:
            assert one_way(rows, rest) <= limits["charge_per_phase"] * 1e9 * (1 + 1e-12)


@pytest.mark.parametrize("rise", [{"slew": 1000.0}, {"ramp": MS}])
def test_nothing_rises_when_the_limiter_looks_after_its_limits(rise):
    """5 is wanted, a little is allowed at 100 us; until the next command no wake-up of its own makes it more."""
    limiter = built(SafetyLimiter(peak=5.0, net_charge=2e-4, stale=30 * MS, **rise), channels=2)
    trace = drive(limiter, [(0, [[0, 0]]), (90 * US, [[0, 5]]), (100 * US, [[5, 0]])], 40 * MS)
    heights = [amplitude for _, _, amplitude in driver.segments(trace, 0, 0)]
    assert len(heights) == 3
    assert heights[0] == heights[2] == 0.0
    assert driver.violations(trace, limiter) == []


def test_each_episode_ramps_like_the_first_when_its_first_command_comes_with_it():
    limiter = built(SafetyLimiter(peak=5.0, ramp=100 * MS))
    commands = [(k * 20 * MS, [[5.0]]) for k in range(24)]
    statuses = [(k * 20 * MS, FIRST if k % 8 == 0 else 0) for k in range(24)]
    trace = drive(limiter, commands, 470 * MS, statuses)
    episodes = [[float(trace.at((8 * e + k) * 20 * MS)[0, 0]) for k in range(8)] for e in range(3)]
    assert episodes[0] == [0, 1, 2, 3, 4, 5, 5, 5]
    assert episodes[1:] == episodes[:1] * 2


def test_an_episode_whose_first_command_comes_with_it_excuses_its_lane_no_longer():
    """The excuse of the beginning is used up by that command: the next one, after a stale time, is late."""
    limiter = built(SafetyLimiter(peak=5.0, stale=15 * MS))
    trace = drive(limiter, [(0, [[1.0]]), (10 * MS, [[2.0]]), (40 * MS, [[3.0]])], 45 * MS,
                  [(0, FIRST), (10 * MS, FIRST)])
    assert [float(trace.at(k * MS)[0, 0]) for k in (0, 10, 30, 41)] == [1.0, 2.0, 0.0, 0.0]


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(("name", "level"), [
    *((name, level) for name in ("shannon_k", "rate", "duty", "charge_per_phase", "charge_density", "net_charge",
                                 "area", "sum_peak", "slew", "peak") for level in (nan, inf, -inf, -100.0, 1e39)),
    ("shannon_k", 400.0), ("rate", 1e-300), ("rate", 0.0), ("duty", 1.5), ("duty_window", 0), ("duty_window", -1),
    ("stale", 0), ("ramp", -1), ("rest", -1), ("pulse_width", -1), ("train_phase", -1), ("peak", []),
    ("area", [1.0, nan])])
def test_a_level_that_is_no_level_is_refused_by_name(name, level):
    with pytest.raises(ValueError, match=f"^{name}: "):
        SafetyLimiter(**{"peak": 5.0, "charge_per_phase": 1.0, "area": 6.0, name: level})


@pytest.mark.parametrize("name", ["peak", "sum_peak", "charge_per_phase", "charge_density", "shannon_k", "net_charge"])
@pytest.mark.parametrize("level", [nan, inf, -100.0])
def test_a_warning_level_that_is_no_level_is_refused_by_name(name, level):
    with pytest.raises(ValueError, match=rf"^warn\.{name}: "):
        SafetyLimiter(peak=5.0, area=6.0, warn=Advice(**{name: level}))


@pytest.mark.parametrize("limits", [{"charge_per_phase": 1e-6}, {"shannon_k": 1.0, "area": 6.0}, {"net_charge": 1.0},
                                    {"pulse_width": MS}, {"rate": 10.0}, {"duty": 0.5}])
def test_a_stimulator_that_takes_commands_at_its_own_pace_is_refused(limits):
    assert "instants of its own" in SafetyLimiter(peak=5.0, **limits).check_stimulator(
        ElectrodeField(period=100 * MS))[0].what
    assert SafetyLimiter(peak=5.0, **limits).check_stimulator(ElectrodeField()) == []
    assert SafetyLimiter(peak=5.0).check_stimulator(ElectrodeField(period=100 * MS)) == []
    assert SafetyLimiter(peak=5.0, charge_per_phase=1.0).check_stimulator(PulseTrain()) == []
