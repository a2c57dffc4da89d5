"""Ways that once led past the safety limiter, and whole families of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Advice, Rule
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.components.stimulators.pulse_train import PulseTrain
from stimloop.loops.errors import AssemblyError
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
        if "charge_per_phase" in limits:
            assert one_way(rows, rest) <= limits["charge_per_phase"] * 1e9 * (1 + 1e-12)


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


def test_a_field_that_adds_commands_up_says_by_how_much():
    assert ElectrodeField().warnings == []
    assert "4 times" in ElectrodeField(decay=0.25).warnings[0]
    with pytest.raises(AssemblyError, match="decay"):
        ElectrodeField(decay=0.0)
