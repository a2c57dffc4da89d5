"""A learner that no step ever reached is told of: on the command line, in the run, and in its report."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.assemblies.commands.shared import ending
from stimloop.assemblies.execute import start
from stimloop.assemblies.reports.warnings import warnings
from stimloop.assemblies.resuming import resume
from stimloop.assemblies.session import Outcome
from stimloop.loops.storage.runs import open as open_run

from . import imagining, test_model_fit

TEXT = """
name: deaf
until: 20 ms
components:
  body:    {type: bodies.point_mass, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8], explore: true}, inputs: [body.observation, body.status]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.sac, inputs: [body.observation, body.reward, body.status, brain.action],
            uses: {policy: brain, value: critic}}
"""
TOLD = "no step ever reached learner, so it has learned nothing: body.status has only said that episodes begin"


def test_a_learner_that_no_step_reached_is_told_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deaf.yaml").write_text(TEXT)
    done = CliRunner().invoke(app, ["run", "deaf.yaml"])
    assert done.exit_code == 0
    assert f"notice: learner.inputs.status: {TOLD}" in done.stderr
    run = open_run(done.stdout.strip().splitlines()[-1])
    assert len(run.attributes["unheard"]) == 1
    assert any(TOLD in line for line in warnings(run))


def test_a_run_that_goes_on_to_its_first_step_takes_it_back(tmp_path):
    outcome = start(sl.Assembly.from_yaml(TEXT), folder=tmp_path)
    assert [TOLD in str(notice) for notice in outcome.notices].count(True) == 1
    outcome = resume(outcome.path, "3 steps")
    assert not any(TOLD in str(notice) for notice in outcome.notices)
    assert open_run(outcome.path).attributes["unheard"] == []
    outcome = resume(outcome.path, "4 steps")
    assert not any(TOLD in str(notice) for notice in outcome.notices)


def test_a_latency_variant_must_reach_the_learner_whole():
    late = sl.Assembly.from_yaml(TEXT).set("brain.inputs.observation.delay", "40 ms")
    with pytest.raises(sl.AssemblyError, match=r"Write \{observation: \{like: brain.observation\}\}"):
        late.build()
    late = late.set("critic.inputs.observation", {"like": "brain.observation"})
    late = late.set("learner.inputs.observation", {"like": "brain.observation"})
    with late.build() as loop:
        loop.run("20 steps")
        assert len(loop.components["learner"].buffer) == 18, "20 steps, less the two before anything was seen"


def test_an_observation_that_arrives_after_the_end_is_told(tmp_path):
    late = {"from": "body.observation", "delay": "100 s"}
    text = sl.Assembly.from_yaml(TEXT).set({"until": "30 steps", "brain.inputs.observation": late,
                                            "critic.inputs.observation": {"like": "brain.observation"},
                                            "learner.inputs.observation": {"like": "brain.observation"}})
    told = ("learner.inputs.observation: never heard an observation, so it has learned nothing: the first arrives at "
            "100 s, and all ended at")
    outcome = start(text, folder=tmp_path)
    assert [str(notice) for notice in outcome.notices if told in str(notice)]
    found = warnings(open_run(outcome.path))
    assert any(told in line for line in found)
    assert not any("never updated" in line for line in found), "told once, with its cause"
    outcome = resume(outcome.path, "60 steps")
    assert [str(notice) for notice in outcome.notices if told in str(notice)]


def test_a_first_update_that_is_never_reached_is_told_at_the_end_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.yaml").write_text(TEXT.replace("20 ms", "40 steps"))
    told = "notice: learner never updated: the run made 40 steps, and it begins after learning_starts = 100"
    assert told in CliRunner().invoke(app, ["run", "short.yaml"]).stderr
    found = CliRunner().invoke(app, ["run", "short.yaml", "--json"])
    assert any("learner never updated" in line for line in json.loads(found.stdout)["notices"])
    assert "never updated" not in CliRunner().invoke(app, ["run", "short.yaml", "--until", "150 steps"]).output
    (tmp_path / "deaf.yaml").write_text(TEXT)
    assert "never updated" not in CliRunner().invoke(app, ["run", "deaf.yaml"]).output, "told once, with its cause"


def test_a_planner_in_a_model_that_nobody_fitted_is_told_at_the_end_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted = test_model_fit.PETS
    (tmp_path / "fitted.yaml").write_text(fitted)
    (tmp_path / "drawn.yaml").write_text(fitted[:fitted.index("  learner:")])
    (tmp_path / "late.yaml").write_text(fitted.replace("learning_starts: 20", "learning_starts: 100"))
    told = "brain acts by model, which nobody fitted: what it predicts is drawn by chance."
    assert f"notice: {told}" in CliRunner().invoke(app, ["run", "drawn.yaml"]).stderr
    found = CliRunner().invoke(app, ["run", "drawn.yaml", "--json"])
    path = Path(json.loads(found.stdout)["path"])
    assert any(line.startswith(told) for line in warnings(open_run(path)))
    assert "nobody fitted" not in CliRunner().invoke(app, ["run", "fitted.yaml"]).output
    late = CliRunner().invoke(app, ["run", "late.yaml"]).output
    assert "learner never updated" in late
    assert "nobody fitted" not in late, "told once, with its cause"
    learned = json.loads(CliRunner().invoke(app, ["run", "fitted.yaml", "--json"]).stdout)["path"]
    for run, code in ((str(path), 1), (learned, 0)):  # of chance nothing is kept
        kept = ["export", run, "--weights", "model", "--to", "kept.safetensors"]
        assert CliRunner().invoke(app, kept).exit_code == code
    found = CliRunner().invoke(app, ["run", "drawn.yaml", "--set", "model.params.weights=kept.safetensors"])
    assert found.exit_code == 0, found.output
    assert "nobody fitted" not in found.output


def test_a_schedule_that_never_began_is_told_at_the_end_of_the_run_but_not_of_a_small_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    late = imagining.TEXT.replace("rollout_schedule: [0, 2, 2, 4]", "rollout_schedule: [20, 40, 1, 5]")
    (tmp_path / "late.yaml").write_text(late + "small: {until: 60 steps}\n")
    told = "notice: learner.params.rollout_schedule goes from 1 to 5 from epoch 20 on, and the run ended in epoch 3"
    assert told in CliRunner().invoke(app, ["run", "late.yaml"]).stderr
    found = CliRunner().invoke(app, ["run", "late.yaml", "--json"])
    assert any("rollout_schedule" in line for line in json.loads(found.stdout)["notices"])
    facts = dict.fromkeys(("simulated_s", "session_simulated_s", "wall_s", "real_time_factor", "evaluation_s"), 1.0)
    whole, halted = (ending(Outcome(Path(json.loads(found.stdout)["path"]), reason, facts), True, [])[0]["notices"]
                     for reason in ("finished", "interrupted"))
    assert len(whole) == len(halted) + 1, "who interrupts a run knows that it is not over"
    small = CliRunner().invoke(app, ["run", "late.yaml", "--small"])
    assert small.exit_code == 0
    assert "rollout_schedule" not in small.output
    (tmp_path / "soon.yaml").write_text(imagining.TEXT)
    assert "rollout_schedule" not in CliRunner().invoke(app, ["run", "soon.yaml"]).output


@pytest.mark.parametrize("variant", ["base", "mbpo", "sac", "mopac_compat"])
def test_a_small_form_that_is_shipped_says_nothing_of_its_schedules(variant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("mujoco")
    done = CliRunner().invoke(app, ["run", "mopac_hopper", "--variant", variant, "--small", "--json"])
    assert done.exit_code == 0
    assert [line for line in json.loads(done.stdout)["notices"] if "listens" not in line] == []
