"""What a study says that it would do: stages, cells and time left, and what is wrong, before anything runs."""

import json
import subprocess
import sys

import pytest

from stimloop.assemblies.study import Study
from stimloop.assemblies.studying import plan, texts
from stimloop.assemblies.studying.cells import Place
from stimloop.assemblies.studying.records import DONE, read, write
from stimloop.assemblies.studying.tables import Row
from stimloop.loops.errors import AssemblyError

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]


def planned(path, **options):
    return plan.plan(Study(path, **options))


def test_it_names_stages_and_cells_in_order_and_runs_nothing(tiny):
    told = planned(tiny)
    train, act = told["stages"]
    assert (train["stage"], train["assembly"], train["keeps"]) == ("train", "train.yaml", ["trained"])
    assert act["given"] == {"brain.params.weights": "trained"}
    assert [(cell["variants"], cell["at"], cell["until"], cell["state"]) for cell in train["cells"]] == [
        (["base"], {"seed": 0}, "90 steps", "waiting"), (["base"], {"seed": 1}, "90 steps", "waiting")]
    assert {cell["state"] for cell in act["cells"]} == {plan.WAITS}
    assert (told["runs"], told["left"], told["runs_without_estimate"]) == (6, 6, 6)
    assert not (tiny.parent / "studies").exists()
    shown = plan.text(told)
    assert "tiny: 2 stages, 6 runs, 6 left" in shown
    assert shown.index("1. train (train.yaml)") < shown.index("2. act (act.yaml)")


def test_the_time_left_comes_from_finished_cells_of_the_stage(tiny):
    study = Study(tiny)
    study.run()
    assert planned(tiny)["left"] == 0
    cells = study.cells(study.description.stages["act"])
    for cell, seconds in zip(cells.cells[:2], (4.0, 6.0), strict=True):
        write(cells.path(cell) / DONE, {**read(cells.path(cell) / DONE), "seconds": seconds})
    for cell in cells.cells[2:]:
        (cells.path(cell) / DONE).unlink()
    told = planned(tiny)
    assert told["left"] == len(cells.cells) - 2 > 0
    assert told["seconds_left"] == pytest.approx(5.0 * told["left"])
    assert told["runs_without_estimate"] == 0
    assert "about" in plan.text(told)


def test_a_run_that_was_gone_on_with_tells_no_time(tiny):
    told = plan._seconds([{"until": "10 steps", "took": 2.0}, {"until": "40 steps", "took": None},
                          {"until": "2 episodes", "took": None}])
    assert told == [2.0, 8.0, None]


@pytest.mark.parametrize(("change", "said"), [
    (("variants: [base, still], sweep: {seed: [0, 1]}", "variants: [base, still], sweep: {seed: [0, 3]}"),
     r"stages.act.sweep.seed: stage train keeps no 'trained' at seed=3: it sweeps 0, 1(.|\n)*Leave 3 out here"),
    (("variants: [base, still], sweep: {seed: [0, 1]}", "variants: [base, still]"),
     r"stages.act: stage train keeps one 'trained' for each seed(.|\n)*Sweep seed here too"),
    (("brain.params.weights: trained", "brain.params.weights: traned"),
     r"stages.act.given.brain.params.weights: no stage above keeps 'traned'(.|\n)*trained"),
])
def test_what_cannot_be_joined_is_told_before_anything_runs(tiny, change, said):
    tiny.write_text(tiny.read_text().replace(*change).replace(", in: 2 of 2", ""))
    with pytest.raises(AssemblyError, match=said):
        planned(tiny)
    assert not (tiny.parent / "studies").exists()


def test_on_the_command_line(tiny):
    done = subprocess.run([*STIMLOOP, "study", "tiny.yaml", "--plan", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["runs"] == 6, done.stderr
    wrong = subprocess.run([*STIMLOOP, "study", "frist_coprocessor", "--plan"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "there is no shipped study 'frist_coprocessor'" in wrong.stderr
    assert "first_coprocessor" in wrong.stderr
    assert "ending .yaml" in wrong.stderr


def test_a_swept_list_is_told_as_the_file_has_it(tiny):
    text = tiny.read_text().replace("variants: [base, still], sweep: {seed: [0, 1]}",
                                    "variants: [base, still], "
                                    "sweep: {seed: [0, 1], record: [[metrics], [metrics, body]]}")
    tiny.write_text(text.replace("2 of 2", "2 of 4"))
    study = Study(tiny)
    shown = plan.text(plan.plan(study))
    assert "seed=0, record=['metrics', 'body']" in shown
    assert "('metrics'" not in shown
    place = Place("act", "base", (("record", ("metrics", "body")),))
    assert str(place) == "act:base at record=['metrics', 'body']"
    row = Row("act", "base", place.point, {}, {})
    assert "record=['metrics', 'body']" in texts.text([row], [], {})
