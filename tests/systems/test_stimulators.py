"""Stimulators: buffers, exact charge, balance, edges, and lanes where nobody acts."""

import numpy as np
import pytest

from stimloop.components.basics.gain import Gain
from stimloop.components.coprocessors.constant import Constant
from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.components.stimulators.pulse_train import PulseTrain
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock

MS = 1_000_000
STEP = 20 * MS


def built(stimulator, lanes=1, units=100, seed=0):
    stimulator.outputs["current"] = stimulator.outputs["current"].sized((units,))
    stimulator.build(Lanes.of(lanes), seed)
    stimulator.reset(seed)
    return stimulator


def give(stimulator, command, status=None, now=0, previous=0, new=("command", "status")):
    values = {"command": np.asarray(command, np.float32)}
    if status is not None:
        values["status"] = np.asarray(status, np.int64)
    return stimulator.step(now, Inputs(values, frozenset(new), previous))


def test_current_is_weights_times_command_and_keeps_nothing():
    field = built(ElectrodeField(channels=3))
    first = give(field, [[1.0, -2.0, 5.0]])["current"]
    assert first.dtype == np.float32
    np.testing.assert_allclose(first[0, [25, 50, 75]], [1, -2, 5], rtol=1e-5)
    assert (np.delete(first[0], [25, 50, 75]) == 0).sum() > 80
    assert not give(field, np.zeros((1, 3)))["current"].any()
    assert field.labels() == {"electrode": {"neuron": [25, 50, 75]}}


def test_decay_0_3_settles_at_the_command_over_0_3():
    field = built(ElectrodeField(channels=1, decay=0.3))
    history = [give(field, [[1.5]])["current"][0, 50] for _ in range(60)]
    expected = [1.5 * (1 - 0.7 ** (k + 1)) / 0.3 for k in range(60)]
    np.testing.assert_allclose(history, expected, rtol=1e-5)
    np.testing.assert_allclose(history[-1], 1.5 / 0.3, rtol=1e-5)
    after = [give(field, [[0.0]])["current"][0, 50] for _ in range(3)]
    np.testing.assert_allclose(after, history[-1] * 0.7 ** np.arange(1, 4), rtol=1e-5)


def test_first_clears_the_buffer_of_its_lane_and_keeps_the_first_command():
    field = built(ElectrodeField(channels=1, decay=0.3), lanes=2)
    for _ in range(5):
        before = give(field, [[1.0], [1.0]], [0, 0])["current"]
    out = give(field, [[2.0], [1.0]], [FIRST, 0])["current"][:, 50]
    np.testing.assert_allclose(out, [2.0, before[1, 50] * 0.7 + 1.0], rtol=1e-5)


def test_the_published_quirk_loses_the_first_command_of_an_episode():
    field = built(ElectrodeField(channels=1, decay=0.3, lose_first=True))
    assert not give(field, [[2.0]], [FIRST])["current"].any()
    np.testing.assert_allclose(give(field, [[2.0]], [0])["current"][0, 50], 2.0)


def test_nothing_is_delivered_where_nobody_acts():
    field = built(ElectrodeField(channels=1, decay=0.3), lanes=2)
    give(field, [[3.0], [3.0]], [0, 0])
    out = give(field, [[3.0], [3.0]], [0, TERMINATED])["current"]
    assert out[0].any()
    assert not out[1].any()
    # an end without a new command silences what was still in force
    field = built(ElectrodeField(channels=1), lanes=2)
    give(field, [[3.0], [3.0]], [0, 0])
    out = give(field, [[3.0], [3.0]], [TERMINATED, 0], new=("status",))["current"]
    assert not out[0].any()
    assert out[1].any()


def test_a_command_is_counted_once():
    field = built(ElectrodeField(channels=1, decay=0.3))
    give(field, [[1.0]], [0])
    assert give(field, [[1.0]], [0], new=("status",)) == {}
    np.testing.assert_allclose(give(field, [[1.0]], [0])["current"][0, 50], 1.7, rtol=1e-6)


def test_with_a_period_the_command_in_force_is_injected_each_time():
    field = built(ElectrodeField(channels=1, decay=0.5, period=10 * MS))
    assert not field.inputs["command"].wakes
    got = [give(field, [[1.0]], [FIRST if now == 0 else 0], now, now - 1 if now else None, new=("status",))
           for now in (0, 5 * MS, 10 * MS, 20 * MS)]
    assert got[1] == {}  # an ordinary status between two periods changes nothing
    np.testing.assert_allclose([got[k]["current"][0, 50] for k in (0, 2, 3)], [1, 1.5, 1.75])
    assert not give(field, [[1.0]], [TERMINATED], 25 * MS, 20 * MS, new=("status",))["current"].any()
    np.testing.assert_allclose(give(field, [[1.0]], [FIRST], 30 * MS, 25 * MS)["current"][0, 50], 1)


class Meter(Component):
    """Adds up the charge it is given, and keeps the largest current."""

    def __init__(self, *, period: int = STEP, reads: str = "mean", units: int = 8) -> None:
        self.period = period
        self.inputs = {"current": Port("current", (units,), reads=reads)}
        self.outputs = {"charge": Port("charge", (units,), dtype="float64")}

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.charge = np.zeros((lanes.count, 8))
        self.largest = 0.0

    def step(self, now, inputs):
        current, previous = inputs["current"], inputs.previous
        if previous is not None:
            rows = current if isinstance(current, list) else [(previous, current)]
            edges = [previous, *(arrival for arrival, _ in rows[1:]), now]
            for (_, value), start, end in zip(rows, edges[:-1], edges[1:], strict=True):
                self.charge += value.astype(float) * (end - start) * 1e-9
                self.largest = max(self.largest, float(abs(value).max()))
        return {"charge": self.charge.copy()}


def train_loop(reads, **params):
    parts = {
        "constant": Part(lambda: Constant(command=[2.0, -1.0], period=STEP)),
        "limiter": Part(lambda: SafetyLimiter(peak=5.0), {"command": Source.of("constant.command")}),
        "train": Part(lambda: PulseTrain(**{"channels": 2, "rate": Clock(130), "width": 200_000, **params}),
                      {"command": Source.of("limiter.command")}),
        "meter": Part(lambda: Meter(reads=reads), {"current": Source.of("train.current")}),
    }
    return Loop(System(parts))


@pytest.mark.parametrize("reads", ["mean", "all"])
def test_a_train_of_0_2_ms_at_130_hz_delivers_its_charge_to_a_20_ms_receiver(reads):
    with train_loop(reads, phases="one") as loop:
        loop.run(50 * STEP + 1)
        charge = loop.peek("meter.charge")[0]
    weights = loop.components["train"].weights.astype(float)
    pulses = sum(1 for k in range(200) if k * 10**9 // 130 + 200_000 <= 50 * STEP)
    assert pulses == 130
    np.testing.assert_allclose(charge, weights @ [2.0, -1.0] * pulses * 200e-6, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("gap", [0, 100_000])
def test_two_phases_leave_no_charge_but_do_flow(gap):
    with train_loop("all", phases="two", gap=gap) as loop:
        loop.run(50 * STEP + 1)
        assert (abs(loop.peek("meter.charge")) <= 1e-12).all()
        np.testing.assert_allclose(loop.components["meter"].largest, 2.0, rtol=1e-5)


def test_edges_are_exact_to_the_nanosecond():
    with train_loop("all", phases="two", gap=50_000, rate=10 * MS) as loop:
        seen = []
        loop.tap("train.current", lambda now, value: seen.append((now, round(float(value[0].sum()), 5))))
        loop.run(11 * MS)
    sign = [(0, 1.0), (200_000, 0.0), (250_000, -1.0), (450_000, 0.0), (10 * MS, 1.0)]
    assert seen[:5] == sign


def pulse_at(train):
    def at(now, command, status=None):
        new = () if status is None else ("status",)
        out = give(train, [[command]], status, now=now, previous=now - 1 if now else None, new=new)
        return (float(out["current"].sum()) if "current" in out else None), out.get("stopped")

    return at


def test_a_pulse_that_began_keeps_its_height_whatever_other_height_is_commanded():
    train = built(PulseTrain(channels=1, rate=10 * MS, width=200_000), units=8)
    at = pulse_at(train)
    assert at(0, 3.0) == (3.0, None)
    assert at(50_000, -0.5) == (None, None)
    assert train.next_wake(50_000) == 200_000
    assert at(200_000, 5.0) == (-3.0, None)
    assert at(400_000, 5.0) == (0.0, None)
    assert train.next_wake(400_000) == 10 * MS
    assert at(10 * MS, 0.0) == (None, None)


def test_a_command_of_zero_stops_a_pulse_at_once_and_its_rest_is_told():
    """50 us of 3 are left in the first phase; 150 us in the second are 200 us there and 150 us back."""
    at = pulse_at(built(PulseTrain(channels=1, rate=10 * MS, width=200_000), units=8))
    at(0, 3.0)
    current, stopped = at(50_000, 0.0)
    assert current == 0.0
    assert stopped.value.tolist() == pytest.approx([3.0 * 50e-6])
    assert at(60_000, 3.0) == (None, None)  # a stopped pulse does not go on
    at(10 * MS, -3.0)
    at(10 * MS + 200_000, -3.0)
    current, stopped = at(10 * MS + 350_000, 0.0)
    assert current == 0.0
    assert stopped.value.tolist() == pytest.approx([-3.0 * 50e-6])
    assert at(10 * MS + 360_000, 0.0) == (None, None)  # told once


def test_a_pulse_stops_where_the_episode_ends():
    at = pulse_at(built(PulseTrain(channels=1, rate=10 * MS, width=200_000), units=8))
    assert at(0, 3.0, [FIRST]) == (3.0, None)
    current, stopped = at(1_000, 3.0, [TERMINATED])
    assert current == 0.0
    assert len(stopped) == 1


def trigger(train, now, lane, index, command=None):
    command = np.ones((2, 2), np.float32) if command is None else np.asarray(command, np.float32)
    return train.step(now, Inputs({"command": command, "trigger": Events.of(now, lane, index)}, frozenset({"trigger"}),
                                  now - 1))


def test_pauses_hold_for_triggers_even_after_a_stop():
    train = built(PulseTrain(channels=2, rate=None, width=100_000, phases="one", pause=50_000), lanes=2, units=8)
    assert train.pulse.interval == 150_000
    trigger(train, 1000, 0, 0)
    assert len(give(train, np.zeros((2, 2)), now=2000, new=())["stopped"]) == 1
    assert "pulses" not in trigger(train, 150_999, 0, 0)
    assert len(trigger(train, 151_000, 0, 0)["pulses"]) == 1
    regular = built(PulseTrain(channels=2, rate=10 * MS, width=100_000), lanes=2, units=8)
    assert len(trigger(regular, 0, 0, 0)["pulses"]) == 4
    assert "pulses" not in trigger(regular, 9 * MS, 0, 0)  # that would be more than the rate


def test_pulses_begun_at_different_times_are_together_no_higher_than_the_commands():
    train = built(PulseTrain(channels=2, rate=None, width=100_000), lanes=2, units=8)
    trigger(train, 1000, 0, 0, [[5.0, 0.0], [0.0, 0.0]])
    assert "pulses" not in trigger(train, 2000, 0, 1, [[1.0, 4.0], [0.0, 0.0]])  # 5 + 4 against 1 + 4
    assert len(trigger(train, 3000, 0, 1, [[5.0, 4.0], [0.0, 0.0]])["pulses"]) == 1
    assert len(trigger(train, 301_000, 0, 1, [[1.0, 4.0], [0.0, 0.0]])["pulses"]) == 1


def test_pulses_are_events_at_their_onset_and_need_a_command():
    train = built(PulseTrain(channels=2, rate=10 * MS), lanes=2, units=8)
    out = give(train, [[1.0, 0.0], [0.0, -2.0]], previous=None)
    assert out["pulses"].lane.tolist() == [0, 1]
    assert out["pulses"].index.tolist() == [0, 1]
    assert out["pulses"].value.tolist() == [1.0, -2.0]


def test_triggers_pulse_single_electrodes_and_not_while_they_pulse():
    train = built(PulseTrain(channels=2, rate=None, width=100_000, phases="one"), lanes=2, units=8)
    assert train.next_wake(0) is None

    out = trigger(train, 1000, 1, 0)
    assert out["current"][1].any()
    assert not out["current"][0].any()
    assert train.next_wake(1000) == 101_000
    assert "pulses" not in trigger(train, 50_000, 1, 0)  # still in its pulse
    assert train.next_wake(50_000) == 101_000
    assert not trigger(train, 101_000, [0, 0], [0, 1])["current"][1].any()


def test_no_pulse_begins_where_nobody_acts_and_a_missed_instant_is_skipped():
    train = built(PulseTrain(channels=1, rate=10 * MS), lanes=2, units=8)
    out = give(train, [[1.0], [1.0]], [0, TERMINATED], previous=None)
    assert out["pulses"].lane.tolist() == [0]
    assert "pulses" not in give(train, [[1.0], [1.0]], [0, 0], now=10 * MS + 1)
    train.lateness = lambda: 5 * MS
    assert "pulses" not in give(train, [[1.0], [1.0]], [0, 0], now=20 * MS)
    train.lateness = lambda: 0
    assert len(give(train, [[1.0], [1.0]], [0, 0], now=30 * MS)["pulses"]) == 2


def test_parameters_that_cannot_be_are_refused():
    for params in ({"width": 0}, {"rate": 100_000, "width": 200_000}, {"pause": 8 * MS}, {"channels": 0},
                   {"spread": 0.0}):
        with pytest.raises(AssemblyError):
            PulseTrain(**params)
    with pytest.raises(AssemblyError, match="decay"):
        ElectrodeField(decay=1.5)


def test_placement_survives_in_the_state_whatever_the_seed():
    one = built(ElectrodeField(channels=4, placement="permutation"), units=32, seed=1)
    two = built(ElectrodeField(channels=4, placement="permutation"), units=32, seed=2)
    assert (one.weights != two.weights).any()
    two.load_state_dict({"learned": one.state_dict()["learned"]})
    np.testing.assert_array_equal(one.weights, two.weights)


def test_a_coprocessor_may_not_command_a_stimulator_directly():
    parts = {"constant": Part(lambda: Constant(command=[1.0, 1.0], period=STEP)),
             "field": Part(lambda: ElectrodeField(channels=2), {"command": Source.of("constant.command")}),
             "meter": Part(Meter, {"current": Source.of("field.current")})}
    with pytest.raises(AssemblyError, match="without a safety limiter"):
        Loop(System(parts))


def guarded_train(limits, train, units="uA"):
    parts = {"constant": Part(lambda: Constant(command=[2.0, -1.0], period=STEP)),
             "scale": Part(lambda: Gain(gain=2.5, units=units), {"input": Source.of("constant.command")}),
             "limiter": Part(lambda: SafetyLimiter(peak=5.0, **limits), {"command": Source.of("scale.output")}),
             "train": Part(lambda: train, {"command": Source.of("limiter.command")}),
             "meter": Part(lambda: Meter(reads="all"), {"current": Source.of("train.current")})}
    return Loop(System(parts))


def test_the_limiter_reads_the_width_of_a_phase_from_the_train():
    """0.0005 uC in 200 us are 2.5 uA, whatever is asked."""
    with guarded_train({"charge_per_phase": 0.0005}, PulseTrain(channels=2, units="uA")) as loop:
        loop.run(2 * STEP)
        np.testing.assert_allclose(loop.components["meter"].largest, 2.5, rtol=1e-6)
        np.testing.assert_allclose(loop.peek("limiter.command"), [[2.5, -2.5]])


@pytest.mark.parametrize(("limits", "params", "told"), [
    ({"charge_per_phase": 1.0, "train_phase": 100_000}, {"width": 1 * MS}, "Remove it: the limiter reads the width"),
    ({"pulse_width": 50_000}, {"width": 1 * MS}, "pulse_width: 1 ms"),
    ({"rate": 10.0}, {"rate": Clock(50)}, "rate: 51"),
    ({"charge_per_phase": 1.0}, {"rate": None}, "pause: 100 us"),
    ({"pulse_width": 400_000}, {"rate": 450_000}, "pause: 100 us"),
    ({"net_charge": 1.0}, {}, "net charge cannot be seen")])
def test_rules_that_cannot_hold_behind_a_train_are_refused(limits, params, told):
    with pytest.raises(AssemblyError, match=told):
        guarded_train(limits, PulseTrain(channels=2, units="uA", **params))


def test_rules_that_a_train_keeps_are_accepted():
    limits = {"pulse_width": 200_000, "rate": 130.0, "charge_per_phase": 0.002, "train_phase": 200_000}
    with guarded_train(limits, PulseTrain(channels=2, units="uA", phases="one")) as loop:
        assert any("not balanced" in str(notice) for notice in loop.notices)
    with pytest.raises(AssemblyError, match="Remove train_phase"):
        guarded_train({"train_phase": 200_000}, ElectrodeField(channels=2, units="uA"))


def test_one_limiter_does_not_serve_two_kinds_of_pulses():
    limiter = SafetyLimiter(peak=5.0)
    assert limiter.check_stimulator(PulseTrain()) == limiter.check_stimulator(PulseTrain()) == []
    assert "different pulses" in limiter.check_stimulator(ElectrodeField())[0].what
