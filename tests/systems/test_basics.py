"""The basics: what each publishes, alone and in a loop, against answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.components.basics.add import Add
from stimloop.components.basics.concat import Concat
from stimloop.components.basics.constant import Constant
from stimloop.components.basics.gain import Gain
from stimloop.components.basics.noise import Noise
from stimloop.components.basics.replay import Replay
from stimloop.components.basics.sample_hold import SampleHold
from stimloop.components.basics.select import Select
from stimloop.components.basics.silence import Silence
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError, RunError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stream import Stream
from stimloop.loops.system import Part, Source, System

MS = 1_000_000


class Ramp(Component):
    """Publishes [k, 10 k, 100 k] at tick k, and a count, a picture and events beside it."""

    def __init__(self, period: int = 10 * MS) -> None:
        self.period = period
        self.inputs = {}
        self.outputs = {"value": Port("three numbers", (3,), units="mV", low=-100, high=10000),
                        "count": Port("a number", ()), "total": Port("one for all lanes", (), per_lane=False),
                        "picture": Port("two by two", (2, 2)),
                        "spikes": Port("spikes", (0,), kind="event", indices=4)}

    def step(self, now, inputs):
        k = now // self.period
        lane = np.arange(self.lanes.count, dtype=np.float32)
        return {"value": (lane[:, None] + np.float32(k) * np.array([1, 10, 100])).astype(np.float32),
                "count": lane + np.float32(k), "total": np.full((), k, np.float32),
                "picture": np.full((self.lanes.count, 2, 2), k, np.float32),
                "spikes": Events.of(now, 0, k % 4)}


class Listener(Component):
    """Keeps everything that arrives on ports of all kinds."""

    def __init__(self, **ports) -> None:
        self.inputs = ports or {"input": Port("anything", (None,), wakes=True)}
        self.outputs = {}
        self.heard = []

    def step(self, now, inputs):
        self.heard += [(now, name, inputs[name]) for name in sorted(inputs.new)]
        return {}


def loop_of(lanes=1, **parts):
    """A loop of named (component, inputs) pairs; the components themselves are used, so they can be looked at."""
    def part(component, inputs):
        sources = {key: source if isinstance(source, Source) else Source.of(source) for key, source in inputs.items()}
        return Part(create=lambda: component, inputs=sources)
    return Loop(System({name: part(*entry) for name, entry in parts.items()}, lanes=lanes, seed=3))


def heard_by(middle, inputs, lanes=1, until=35 * MS, listener=None):
    listener = listener or Listener()
    loop = loop_of(lanes, source=(Ramp(), {}), middle=(middle, inputs), listener=(listener, {
        key: Source.of(f"middle.{'output' if key == 'input' else key}") for key in listener.inputs}))
    loop.run(until)
    return loop, listener.heard


def test_gain_scales_shifts_and_tells_its_bounds_and_units():
    loop, heard = heard_by(Gain(gain=[2.0, 0.5, -1.0], offset=1.0, units="uA"), {"input": "source.value"})
    assert [(now, value.tolist()) for now, _, value in heard[:3]] == [
        (0, [[1, 1, 1]]), (10 * MS, [[3, 6, -99]]), (20 * MS, [[5, 11, -199]])]
    port = loop.components["middle"].outputs["output"]
    assert (port.low, port.high, port.units) == (-9999.0, 20001.0, "uA")


def test_a_list_of_gains_says_the_size_and_a_wrong_one_is_refused():
    with pytest.raises(AssemblyError, match="3"):
        loop_of(source=(Ramp(), {}), middle=(Gain(gain=[1.0, 2.0]), {"input": "source.value"}))
    with pytest.raises(ValueError, match="finite"):
        Gain(gain=float("nan"))


def test_a_gain_never_passes_its_declared_bounds():
    gain = Gain(gain=0.1, offset=0.3)
    gain.inputs["input"] = Port("", (1,), low=-1 / 3, high=2 / 3)
    gain.outputs["output"] = Port("", (1,))
    gain.infer()
    gain.build(Lanes.of(1), 0)
    port = gain.outputs["output"]
    for end in (np.float32(-1 / 3), np.float32(2 / 3)):
        value = gain.step(0, Inputs({"input": np.full((1, 1), end)}, frozenset({"input"})))["output"]
        assert port.low <= float(value[0, 0]) <= port.high


def test_add_sums_whatever_is_wired_in_an_order_of_its_own():
    _, heard = heard_by(Add(), {"right": "source.value", "left": "source.value"})
    assert heard[2][2].tolist() == [[4, 40, 400]]
    terms = {"b": np.float32(1e8), "a": np.float32(3.0), "c": np.float32(-1e8)}
    sums = []
    for names in ("abc", "cba"):
        add = Add()
        add.inputs = {name: Port("", (1,)) for name in names}
        add.infer()
        add.build(Lanes.of(1), 0)
        sums.append(add.step(0, Inputs({name: np.full((1, 1), terms[name]) for name in names}))["output"].item())
    assert sums[0] == sums[1]
    with pytest.raises(AssemblyError, match=r"\(2, 2\)"):
        loop_of(source=(Ramp(), {}), middle=(Add(), {"a": "source.value", "b": "source.picture"}))


def test_concat_joins_in_the_order_written():
    inputs = {"picture": "source.picture", "count": "source.count", "value": "source.value", "total": "source.total"}
    loop, heard = heard_by(Concat(), inputs, lanes=2)
    assert loop.components["middle"].outputs["output"].shape == (9,)
    assert heard[2][2].tolist() == [[2, 2, 2, 2, 2, 2, 20, 200, 2], [2, 2, 2, 2, 3, 3, 21, 201, 2]]
    _, turned = heard_by(Concat(), {"value": "source.value", "count": "source.count"}, lanes=2)
    assert turned[1][2].tolist() == [[1, 10, 100, 1], [2, 11, 101, 2]]
    with pytest.raises(AssemblyError, match="events"):
        loop_of(source=(Ramp(), {}), middle=(Concat(), {"spikes": "source.spikes"}))


def test_select_picks_and_checks():
    loop, heard = heard_by(Select(indices=[2, 0, 2]), {"input": "source.value"})
    assert heard[1][2].tolist() == [[100, 1, 100]]
    assert loop.components["middle"].outputs["output"].units == "mV"
    with pytest.raises(AssemblyError, match="3 elements"):
        loop_of(source=(Ramp(), {}), middle=(Select(indices=[3]), {"input": "source.value"}))
    with pytest.raises(ValueError, match="select"):
        Select(indices=[-1])


def test_sample_hold_samples_on_its_own_grid():
    _, heard = heard_by(SampleHold(period=25 * MS), {"input": "source.value"}, until=76 * MS)
    assert [(now, value[0, 0]) for now, _, value in heard] == [(0, 0), (25 * MS, 2), (50 * MS, 5), (75 * MS, 7)]


def everything(**changes):
    """Ports of every kind that a receiver could ask for."""
    return Listener(signal=Port("", (2,), low=-2.0, high=2.0), above=Port("", (2,), low=1.0, high=3.0),
                    choice=Port("", (), choices=5), bit=Port("", (), dtype="bool"),
                    image=Port("", (2, 2), dtype="uint8", low=0, high=255), free=Port("", ()),
                    shared=Port("", (), per_lane=False, low=0.0, high=1.0),
                    spikes=Port("", (1,), kind="event", indices=3, wakes=True), **changes)


def test_silence_is_zero_in_the_shape_that_is_asked():
    _, heard = heard_by(Silence(), {"value": "source.value", "spikes": "source.spikes"}, lanes=2, until=5 * MS,
                        listener=everything(clock=Port("", (1,), wakes=True)))
    said = {name: value for _, name, value in heard}
    assert len(heard) == 8
    assert said["signal"].tolist() == [[0, 0], [0, 0]]
    assert said["above"].tolist() == [[1, 1], [1, 1]]  # the nearest that the port takes
    assert (said["image"].dtype, said["bit"].dtype, said["choice"].dtype) == (np.uint8, bool, np.int64)
    assert said["shared"].shape == ()
    assert "spikes" not in said
    _, heard = heard_by(Silence(period=20 * MS), {}, until=50 * MS, listener=everything())
    assert [(now, len(value)) for now, name, value in heard if name == "spikes"] == [(0, 0), (20 * MS, 0), (40 * MS, 0)]


def test_constant_says_one_thing_and_refuses_what_does_not_fit():
    _, heard = heard_by(Constant(value=[1.5, -1.5]), {}, listener=Listener(signal=Port("", (None,), wakes=True)))
    assert [value.tolist() for _, _, value in heard] == [[[1.5, -1.5]]]
    for value, port, words in (([1.0], Port("", (2,), wakes=True), "1 values"),
                               (9.0, Port("", (), high=5.0, wakes=True), "outside"),
                               (1.0, Port("", (0,), kind="event", wakes=True), "events")):
        with pytest.raises(AssemblyError, match=words):
            loop_of(middle=(Constant(value=value), {}), listener=(Listener(x=port), {"x": "middle.x"}))


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_noise_keeps_to_the_ports_and_to_its_seed(distribution):
    def run():
        return heard_by(Noise(distribution=distribution, scale=4.0, rate=30.0, period=MS), {}, lanes=2,
                        until=400 * MS, listener=everything(clock=Port("", (1,), wakes=True)))[1]
    heard = run()
    by_name = {name: [value for _, key, value in heard if key == name]
               for name in ("signal", "choice", "image", "free")}
    signal = np.stack(by_name["signal"])
    assert signal.shape == (400, 2, 2)
    assert (np.abs(signal) <= 2).all()
    assert set(np.stack(by_name["choice"]).ravel()) == {0, 1, 2, 3, 4}
    image = np.stack(by_name["image"])
    assert (image.min(), image.max()) == (0, 255)
    free = np.stack(by_name["free"])
    spread = {"uniform": 4 / np.sqrt(3), "normal": 4.0}[distribution]
    assert free.std() == pytest.approx(spread, rel=0.1)
    assert abs(free.mean()) < 4 * spread / np.sqrt(free.size)
    spikes = [value for _, name, value in heard if name == "spikes"]
    count = sum(len(batch) for batch in spikes)
    assert count == pytest.approx(0.4 * 30 * 3 * 2, abs=4 * np.sqrt(72))
    assert all(((batch.time > k * MS - MS) & (batch.time <= k * MS)).all() for k, batch in enumerate(spikes))
    again = run()
    assert all((a[2].time == b[2].time).all() if a[1] == "spikes" else (a[2] == b[2]).all()
               for a, b in zip(heard, again, strict=True))


def test_noise_without_a_period_speaks_when_it_hears():
    _, heard = heard_by(Noise(), {"value": "source.value"}, until=25 * MS,
                        listener=Listener(signal=Port("", (2,), wakes=True)))
    assert [now for now, _, _ in heard] == [0, 10 * MS, 20 * MS]
    assert len({value.tobytes() for _, _, value in heard}) == 3


def spikes(lanes, rate, steps=400, step=20 * MS, shape=(0,), **options):
    """Numbers of events [steps, lanes, indices] of noise in a spiking brain's place, and all batches."""
    noise = Noise(rate=rate, period=step, **options)
    noise.outputs["spikes"] = Port("spikes", shape, kind="event", indices=5)
    noise.build(lanes, seed=4)
    counts, batches = np.zeros((steps, lanes.count, 5), int), []
    for k in range(steps + 1):
        events = noise.step(k * step, Inputs({}, frozenset(), (k - 1) * step if k else None))["spikes"]
        batches.append(events)
        assert events.is_sorted()
        assert len(events) == 0 or (k - 1) * step < events.time.min() <= events.time.max() <= k * step
        if k:
            np.add.at(counts[k - 1], (events.lane, events.index), 1)
    return counts, batches


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0, 100.0, 500.0, 3000.0])
def test_noise_spikes_as_a_poisson_process_of_the_rate_asked_for(rate):
    counts, batches = spikes(Lanes.of(2), rate)
    mean = rate * 0.02
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / counts.size)
    fano = counts.var() / counts.mean()  # 1 for a Poisson process; of n counts it scatters by sqrt(2 / n)
    assert abs(fano - 1) < 4 * np.sqrt((2 + 1 / mean) / counts.size)
    phase = np.concatenate([batch.time for batch in batches]) % (20 * MS) / (20 * MS)
    assert abs(phase.mean() - 0.5) < 4 * np.sqrt(1 / 12 / phase.size)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_spikes_of_a_lane_of_noise_are_the_same_whoever_is_beside_it(distribution):
    options = {"rate": 80.0, "steps": 30, "shape": (3,), "distribution": distribution}
    _, many = spikes(Lanes.of(3), **options)
    _, single = spikes(Lanes.of(1, first=2), **options)
    for several, one in zip(many, single, strict=True):
        mine = several.select(several.lane == 2)
        for column in ("time", "index", "value"):
            np.testing.assert_array_equal(getattr(mine, column), getattr(one, column))
    assert len({float(x) for batch in many for x in batch.value.ravel()}) > 100  # payloads of their own


def test_a_lane_of_noise_is_the_same_whoever_is_beside_it():
    noise = [Noise(period=MS) for _ in range(2)]
    for one, lanes in zip(noise, (Lanes.of(3), Lanes.of(1, first=2)), strict=True):
        one.outputs = {"x": Port("", (2,))}
        one.build(lanes, 5)
    many, single = (one.step(0, Inputs())["x"] for one in noise)
    assert (many[2] == single[0]).all()


def test_the_replaceable_do_not_listen_but_keep_their_wires():
    """Silence, constants and replays order nothing: they can stand where the component replaced closed a loop."""
    for component in (Silence(), Constant(), Noise(period=MS), Replay("x", "y")):
        for port in (Port("", (2,)), Port("", (), kind="event")):
            adopted = component.adopt("any", port)
            assert not adopted.wakes
            assert adopted.reads != "now"


class Game(Component):
    """Answers an action within the instant, as a turn-based game does."""

    period = 10 * MS

    def __init__(self) -> None:
        self.inputs = {"action": Port("", (2,), reads="now")}
        self.outputs = {"observation": Port("", (2,))}

    def step(self, now, inputs):
        return {"observation": inputs["action"] + 1}


def test_silence_closes_no_loop():
    """In the place of a brain that answers a turn-based game, where anything that listened would make a cycle."""
    loop = loop_of(game=(Game(), {"action": "brain.action"}), brain=(Silence(), {"observation": "game.observation"}))
    loop.run(25 * MS)
    assert loop.peek("game.observation").tolist() == [[1, 1]]
    with pytest.raises(AssemblyError, match="loop without delay"):
        loop_of(game=(Game(), {"action": "brain.action"}), brain=(Noise(), {"observation": "game.observation"}))


@pytest.fixture
def recording(tmp_path):
    """A run of two lanes: the value at 0, 10 and 30 ms, and spikes at 5, 10 and 12 ms."""
    path = tmp_path / "past.zarr"
    recorder = Recorder(path, [Stream("brain", "action", Port("", (2,)), 2),
                               Stream("brain", "spikes", Port("", (0,), kind="event", indices=4), 2),
                               Stream("brain", "loss", Port("", per_lane=False), 2, metric=True)], {})
    for row, now in enumerate((0, 10 * MS, 30 * MS)):
        recorder.tap("brain.action")(now, np.array([[row, 1], [10 + row, 2]], np.float32))
    recorder.tap("brain.spikes")(12 * MS, Events.of([5 * MS, 10 * MS, 12 * MS], [0, 1, 1], [3, 1, 2]))
    recorder.tap("brain.loss")(10 * MS, np.asarray(7.0, np.float32))
    recorder.close()
    return str(path)


def test_replay_plays_signals_at_their_instants(recording):
    listener = Listener(action=Port("", (None,), wakes=True), loss=Port("", (), per_lane=False))
    _, heard = heard_by(Replay(recording, "brain"), {"value": "source.value"}, lanes=2, until=60 * MS,
                        listener=listener)
    assert [(now, value.tolist()) for now, name, value in heard if name == "action"] == [
        (0, [[0, 1], [10, 2]]), (10 * MS, [[1, 1], [11, 2]]), (30 * MS, [[2, 1], [12, 2]])]
    assert [(now, float(value)) for now, name, value in heard if name == "loss"] == [(10 * MS, 7.0)]


def test_replay_spreads_recorded_lanes_and_plays_events(recording):
    _, heard = heard_by(Replay(recording, "brain"), {}, lanes=3, until=40 * MS,
                        listener=Listener(spikes=Port("", (0,), kind="event", indices=4, wakes=True)))
    rows = [(now, batch.time.tolist(), batch.lane.tolist(), batch.index.tolist()) for now, _, batch in heard]
    assert rows == [(5 * MS, [5 * MS] * 2, [0, 2], [3, 3]), (10 * MS, [10 * MS], [1], [1]),
                    (12 * MS, [12 * MS], [1], [2])]
    _, heard = heard_by(Replay(recording, "brain", port="action"), {}, lanes=3, until=5 * MS,
                        listener=Listener(other=Port("", (2,), wakes=True)))
    assert heard[0][2].tolist() == [[0, 1], [10, 2], [0, 1]]


def test_replay_says_what_is_missing(recording, tmp_path):
    def ask(**ports):
        loop_of(middle=(Replay(recording, "brain"), {}),
                listener=(Listener(**ports), {key: f"middle.{key}" for key in ports}))
    with pytest.raises((AssemblyError, RunError), match="action"):
        ask(actoin=Port("", (2,), wakes=True))
    with pytest.raises((AssemblyError, RunError), match="event"):
        ask(action=Port("", (2,), kind="event", wakes=True))
    with pytest.raises(AssemblyError, match="shape"):
        ask(action=Port("", (5,), wakes=True))
    with pytest.raises(RunError, match="no run"):
        Replay(str(tmp_path), "brain")._stream("x", Port(""))


def test_a_loop_with_noise_and_replay_resumes_exactly(recording):
    def make():
        return loop_of(2, noise=(Noise(), {"a": "replay.action"}), replay=(Replay(recording, "brain"), {}),
                       add=(Add(), {"a": "noise.x", "b": "replay.action"}),
                       listener=(Listener(x=Port("", (2,), wakes=True)), {"x": "add.output"}),
                       second=(Listener(y=Port("", (2,), wakes=True), z=Port("", (2,))),
                               {"y": "noise.x", "z": "replay.action"}))
    whole, half, fresh = make(), make(), make()
    whole.run(50 * MS)
    half.run(20 * MS)
    fresh.load(half.save())
    fresh.run(50 * MS)
    assert (fresh.peek("add.output") == whole.peek("add.output")).all()
    assert [row[0] for row in fresh.components["listener"].heard] == [30 * MS]
