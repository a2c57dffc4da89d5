"""A lesion that leaves no electrode anything to stimulate is refused, unless that is what is to be shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st

import stimloop as sl
from stimloop.assemblies import inspection, settings
from stimloop.components.parts import electrodes
from stimloop.components.stimulators.electrode_field import ElectrodeField
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes

SILENCED = {"kind": "neurons", "neurons": [2, 5]}


def patient(lesion=None, stimulator="stimulators.electrode_field", **params):
    """An injured brain of 8 neurons with electrodes at 2 and 5, which random commands stimulate."""
    given = {"placement": "list", "centres": [2.0, 5.0], "channels": 2, **params}
    return (sl.Assembly("patient", until="40 steps")
            .add("body", "bodies.point_mass", max_steps=20, inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], activation="tanh", **({} if lesion is None else {"lesion": lesion}),
                 inputs=["body.observation", "body.status", "stimulator.current"])
            .add("coprocessor", "coprocessors.random_stimulation", inputs=["body.observation", "body.status"])
            .add("limiter", "links.safety_limiter", peak=5, stale="1 s", inputs=["coprocessor.command", "body.status"])
            .add("stimulator", stimulator, **given, inputs=["limiter.command"]))


def notices(assembly):
    with assembly.build() as loop:
        return [str(problem) for problem in loop.notices if "electrode" in problem.what]


def test_shares_are_what_is_left_of_each_field():
    weights = np.array([[0.5, 0.0], [0.25, -1.0], [0.25, 1.0]])
    np.testing.assert_allclose(electrodes.shares(weights, np.array([1, 0, 1])), [0.75, 0.5])
    np.testing.assert_allclose(electrodes.shares(weights, np.array([0, 0, 0])), [0, 0])
    assert electrodes.dead(np.array([[0.995, 0.98], [0.005, 0.02]]), np.array([0, 1])).tolist() == [True, False]


@pytest.mark.parametrize("kind", ["stimulators.electrode_field", "stimulators.pulse_train"])
def test_no_electrode_left_is_an_error_that_says_what_to_do(kind):
    with pytest.raises(AssemblyError) as error:
        patient(SILENCED, kind).build()
    told = str(error.value)
    assert "brain.inputs.current: no electrode reaches a neuron that lives" in told
    assert "the lesion silences 2 of 8 neurons" in told
    for remedy in ("surviving", "centres", "spread", "may_be_dead: true"):
        assert remedy in told


@pytest.mark.parametrize("remedy", [
    {"brain.params.lesion.neurons": [2]}, {"stimulator.params.centres": [2.0, 4.0]}, {"stimulator.params.spread": 1.75},
    {"stimulator.params.placement": "surviving", "stimulator.params.dead": [2, 5], "stimulator.params.centres": None},
    {"stimulator.params.may_be_dead": True}, {"brain.params.lesion": None},
    {"coprocessor": None, "stimulator": None, "limiter": None, "brain.inputs.current": None}])
def test_each_remedy_helps(remedy):
    patient(SILENCED).set(remedy).build().close()


def test_electrodes_of_which_some_are_dead_are_a_notice():
    told, = notices(patient({"kind": "neurons", "neurons": [5]}))
    assert told.startswith("brain.inputs.current: 1 of 2 electrodes (1) reach only silenced neurons: the lesion "
                           "silences 1 of 8 neurons")
    assert notices(patient({"kind": "neurons", "neurons": [0, 1]})) == notices(patient()) == []


def test_a_lesion_of_every_connection_leaves_every_neuron_to_stimulate(tmp_path):
    """In the feed-forward brain stimulation enters behind the connections: actions follow it at fraction 1."""
    severed = patient({"kind": "weights", "fraction": 1.0})
    assert notices(severed) == []
    actions = severed.run(folder=tmp_path)["brain.action"].values
    assert len(np.unique(actions[:, 0, 0])) > 20


def test_the_control_in_which_no_stimulus_does_anything_can_be_run(tmp_path):
    """Every neuron dead: actions are the same under random commands, and under none."""
    dead = patient({"kind": "neurons"}, may_be_dead=True)
    stimulated = dead.run(folder=tmp_path)
    silent = dead.swap("coprocessor", "basics.silence").run(folder=tmp_path)
    assert stimulated["limiter.command"].values.any()
    np.testing.assert_array_equal(stimulated["brain.action"].values, silent["brain.action"].values)
    assert len(np.unique(stimulated["brain.action"].values[1:19], axis=0)) == 1
    told, = notices(dead)
    assert "2 of 2 electrodes (0, 1)" in told


def test_each_lesion_of_a_sweep_is_judged(tmp_path):
    path = tmp_path / "swept.yaml"
    path.write_text(patient({"kind": "neurons", "fraction": 0.0}).to_yaml()
                    + "sweep: {brain.params.lesion.fraction: [0.0, 1.0]}\n")
    ok, facts, _ = inspection.check_assembly(sl.load(path), settings.read())
    assert not ok
    (error,) = facts["errors"]
    assert error.startswith("sweep brain.params.lesion.fraction=1.0: ")
    assert "no electrode reaches" in error


def test_electrodes_that_record_from_silenced_neurons_are_a_notice_only():
    heard = patient({"kind": "neurons", "neurons": [5]}).add(
        "sensor", "sensors.electrodes", channels=2, placement="list", centres=[5.0, 0.0],
        inputs=["brain.rates", "body.status"])
    told = [text for text in notices(heard) if "hear" in text]
    assert told == ["sensor: 1 of 2 electrodes (0) hear only neurons that the lesion silences\n"
                    "  Widen their spread, or place them elsewhere."]


def test_a_brain_of_ones_own_module_is_judged_too():
    pytest.importorskip("torch")
    own = patient(SILENCED).swap(
        "brain", "brains.torch_module", module="stimloop.components.parts.example_nets:TwoHeads", layer="hidden",
        module_params={"inputs": 6, "outputs": 2}, lesion=SILENCED)
    with pytest.raises(AssemblyError, match="no electrode reaches"):
        own.build(settings.Settings(allow=("stimloop",)))


@settings_(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=40).filter(lambda mask: sum(mask) >= 3), st.integers(0, 9))
def test_electrodes_that_avoid_the_silenced_neurons_are_never_complained_of(mask, seed):
    living = np.array(mask)
    field = ElectrodeField(channels=3, placement="surviving", dead=np.flatnonzero(~living).tolist())
    field.outputs["current"] = field.outputs["current"].sized((living.size,))
    field.build(Lanes.of(1), seed)
    assert electrodes.judge(living.astype(np.float32), field) == []


def test_who_could_not_be_built_is_not_judged():
    """The span is told; that nothing is reached would only follow from it."""
    broken = patient({"kind": "neurons"}).set({"stimulator.params.span": [0, 9]})
    with pytest.raises(AssemblyError) as error:
        broken.build()
    (problem,) = error.value.problems
    assert "the electrodes span neurons 0 to 8" in problem.what


def test_who_says_nothing_of_its_neurons_is_not_judged():
    assert electrodes.living_of(Component()) is None
    assert electrodes.judge(None, object()) == electrodes.judge(np.zeros(3), object()) == []
    with patient(SILENCED).set("brain.params.lesion", None).build() as loop:
        brain, field = loop.components["brain"], loop.components["stimulator"]
        assert brain.check_built_source("current", field) == []
        assert electrodes.judge(np.zeros(5), field) == [], "another number of neurons is told elsewhere"
