"""`stimloop evaluate`: so many episodes from such seeds, cut off or not, exploring or not, and their statistics."""

import numpy as np
import pytest
from typer.testing import CliRunner

import stimloop as sl
from stimloop.assemblies import evaluate_command
from stimloop.assemblies.cli import app
from stimloop.loops.errors import AssemblyError

from . import commanded
from .commanded import call

TEXT = """
name: judged
until: 200 ms
components:
  body: {type: bodies.point_mass, params: {max_steps: 30}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8], explore: true}, inputs: [body.observation, body.status]}
evaluate:
  test: {every: 1000 steps, episodes: 2, seeds: 5, at_start: false, set: {brain.params.explore: false}}
  noisy: {every: 1000 steps, episodes: 2, seeds: 5, at_start: false}
"""


@pytest.fixture
def run(tmp_path):
    return sl.Assembly.from_yaml(TEXT).run(folder=tmp_path).path


def value(*words):
    return commanded.value("evaluate", *words)


def test_as_the_assembly_says_without_options(run):
    found = value(run)
    assert set(found) == {"test", "noisy"}
    assert len(found["test"]["return"]) == 2
    assert found["test"]["return"] != found["noisy"]["return"]


def test_episodes_and_seeds(run):
    four = value(run, "--name", "test", "--episodes", 4, "--seed", 5)["test"]
    assert len(four["return"]) == 4
    assert four["return"][:2] == value(run)["test"]["return"], "seeds count up from the first"
    assert value(run, "--seed", 6)["test"]["return"][0] == four["return"][1]


def test_an_episode_ends_after_so_many_steps(run):
    found = value(run, "--name", "test", "--steps", 7)["test"]
    assert found["length"] == [7, 7]
    assert found["return"] != value(run, "--name", "test")["test"]["return"]


def test_exploring_or_not(run):
    still, drawn = value(run, "--no-explore"), value(run, "--explore")
    assert still["test"]["return"] == still["noisy"]["return"] == value(run)["test"]["return"]
    assert drawn["test"]["return"] == drawn["noisy"]["return"] == value(run)["noisy"]["return"]
    assert drawn["test"]["return"] != still["test"]["return"]


def test_where_nothing_explores_that_is_said(tmp_path):
    silent = sl.Assembly.from_yaml(TEXT).set("evaluate", None).swap("brain", "basics.silence").run(folder=tmp_path)
    assert "has a parameter `explore`" in call("evaluate", silent.path, "--episodes", 1, "--explore", code=1).stderr
    assert value(silent.path, "--episodes", 3)["test"]["summary"]["episodes"] == 3


def test_statistics_are_those_of_the_episodes():
    row = {"return": np.array([1.0, 2.0, 6.0]), "length": np.array([4, 4, 4]), "success": np.array([1.0, 0.0, np.nan]),
           "steps": 9}
    found = evaluate_command.summary(row)
    assert found["return"] == pytest.approx({"mean": 3, "sd": np.sqrt(14 / 3), "min": 1, "max": 6})
    assert found["length"] == {"mean": 4, "sd": 0, "min": 4, "max": 4}
    assert (found["episodes"], found["success"]) == (3, 0.5)
    lines = evaluate_command.text({"test": {**row, "summary": found}}).splitlines()
    assert " ".join(lines[0].split()) == "evaluation of mean sd min max episodes solved steps so far"
    assert lines[1].split() == ["test", "return", "3", "2.16", "1", "6", "3", "0.5", "9"]
    unknown = {**row, "success": np.full(3, np.nan)}
    assert evaluate_command.summary(unknown)["success"] is None
    told = evaluate_command.text({"test": {**unknown, "summary": evaluate_command.summary(unknown)}})
    assert "solved" not in told


def test_more_steps_than_can_be_counted_are_refused_in_words(run):
    done = CliRunner().invoke(app, ["evaluate", str(run), "--name", "test", "--steps", "9223372036854775807"])
    assert done.exit_code == 1
    assert "9223372036854775807 steps are more than are counted" in done.stderr
    assert "longest" in done.stderr
    assert "unit of time" not in done.stderr


@pytest.mark.parametrize("word", ["steps", "episodes"])
@pytest.mark.parametrize("zeros", [15, 5000])
def test_no_rhythm_counts_further_than_a_run_can(zeros, word):
    for address in ("evaluate.test.every", "checkpoint.every"):
        with pytest.raises(AssemblyError, match=f"{word} are more than are counted") as caught:
            sl.Assembly.from_yaml(TEXT).set(address, f"1{zeros * '0'} {word}")
        assert len(caught.value.problems) == 1
        assert len(str(caught.value)) < 300
        sl.Assembly.from_yaml(TEXT).set(address, f"{10**15 - 1} {word}")


@pytest.mark.parametrize(("longest", "said"), [("0 steps", "more than nothing"), ("3 episodes", "longest"),
                                               ("-1 s", "longest"), (7, "no unit of time")])
def test_what_is_no_end_of_an_episode_is_refused(longest, said):
    with pytest.raises(AssemblyError, match=said):
        sl.Assembly.from_yaml(TEXT).set("evaluate.test.longest", longest)


def test_that_somebody_acts_by_a_model_which_was_never_fitted_is_said(tmp_path):
    pytest.importorskip("torch", reason="plans are made in torch")
    from .test_model_fit import PETS

    made = sl.Assembly.from_yaml(PETS)
    early = made.run("8 steps", folder=tmp_path).path
    done = call("evaluate", early, "--episodes", 1)
    assert done.stderr == "notice: model was never fitted: who acts by it acts by chance\n"
    assert value(early, "--episodes", 1)["test"]["by_chance"] == ["model"]
    later = made.run("40 steps", folder=tmp_path).path
    assert call("evaluate", later, "--episodes", 1).stderr == ""
    assert "by_chance" not in value(later, "--episodes", 1)["test"]
