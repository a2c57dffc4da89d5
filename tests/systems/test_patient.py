"""What a run tells of its patient: known lesions, electrodes, charges and reachable actions."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import listing, report_command, settings
from stimloop.assemblies.reports import patient_facts, patient_section, patient_text, reachable
from stimloop.components.brains.mlp import Mlp
from stimloop.components.parts.lesions import Lesion
from stimloop.loops.component import Component, Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.status import status_input
from stimloop.loops.storage import checkpoint
from stimloop.loops.storage.runs import Run


def patient(lesion=None, value=(2.0, -1.0), brain="brains.mlp", **stimulator):
    """An injured brain of 8 neurons; electrodes at 2 and 5 are given one constant command."""
    placed = {"placement": "list", "centres": [2.0, 5.0], "channels": 2, **stimulator}
    injured = {} if lesion is None else {"lesion": lesion}
    return (sl.Assembly("patient", until="2 episodes")
            .add("body", "bodies.point_mass", max_steps=20, inputs=["brain.action"])
            .add("brain", brain, hidden=[8], activation="tanh", **injured,
                 inputs=["body.observation", "body.status", "stimulator.current"])
            .add("command", "basics.constant", value=list(value), period="20 ms")
            .add("limiter", "links.safety_limiter", peak=5, stale="1 s", inputs=[{"command": "command.output"},
                                                                                 "body.status"])
            .add("stimulator", "stimulators.electrode_field", **placed, inputs=["limiter.command"]))


def facts(run, allow=()):
    (found,) = patient_facts.facts(run, settings.Settings(allow=allow))
    return found


class Regional(Mlp):
    """A feed-forward brain whose neurons stand in two regions."""

    def __init__(self, *, hidden: list[int], activation: str, lesion: Lesion | None = None) -> None:
        super().__init__(hidden=hidden, activation=activation, lesion=lesion)  # type: ignore[arg-type]

    def labels(self) -> dict[str, Any]:
        return {"neuron": {"region": ["M1"] * 3 + ["F5"] * 5}}


class Slow(Component):
    """A brain with memory: one neuron that follows its current, x <- x + 0.1 (s - x), and says so."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("seen", ("n",), wakes=True), "status": status_input(optional=True),
                       "current": Port("current", (1,), optional=True, guarded=True)}
        self.outputs = {"action": Port("the neuron", (2,), low=-1, high=1)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.x = np.zeros((self.lanes.count, 1), np.float32)

    def respond(self, inputs, memory):
        x = memory["x"] + np.float32(0.1) * (inputs["current"] - memory["x"])
        return {"action": np.clip(np.repeat(x, 2, axis=1), -1, 1)}, {"x": x}

    def evaluate(self, inputs, action, memory=None):
        raise NotImplementedError

    def parameters(self):
        return []

    def memory(self):
        return {"x": self.x}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        answer, self.x = self.respond(inputs, self.memory())[0], self.respond(inputs, self.memory())[1]["x"]
        return answer

    def state_dict(self):
        return {"x": self.x.copy(), "learned": {}}

    def load_state_dict(self, state):
        self.x = state.get("x", self.x)


def test_the_lesion_is_counted_and_named(tmp_path):
    found = facts(patient({"kind": "neurons", "neurons": [1, 5]}).run(folder=tmp_path))
    assert {key: found["lesion"][key] for key in ("kind", "of", "silenced", "all", "neurons")} == {
        "kind": "neurons", "of": "neurons", "silenced": 2, "all": 8, "neurons": [1, 5]}
    assert "regions" not in found["lesion"]
    assert patient_text.lesion(found["lesion"]) == "2 of 8 neurons silenced (kind neurons); neurons 1, 5"


def test_where_the_brain_names_regions_the_lesion_is_told_by_region(tmp_path):
    found = facts(patient({"kind": "neurons", "neurons": [0, 1, 5]}, brain=Regional).run(folder=tmp_path))
    assert found["lesion"]["regions"] == {"M1": {"silenced": 2, "all": 3}, "F5": {"silenced": 1, "all": 5}}
    assert "by region: M1 2 of 3, F5 1 of 5" in patient_text.lesion(found["lesion"])
    assert [each["region"] for each in found["electrodes"]["each"]] == ["M1", "F5"]


def test_of_severed_connections_every_electrode_lives(tmp_path):
    found = facts(patient({"kind": "weights", "fraction": 1.0}).run(folder=tmp_path))
    assert (found["lesion"]["of"], found["lesion"]["silenced"], found["lesion"]["all"]) == ("connections", 48, 48)
    assert found["electrodes"]["live"] == 2
    assert "every neuron can be stimulated" in patient_text.lesion(found["lesion"])


def test_shares_of_the_electrodes_are_those_of_their_fields(tmp_path):
    """At spread 1, of the electrode at 2: neurons 1 and 3 have exp(-1/2) of the middle, and so on."""
    found = facts(patient({"kind": "neurons", "neurons": [1, 5]}, spread=1.0).run(folder=tmp_path))
    for each, site in zip(found["electrodes"]["each"], (2, 5), strict=True):
        field = np.exp(-(np.arange(8) - site) ** 2 / 2)
        assert each["share"] == pytest.approx(1 - field[[1, 5]].sum() / field.sum(), rel=1e-5)
        assert each["neuron"] == site


def test_a_dead_electrode_is_called_dead(tmp_path):
    found = facts(patient({"kind": "neurons", "neurons": [5]}).run(folder=tmp_path))
    assert [(each["lives"], round(each["share"], 6)) for each in found["electrodes"]["each"]] == [(True, 1), (False, 0)]
    told = "\n".join(patient_text.lines([found]))
    assert "stimulator: 1 live electrodes of 2" in told
    assert "electrode 1 at neuron 5: DEAD, 0% of what it reaches lives" in told


def test_the_charge_of_each_episode_and_the_largest_command(tmp_path):
    """2 and -1 for 20 steps of 20 ms: 3 * 0.4 in each episode; nothing flows where the lane has ended."""
    found = facts(patient(lesion={"kind": "neurons", "neurons": [1]}).run(folder=tmp_path))["delivered"]
    assert [round(row["charge"], 6) for row in found["episodes"]] == [1.2, 1.2]
    assert (found["largest"], found["electrode"], found["unit"], found["charge_unit"]) == (2.0, 0, "a.u.", "a.u. s")
    assert "1.2 a.u. s in the mean, 1.2 a.u. s at most, in 2 episodes" in patient_text.delivered(found)


def test_each_lane_and_a_running_episode_have_a_charge_of_their_own(tmp_path):
    run = patient(value=(2.0, 0.0)).set({"lanes": 2, "until": "300 ms"}).run(folder=tmp_path)
    assert [(row["lane"], row["episode"]) for row in facts(run)["delivered"]["episodes"]] == [(0, 0), (1, 0)]
    assert [row["charge"] for row in facts(run)["delivered"]["episodes"]] == pytest.approx([0.6, 0.6])


def by_hand(run, dead, corners):
    """Actions [observations, corners, 2] of the brain in the checkpoint, written out anew."""
    (_, state), *_ = checkpoint.parts(run.path / "checkpoints", "brain")
    (_, field), *_ = checkpoint.parts(run.path / "checkpoints", "stimulator")
    arrays = state["learned"]
    seen = run["body.observation"].values[:, 0]
    rows = np.unique(np.linspace(0, len(seen) - 1, 8).astype(int))
    alive = ~np.isin(np.arange(8), dead)
    answers = []
    for observation in seen[rows]:
        layer = np.tanh(arrays["layer1"]["weight"] @ observation + arrays["layer1"]["bias"])
        answers.append([np.tanh(arrays["mean"]["weight"] @ (alive * (layer + field["learned"]["weights"] @ command))
                                + arrays["mean"]["bias"]) for command in corners])
    return np.array(answers)


def test_reachable_actions_are_those_of_the_extreme_commands(tmp_path):
    """A command enters linearly before one tanh, so that least and most lie at the corners of what is allowed."""
    run = patient({"kind": "neurons", "neurons": [1, 5]}, spread=1.0).run(folder=tmp_path)
    corners = np.array([[0, 0], [5, 5], [5, -5], [-5, 5], [-5, -5]])
    found = facts(run)["actions"]
    assert (found["observations"], found["commands"], found["held"]) == (8, 962, 1)
    expected = {"injured": by_hand(run, [1, 5], corners), "intact": by_hand(run, [], corners)}
    for which, answers in expected.items():
        for i, row in enumerate(found["each"]):
            assert row[which]["least"] == pytest.approx(answers[:, :, i].min(), abs=1e-5)
            assert row[which]["most"] == pytest.approx(answers[:, :, i].max(), abs=1e-5)
            assert row[which]["unstimulated"] == pytest.approx(answers[:, 0, i].mean(), abs=1e-5)
            widths = answers[:, :, i].max(axis=1) - answers[:, :, i].min(axis=1)
            assert row[which]["width"] == pytest.approx(widths.mean(), abs=1e-5)
    alone = np.linalg.norm(expected["injured"][:, 0] - expected["intact"][:, 0], axis=1).mean()
    assert found["distance_unstimulated"] == pytest.approx(alone, abs=1e-5)
    assert 0 <= found["distance_best"] < alone


def test_with_every_neuron_dead_nothing_can_be_reached(tmp_path):
    found = facts(patient({"kind": "neurons"}, may_be_dead=True).run(folder=tmp_path))["actions"]
    assert [row["injured"]["width"] for row in found["each"]] == [0, 0]
    assert all(row["intact"]["width"] > 0.1 for row in found["each"])
    assert found["distance_best"] == found["distance_unstimulated"] > 0


def test_a_brain_with_memory_is_held_at_each_command_from_rest(tmp_path):
    """After ten ticks it has come to s (1 - 0.9^10), 1.95 for s = 3, and says 0.65 of each unit of it."""
    slow = (sl.Assembly("slow", until="3 steps").add("body", "bodies.point_mass", inputs=["brain.action"])
            .add("brain", Slow, inputs=["body.observation", "body.status", "stimulator.current"])
            .add("command", "basics.constant", value=[1.0])
            .add("limiter", "links.safety_limiter", peak=1, inputs=[{"command": "command.output"}, "body.status"])
            .add("stimulator", "stimulators.electrode_field", channels=1, inputs=["limiter.command"]))
    found = facts(slow.run(folder=tmp_path), allow=("tests",))["actions"]
    assert found["held"] == 10
    for row in found["each"]:
        assert [row["injured"][key] for key in ("least", "most")] == pytest.approx([0.9**10 - 1, 1 - 0.9**10], abs=1e-6)


def test_without_consent_code_of_ones_own_is_not_run_to_find_out(tmp_path):
    run = patient({"kind": "neurons", "neurons": [1]}, brain=Regional).run(folder=tmp_path)
    assert "not allowed" in facts(run)["actions"]["missing"]
    assert facts(run)["electrodes"]["live"] == 2, "what needs no code is told"
    assert "each" in facts(run, allow=("tests",))["actions"]


def test_commands_fill_what_the_limiter_allows():
    for channels, number in ((1, 31), (2, 961), (3, 729), (4, 625)):
        commands = reachable._commands(np.full(channels, 2.0), None, 1000)
        assert commands.shape == (number + 1, channels)
        assert not commands[0].any()
        assert len(np.unique(commands, axis=0)) == number, "the grid has its middle"
        assert (np.abs(commands).max(axis=0) == 2).all()
    many = reachable._commands(np.arange(1.0, 17.0), None, 1000)
    assert len(many) == 1001
    assert (np.abs(many) <= np.arange(1.0, 17.0)).all()
    assert (np.count_nonzero(many, axis=1) == 1).sum() == 32, "each electrode alone, both ways"
    together = reachable._commands(np.full(2, 2.0), 3.0, 1000)
    assert np.abs(together).sum(axis=1).max() == pytest.approx(3)
    assert np.abs(together).max() == 2, "one alone may have its peak"


@pytest.mark.parametrize(("limiter", "stimulator", "most"), [
    ({"peak": 2}, {}, 2), ({"peak": 9}, {}, 5), ({"peak": [1, 2]}, {}, [1, 2]), ({"peak": 9}, {"decay": 0.5}, 9),
    ({"sum_peak": 3}, {}, 5)])
def test_amplitudes_are_those_that_limiter_and_stimulator_allow(limiter, stimulator, most):
    from stimloop.components.links.safety_limiter import SafetyLimiter
    from stimloop.components.stimulators.electrode_field import ElectrodeField

    found = reachable._amplitudes(SafetyLimiter(**limiter), ElectrodeField(**stimulator), 2)
    np.testing.assert_allclose(found, np.broadcast_to(most, 2))


@pytest.mark.parametrize(("changes", "where", "said"), [
    ({"record": ["brain.action", "body.status", "body.reward"]}, "actions", "body.observation was not recorded"),
    ({"record": "none"}, "delivered", "no body")])
def test_what_cannot_be_told_says_why(changes, where, said, tmp_path):
    found = facts(patient({"kind": "neurons", "neurons": [1]}).set({"until": "400 ms", **changes}).run(folder=tmp_path))
    assert said in found[where]["missing"]
    assert said in "\n".join(patient_text.lines([found]))


def test_without_a_checkpoint_lesion_and_electrodes_are_not_known(tmp_path):
    run = patient({"kind": "neurons", "neurons": [1]}).run(folder=tmp_path)
    for folder in (run.path / "checkpoints").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    found = facts(Run(run.path))
    assert [found[key]["missing"] for key in ("lesion", "electrodes")] == ["there is no checkpoint that holds it"] * 2
    assert found["actions"]["missing"] == "no checkpoint holds brain"
    assert "not known" in "\n".join(patient_text.lines([found]))


def test_a_current_that_passes_something_on_its_way_is_not_guessed_at(tmp_path):
    weakened = patient({"kind": "neurons", "neurons": [5]}).add(
        "half", "basics.gain", gain=0.5, inputs=["stimulator.current"]).set("brain.inputs.current", "half.output")
    found = facts(weakened.run(folder=tmp_path))
    assert "half has none of its own" in found["electrodes"]["missing"]
    assert "half has no electrodes over the neurons of brain" in found["actions"]["missing"]


def test_altered_attributes_end_nothing(tmp_path):
    run = patient({"kind": "neurons", "neurons": [1]}).run(folder=tmp_path)
    document = json.loads((run.path / "zarr.json").read_text())
    for changes in ({"wires": {"brain.current": 7}}, {"assembly": {"components": 3}}, {"assembly": {}},
                    {"wires": {"brain.current": {"from": "gone.current"}}}):
        altered = {**document, "attributes": {**document["attributes"], **changes}}
        (run.path / "zarr.json").write_text(json.dumps(altered))
        for found in patient_facts.facts(Run(run.path)):
            assert "missing" in found["actions"]
            patient_text.lines([found])


def test_a_run_without_a_patient_has_none(tmp_path):
    run = sl.load("point_mass").small().run(folder=tmp_path)
    assert patient_facts.facts(run) == []
    found, text = listing.run_facts(run.path, False)
    assert found["patients"] == []
    assert "patient" not in text.split("\n\n", 1)[1]


def test_a_healthy_brain_that_is_stimulated_is_told_without_a_lesion(tmp_path):
    found = facts(patient().run(folder=tmp_path))
    assert found["lesion"] is None
    told = "\n".join(patient_text.lines([found]))
    assert "lesion: none" in told
    assert "injured" not in told


def test_the_picture_marks_silenced_neurons_and_draws_every_electrode_with_its_peak(tmp_path):
    pytest.importorskip("matplotlib")
    heard = patient({"kind": "neurons", "neurons": [0, 5]}, brain=Regional, spread=0.8).add(
        "sensor", "sensors.electrodes", channels=14, spread=0.5, inputs=["brain.rates", "body.status"])
    run = heard.run(folder=tmp_path)
    above, below = patient_section.draw(run, facts(run)).axes
    assert [(box.get_x(), box.get_width()) for box in above.patches] == [(-0.5, 1), (4.5, 1)]
    fields = [line for line in above.lines if str(line.get_label()).startswith("electrode")]
    assert [line.get_xdata()[line.get_ydata().argmax()] for line in fields] == [2, 5]
    assert all(line.get_ydata().max() == 1 for line in fields)
    assert [text.get_text() for text in above.texts] == ["M1", "F5"]
    assert [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == ":"] == [2.5]
    assert sum(len(line.get_ydata()) > 0 and line.get_linestyle() == "-" for line in below.lines) == 14
    assert below.get_legend_handles_labels()[1][-1] == "and 2 more"


def test_show_and_report_tell_it(tmp_path):
    pytest.importorskip("matplotlib")
    heard = patient({"kind": "neurons", "neurons": [5]}).add(
        "sensor", "sensors.electrodes", channels=3, inputs=["brain.rates", "body.status"])
    run = heard.run(folder=tmp_path)
    done = subprocess.run([sys.executable, "-m", "stimloop.assemblies.cli", "show", str(run.path), "--json"],
                          capture_output=True, text=True, check=True)
    (told,) = json.loads(done.stdout)["patients"]
    assert told == facts(run)
    assert told["sensors"]["sensor"]["live"] == 3
    text = listing.run_facts(run.path, False)[1]
    for words in ("patient brain", "1 of 8 neurons silenced", "DEAD", "reachable actions", "sensor records by 3 live"):
        assert words in text
    made = report_command.command([run.path], tmp_path / "r.html")
    assert made["patients"] == [{"run": str(run.path), **facts(run)}]
    shown = (tmp_path / "r.html").read_text()
    section = shown[shown.index("<h3>Patient</h3>"):shown.index("<h3>Stimulation")]
    for words in ("<svg", "silenced: 1 of 8", "stimulator reaches brain", "sensor records brain", "DEAD"):
        assert words in section
