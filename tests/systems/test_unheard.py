"""A learner that no step ever reached is told of: on the command line, in the run, and in its report."""

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.assemblies.execute import start
from stimloop.assemblies.reports.warnings import warnings
from stimloop.assemblies.resuming import resume
from stimloop.loops.storage.runs import open as open_run

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
