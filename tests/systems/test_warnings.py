"""Each warning of a report: a run that provokes it, with the remedy, and one that does not."""

import json
from pathlib import Path

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import listing
from stimloop.assemblies.reports.warnings import warnings
from stimloop.loops.component import Component
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.storage import checkpoint
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.runs import Run
from stimloop.loops.storage.stream import Stream


def told(run, words):
    """The warnings that hold these words."""
    return [text for text in warnings(run) if words in text]


def plain(**brain):
    return (sl.Assembly("plain", until="60 steps").add("body", "bodies.point_mass", max_steps=20,
                                                       inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], inputs=["body.observation", "body.status"], **brain))


def stimulated(value=(2.0, 2.0), lesion=None, **stimulator):
    given = {} if lesion is None else {"lesion": lesion}
    return (sl.Assembly("held", until="40 steps")
            .add("body", "bodies.point_mass", max_steps=20, inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], activation="tanh", **given,
                 inputs=["body.observation", "body.status", "stimulator.current"])
            .add("command", "basics.constant", value=list(value), period="20 ms")
            .add("limiter", "links.safety_limiter", peak=5, inputs=[{"command": "command.output"}, "body.status"])
            .add("stimulator", "stimulators.electrode_field", channels=2, inputs=["limiter.command"], **stimulator))


def written(path, **ports):
    """A run of one body, or of what else is given, whose ports had these values [rows, lanes, ...]."""
    streams = [Stream(*key.split("__"), Port("a value", values.shape[2:], dtype=str(values.dtype)), values.shape[1])
               for key, values in ports.items()]
    recorder = Recorder(path, streams, {"assembly": {}})
    for row in range(len(next(iter(ports.values())))):
        for key, values in ports.items():
            recorder.tap(key.replace("__", "."))(row * 1000, values[row])
    recorder.close()
    return Run(path)


def of_body(path, reward=1.0, observation=(1.0, 1.0)):
    ramp = np.linspace(0.1, 1, 30)
    return written(path, body__status=np.eye(30, 1, dtype=np.int64), body__reward=np.float32(ramp * reward)[:, None],
                   body__observation=np.float32(ramp[:, None] * np.array(observation))[:, None])


def test_a_run_in_which_nothing_is_wrong_has_none(tmp_path):
    run = plain().run(folder=tmp_path)
    assert warnings(run) == []
    assert "warning" not in listing.run_facts(run.path, False)[1]


def test_episodes_that_never_end(tmp_path):
    assert told(plain().set("until", "10 steps").run(folder=tmp_path), "No episode ended. Run longer")


class Breaking(Component):
    """Ends with an error at an instant."""

    def __init__(self, at: int, saved: bool = True):
        self.at, self.resumes = at, "exactly" if saved else "no"
        self.inputs = {"status": Port("status", (), dtype="int64", low=0, high=15, wakes=True)}
        self.outputs = {"value": Port("nothing")}

    def step(self, now, inputs):
        if now >= self.at:
            raise ValueError("the wire\nhas come loose.")
        return {}


def failed_at(at, tmp_path, **params):
    broken = plain().add("breaking", Breaking, at=at, inputs=["body.status"], **params)
    broken = broken.add("learner", Learner, inputs=["body.status"])
    with pytest.raises(ValueError, match="come loose"):
        broken.run(folder=tmp_path)
    (path,) = tmp_path.rglob("*.zarr")
    return Run(path)


def test_a_run_that_failed_tells_its_error_and_nothing_that_follows_from_it(tmp_path):
    run = failed_at(400_000_000, tmp_path)
    first, *others = warnings(run)
    assert first == ("The run did not finish: it failed after 380 ms: the wire has come loose. (while stepping "
                     "`breaking` (tests.systems.test_warnings:Breaking) at 400 ms, lanes 1). When that is mended, go "
                     f"on with: stimloop resume {run.path}.")
    assert not [text for text in others if "episode" in text or "updated" in text or "nothing" in text]
    assert "the wire has come loose" in listing.run_facts(run.path, False)[1]


@pytest.mark.parametrize(("at", "saved"), [(0, True), (400_000_000, False)])
def test_nobody_is_told_to_resume_what_has_no_checkpoint(at, saved, tmp_path):
    run = failed_at(at, tmp_path, saved=saved)
    first, *others = warnings(run)
    assert "the wire has come loose" in first
    assert first.endswith("When that is mended, begin a new run, for it has no checkpoint.")
    assert not [text for text in others if "said nothing" in text or "Run longer" in text]


class Learner(Component):
    """Learns after `learning_starts` steps, as far as anybody can see."""

    def __init__(self, learning_starts: int = 100):
        self.learning_starts = learning_starts
        self.inputs = {"status": Port("status", (), dtype="int64", low=0, high=15, wakes=True)}
        self.outputs = {"updates": Port("updates so far", (), per_lane=False, dtype="int64", low=0)}
        self._heard = 0

    def reset(self, seed: int) -> None:
        self._heard = 0

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)

    def step(self, now, inputs):
        self._heard += 1
        return {"updates": np.asarray(self._heard, np.int64)} if self._heard > self.learning_starts else {}

    def state_dict(self):
        return {"heard": self._heard}

    def load_state_dict(self, state):
        self._heard = state.get("heard", 0)


def test_a_learner_that_never_updates_and_why(tmp_path):
    def learning(**params):
        return plain().add("learner", Learner, inputs=["body.status"], **params).run(folder=tmp_path)

    assert told(learning(learning_starts=100), "the run made 60 steps, and it begins after learning_starts = 100. Run")
    assert not told(learning(learning_starts=10), "never updated")
    assert told(learning(), "never updated: the run made 60 steps, and nothing says why. Look at the wires")


@pytest.mark.parametrize(("type_", "critic", "waits"), [
    ("learners.sac", "critics.q_ensemble", "learning_starts = 100. Run"),
    ("learners.ppo", "critics.value_mlp", "n_steps = 2048 in each of 2 lanes. Run")])
def test_shipped_learners_say_their_defaults(type_, critic, waits, tmp_path):
    pytest.importorskip("torch")
    heard = ["body.observation", *(["brain.action"] if type_.endswith("sac") else [])]
    learner = ["body.observation", "body.reward", "body.status", "brain.action",
               *(["brain.log_prob"] if type_.endswith("ppo") else [])]
    run = (plain(explore=True).set("lanes", 2).add("critic", critic, hidden=[8], inputs=heard)
           .add("learner", type_, inputs=learner, uses={"policy": "brain", "value": "critic"}).run(folder=tmp_path))
    assert told(run, f"learner never updated: the run made 60 steps, and it begins after {waits}")


@pytest.mark.parametrize(("lesion", "dead"), [
    (None, ""), ({"kind": "neurons", "neurons": [5]}, "1 of 2 electrodes of stimulator (1)"),
    ({"kind": "neurons", "neurons": [2, 5]}, "2 of 2 electrodes of stimulator (0, 1)"),
    ({"kind": "neurons", "neurons": [0, 1]}, ""), ({"kind": "weights", "fraction": 0.5}, "")])
@pytest.mark.parametrize("record", [["body"], None])
def test_electrodes_on_dead_neurons(lesion, dead, record, tmp_path):
    run = stimulated(lesion=lesion, placement="list", centres=[2.0, 5.0], may_be_dead=True).set(
        "record", record).run(folder=tmp_path)
    found = told(run, "electrodes")
    assert len(found) == bool(dead), "told once, though the build noticed it too"
    if dead:
        assert found[0].startswith(f"{dead} reach only neurons of brain")
        assert "placement: surviving" in found[0]


def test_electrodes_on_neurons_that_are_never_active(tmp_path):
    def placed(*centres):
        return stimulated(value=(0.0, 0.0), placement="list", centres=list(centres)).set(
            {"brain.params.activation": "relu", "brain.params.hidden": [64]}).run(folder=tmp_path)

    active = np.asarray(placed(2.0, 5.0)["brain.rates"]).any(axis=(0, 1))
    live, silent = float(active.argmax()), float(active.argmin())
    assert active.any()
    assert not active.all()
    assert told(placed(live, silent), "1 of 2 electrodes of stimulator (1) reach only")
    assert not told(placed(live, live), "electrodes")


def test_commands_that_the_limiter_changes_and_their_share(tmp_path):
    assert not told(stimulated().run(folder=tmp_path), "limiter changed")
    run = stimulated((9.0, 1.0)).run(folder=tmp_path)
    (text,) = told(run, "limiter changed")
    rules = run.events("limiter.decisions")["value"].values[:, 2]
    command = run["limiter.command"]
    share = (rules == 5).sum() / command.size
    assert 0.2 < share <= 0.5
    assert f"limiter changed {share:.1%} of what was commanded ({(rules == 5).sum()} of {command.size}: PEAK" in text
    assert "Command less" in text
    noted = stimulated((3.0, 1.0)).set("limiter.params.warn", {"peak": 2}).run(folder=tmp_path)
    assert told(noted, "limiter noted")
    assert not told(noted, "limiter changed")


def test_ports_that_never_change(tmp_path):
    run = written(tmp_path / "r.zarr", a__still=np.full((9, 2, 3), 2.5), a__zero=np.zeros((9, 1)),
                  a__moves=np.arange(9.0)[:, None])
    (text,) = told(run, "Constant throughout")
    assert text.startswith("Constant throughout: a.still (not zero), a.zero (all zero). Look at")
    assert not told(stimulated().run(folder=tmp_path), "command.output"), "a constant is meant to be one"


def test_actions_at_their_bounds(tmp_path):
    rows = np.float32(np.tile([1.0, -1.0, 1.0, 0.2], 5))[:, None, None]
    run = written(tmp_path / "r.zarr", a__action=rows, b__action=rows * np.float32(0.5), c__rates=rows)
    (text,) = told(run, "at its bound")
    assert text.startswith("a.action stands at its bound in 75% of its values. Scale")


def test_what_is_not_a_number(tmp_path):
    values = np.arange(8.0)[:, None]
    values[3] = np.nan
    run = written(tmp_path / "r.zarr", a__x=values, a__y=np.arange(8.0)[:, None])
    assert told(run, "Not a number") == [
        "Not a number: a.x (12%). Look for a division by zero or a learning rate that is too high."]


@pytest.mark.parametrize(("given", "words"), [
    ({}, ""), ({"reward": 5e4}, "body.reward reaches 5e+04"), ({"reward": 1e-8}, "body.reward stays within 1e-08"),
    ({"reward": 0.0}, ""), ({"observation": (2000, 1)}, "body.observation reaches 2e+03"),
    ({"observation": (500, 0.01)}, "body.observation holds elements of very unlike scale: element 0 reaches 5e+02, "
                                   "element 1 0.01"), ({"observation": (500, 0)}, "")])
def test_extreme_scales(given, words, tmp_path):
    found = told(of_body(tmp_path / "r.zarr", **given), "scale")
    assert bool(found) == bool(words)
    if words:
        assert found[0].startswith(words)
        assert "basics.gain" in found[0]


def slow(delay):
    """A body whose brain hears it late, or at a pace of its own."""
    heard = {"observation": {"from": "body.observation", "delay": delay}} if delay else "body.observation"
    return (sl.Assembly("slow", until="60 steps").add("body", "bodies.point_mass", max_steps=20,
                                                      inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], inputs=[heard, "body.status"]))


def test_latency_that_acts_otherwise_and_inputs_that_are_sub_sampled(tmp_path):
    assert not told(plain().run(folder=tmp_path), "Latency")
    late = slow("0 ms").set("brain.params.period", "70 ms").set("brain.inputs.status.reads", "all")
    run = late.run(folder=tmp_path)
    (text,) = told(run, "Latency other than written")
    assert "body.observation -> brain.action -> body is 0 by its delays and acts like" in text
    assert "Give the slower component a period" in text
    (notice,) = told(run, "sub-sampled")
    assert "brain.observation: sub-sampled" in notice
    assert notice.endswith("Read mean or all to lose nothing.")


def test_a_run_that_did_not_finish_says_how_to_go_on(tmp_path):
    run = plain().run(folder=tmp_path)
    journal = run.path / "journal.jsonl"
    journal.write_bytes(b"".join(line for line in journal.read_bytes().splitlines(True) if b'"closed"' not in line))
    assert f"it is interrupted; go on with: stimloop resume {run.path}" in warnings(run.refresh())[0]


def test_a_chunk_that_cannot_be_read_is_a_warning(tmp_path):
    run = plain().run(folder=tmp_path)
    (chunk,) = (path for path in (run.path / "streams/body/observation/value").rglob("*") if path.name != "zarr.json"
                and path.is_file())
    chunk.write_bytes(b"torn")
    assert told(Run(run.path), "Not all could be looked at")


def test_attributes_that_somebody_altered_are_not_believed(tmp_path):
    run = stimulated().run(folder=tmp_path)
    document = json.loads((run.path / "zarr.json").read_text())
    document["attributes"].update(assembly={"components": 3}, wires={"brain.current": 7}, latency=[1], notices=[None])
    (run.path / "zarr.json").write_text(json.dumps(document))
    assert isinstance(warnings(Run(run.path)), list)


def test_the_weightiest_come_first_and_show_says_them_too(tmp_path):
    run = stimulated((9.0, 1.0), lesion={"kind": "neurons", "neurons": [2, 5]}, placement="list",
                     centres=[2.0, 5.0], may_be_dead=True).set("until", "10 steps").run(folder=tmp_path)
    found = warnings(run)
    places = [next(i for i, text in enumerate(found) if words in text)
              for words in ("No episode ended", "2 of 2 electrodes", "limiter changed", "no watchdog")]
    assert places == sorted(places)
    facts, text = listing.run_facts(run.path, False)
    assert facts["warnings"] == found
    assert all(f"warning: {each}" in text for each in found)


def test_one_array_of_a_checkpoint(tmp_path):
    path = stimulated().run(folder=tmp_path).path / "checkpoints"
    assert checkpoint.newest_array(path, "stimulator", "learned/weights").shape == (8, 2)
    assert checkpoint.newest_array(path, "brain", "learned/lesion/mask") is None
    assert checkpoint.newest_array(path, "nobody", "learned/weights") is None
    assert checkpoint.newest_array(Path("nowhere"), "brain", "learned/weights") is None
