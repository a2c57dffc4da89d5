"""The limiter before a field that adds each command to what is left of earlier ones: no way round the peak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts.stimulation_limits import Advice, Rule
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.components.stimulators.pulse_train import PulseTrain
from stimloop.loops.component import Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import FIRST, TERMINATED

from . import limiter_driver as driver

US, MS = 1_000, 1_000_000


def behind(limiter: SafetyLimiter, field: ElectrodeField, lanes: int = 1) -> tuple[SafetyLimiter, ElectrodeField]:
    """Let a limiter learn what is behind it, and build both."""
    assert limiter.check_stimulator(field) == []
    driver.built(limiter, channels=field.channels, lanes=lanes)
    field.outputs["current"] = field.outputs["current"].sized((field.channels * 10,))
    field.build(Lanes.of(lanes), 0)
    return limiter, field


def currents(trace: driver.Trace, field: ElectrodeField) -> list[np.ndarray]:
    """What the field makes of the commands that the limiter published, at each electrode [lanes, channels]."""
    given, last = [], None
    for now, command in zip(trace.times, trace.delivered, strict=True):
        if command is not last:  # published anew
            field.step(now, Inputs({"command": command}, frozenset({"command"}), now - 1 if now else None))
        last = command
        given.append(field.step(now, Inputs({"command": command}, frozenset(), None))["current"])
    sites = field.weights.argmax(axis=0)
    return [current[:, sites] for current in given]


@pytest.mark.parametrize("decay", [0.3, 0.5, 0.05, 1e-3])
def test_commands_that_add_up_stay_within_the_peak_and_come_close_to_it(decay):
    limiter, field = behind(SafetyLimiter(peak=[5.0, 3.0]), ElectrodeField(decay=decay))
    count = int(20 / decay)
    trace = driver.drive(limiter, [(k * MS, [[9.0, -9.0]]) for k in range(count)], count * MS)
    worst = np.max(np.abs(currents(trace, field)), axis=0)
    assert (worst <= [5.0, 3.0]).all()
    assert worst == pytest.approx(np.array([[5.0, 3.0]]), rel=1e-3)
    assert trace.rules() == {Rule.PEAK}
    assert trace.charge is None  # commands do not show it


def test_where_the_limit_allows_the_field_does_as_it_does_without_a_limiter():
    """Pan et al. 2024: v += s; current = v; v *= 1 - decay; zeros included, and minus zeros of the sender."""
    limiter, field = behind(SafetyLimiter(peak=5.0), ElectrodeField(channels=1, decay=0.3))
    commands = [1.4, -1.2, 0.0, 0.0, -0.0, 1.49, 1.49, 1.49]
    trace = driver.drive(limiter, [(k * MS, [[value]]) for k, value in enumerate(commands)], 8 * MS)
    expected, v = [], 0.0
    for value in commands:
        v += value
        expected.append(v)
        v *= 0.7
    assert np.ravel(currents(trace, field))[:8] == pytest.approx(expected, rel=1e-5)
    assert trace.decisions == []


@pytest.mark.parametrize("case", ["stale", "idle", "nan"])
def test_where_the_limiter_orders_zero_nothing_goes_on(case):
    """Whatever was left of earlier commands, also where the command of an electrode was zero already."""
    limiter, field = behind(SafetyLimiter(peak=5.0, stale=5 * MS), ElectrodeField(decay=0.3))
    commands = [(0, [[1.0, 1.0]]), (MS, [[1.0, 0.0]])]
    commands += {"stale": [], "idle": [], "nan": [(2 * MS, [[np.nan, 0.0]])]}[case]
    statuses = [(0, 0), (3 * MS, TERMINATED)] if case == "idle" else None
    trace = driver.drive(limiter, commands, 8 * MS, statuses)
    given = currents(trace, field)
    moments = [given[int(np.searchsorted(trace.times, moment, "right")) - 1].tolist() for moment in (MS, 7 * MS)]
    assert moments[0] == [[pytest.approx(1.7), pytest.approx(0.7)]]
    assert moments[1] == [[0.0, 0.0]]


def test_an_episode_begins_without_what_the_last_one_left():
    limiter, field = behind(SafetyLimiter(peak=5.0), ElectrodeField(channels=1, decay=0.3), lanes=2)
    commands = [(k * MS, [[1.0], [1.0]]) for k in range(4)]
    statuses = [(0, 0), (2 * MS, [TERMINATED, 0]), (3 * MS, [FIRST, 0])]
    trace = driver.drive(limiter, commands, 4 * MS, statuses)
    assert [given.ravel().tolist() for given in currents(trace, field)[:4]] == [
        pytest.approx(row) for row in ([1.0, 1.0], [1.7, 1.7], [0.0, 2.19], [1.0, 2.533])]


values = st.one_of(st.sampled_from([0.0, -0.0, 5.0, -5.0, 9.0, 1e-30]), st.floats(-7, 7, width=32))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, MS, 3 * MS]), values, values), min_size=1, max_size=40),
       st.sampled_from([0.3, 0.9, 0.01]), st.sampled_from([None, 6.0]))
def test_no_commands_add_up_to_more_than_the_peak(steps, decay, sum_peak):
    limiter, field = behind(SafetyLimiter(peak=5.0, sum_peak=sum_peak, stale=2 * MS), ElectrodeField(decay=decay))
    now, commands = 0, []
    for wait, *pair in steps:
        commands.append((now, [pair]))
        now += wait
    given = np.abs(currents(driver.drive(limiter, commands, now + 10 * MS), field))
    assert given.max() <= 5.0
    assert sum_peak is None or given.sum(axis=2, dtype=float).max() <= sum_peak
    assert (given[-1] == 0).all()  # stale


@pytest.mark.parametrize(("limits", "named"), [
    ({"charge_per_phase": 1.0}, "charge_per_phase"), ({"net_charge": 1.0}, "net_charge"),
    ({"pulse_width": MS}, "pulse_width"), ({"rate": 10.0}, "rate"),
    ({"duty": 0.5}, "duty"), ({"slew": 10.0}, "slew"), ({"ramp": MS}, "ramp"),
    ({"shannon_k": 1.0, "area": 6.0}, "shannon_k"), ({"warn": Advice(net_charge=1.0)}, "warn.net_charge"),
    ({"train_phase": 100 * US}, "train_phase")])
def test_rules_that_would_not_hold_behind_it_are_refused(limits, named):
    problem, = SafetyLimiter(peak=5.0, **limits).check_stimulator(ElectrodeField(decay=0.3))
    assert named in problem.what
    assert "decay: 1" in problem.fix


def test_a_field_that_adds_commands_up_says_by_how_much():
    assert ElectrodeField().warnings == []
    assert "4 times" in ElectrodeField(decay=0.25).warnings[0]
    assert "0.25 of its peak" in ElectrodeField(decay=0.25).warnings[0]
    with pytest.raises(AssemblyError, match="decay"):
        ElectrodeField(decay=0.0)
    assert "larger decay" in SafetyLimiter(peak=5.0).check_stimulator(ElectrodeField(decay=1e-7))[0].fix


def test_one_limiter_does_not_serve_fields_that_keep_and_fields_that_do_not():
    limiter = SafetyLimiter(peak=5.0)
    assert [limiter.check_stimulator(ElectrodeField(decay=0.3)) for _ in range(2)] == [[], []]
    assert "different pulses or currents" in limiter.check_stimulator(ElectrodeField())[0].what
    assert "different" in limiter.check_stimulator(PulseTrain())[0].what


def test_warning_levels_are_those_of_the_current():
    """3.6 are noted, which commands of 1.2 could reach with decay 0.3."""
    limiter, _ = behind(SafetyLimiter(peak=5.0, warn=Advice(peak=3.6)), ElectrodeField(channels=1, decay=0.3))
    trace = driver.drive(limiter, [(0, [[1.0]]), (MS, [[1.2]])], 2 * MS)
    assert [(row[0], row[-1]) for row in trace.decisions] == [(MS, Rule.WARN_PEAK)]
