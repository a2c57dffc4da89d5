"""Going on with runs, evaluating them, and what a run says of itself: nothing that was recorded is lost."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import earned, execute, inspection, loading, report_command, resuming, session, settings
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports import charge
from stimloop.assemblies.reports.warnings import warnings
from stimloop.loops.component import Component
from stimloop.loops.errors import RunError, StimloopError
from stimloop.loops.port import Port
from stimloop.loops.storage import artifact, recorder, runs
from stimloop.loops.storage.runs import open as open_run

TEXT = """
name: t
until: 400 ms
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward]}
evaluate: {test: {every: 1000 steps, episodes: 1, at_start: false, without: [metrics]}}
variants: {alone: {metrics: null}}
small: {until: 100 ms}
"""
STIMULATED = """
name: stimulated
until: 400 ms
components:
  command: {type: basics.constant, params: {value: [VALUE, VALUE], period: 20 ms}}
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status, stimulator.current]}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [{command: command.output}, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
"""


@pytest.mark.parametrize("saved", [True, False])
def test_a_disk_full_at_the_end_of_a_run_says_what_to_do_and_that_works(saved, tmp_path, monkeypatch):
    def full(*words):
        raise OSError(28, "No space left on device")

    assembly = sl.Assembly.from_yaml(TEXT)
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "finish", full)
        if not saved:
            patch.setattr(session.Session, "_save", lambda self: None)
        with pytest.raises(RunError, match="make room") as caught:
            assembly.run("100 ms", folder=tmp_path)
    path, = (tmp_path / "t").iterdir()
    assert (f"stimloop resume {path}" in str(caught.value)) == saved
    assert ("runs.recover" in str(caught.value)) != saved
    found = open_run(resuming.resume(path, "100 ms").path) if saved else runs.recover(path)
    assert found.state == ("finished" if saved else "recovered")
    assert found.streams["body.status"].rows == 5


@pytest.mark.parametrize("while_it", ["saves", "closes", "tells how it ended"])
def test_ctrl_c_names_the_run_whatever_it_stops(while_it, tmp_path, monkeypatch):
    def stopped(*words):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(TEXT)
    where, name = {"saves": (session.Session, "_save"), "closes": (recorder, "finish"),
                   "tells how it ended": (earned, "earned")}[while_it]
    monkeypatch.setattr(where, name, stopped)
    done = CliRunner().invoke(app, ["run", "t.yaml", "--until", "100 ms"])
    path, = Path("runs/t").iterdir()
    assert done.exit_code == 130
    assert str(path) in done.stderr


class Ticker(Component):
    """Publishes how often it stepped; stops with an error when asked to."""

    period = 10_000_000

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at = fails_at
        self.inputs = {}
        self.outputs = {"count": Port("steps so far", ())}
        self._count = 0

    def reset(self, seed):
        self._count = 0

    def step(self, now, inputs):
        self._count += 1
        if self._count == self.fails_at and not os.environ.get("MENDED"):
            raise ValueError("worn out")
        return {"count": np.full(self.lanes.count, self._count, np.float32)}

    def state_dict(self):
        return {"count": self._count}

    def load_state_dict(self, state):
        self._count = int(state["count"])


class Stubborn(Ticker):
    """Cannot be saved."""

    resumes = "no"


@pytest.fixture
def a():
    return sl.Assembly.from_yaml(TEXT)


def ticking(cls, **params):
    return sl.Assembly("ticking", until="200 ms").add("ticker", cls, **params)


def allowing():
    return replace(settings.read(), allow=(__name__,))


def test_a_variant_without_a_component_that_evaluations_leave_out(a, tmp_path):
    run = a.variant("alone").small().run(folder=tmp_path)
    again = loading.assembly_of(run.attributes, settings.read())
    assert again.origin.removed == {"metrics"}
    assert again.origin.is_small
    assert resuming.evaluate(run.path)["test"]["return"].shape == (1,)
    assert resuming.resume(run.path, "200 ms").reason == "finished"


def test_an_error_costs_nothing_that_was_recorded(tmp_path, monkeypatch):
    a = ticking(Ticker, fails_at=12)
    with pytest.raises(ValueError, match="worn out"):
        execute.start(a, folder=tmp_path)
    path = next((tmp_path / "ticking").iterdir())
    assert len(list((path / session.CHECKPOINTS).iterdir())) == 1, "saved after the first instant"
    assert open_run(path).streams["ticker.count"].rows == 11
    monkeypatch.setenv("MENDED", "1")
    resuming.resume(path, allowed=allowing())
    np.testing.assert_array_equal(np.asarray(open_run(path)["ticker.count"])[:, 0], np.arange(1, 21))


def test_without_a_checkpoint_nothing_is_cut(tmp_path):
    run = ticking(Stubborn).run(folder=tmp_path)
    assert run.attributes["resumes"] == {"ticker": "no"}
    assert any("ticker" in text and "cannot be resumed" in text for text in warnings(run))
    with pytest.raises(RunError, match=r"nothing to go on from.*new run"):
        resuming.resume(run.path, "400 ms", allowed=allowing())
    assert open_run(run.path).streams["ticker.count"].rows == 20
    assert open_run(run.path).attributes["until"] == "200 ms"


@pytest.mark.parametrize(("cls", "saved"), [(Ticker, True), (Stubborn, False)])
def test_an_interrupted_run_says_whether_it_was_saved(cls, saved, tmp_path):
    def interrupt(loop):
        loop.attend(lambda now: os.kill(os.getpid(), 2) if now == 50_000_000 else None)

    outcome = execute.start(ticking(cls), folder=tmp_path, prepare=interrupt)
    assert outcome.reason == "interrupted"
    assert ("saved; go on with: stimloop resume" in inspection.outcome_text(outcome)) is saved
    assert ("ticker" in inspection.outcome_text(outcome)) is not saved
    with pytest.raises(KeyboardInterrupt, match="stimloop resume" if saved else "ticker.*cannot be resumed"):
        ticking(cls).run(folder=tmp_path, prepare=interrupt)


def test_a_resumed_run_tells_all_of_it_and_its_sessions(a, tmp_path):
    run = a.run("100 ms", folder=tmp_path)
    outcome = resuming.resume(run.path, "400 ms")
    facts = outcome.facts
    assert facts["simulated_s"] == pytest.approx(0.38)
    assert facts["steps"] == 19
    assert facts["session_steps"] == 15
    assert facts["session_simulated_s"] == pytest.approx(0.3)
    assert facts["steps_per_s"] == pytest.approx(15 / facts["wall_s"])
    assert "19 steps" in inspection.outcome_text(outcome)
    assert "0.300 s of it now" in inspection.outcome_text(outcome)
    sessions = open_run(run.path).attributes["sessions"]
    assert [session["from_ns"] for session in sessions] == [0, 80_000_000]
    assert all(session["command"] == sys.argv and session["started"] for session in sessions)


def test_the_speed_of_a_run_leaves_out_its_evaluations(a, tmp_path):
    evaluated = a.set("evaluate", {"test": {"every": "20 ms", "episodes": 1}})
    facts = execute.start(evaluated.set("until", "5 steps"), folder=tmp_path).facts
    assert 0 < facts["evaluation_s"] < facts["wall_s"]
    assert facts["steps_per_s"] == pytest.approx(5 / (facts["wall_s"] - facts["evaluation_s"]))


def test_a_class_of_a_script_has_to_move_into_a_module(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import stimloop as sl\nimport numpy as np\nclass X(sl.Component):\n    period = 10**7\n"
                      "    def __init__(self):\n        self.inputs, self.outputs = {}, {'o': sl.Port('one', ())}\n"
                      "    def step(self, now, inputs):\n        return {'o': np.ones(1, np.float32)}\n"
                      "sl.Assembly('s', until='50 ms').add('x', X).run()\n")
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, timeout=60)
    path = next((tmp_path / "runs" / "s").iterdir())
    for allow in ((), ("__main__",)):
        with pytest.raises(StimloopError) as caught:
            resuming.resume(path, allowed=replace(settings.read(), allow=allow))
        text = str(caught.value)
        assert "into a module" in text
        assert "--allow my_module" in text
        assert "--allow __main__" not in text


@pytest.mark.parametrize("record", ["none", ["brain"], None])
def test_what_guards_say_is_always_recorded(record, tmp_path, monkeypatch):
    monkeypatch.setattr("stimloop.assemblies.recording.LIMIT", 1)
    a = sl.Assembly.from_yaml(STIMULATED.replace("VALUE", "2"))
    run = (a if record is None else a.set("record", record)).run("100 ms", folder=tmp_path)
    assert {"limiter.command", "limiter.decisions", "limiter.charge"} <= set(run.streams)
    assert ("body.observation" in run.streams) is False


def test_charge_is_what_all_limiters_delivered(tmp_path):
    text = STIMULATED.replace("VALUE", "20").replace("command: {type", "coprocessor: {type").replace(
        "command.output", "coprocessor.output")
    one = sl.Assembly.from_yaml(text)
    two = one.add("limiter2", "links.safety_limiter", peak=1, inputs=[{"command": "coprocessor.output"}, "body.status"])
    first, both = one.run(folder=tmp_path), two.run(folder=tmp_path)
    assert charge.delivered(both) == ["limiter.command", "limiter2.command"]
    seconds = 0.38
    assert charge.total(first) == pytest.approx(2 * 5 * seconds, rel=0.06)
    assert charge.total(both) == pytest.approx(2 * 6 * seconds, rel=0.06)


class Run:
    """As much of a run as `delivered` looks at."""

    def __init__(self, *streams):
        self.streams = dict.fromkeys(streams)

    def __contains__(self, key):
        return key in self.streams


def test_a_command_that_nobody_guarded_was_not_delivered_where_there_is_a_limiter():
    assert charge.delivered(Run("coprocessor.command", "limiter.decisions")) == []
    assert charge.delivered(Run("a.command", "limiter.decisions", "limiter.command")) == ["limiter.command"]


def test_rows_of_evaluations_are_recorded_and_not_kept_in_memory_as_well(a, tmp_path):
    loops = []
    outcome = execute.start(a.set("evaluate.test.every", "2 steps"), folder=tmp_path, prepare=loops.append)
    assert len(open_run(outcome.path).evaluations("test")) == 9
    assert len(loops[0].evaluations["test"].rows) == 1


def test_a_trace_makes_no_evaluations(a, monkeypatch):
    from stimloop.loops.evaluation import Evaluation

    asked = []
    monkeypatch.setattr(Evaluation, "evaluate", lambda self: asked.append(self.name))
    b = a.set({"evaluate.test.every": "1 step", "evaluate.test.at_start": True})
    _, facts = inspection.trace_table(b, settings.read(), 3)
    assert not asked
    assert {row["time"] for row in facts["trace"]} == {"0", "20 ms", "40 ms"}
    with b.build() as loop:
        loop.run("60 ms")
    assert asked, "a loop that is run does evaluate"


def test_warnings_of_all_runs_come_first(a, tmp_path):
    pytest.importorskip("matplotlib")
    runs = [a.set("seed", seed).run("100 ms", folder=tmp_path) for seed in (3, 4)]
    page = report_command.write([run.path for run in runs], tmp_path / "r.html").read_text()
    place = page.index("Side by side")
    assert page.count("No episode ended.") == 2
    for seed in (3, 4):
        told = page.index(f"base, seed {seed}")
        assert told < page.index("No episode ended.", told) < place
    alone = report_command.write([runs[0].path], Path(tmp_path / "one.html")).read_text()
    assert alone.count("No episode ended.") == 1


def test_a_run_says_where_its_weights_came_from_and_how_its_world_advances(tmp_path):
    run = sl.load("elbow_stimulation").small().set({"until": "3 steps"}).run(folder=tmp_path)
    parents = run.attributes["parents"]
    assert list(parents) == ["brain"]
    _, meta = artifact.load(parents["brain"]["file"])
    assert parents["brain"]["hash"] == meta["hash"]
    assert run.attributes["physics_steps"] == {"body": 20_000_000}
    assert "myo-sim" in run.attributes["versions"]
    assert len(run.attributes["id"]) == 32


def test_what_a_run_learned_becomes_weights_of_another(tmp_path):
    run = sl.Assembly.from_yaml(TEXT).run(folder=tmp_path)
    target = tmp_path / "brain.safetensors"
    resuming.export_weights(run.path, "brain", target)
    kept, meta = artifact.load(target)
    assert meta["type"] == "brains.mlp"
    assert meta["note"] == f"brain of {run.path.name} at 380 ms"
    with sl.Assembly.from_yaml(TEXT).build() as loop:  # the same seed, and nobody learned
        assert artifact.content_hash(loop.components["brain"].state_dict()["learned"]) == artifact.content_hash(kept)
    with pytest.raises(RunError, match="is there already"):
        resuming.export_weights(run.path, "brain", target)
    with pytest.raises(RunError, match=r"no component 'brian'\. Did you mean \"brain\""):
        resuming.export_weights(run.path, "brian", tmp_path / "other.safetensors")
    with pytest.raises(StimloopError, match="has learned nothing"):
        resuming.export_weights(run.path, "metrics", tmp_path / "other.safetensors")
