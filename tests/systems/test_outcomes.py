"""What a command says at the end of a run: what was earned, how fast it went, and one of a thing without an s."""

import re

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import earned, execute, inspection

from .commanded import call, value

TEXT = """
name: outcome
until: 12 steps
components:
  body: {type: bodies.point_mass, params: {max_steps: 4}, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
evaluate:
  test: {every: 6 steps, episodes: 2}
"""


@pytest.fixture(autouse=True)
def a_place_of_its_own(in_a_folder_of_its_own, tmp_path):
    (tmp_path / "outcome.yaml").write_text(TEXT)


def test_a_run_says_what_was_earned():
    facts = value("run", "outcome.yaml")
    run = sl.open(facts["path"])
    episodes = run.episodes()
    over = episodes[episodes["how"] != "running"]
    assert facts["returns"] == {"body": {"return": pytest.approx(over["return"].mean()), "episodes": len(over)}}
    rows = run.evaluations("test")
    assert facts["evaluations"] == {"test": {"return": pytest.approx(rows["return"].iloc[-1]), "episodes": 2,
                                             "steps": 12}}
    text = call("run", "outcome.yaml").stdout
    assert f"12 steps, 3 episodes; mean return {over['return'].mean():.4g} in the last 3" in text
    assert f"evaluations/test: mean return {rows['return'].iloc[-1]:.4g} in 2 episodes after 12 steps" in text


def test_the_speed_and_the_share_of_evaluation_are_told_apart(monkeypatch):
    outcome = execute.start(sl.Assembly.from_yaml(TEXT))
    outcome.facts.update(wall_s=10.0, evaluation_s=4.0, steps_per_s=2.0, real_time_factor=0.04)
    text = inspection.outcome_text(outcome)
    assert "2 steps/s, 0.0x real time without evaluation, which took 40 % of the time (4.0 s)" in text
    outcome.facts.update(evaluation_s=0.0)
    assert "evaluation" not in inspection.outcome_text(outcome)


def test_only_the_last_episodes_count_and_only_the_end_is_read(monkeypatch):
    a = sl.Assembly.from_yaml(TEXT).set("evaluate", None).set("lanes", 3)
    run = a.run("60 steps")
    episodes = run.episodes()
    over = episodes[episodes["how"] != "running"].sort_values(["end"], kind="stable")
    monkeypatch.setattr(earned, "MOST", 3)
    monkeypatch.setattr(earned, "_FIRST", 12)
    (body,) = earned.earned(run)["returns"].values()
    last = over[over["end"] == over["end"].max()]
    assert body == {"return": pytest.approx(last["return"].mean()), "episodes": 3}
    read = []
    monkeypatch.setattr(earned.trials, "episodes", lambda status, reward: read.append(len(status["time"])) or {
        "how": np.full(3, "truncated", object), "end": np.arange(3), "return": np.ones(3)})
    earned.earned(run)
    assert read == [4]  # ticks


def test_a_run_without_an_ended_episode_or_a_body_has_no_return():
    a = sl.Assembly.from_yaml(TEXT).set("evaluate", None)
    assert earned.earned(a.run("2 steps")) == {"returns": {}, "evaluations": {}}
    assert earned.earned(a.set("record", "none").run("12 steps")) == {"returns": {}, "evaluations": {}}
    assert "return" not in call("run", "outcome.yaml", "--until", "2 steps", "--set", "evaluate=null").stdout


def test_one_of_a_thing_has_no_s():
    text = call("run", "outcome.yaml", "--until", "1 step", "--set", "evaluate.test.episodes=1",
                "--set", "evaluate.test.every=1 step", "--set", "body.params.max_steps=1").stdout
    assert "1 step, 1 episode; mean return" in text
    assert "in 1 episode after 1 step" in text
    assert not re.search(r" 1 steps(?!/s)", text)
    assert " 1 episodes" not in text
