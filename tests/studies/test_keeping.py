"""What a cell keeps: the best moment, each number from its own evaluation, and never another one in its place."""

import json

import numpy as np
import pytest

from stimloop.assemblies.study import Study, StudyStopped
from stimloop.assemblies.studying import keeping
from stimloop.loops.errors import AssemblyError
from stimloop.loops.storage.runs import Run

TWICE = """
  test: {every: 30 steps, episodes: 2, without: [learner, critic], set: {brain.params.explore: false}}
  hard: {every: 30 steps, episodes: 3, seeds: 77, without: [learner, critic], set: {brain.params.explore: false}}
checkpoint"""


def of_two_evaluations(tiny, measure="hard.return - 2 * test.length"):
    train = tiny.parent / "train.yaml"
    head, _, tail = train.read_text().partition("\n  test:")
    train.write_text(head + TWICE + tail.partition("checkpoint")[2])
    tiny.write_text(tiny.read_text().replace("best test.return", f"best {measure}").replace("[0, 1]", "[0]")
                    .replace("2 of 2", "1 of 1"))
    study = Study(tiny)
    return study, study.description.stages["train"]


def test_each_name_is_read_from_its_own_evaluation(tiny):
    study, stage = of_two_evaluations(tiny)
    study.run()
    (kept,) = study.cells(stage).chosen().values()
    run = Run(study.run_of(kept.place))
    told = run.evaluations("hard")["return"] - 2 * run.evaluations("test")["length"]
    taught = np.flatnonzero(run.evaluations("hard")["steps"] > 0)
    best = taught[np.argmax(told.to_numpy()[taught])]
    assert kept.value == pytest.approx(told[best])
    assert kept.moment == {"measure": "(hard.return - (2.0 * test.length))", "value": kept.value, "evaluation": "hard",
                           "steps": run.evaluations("hard")["steps"][best], "row": best + 1, "rows": len(told)}


def test_what_came_before_an_interruption_belongs_to_its_moment(tiny):
    study, stage = of_two_evaluations(tiny)
    work = keeping.Work(tiny.parent / "cell", study.cells(stage).cells[0].assembly, stage.keep)
    with work.assembly.build() as loop:
        def best():
            return keeping.Best(work, "trained", stage.keep["trained"], loop)

        best().look("test", {"time": 5, "steps": 30, "length": [1.0, 3.0]})
        best().look("hard", {"time": 6, "steps": 31, "return": [9.0]})  # another moment
        assert not (tiny.parent / "cell" / "trained" / "best.json").exists()
        best().look("test", {"time": 6, "steps": 31, "length": [1.0, 3.0]})  # gone on with in another process
    assert json.loads((tiny.parent / "cell" / "trained" / "best.json").read_text())["value"] == 5.0


def test_evaluations_of_other_moments_are_refused(tiny):
    study, _ = of_two_evaluations(tiny)
    train = tiny.parent / "train.yaml"
    train.write_text(train.read_text().replace("hard: {every: 30 steps", "hard: {every: 45 steps"))
    with pytest.raises(AssemblyError, match="its evaluations do not take place at the same moments"):
        study.run()


def test_a_best_that_never_was_a_number_is_no_end(tiny):
    tiny.write_text(tiny.read_text().replace("best test.return", "best test.return / 0"))
    with pytest.raises(StudyStopped, match="no moment of the run could be kept as trained"):
        Study(tiny).run()
