"""The recurrent brain of three regions: memory, lesions, stimulation, exploration, weights, and whole sequences."""

import numpy as np
import pytest

from stimloop.components.bodies.point_mass import PointMass
from stimloop.components.brains.modular_rnn import ModularRnn
from stimloop.components.coprocessors.constant import Constant
from stimloop.components.critics.value_mlp import ValueMlp
from stimloop.components.learners.ppo import Ppo
from stimloop.components.links.safety_limiter import SafetyLimiter
from stimloop.components.parts import electrodes, flat_parameters
from stimloop.components.parts.lesions import Lesion, LesionError
from stimloop.components.sensors.electrodes import Electrodes
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.loops.component import Inputs
from stimloop.loops.conformance import check
from stimloop.loops.errors import AssemblyError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.status import FIRST, TERMINATED, WAITING
from stimloop.loops.storage import artifact
from stimloop.loops.system import Part, Source, System

STEP = 20_000_000
SMALL = {"sizes": [6, 5, 4], "density": 0.5, "summary": 8, "hidden": [8]}


def built(lanes=1, seed=0, observation=9, action=6, **params):
    brain = ModularRnn(**params)
    brain.inputs["observation"] = brain.inputs["observation"].sized((observation,))
    if not brain.choices:
        brain.outputs["action"] = brain.outputs["action"].sized((action,))
    brain.infer()
    brain.build(lanes if isinstance(lanes, Lanes) else Lanes.of(lanes), seed)
    brain.reset(seed)
    return brain


def observe(lanes, seed=0):
    return np.random.default_rng(seed).normal(size=(lanes, 9)).astype(np.float32)


def flags(*lanes):
    return np.array(lanes, np.int64)


def ask(brain, now=0, previous=None, new=("observation", "status"), **values):
    values.setdefault("status", flags(*[0] * brain.lanes.count))
    return brain.step(now, Inputs(values, frozenset(new), previous))


def live(brain, ticks, seed=0, **values):
    """Let a brain perceive so many observations; return what it said to each."""
    return [ask(brain, observation=observe(brain.lanes.count, seed + tick), **values) for tick in range(ticks)]


def test_it_answers_within_bounds_and_names_the_region_of_each_neuron():
    brain = built(4)
    out = live(brain, 3)[-1]
    assert out["action"].shape == (4, 6)
    assert out["action"].dtype == out["rates"].dtype == np.float32
    assert out["rates"].shape == (4, 300)
    assert 0 <= out["rates"].min() < out["rates"].max() <= 1
    assert (np.ptp(out["action"], axis=0) > 0).all()
    assert "log_prob" not in out
    region = brain.labels()["neuron"]["region"]
    assert [region[i] for i in (0, 99, 100, 199, 200, 299)] == ["M1", "M1", "F5", "F5", "AIP", "AIP"]


def test_a_lane_s_answer_has_the_same_bits_whoever_runs_beside_it():
    whole = live(built(17, explore=True), 4)[-1]
    for lane in (0, 8, 16):
        alone = built(Lanes.of(1, first=lane), explore=True)
        for tick in range(4):
            got = ask(alone, observation=observe(17, tick)[lane:lane + 1])
        for name in ("action", "rates", "log_prob"):
            np.testing.assert_array_equal(got[name][0], whole[name][lane])


# Lesions


@pytest.mark.parametrize(("count", "dead"), [("truncate", (0, 25, 57, 90, 100)), ("round", (0, 25, 58, 90, 100))])
def test_a_region_s_neurons_are_silenced_by_the_rule_and_at_every_tick(count, dead):
    for fraction, number in zip((0.0, 0.25, 0.58, 0.9, 1.0), dead, strict=True):
        for region, span in (("M1", slice(0, 100)), ("F5", slice(100, 200)), ("AIP", slice(200, 300))):
            brain = built(lesion=Lesion(kind="region", region=region, fraction=fraction, count=count))
            killed = brain.mask == 0
            assert killed.sum() == killed[span].sum() == number
            for tick in range(5):
                current = np.random.default_rng(tick).uniform(-5, 5, (1, 300)).astype(np.float32)
                out = ask(brain, observation=observe(1, tick), current=current)
                assert not out["rates"][0, killed].any()
                assert not brain.memory()["state"][0, killed].any()
                assert (brain.memory()["state"][0, ~killed] != 0).all()


def test_the_same_seed_is_the_same_brain_and_lesion_another_another():
    for lesion in (Lesion(kind="region", region="M1", fraction=0.5), Lesion(kind="connections", source="F5",
                                                                           target="M1", fraction=0.5)):
        one, same, other = (built(seed=seed, lesion=lesion) for seed in (0, 0, 1))
        hashes = [artifact.content_hash(brain.state_dict()["learned"]) for brain in (one, same, other)]
        assert hashes[0] == hashes[1] != hashes[2]
        np.testing.assert_array_equal(one.mask, same.mask)
        assert (one.mask != other.mask).any()


def varies(brain, ticks=6):
    """Return by how much actions of many lanes differ that perceive different things."""
    return np.ptp(live(brain, ticks)[-1]["action"], axis=0).max()


def test_without_aip_a_strict_brain_is_blind():
    lesion = Lesion(kind="region", region="AIP")
    assert varies(built(100, lesion=lesion)) == 0  # variance over 100 random observations
    assert varies(built(100)) > 1e-5
    assert varies(built(100, lesion=lesion, anatomy="compat")) > 1e-5  # there the input enters M1 and F5


def test_cut_off_from_f5_m1_does_not_know_what_is_seen():
    assert varies(built(100, lesion=Lesion(kind="connections", source="F5", target="M1"))) == 0
    assert varies(built(100, lesion=Lesion(kind="connections", source="M1", target="F5"))) > 1e-5
    brain = built(lesion=Lesion(kind="weights", fraction=0.25))
    assert (brain.mask == 0).sum() == 22_500  # of 300 x 300 entries of J
    assert varies(built(100, lesion=Lesion(kind="weights"))) == 0


def test_without_m1_no_stimulus_and_nothing_seen_changes_an_action():
    brain = built(50, lesion=Lesion(kind="region", region="M1"))
    arrays = brain.network.arrays
    hidden = arrays["summary/bias"]
    for layer in ("layer1", "layer2"):
        hidden = np.maximum(arrays[f"{layer}/weight"] @ hidden + arrays[f"{layer}/bias"], 0)
    bias_alone = np.tanh(arrays["mean/weight"] @ hidden + arrays["mean/bias"])
    for tick in range(5):
        current = np.random.default_rng(tick).uniform(-5, 5, (50, 300)).astype(np.float32)
        action = ask(brain, observation=observe(50, tick), current=current)["action"]
        np.testing.assert_array_equal(action, action[:1].repeat(50, axis=0))
        np.testing.assert_allclose(action[0], bias_alone, atol=1e-5)


def test_an_injury_to_come_leaves_the_brain_healthy_lane_by_lane():
    for lesion in (Lesion(kind="region", region="M1", fraction=0.9), Lesion(kind="connections", source="F5",
                                                                           target="M1")):
        brain, healthy, ill = built(2, lesion=lesion), built(2), built(2, lesion=lesion)
        for tick in range(4):
            seen, now = observe(2, tick), np.array([0, 1], np.float32)
            got = ask(brain, observation=seen, injury=now)["rates"]
            np.testing.assert_array_equal(got[0], ask(healthy, observation=seen)["rates"][0])
            np.testing.assert_array_equal(got[1], ask(ill, observation=seen)["rates"][1])
        struck = ask(brain, observation=observe(2, 9), injury=np.ones(2, np.float32))["rates"]
        if lesion.of_neurons:
            assert not struck[:, brain.mask == 0].any()  # in the middle of an episode, at once


def test_a_region_that_there_is_not_is_refused():
    with pytest.raises(LesionError, match=r"V1.*its regions are M1, F5, AIP"):
        built(lesion=Lesion(kind="region", region="V1"))


# Stimulation


def isolated(**params):
    """A brain whose neurons hear each other not, nor anything else but a current."""
    brain = built(**params)
    brain.network.set({name: np.zeros_like(brain.network.arrays[name])
                       for name in ("recurrent/weight", "recurrent/bias", "input/weight")})
    return brain


def test_a_held_stimulus_draws_an_isolated_neuron_to_itself_in_ten_ticks():
    brain, weights = isolated(), electrodes.array(2, 300, "even", None, None, 0.1, [0, 100], 0)
    assert weights.argmax(axis=0).tolist() == [33, 67]
    current = electrodes.spread_out(weights, np.array([[2.0, -3.0]], np.float32))
    states = []
    for _ in range(100):
        ask(brain, observation=observe(1), current=current)
        states.append(brain.memory()["state"][0])
    course = np.array(states)  # [ticks, neurons]
    for neuron, stimulus in ((33, 2.0), (67, -3.0)):
        np.testing.assert_allclose(course[:, neuron], stimulus * (1 - 0.9 ** np.arange(1, 101)), rtol=1e-4)
        assert abs(1 + int(np.argmax(course[:, neuron] / stimulus >= 0.63)) - 10) <= 1
    assert course[0, 67] == pytest.approx(-0.3)  # a tenth of the stimulus per tick
    assert np.abs(np.delete(course, (33, 67), axis=1)).max() < 1e-6


@pytest.mark.parametrize("lose_first", [False, True])
def test_an_episode_s_first_stimulus_acts_unless_it_is_lost_as_published(lose_first):
    stimulator = ElectrodeField(channels=2, span=[0, 100], lose_first=lose_first)
    stimulator.outputs["current"] = stimulator.outputs["current"].sized((300,))
    stimulator.build(Lanes.of(1), 0)
    brain, calm, rates = built(), built(), []
    for tick in range(3):
        status = flags(FIRST if tick == 0 else 0)
        given = Inputs({"command": np.array([[5, 5]], np.float32), "status": status}, frozenset(["command", "status"]),
                       tick * STEP - STEP if tick else None)
        current = stimulator.step(tick * STEP, given)["current"]
        seen = observe(1, tick)
        rates.append((ask(brain, observation=seen, status=status, current=current)["rates"]
                      != ask(calm, observation=seen, status=status)["rates"]).any())
    assert rates == [not lose_first, True, True]


def test_rows_of_current_act_by_their_average():
    rows = [(0, np.zeros((1, 300), np.float32)), (STEP + 1_000_000, np.full((1, 300), 4, np.float32)),
            (STEP + 6_000_000, np.full((1, 300), -1, np.float32))]
    got = ask(built(), now=2 * STEP, previous=STEP, observation=observe(1), current=rows)["rates"]
    mean = np.full((1, 300), (0 * 1 + 4 * 5 - 1 * 14) / 20, np.float32)
    np.testing.assert_allclose(got, ask(built(), observation=observe(1), current=mean)["rates"], atol=1e-6)


def patient(command, **params):
    """A whole loop: a point is moved by the brain, whose M1 is stimulated through the limiter."""
    made = {"body": Part(lambda: PointMass(max_steps=9), {"action": Source.of("brain.action")}),
            "brain": Part(lambda: ModularRnn(**params), {name: Source.of(source) for name, source in (
                ("observation", "body.observation"), ("status", "body.status"), ("current", "stimulator.current"))}),
            "coprocessor": Part(lambda: Constant(command=command), {"observation": Source.of("body.observation"),
                                                                   "status": Source.of("body.status")}),
            "limiter": Part(lambda: SafetyLimiter(peak=5), {"command": Source.of("coprocessor.command"),
                                                           "status": Source.of("body.status")}),
            "stimulator": Part(lambda: ElectrodeField(channels=2, span=[0, 100], spread=1.75, may_be_dead=True),
                               {"command": Source.of("limiter.command")})}
    return Loop(System(made, lanes=2))


def traced(loop, until, names=("brain.action", "body.reward")):
    told = {name: [] for name in names}
    for name in names:
        loop.tap(name, lambda now, value, name=name: told[name].append(value.copy()))
    loop.run(until)
    return {name: np.array(rows) for name, rows in told.items()}


def test_with_m1_dead_every_stimulus_leads_to_the_same_life_otherwise_to_others():
    for lesion, same in ((Lesion(kind="region", region="M1"), True), (Lesion(kind="region", region="F5"), False)):
        lives = []
        for command in ([0.0, 0.0], [5.0, 5.0], [-5.0, 3.0]):
            with patient(command, lesion=lesion) as loop:
                lives.append(traced(loop, 25 * STEP))
        assert len(lives[0]["body.reward"]) == 25
        for name in lives[0]:
            for other in lives[1:]:
                assert np.array_equal(lives[0][name], other[name]) == same


def test_a_stimulated_loop_goes_on_exactly_where_it_was_saved():
    params = {"command": [4.0, 2.0], "explore": True, "lesion": Lesion(kind="region", region="M1", fraction=0.5)}
    with patient(**params) as whole, patient(**params) as first, patient(**params) as rest:
        expected = traced(whole, 25 * STEP)
        first.run(13 * STEP)
        rest.load(first.save())
        found = traced(rest, 25 * STEP)
    for name, rows in found.items():
        np.testing.assert_array_equal(rows, expected[name][13:])


def test_a_patient_whose_electrodes_reach_nobody_is_refused_and_a_sensor_hears_its_regions():
    made = {"body": Part(PointMass, {"action": Source.of("brain.action")}),
            "brain": Part(lambda: ModularRnn(lesion=Lesion(kind="region", region="M1")), {
                "observation": Source.of("body.observation"), "status": Source.of("body.status"),
                "current": Source.of("stimulator.current")}),
            "limiter": Part(lambda: SafetyLimiter(peak=5), {"command": Source.of("coprocessor.command"),
                                                           "status": Source.of("body.status")}),
            "coprocessor": Part(lambda: Constant(command=[1.0, 1.0]), {"observation": Source.of("body.observation"),
                                                                      "status": Source.of("body.status")}),
            "sensor": Part(lambda: Electrodes(channels=3, period=STEP), {"rates": Source.of("brain.rates")}),
            "stimulator": Part(lambda: ElectrodeField(span=[0, 100]), {"command": Source.of("limiter.command")})}
    with pytest.raises(AssemblyError, match="no electrode reaches a neuron that lives"):
        Loop(System(made))
    made["stimulator"] = Part(lambda: ElectrodeField(span=[100, 200]), {"command": Source.of("limiter.command")})
    with Loop(System(made)) as loop:
        assert loop.components["sensor"].labels()["electrode"]["region"] == ["M1"] * 3 + ["F5"] * 3 + ["AIP"] * 3
        loop.run(3 * STEP)


# Memory and time


def test_an_episode_begins_at_the_learned_state_and_the_other_lane_goes_on():
    brain = built(2)
    brain.network.set({"start/state": np.linspace(-1, 1, 300, dtype=np.float32)})
    live(brain, 5)
    kept = brain.memory()["state"][1:]
    out = ask(brain, observation=observe(2, 7), status=flags(FIRST, 0))
    anew, on = built(2), built(2)
    for other in (anew, on):
        other.network.set({"start/state": brain.network.arrays["start/state"]})
    expected = ask(anew, observation=observe(2, 7))
    np.testing.assert_array_equal(out["rates"][0], expected["rates"][0])
    said, _ = on.respond({"observation": observe(2, 7)[1:]}, {"state": kept, "fresh": np.zeros(1, bool)})
    np.testing.assert_array_equal(out["rates"][1], said["rates"][0])
    assert (out["rates"][1] != expected["rates"][1]).any()


def test_a_biophysical_brain_never_forgets_unless_it_is_told_to():
    never, first = built(2, forget="never"), built(2)
    assert never.inputs["status"].optional
    assert not first.inputs["status"].optional  # without it no episode would ever begin anew
    for brain in (never, first):
        live(brain, 5)
    went = {brain: ask(brain, observation=observe(2, 9), status=flags(FIRST, FIRST))["rates"]
            for brain in (never, first)}
    assert (went[never] != went[first]).any()
    np.testing.assert_array_equal(went[first], ask(built(2), observation=observe(2, 9))["rates"])
    told = ask(never, observation=observe(2, 3), new=("observation", "forget"),
               forget=Events.of([0], [1], [0], np.zeros((1, 0), np.float32)))["rates"]
    np.testing.assert_array_equal(told[1], ask(built(2), observation=observe(2, 3))["rates"][1])
    assert (told[0] != ask(built(2), observation=observe(2, 3))["rates"][0]).any()
    again = ask(never, observation=observe(2, 3), new=("forget",),  # between two decisions: it answers the last anew
                forget=Events.of([0], [0], [0], np.zeros((1, 0), np.float32)))["rates"]
    np.testing.assert_array_equal(again[0], ask(built(2), observation=observe(2, 3))["rates"][0])
    np.testing.assert_array_equal(again[1], told[1])
    assert never.memory()["fresh"].tolist() == [True, False]


def test_a_flag_that_is_not_new_does_not_act_again():
    brain, twin = built(), built()
    for tick in range(4):
        got = ask(brain, observation=observe(1, tick), status=flags(FIRST),
                  new=("observation", "status") if tick == 0 else ("observation",))
        np.testing.assert_array_equal(got["rates"], ask(twin, observation=observe(1, tick))["rates"])


def test_of_rows_of_status_a_beginning_heard_before_is_not_heard_again():
    brain, twin = built(period=STEP), built(period=STEP)
    for tick in range(1, 4):
        now, old = tick * STEP, (tick - 1) * STEP
        rows = {1: [(0, flags(FIRST))], 2: [(5, flags(FIRST)), (old + 3, flags(0))], 3: [(old - 2, flags(0))]}[tick]
        got = ask(brain, now, old, observation=observe(1, tick), status=rows, new=("observation", "status"))
        same = ask(twin, now, old, observation=observe(1, tick))
        np.testing.assert_array_equal(got["rates"], same["rates"])
    rows = [(0, flags(0)), (3 * STEP + 5, flags(FIRST)), (4 * STEP - 5, flags(0))]
    got = ask(brain, 4 * STEP, 3 * STEP, observation=observe(1, 8), status=rows)
    assert (got["rates"] != ask(twin, 4 * STEP, 3 * STEP, observation=observe(1, 8))["rates"]).any()


def test_woken_by_a_current_it_answers_the_same_question_again_and_remembers_nothing_of_it():
    brain, twin = (built(explore=True, wake_on_current=True) for _ in range(2))
    assert brain.inputs["current"].wakes
    calm, strong = np.zeros((1, 300), np.float32), np.full((1, 300), 3, np.float32)
    for other in (brain, twin):
        live(other, 3, current=calm)
    before = brain.memory()
    first = ask(brain, observation=observe(1, 5), current=calm)
    kept = brain.memory()
    assert (kept["state"] != before["state"]).any()
    again = ask(brain, observation=observe(1, 5), current=calm, new=("current",))
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    moved = ask(brain, observation=observe(1, 5), current=strong, new=("current",))
    np.testing.assert_array_equal(moved["action"], ask(twin, observation=observe(1, 5), current=strong)["action"])
    assert (moved["action"] != first["action"]).any()
    np.testing.assert_array_equal(brain.memory()["state"], kept["state"])


def test_with_a_period_it_ticks_on_its_grid_whatever_it_sees():
    brain = built(period=STEP, explore=True)
    assert not brain.inputs["observation"].wakes
    assert brain.next_wake(STEP + 1) == 2 * STEP
    states, actions = [], []
    for now in (STEP, STEP + 7, 2 * STEP):  # the second is off the grid: woken by something else
        actions.append(ask(brain, now, observation=observe(1), new=())["action"])
        states.append(brain.memory()["state"])
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(actions[0], actions[1])
    assert (states[1] != states[2]).any()
    assert (actions[1] != actions[2]).any()


@pytest.mark.parametrize("asleep", [WAITING, TERMINATED, 4])
def test_lanes_where_nobody_acts_are_frozen(asleep):
    brain, twin = built(2, explore=True), built(2, explore=True)
    for other in (brain, twin):
        live(other, 2)
    kept = brain.memory()["state"]
    for tick in range(3):
        out = ask(brain, observation=observe(2, 20 + tick), status=flags(0, asleep))
        assert not out["action"][1].any()
        assert out["log_prob"][1] == 0
        assert out["action"][0].all()
        np.testing.assert_array_equal(brain.memory()["state"][1], kept[1])
    woken = ask(brain, observation=observe(2, 9), status=flags(0, 0), new=("observation", "status"))
    np.testing.assert_array_equal(woken["action"][1], ask(twin, observation=observe(2, 9))["action"][1])


def test_a_lane_that_waits_from_the_start_begins_when_it_is_woken():
    brain, twin = built(2), built(2)
    for _ in range(3):
        ask(brain, observation=observe(2, 1), status=flags(0, WAITING))
    assert brain.memory()["fresh"].tolist() == [False, True]
    woken = ask(brain, observation=observe(2, 5), status=flags(0, 0))
    np.testing.assert_array_equal(woken["rates"][1], ask(twin, observation=observe(2, 5))["rates"][1])


# What learners ask


def test_the_chances_of_what_was_drawn_are_those_that_evaluate_says():
    pytest.importorskip("torch")
    lesion = Lesion(kind="region", region="F5", fraction=0.5)
    for params in ({}, {"head": "categorical", "choices": 4}):
        brain = built(16, explore=True, lesion=lesion, **params)
        live(brain, 3)
        given = {"observation": observe(16, 5), "injury": np.arange(16, dtype=np.float32) % 2,
                 "current": np.random.default_rng(1).normal(size=(16, 300)).astype(np.float32)}
        memory = brain.memory()
        out = ask(brain, **given)
        log_prob, entropy = brain.evaluate(given, out["action"], memory)
        np.testing.assert_allclose(log_prob.detach().numpy(), out["log_prob"], atol=1e-4)
        assert entropy.shape == (16,)
        (log_prob.sum() + entropy.sum()).backward()
        reached = [p for p in brain.parameters() if p.grad is not None and bool((p.grad != 0).any())]
        # hold is not wired, nobody begins, and what AIP sees now reaches M1 two ticks later
        assert len(reached) == len(brain.parameters()) - 3
        anew = brain.evaluate(given, out["action"])[0].detach().numpy()
        assert abs(anew - out["log_prob"]).max() > 1e-3  # the memory belongs to the question


def sequence(brain, batch, time, seed=0):
    rng = np.random.default_rng(seed)
    return {"observation": rng.normal(size=(batch, time, 9)).astype(np.float32),
            "current": rng.normal(size=(batch, time, 15)).astype(np.float32),
            "hold": rng.normal(size=(batch, time)).astype(np.float32),
            "injury": (rng.random((batch, time)) < 0.5).astype(np.float32),
            "noise": rng.normal(size=(batch, time, 6)).astype(np.float32),
            "status": rng.choice([0, 0, 0, FIRST, TERMINATED, WAITING], size=(batch, time))}


@pytest.mark.parametrize("kind", ["region", "connections"])
def test_a_whole_sequence_is_answered_as_tick_by_tick(kind):
    torch = pytest.importorskip("torch")
    lesion = Lesion(kind=kind, **({"region": "F5"} if kind == "region" else {"source": "F5", "target": "M1"}))
    brain = built(3, lesion=lesion, explore=True, **SMALL)
    brain.network.set({"start/state": np.linspace(-1, 1, 15, dtype=np.float32)})
    given, memory = sequence(brain, 3, 8), {**brain.new_memory(3), "fresh": np.array([True, False, True])}
    first = (given["status"] & FIRST) != 0
    told, after = brain.respond_sequence(given, memory, first=first)
    brain._memory = {name: part.copy() for name, part in memory.items()}
    for tick in range(8):
        brain.exploration.draw = lambda status, tick=tick: setattr(brain.exploration, "noise", given["noise"][:, tick])
        now = {name: value[:, tick] for name, value in given.items() if name != "noise"}
        out = ask(brain, new=("observation", "status"), **now)
        for name in ("action", "rates", "log_prob"):
            np.testing.assert_allclose(told[name][:, tick], out[name], atol=1e-6)
    for name, part in brain.memory().items():
        np.testing.assert_array_equal(after[name], part)
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    theirs, their_memory = brain.respond_sequence(tensors, memory, first=torch.from_numpy(first))
    for name in ("action", "rates", "log_prob"):
        np.testing.assert_allclose(theirs[name].detach().numpy(), told[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(their_memory["state"].detach().numpy(), after["state"], atol=1e-5)
    awake = {name: value for name, value in given.items() if name != "status"}
    told, _ = brain.respond_sequence(awake, memory, first=first)
    log_prob, entropy = brain.evaluate_sequence(awake, told["action"], memory, first=first)
    np.testing.assert_allclose(log_prob.detach().numpy(), told["log_prob"], atol=1e-4)
    assert entropy.shape == (3, 8)


def test_a_sequence_teaches_the_state_that_episodes_begin_at_and_is_cut_where_asked():
    torch = pytest.importorskip("torch")
    brain = built()
    seen = torch.from_numpy(sequence(brain, 2, 7)["observation"]).requires_grad_()
    for truncate, reached in ((0, [0, 1, 2, 3, 4]), (4, [4])):  # through F5, M1 hears of it two ticks later
        told, _ = brain.respond_sequence({"observation": seen}, truncate=truncate)
        seen.grad = None
        told["action"][:, -1].sum().backward()
        assert np.flatnonzero(seen.grad.abs().sum(dim=(0, 2))).tolist() == reached
    start = brain.network.parameters()["start/state"]
    assert bool((start.grad != 0).any())


@pytest.mark.parametrize("anatomy", ["strict", "compat"])
def test_it_learns_to_remember_a_cue_that_is_gone_and_f5_is_needed_for_it(anatomy):
    """The cue, +1 or -1, is there for three ticks; from the seventh to the last the action is to be 0.8 times it."""
    torch = pytest.importorskip("torch")
    params = {"sizes": [20, 20, 20], "density": 0.3, "summary": 16, "hidden": [16], "observation": 2, "action": 1,
              "anatomy": anatomy}
    brain, generator = built(2, **params), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(brain.parameters(), lr=1e-2)

    def shown(cue):
        seen = torch.zeros(len(cue), 12, 2)
        seen[:, :3, 0], seen[:, :, 1] = 3 * cue, 1
        return seen

    for _ in range(150):
        cue = torch.randint(0, 2, (16, 1), generator=generator) * 2.0 - 1
        told, _ = brain.respond_sequence({"observation": shown(cue)})
        loss = (told["action"][:, 6:, 0] - 0.8 * cue).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    patient = built(2, **params, lesion=Lesion(kind="region", region="F5"))
    patient.load_state_dict({"learned": brain.state_dict()["learned"]})
    seen = shown(torch.tensor([[1.0], [-1.0]])).numpy()
    for one in (brain, patient):
        acted = np.array([ask(one, observation=seen[:, tick])["action"][:, 0] for tick in range(12)])[6:]
        missed = np.abs(acted - [0.8, -0.8]).max()
        assert missed < 0.1 if one is brain else missed > 0.5  # who knows nothing of the cue misses one by 0.8


def test_many_what_ifs_may_be_asked_of_one_memory():
    brain = built()
    live(brain, 4)
    memory, seen = brain.memory(), observe(1, 7)
    currents = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    told, _ = brain.respond({"observation": seen.repeat(40, axis=0), "current": currents}, memory)
    assert (np.ptp(told["action"], axis=0) > 0).all()
    out = ask(brain, observation=seen, current=currents[3:4])
    np.testing.assert_array_equal(told["action"][3], out["action"][0])


def test_a_learner_that_keeps_no_memory_refuses_to_teach_it():
    pytest.importorskip("torch")
    parts = {"body": Part(PointMass, {"action": Source.of("brain.action")}),
             "brain": Part(lambda: ModularRnn(explore=True, **SMALL),
                           {"observation": Source.of("body.observation"), "status": Source.of("body.status")}),
             "value": Part(lambda: ValueMlp(hidden=[8]), {"observation": Source.of("body.observation")}),
             "learner": Part(lambda: Ppo(n_steps=8), {name: Source.of(f"body.{name}") for name in
                                                      ("observation", "reward", "status")}
                             | {"action": Source.of("brain.action"), "log_prob": Source.of("brain.log_prob")},
                             {"policy": "brain", "value": "value"})}
    with pytest.raises(AssemblyError, match="remembers"):
        Loop(System(parts))


# Weights and state


def test_weights_come_from_an_artifact_of_the_same_meaning(tmp_path):
    path = str(tmp_path / "healthy.safetensors")
    healthy = built(seed=5, **SMALL)
    artifact.save(path, healthy, "brains.modular_rnn")
    patient = built(4, seed=9, weights=path, lesion=Lesion(kind="region", region="M1", fraction=0.5), **SMALL)
    assert (patient.mask == 0).sum() == 3
    for name, array in healthy.network.arrays.items():
        np.testing.assert_array_equal(patient.network.arrays[name], array)
    with pytest.raises(AssemblyError, match="anatomy"):
        built(weights=path, anatomy="compat", **SMALL)
    with pytest.raises(AssemblyError, match=r"leak 0\.1, here it is 0\.2"):
        built(weights=path, leak=0.2, **SMALL)
    with pytest.raises(AssemblyError, match=r"sizes 6, 5, 4, here it is 5, 6, 4|is \("):
        built(weights=path, **{**SMALL, "sizes": [5, 6, 4]})


def test_learned_arrives_as_one_vector_and_acts_at_once():
    for lesion in (None, Lesion(kind="region", region="F5", fraction=0.5), Lesion(kind="weights", fraction=0.5)):
        for anatomy in ("strict", "compat"):
            teacher, pupil = (built(seed=seed, lesion=lesion, anatomy=anatomy, **SMALL) for seed in (1, 2))
            vector = flat_parameters.flatten(teacher.state_dict()["learned"])
            assert pupil.inputs["learned"].shape == vector.shape
            out = ask(pupil, observation=observe(1), learned=vector, new=("observation", "learned"))
            np.testing.assert_array_equal(out["action"], ask(teacher, observation=observe(1))["action"])


@pytest.mark.parametrize("params", [
    {"explore": True}, {"forget": "never"}, {"period": STEP}, {"wake_on_current": True},
    {"anatomy": "compat", "lesion": Lesion(kind="region", region="F5", fraction=0.5)},
    {"lesion": Lesion(kind="connections", source="F5", target="M1")}, {"choices": 3, "explore": True}])
def test_it_conforms_and_resumes_however_it_is_set(params):
    report = check(lambda: ModularRnn(**{**SMALL, **params}), folder="brains", examples=3, seconds=1.0)
    assert report.ok, report.text()


def test_sizes_that_make_no_brain_are_refused():
    for params in ({"sizes": [3, 3]}, {"sizes": [3, 0, 3]}, {"hidden": []}):
        with pytest.raises(AssemblyError):
            ModularRnn(**params)
