"""The feed-forward brain: answers, lesions, stimulation, exploration, weights, and its part in an instant."""

import numpy as np
import pytest

from stimloop.components.brains.mlp import Mlp
from stimloop.components.parts import flat_parameters
from stimloop.components.parts.lesions import Lesion
from stimloop.components.protocols.schedule import Entry, Schedule
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError, PortError
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, WAITING
from stimloop.loops.storage import artifact
from stimloop.loops.system import Part, Source, System

STEP = 20_000_000


def built(lanes=1, seed=0, observation=9, action=6, **params):
    brain = Mlp(**{"hidden": [32, 32], **params})
    brain.inputs["observation"] = brain.inputs["observation"].sized((observation,))
    if not brain.choices:
        brain.outputs["action"] = brain.outputs["action"].sized((action,))
    brain.infer()
    brain.build(lanes if isinstance(lanes, Lanes) else Lanes.of(lanes), seed)
    brain.reset(seed)
    return brain


def observe(lanes, seed=0):
    return np.random.default_rng(seed).normal(size=(lanes, 9)).astype(np.float32)


def ask(brain, now=0, previous=None, new=("observation",), **values):
    return brain.step(now, Inputs(values, frozenset(new), previous))


def test_answers_are_bounded_and_depend_on_what_is_seen():
    brain = built(4)
    out = ask(brain, observation=observe(4) * 100)
    assert out["action"].shape == (4, 6)
    assert out["action"].dtype == np.float32
    assert (abs(out["action"]) <= 1).all()
    assert out["rates"].shape == (4, 32)
    assert "log_prob" not in out
    assert (np.ptp(out["action"], axis=0) > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("explore", [False, True])
def test_numbers_too_large_for_its_weights_are_no_warnings_of_a_library(explore):
    brain = built(64, explore=explore)
    out = ask(brain, observation=np.sign(observe(64)) * np.float32(3e38), status=np.zeros(64, np.int64))
    assert not np.isfinite(out["rates"]).all(), "the loop refuses it, and names port and lane"


def test_a_lane_s_action_has_the_same_bits_whoever_runs_beside_it():
    whole = ask(built(17, explore=True), observation=observe(17), status=np.zeros(17, np.int64))["action"]
    for lane in (0, 8, 16):
        alone = built(Lanes.of(1, first=lane), explore=True)
        got = ask(alone, observation=observe(17)[lane:lane + 1], status=np.zeros(1, np.int64))["action"]
        np.testing.assert_array_equal(got[0], whole[lane])


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.58, 0.9, 1.0])
def test_a_lesion_of_weights_silences_so_many_connections_and_no_bias(fraction):
    brain, healthy = built(lesion=Lesion(fraction=fraction)), built()
    assert (brain.mask == 0).sum() == int(fraction * 32 * 32)
    saved, other = brain.state_dict()["learned"], healthy.state_dict()["learned"]
    np.testing.assert_array_equal(saved["layer2"]["bias"], other["layer2"]["bias"])
    a = brain.network.arrays
    seen = observe(1)
    h1 = np.maximum(seen @ a["layer1/weight"].T + a["layer1/bias"], 0)
    h2 = np.maximum(h1 @ (a["layer2/weight"] * brain.mask).T + a["layer2/bias"], 0)
    np.testing.assert_allclose(ask(brain, observation=seen)["rates"], h2, atol=1e-6)
    if fraction == 0:
        np.testing.assert_array_equal(ask(brain, observation=seen)["action"], ask(healthy, observation=seen)["action"])


def test_a_whole_lesion_makes_the_action_blind_but_not_deaf_to_current():
    brain = built(100, lesion=Lesion(fraction=1.0))
    blind = ask(brain, observation=observe(100))["action"]
    assert (np.ptp(blind, axis=0) == 0).all()
    current = np.zeros((100, 32), np.float32)
    current[:, 3] = 5
    moved = ask(brain, observation=observe(100), current=current)["action"]
    assert (moved != blind).any()


def test_current_is_added_after_the_layer_s_activation():
    brain = built()
    current = np.full((1, 32), -2, np.float32)
    rates = ask(brain, observation=observe(1))["rates"]
    stimulated = ask(brain, observation=observe(1), current=current)["rates"]
    np.testing.assert_allclose(stimulated, rates - 2, atol=1e-6)
    assert (stimulated < 0).any()  # an electrode can push activity below what a neuron could do itself


def test_dead_neurons_are_silent_at_every_tick_and_cannot_be_stimulated():
    brain = built(lesion=Lesion(kind="neurons", fraction=0.58))
    dead = brain.mask == 0
    assert dead.sum() == 18  # int(0.58 * 32)
    for tick in range(20):
        current = np.random.default_rng(tick).normal(size=(1, 32)).astype(np.float32) * 5
        rates = ask(brain, observation=observe(1, tick), current=current)["rates"]
        assert (rates[0, dead] == 0).all()
        assert (rates[0, ~dead] != 0).all()


def test_with_every_neuron_dead_no_stimulus_changes_anything():
    brain = built(lesion=Lesion(kind="neurons"))
    calm = ask(brain, observation=observe(1))["action"]
    for seed in range(5):
        current = np.random.default_rng(seed).uniform(-5, 5, (1, 32)).astype(np.float32)
        np.testing.assert_array_equal(ask(brain, observation=observe(1, seed), current=current)["action"], calm)


def test_an_injury_to_come_leaves_the_brain_healthy_lane_by_lane():
    brain, healthy = built(3, lesion=Lesion(fraction=0.9)), built(3)
    seen = observe(3)
    well, ill = ask(healthy, observation=seen)["action"], ask(brain, observation=seen)["action"]
    none = ask(brain, observation=seen, injury=np.zeros(3, np.float32))["action"]
    np.testing.assert_array_equal(none, well)
    np.testing.assert_array_equal(ask(brain, observation=seen, injury=np.ones(3, np.float32))["action"], ill)
    mixed = ask(brain, observation=seen, injury=np.array([0, 1, 0], np.float32))["action"]
    np.testing.assert_array_equal(mixed, np.stack([well[0], ill[1], well[2]]))


def test_the_same_seed_is_the_same_brain_and_the_same_lesion():
    lesion = Lesion(fraction=0.5)
    one, same, other = built(lesion=lesion), built(lesion=lesion), built(seed=1, lesion=lesion)
    np.testing.assert_array_equal(one.mask, same.mask)
    assert (one.mask != other.mask).any()
    assert artifact.content_hash(one.state_dict()["learned"]) == artifact.content_hash(same.state_dict()["learned"])
    np.testing.assert_array_equal(built(seed=1, lesion=Lesion(fraction=0.5, seed=7)).mask,
                                  built(seed=2, lesion=Lesion(fraction=0.5, seed=7)).mask)


def test_lanes_where_nobody_acts_are_still_and_draw_nothing():
    brain, twin = (built(2, explore=True) for _ in range(2))
    asleep = np.array([0, WAITING], np.int64)
    for tick in range(5):
        out = ask(brain, observation=observe(2, tick), status=asleep)
        assert (out["action"][1] == 0).all()
        assert out["log_prob"][1] == 0
        assert (out["action"][0] != 0).all()
    for ended in (TERMINATED, 4):
        out = ask(brain, observation=observe(2), status=np.array([0, ended], np.int64))
        assert (out["action"][1] == 0).all()
    # awake for the first time after seven sleeping ticks, it draws what its twin draws at once
    woken = ask(brain, observation=observe(2), status=np.array([0, FIRST], np.int64))["action"][1]
    np.testing.assert_array_equal(woken, ask(twin, observation=observe(2), status=np.zeros(2, np.int64))["action"][1])


def test_an_end_that_begins_anew_at_once_is_no_rest():
    out = ask(built(1), observation=observe(1), status=np.array([TERMINATED | FIRST]))
    assert (out["action"] != 0).all()


def test_woken_by_anything_else_it_answers_again_with_the_same_noise():
    brain = built(1, explore=True, wake_on_current=True)
    assert brain.inputs["current"].wakes
    first = ask(brain, observation=observe(1), current=np.zeros((1, 32), np.float32))
    again = ask(brain, observation=observe(1), current=np.zeros((1, 32), np.float32), new=("current",))
    np.testing.assert_array_equal(first["action"], again["action"])
    fresh = ask(brain, observation=observe(1), current=np.zeros((1, 32), np.float32))
    assert (fresh["action"] != first["action"]).all()


def test_with_a_period_every_step_is_a_decision():
    brain = built(1, explore=True, period=STEP)
    assert not brain.inputs["observation"].wakes
    assert brain.next_wake(STEP + 1) == 2 * STEP
    one, two = (ask(brain, observation=observe(1), new=())["action"] for _ in range(2))
    assert (one != two).any()


def test_with_a_period_a_current_between_two_decisions_draws_nothing():
    brain = built(1, explore=True, period=STEP, wake_on_current=True)
    one, again, other = (ask(brain, now=now, observation=observe(1), new=("current",))["action"]
                         for now in (STEP, STEP + 5, 2 * STEP))
    np.testing.assert_array_equal(one, again)
    assert (other != one).any()


def test_random_first_steps_are_uniform_and_counted_over_all_lanes():
    brain = built(50, explore=True, random_steps=1000)
    actions = [ask(brain, observation=observe(50), status=np.zeros(50, np.int64)) for _ in range(22)]
    wild = np.concatenate([out["action"] for out in actions[:20]])
    np.testing.assert_allclose(wild.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose((wild**2).mean(axis=0), 1 / 3, atol=0.05)
    np.testing.assert_allclose(actions[19]["log_prob"], -6 * np.log(2), rtol=1e-6)
    assert (abs(actions[20]["log_prob"] + 6 * np.log(2)) > 1e-3).all()


def test_log_prob_of_what_was_sampled_is_what_evaluate_says():
    torch = pytest.importorskip("torch")
    for params in ({}, {"head": "categorical", "choices": 4}):
        brain = built(64, explore=True, **params)
        seen = observe(64)
        out = ask(brain, observation=seen)
        log_prob, entropy = brain.evaluate({"observation": seen}, out["action"])
        np.testing.assert_allclose(log_prob.detach().numpy(), out["log_prob"], atol=1e-4)
        assert entropy.shape == (64,)
        (log_prob.sum() + entropy.sum()).backward()
        assert any(p.grad is not None and (p.grad != 0).any() for p in brain.parameters())
        assert isinstance(log_prob, torch.Tensor)


@pytest.mark.parametrize("injury", [None, 1, "mixed"])
@pytest.mark.parametrize("params", [{}, {"head": "categorical", "choices": 4}])
def test_a_stimulated_or_injured_brain_evaluates_what_it_sampled(injury, params):
    pytest.importorskip("torch")
    brain = built(64, explore=True, lesion=Lesion(fraction=0.9), **params)
    given = {"observation": observe(64), "current": 3 * np.random.default_rng(1).random((64, 32), np.float32)}
    if injury is not None:
        given["injury"] = np.ones(64, np.float32) if injury == 1 else np.arange(64, dtype=np.float32) % 2
    out = ask(brain, **given)
    np.testing.assert_allclose(brain.evaluate(given, out["action"])[0].detach().numpy(), out["log_prob"], atol=1e-4)
    for name in given.keys() - {"observation"}:
        less = {key: value for key, value in given.items() if key != name}
        changed = brain.evaluate(less, out["action"])[0].detach().numpy() - out["log_prob"]
        assert abs(changed).max() > 1e-3 or (name, injury) == ("injury", 1)  # wholly injured: as without the input


def test_respond_is_pure_and_gives_gradients_to_tensors():
    torch = pytest.importorskip("torch")
    brain = built(1, lesion=Lesion(fraction=0.5))
    before = artifact.content_hash(brain.state_dict()["learned"])
    seen = observe(300)  # more rows than lanes: what-if questions
    answer, memory = brain.respond({"observation": seen}, brain.memory())
    assert memory is None
    np.testing.assert_array_equal(answer["action"][:1], ask(brain, observation=seen[:1])["action"])
    current = torch.zeros(300, 32, requires_grad=True)
    action = brain.respond({"observation": torch.from_numpy(seen), "current": current}, None)[0]["action"]
    np.testing.assert_allclose(action.detach().numpy(), answer["action"], atol=1e-5)
    action.sum().backward()
    assert (current.grad != 0).any()
    status = np.full(300, WAITING)
    assert not brain.respond({"observation": torch.from_numpy(seen), "status": status})[0]["action"].any()
    assert artifact.content_hash(brain.state_dict()["learned"]) == before


def test_weights_of_silenced_connections_are_kept_not_learned():
    pytest.importorskip("torch")
    brain = built(1, lesion=Lesion(fraction=0.5))
    brain.evaluate({"observation": observe(8)}, np.zeros((8, 6), np.float32))[0].sum().backward()
    gradient = brain.network.parameters()["layer2/weight"].grad.numpy()
    assert (gradient[brain.mask == 0] == 0).all()
    assert (gradient[brain.mask == 1] != 0).any()


def test_rows_of_current_act_by_their_average():
    brain = built(1)
    rows = [(0, np.zeros((1, 32), np.float32)), (STEP + 1_000_000, np.full((1, 32), 4, np.float32)),
            (STEP + 6_000_000, np.full((1, 32), -1, np.float32))]
    got = ask(brain, now=2 * STEP, previous=STEP, observation=observe(1), current=rows)["rates"]
    mean = (0 * 1 + 4 * 5 - 1 * 14) / 20
    expected = ask(brain, observation=observe(1), current=np.full((1, 32), mean, np.float32))["rates"]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_weights_come_from_an_artifact_and_wrong_sizes_name_both_sides(tmp_path):
    path = str(tmp_path / "healthy.safetensors")
    healthy = built(seed=5)
    artifact.save(path, healthy, "brains.mlp")
    patient = built(4, seed=9, weights=path, lesion=Lesion(fraction=0.9))
    assert (patient.mask == 0).sum() == 921
    np.testing.assert_array_equal(patient.network.arrays["layer1/weight"], healthy.network.arrays["layer1/weight"])
    both = r"layer1/weight is \(32, 9\) \(made by brains.mlp\), here it must be \(32, 3\)"
    with pytest.raises(AssemblyError, match=both):
        built(observation=3, weights=path)
    with pytest.raises(AssemblyError, match="no such weights file"):
        built(weights=str(tmp_path / "absent.safetensors"))


def test_the_state_says_where_the_lesion_fell_the_parameters_whether_there_is_one():
    patient = built(lesion=Lesion(fraction=0.5))
    learned = {"learned": patient.state_dict()["learned"]}
    lesions = (Lesion(fraction=0.5), None, Lesion(fraction=0.9))
    same, healthy, worse = (built(seed=3, lesion=lesion) for lesion in lesions)
    for brain in (same, healthy, worse):
        brain.load_state_dict(learned)
        np.testing.assert_array_equal(brain.network.arrays["mean/bias"], patient.network.arrays["mean/bias"])
    np.testing.assert_array_equal(same.mask, patient.mask)
    assert healthy.mask is None
    assert (worse.mask == 0).sum() == 921


def test_learned_arrives_as_one_vector_and_acts_at_once():
    teacher, pupil = built(seed=1, lesion=Lesion(fraction=0.5)), built(seed=2, lesion=Lesion(fraction=0.5))
    vector = flat_parameters.flatten(teacher.state_dict()["learned"])
    assert pupil.inputs["learned"].shape == vector.shape
    out = ask(pupil, observation=observe(1), learned=vector, new=("observation", "learned"))
    np.testing.assert_array_equal(out["action"], ask(teacher, observation=observe(1))["action"])
    pupil.network.arrays["mean/bias"][...] = 0
    ask(pupil, observation=observe(1), learned=vector)  # not new: not taken again
    assert (pupil.network.arrays["mean/bias"] == 0).all()
    with pytest.raises(PortError, match="another network"):
        ask(pupil, observation=observe(1), learned=vector[1:], new=("learned",))


def test_layers_and_heads_that_do_not_exist_are_refused():
    for params in ({"hidden": []}, {"hidden": [8, 0]}, {"hidden": [8], "layer": 2}, {"layer": 0}):
        with pytest.raises(AssemblyError):
            Mlp(**params)
    with pytest.raises(AssemblyError, match="choices"):
        built(head="categorical")
    assert Mlp(hidden=[16]).inputs["current"].shape == (16,)
    assert Mlp(hidden=[8, 16, 4]).inputs["current"].shape == (16,)
    assert Mlp(hidden=[8, 16, 4], layer=3).outputs["rates"].shape == (4,)


class Room(Component):
    """A body that asks for choices, or for so many numbers."""

    period = STEP

    def __init__(self, *, choices: int = 0, action: int = 2) -> None:
        port = Port("choice", (), choices=choices) if choices else Port("torque", (action,), low=-1, high=1)
        self.inputs = {"action": Port(**{**vars(port), "reads": "hold"})}
        self.outputs = {"observation": Port("view", (3,))}

    def step(self, now, inputs):
        self.heard = inputs["action"]
        return {"observation": np.full((self.lanes.count, 3), now / STEP, np.float32)}


@pytest.mark.parametrize("choices", [0, 3])
def test_the_head_becomes_what_the_body_takes(choices):
    parts = {"body": Part(lambda: Room(choices=choices), {"action": Source.of("brain.action")}),
             "brain": Part(lambda: Mlp(hidden=[8, 8], explore=True), {"observation": Source.of("body.observation")})}
    with Loop(System(parts, lanes=5)) as loop:
        loop.run(6 * STEP)
        action = loop.peek("brain.action")
        assert action.dtype == (np.int64 if choices else np.float32)
        assert action.shape == ((5,) if choices else (5, 2))
        if choices:
            assert set(action.tolist()) <= {0, 1, 2}
        np.testing.assert_array_equal(loop.components["body"].heard.shape, action.shape)


def test_a_stimulator_cannot_bypass_the_limiter_on_its_way_into_this_brain():
    class Wire(Component):
        period = STEP

        def __init__(self):
            self.inputs, self.outputs = {}, {"current": Port("current", ("unit",))}

        def step(self, now, inputs):
            return {"current": np.zeros((1, 8), np.float32)}

    parts = {"body": Part(Room, {"action": Source.of("brain.action")}), "wire": Part(Wire),
             "brain": Part(lambda: Mlp(hidden=[8, 8]), {"observation": Source.of("body.observation"),
                                                        "current": Source.of("wire.current")})}
    with pytest.raises(AssemblyError, match=r"not the current of a guarded stimulator"):
        Loop(System(parts))


def test_a_timetable_injures_the_brain_at_its_time():
    parts = {"body": Part(Room, {"action": Source.of("brain.action")}),
             "schedule": Part(lambda: Schedule(entries=[Entry(0, 0.0), Entry(5 * STEP, 1.0)])),
             "brain": Part(lambda: Mlp(hidden=[8, 8], lesion=Lesion()),
                           {"observation": Source.of("body.observation"), "injury": Source.of("schedule.value")})}
    with Loop(System(parts)) as loop:
        actions = []
        loop.tap("brain.action", lambda now, value: actions.append(value[0].tolist()))
        loop.run(10 * STEP)
    assert len(actions) == 10
    assert len({tuple(a) for a in actions[:5]}) == 5  # the view changes, so does what it does
    assert len({tuple(a) for a in actions[5:]}) == 1  # blind from then on
