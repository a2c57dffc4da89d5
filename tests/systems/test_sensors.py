"""Electrodes that record: where they are, what they hear and when, their noise and drift, and the loop they close."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimloop as sl
from stimloop.components.sensors.electrodes import Electrodes
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, WAITING
from stimloop.loops.time import parse_duration

MS = 1_000_000


class Regional(Component):
    """A brain of three regions whose neurons say their own number, times the count of its answers."""

    def __init__(self, sizes: list[int] = [4, 6, 5], low: float = -np.inf, high: float = np.inf):  # noqa: B006
        self.inputs = {"observation": Port("what is seen", ("n",), wakes=True)}
        regions = tuple(zip(("M1", "F5", "AIP"), sizes, strict=True))
        self.outputs = {"action": Port("nothing", (2,), low=-1, high=1),
                        "rates": Port("activity", (15,), axes=("neuron",), units="1/s", low=low, high=high,
                                      regions=regions)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.count = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self.count += 1
        rates = np.tile(np.arange(15, dtype=np.float32) * self.count, (self.lanes.count, 1))
        return {"action": np.zeros((self.lanes.count, 2), np.float32), "rates": rates}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state.get("count", self.count)


def recorder(neurons=20, lanes=1, seed=0, numbers=None, **params):
    """A sensor that stands alone before so many neurons."""
    sensor = Electrodes(**params)
    sensor.inputs["rates"] = sensor.inputs["rates"].sized((neurons,))
    sensor.infer()
    sensor.build(Lanes.of(lanes) if numbers is None else Lanes(len(numbers), np.asarray(numbers)), seed)
    return sensor


def record(sensor, rates, status=0, previous=0, now=20 * MS):
    lanes = sensor.lanes.count
    given_ = {"rates": np.broadcast_to(np.asarray(rates, np.float32), (lanes, len(sensor.weights))),
              "status": np.broadcast_to(np.asarray(status, np.int64), (lanes,))}
    return sensor.step(now, Inputs(given_, frozenset(given_), previous))["recording"]


def loop(sensor=None, body=None, **wire):
    """A body, the brain of three regions, and electrodes over it, in a loop."""
    return (sl.Assembly("recorded", until="30 steps")
            .add("body", "bodies.point_mass", max_steps=10, **body or {}, inputs=["brain.action"])
            .add("brain", Regional, inputs=["body.observation"])
            .add("sensor", "sensors.electrodes", **sensor or {},
                 inputs=[{"rates": {"from": "brain.rates", **wire}}, "body.status"]))


def test_narrow_electrodes_hear_the_neurons_that_the_published_code_placed_them_on():
    """Electrode c of C sits at 100 c / (C + 1): 33 and 67 of 100 neurons."""
    heard = record(recorder(100, channels=2), np.arange(100.0))
    np.testing.assert_allclose(heard, [[33, 67]], atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(neurons=st.integers(3, 40), channels=st.integers(1, 12), spread=st.floats(0.3, 5.0), seed=st.integers(0, 99))
def test_a_recording_is_the_gaussian_mean_of_the_rates(neurons, channels, spread, seed):
    """Written out anew, neuron by neuron."""
    rates = np.random.default_rng(seed).normal(size=neurons)
    expected = []
    for c in range(1, channels + 1):
        field = [np.exp(-(n - neurons * c / (channels + 1)) ** 2 / (2 * spread ** 2)) for n in range(neurons)]
        expected.append(sum(f * r for f, r in zip(field, rates, strict=True)) / sum(field))
    heard = record(recorder(neurons, channels=channels, spread=spread), rates)
    np.testing.assert_allclose(heard[0], expected, rtol=1e-3, atol=1e-5)


def test_there_are_ten_electrodes_over_each_region_that_the_brain_names(tmp_path):
    run = loop().run(folder=tmp_path)
    recording = run["sensor.recording"]
    assert recording.sizes["electrode"] == 30
    assert recording["region"].values.tolist() == ["M1"] * 10 + ["F5"] * 10 + ["AIP"] * 10
    neurons = recording["neuron"].values.reshape(3, 10)
    assert [set(row) <= set(range(*span)) for row, span in zip(neurons, [(0, 4), (4, 10), (10, 15)], strict=True)] == [
        True] * 3


def test_of_a_brain_without_regions_there_are_ten_in_all(tmp_path):
    assembly = loop().swap("brain", "brains.mlp", hidden=[32])
    run = assembly.run(folder=tmp_path)
    assert run["sensor.recording"].sizes["electrode"] == 10
    assert "region" not in run["sensor.recording"].coords


def test_regions_are_recorded_from_in_the_order_asked_for():
    with loop({"channels": 1, "regions": ["AIP", "M1"], "placement": "list", "centres": [1]}).build() as built:
        sensor = built.components["sensor"]
        assert sensor.labels() == {"electrode": {"neuron": [11, 1], "region": ["AIP", "M1"]}}
        assert sensor.outputs["recording"].regions == (("AIP", 1), ("M1", 1))
        assert sensor.outputs["recording"].units == "1/s"


@pytest.mark.parametrize(("brain", "regions", "said"), [
    (Regional, ["F6"], 'no region \'F6\'\n.*AIP, F5, M1'), ("brains.mlp", ["M1"], "names no regions"),
    (Regional, ["M1", "M1"], "Name each region once"), (Regional, [], "no regions to record from")])
def test_regions_that_are_not_there_are_refused(brain, regions, said):
    with pytest.raises(AssemblyError, match=said):
        loop({"regions": regions}).swap("brain", brain).build()


def test_regions_that_leave_neurons_out_are_refused():
    with pytest.raises(AssemblyError, match="hold 14 neurons, it has 15"):
        loop().set("brain.params.sizes", [4, 6, 4]).build()


def test_what_is_recorded_is_one_tick_old_and_silent_where_an_episode_begins(tmp_path):
    """At tick k the brain gives its answer k + 1; recorded is answer k, in which neuron 9 says 9 k."""
    run = loop({"channels": 1, "regions": ["F5"], "placement": "list", "centres": [5]}).run(folder=tmp_path)
    first = (run["body.status"].values[:, 0] & FIRST) != 0
    assert first.sum() == 3
    expected = np.where(first, 0, 9.0 * np.arange(len(first)))
    np.testing.assert_array_equal(run["sensor.recording"].values[:, 0, 0], expected)


def test_without_forgetting_it_hears_the_end_of_the_episode_before(tmp_path):
    run = loop({"channels": 1, "placement": "list", "centres": [3], "forget": "never"}).run(folder=tmp_path)
    ticks = np.arange(len(run["body.status"]))
    np.testing.assert_array_equal(run["sensor.recording"].values[:, 0], ticks[:, None] * [[3, 7, 13]])


def test_whoever_only_watches_may_read_now(tmp_path):
    run = loop({"channels": 1, "placement": "list", "centres": [3], "forget": "never"}, reads="now").run(
        folder=tmp_path)
    np.testing.assert_array_equal(run["sensor.recording"].values[:, 0, 0],
                                  3 * (1 + np.arange(len(run["body.status"]))))


def test_a_delay_adds_to_the_tick(tmp_path):
    run = loop({"channels": 1, "placement": "list", "centres": [3], "forget": "never"}, delay="20 ms").run(
        folder=tmp_path)
    ticks = np.arange(len(run["body.status"]))
    np.testing.assert_array_equal(run["sensor.recording"].values[:, 0, 0], 3 * np.maximum(ticks - 1, 0))


def test_with_a_period_it_keeps_its_own_rhythm_and_misses_no_beginning(tmp_path):
    """At 50 ms of a 20 ms body: the rates in force after the step before, of which neuron 3 says 3 an answer."""
    assembly = loop({"channels": 1, "regions": ["M1"], "placement": "list", "centres": [3], "period": "50 ms"}).set(
        "sensor.inputs.status.reads", "all")
    run = assembly.run(folder=tmp_path)
    times = run["sensor.recording"]["time"].values.astype(np.int64)
    np.testing.assert_array_equal(times, np.arange(len(times)) * 50 * MS)
    status, ticks = run["body.status"].values[:, 0], run["body.status"]["time"].values.astype(np.int64)
    for time, heard in list(zip(times, run["sensor.recording"].values[:, 0, 0], strict=True))[1:]:
        before = (ticks >= time - 50 * MS) & (ticks < time)
        answers = np.flatnonzero(ticks <= time - 50 * MS)[-1] + 1
        assert heard == (0 if (status[before] & FIRST).any() else 3 * answers)


STANDARD = """
name: heard
until: 20 steps
components:
  body:        {{type: bodies.point_mass, inputs: [brain.action]}}
  brain:
    type: brains.mlp
    params: {{hidden: [20]}}
    inputs: [body.observation, body.status, stimulator.current]
  sensor:      {{type: sensors.electrodes, params: {{channels: 3}}, inputs: [{rates}, body.status]}}
  seen:        {{type: basics.concat, inputs: [body.observation, sensor.recording]}}
  coprocessor: {{type: brains.mlp, params: {{hidden: [8]}}, inputs: [{{observation: seen.output}}, body.status]}}
  scale:       {{type: basics.gain, params: {{gain: 5}}, inputs: [coprocessor.action]}}
  limiter:     {{type: links.safety_limiter, params: {{peak: 5}}, inputs: [{{command: scale.output}}, body.status]}}
  stimulator:  {{type: stimulators.electrode_field, params: {{channels: 2}}, inputs: [limiter.command]}}
"""


def standard(tmp_path, rates):
    path = tmp_path / "heard.yaml"
    path.write_text(STANDARD.format(rates=rates))
    return sl.load(path)


def test_the_standard_wiring_is_no_loop_within_an_instant(tmp_path):
    """A coprocessor sees observation and recording together; the recording is of the rates before this tick."""
    run = standard(tmp_path, "brain.rates").run(folder=tmp_path)
    seen, rates = run["seen.output"].values[:, 0], run["brain.rates"].values[:, 0]
    np.testing.assert_array_equal(seen[:, :-3], run["body.observation"].values[:, 0])
    np.testing.assert_allclose(seen[1:, -3:], rates[:-1][:, [5, 10, 15]], atol=1e-6)
    assert not seen[0, -3:].any()
    assert run["limiter.command"].values.any()


def test_read_now_it_would_be_one(tmp_path):
    with pytest.raises(AssemblyError, match=r"loop without delay(.|\n)*brain.rates"):
        standard(tmp_path, "{rates: {from: brain.rates, reads: now}}").build()


@pytest.mark.parametrize("drifts", ["offset", "gain"])
def test_drift_is_a_random_walk_of_the_given_step(drifts):
    """After n steps its variance is n sd^2, its steps are independent, and a beginning does not take it back."""
    sd, steps, lanes = 5e-4, 50, 400
    sensor = recorder(20, lanes, channels=5, drift=sd, drifts=drifts)
    seen = np.stack([record(sensor, np.full(20, 2.0), FIRST if i == 30 else 0) for i in range(steps)]).astype(float)
    seen[30] = np.nan if drifts == "gain" else seen[30] + 2  # it heard silence then
    walk = seen - 2 if drifts == "offset" else seen / 2 - 1  # [steps, lanes, electrodes]
    assert walk[0].std() == pytest.approx(sd, rel=0.1)
    assert walk[-1].std() == pytest.approx(sd * np.sqrt(steps), rel=0.1)
    moves = np.diff(walk[:30], axis=0)
    assert moves.std() == pytest.approx(sd, rel=0.05)
    assert abs(np.corrcoef(moves[:-1].ravel(), moves[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(walk[-1].T)[np.triu_indices(5, 1)]).max() < 0.2, "each electrode has its own"


def test_noise_has_the_given_deviation_and_is_new_at_each_recording():
    sensor = recorder(20, 500, channels=4, noise=0.3)
    first, second = (record(sensor, np.ones(20)).astype(float) - 1 for _ in range(2))
    assert [first.std(), second.std()] == pytest.approx([0.3, 0.3], rel=0.06)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.06


def test_a_lane_draws_the_same_whoever_is_beside_it():
    whole, alone = (recorder(20, numbers=numbers, channels=3, noise=1, drift=1) for numbers in ([0, 1, 2], [2]))
    for status in (FIRST, 0, 0):
        np.testing.assert_array_equal(record(whole, np.ones(20), status)[2:], record(alone, np.ones(20), status))


def test_lanes_that_wait_keep_their_recording_and_draw_nothing():
    """The last tick of an episode is recorded like any other: it is what a learner takes for what came next."""
    sensor, twin = (recorder(20, 2, channels=3, noise=1, drift=1) for _ in range(2))
    before = record(sensor, np.ones(20), [0, TERMINATED])
    assert before[1].any()
    after = record(sensor, np.zeros(20), [0, WAITING])
    np.testing.assert_array_equal(after[1], before[1])
    assert (after[0] != before[0]).all()
    record(twin, np.ones(20), [0, TERMINATED])
    np.testing.assert_array_equal(record(sensor, np.ones(20), FIRST)[1], record(twin, np.ones(20), FIRST)[1])


@pytest.mark.parametrize(("params", "bounds"), [({}, (0, 3)), ({"noise": 0.1}, (-np.inf, np.inf)),
                                                ({"drift": 0.1}, (-np.inf, np.inf))])
def test_a_mean_of_rates_lies_within_their_bounds_unless_something_is_added(params, bounds):
    with loop(params).set({"brain.params.low": 1.0, "brain.params.high": 3.0}).build() as built:
        assert built.components["sensor"].outputs["recording"].range == bounds


def test_without_status_or_a_period_it_would_never_record():
    with pytest.raises(AssemblyError, match="never stepped"):
        loop().set("sensor.inputs.status", None).build()
    with loop({"period": "20 ms"}).set("sensor.inputs.status", None).build() as built:
        built.run("100 ms")
        assert built.components["sensor"].period == parse_duration("20 ms")


def test_electrodes_in_drawn_neurons_are_distinct_and_drawn_by_the_seed():
    places = [recorder(20, seed=seed, channels=6, placement="permutation").labels()["electrode"]["neuron"]
              for seed in (1, 1, 2)]
    assert places[0] == places[1] != places[2]
    assert len(set(places[0])) == 6
