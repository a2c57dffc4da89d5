"""What a cell keeps: the best moment, each number from its own evaluation, and never another one in its place."""

import json

import numpy as np
import pytest

from stimloop.assemblies.study import Study, StudyStopped
from stimloop.assemblies.studying import keeping
from stimloop.loops.errors import AssemblyError
from stimloop.loops.storage import artifact
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


MODEL = """
name: train
until: {until}
components:
  body:    {{type: bodies.point_mass, params: {{max_steps: 15}}, inputs: [brain.action]}}
  brain:   {{type: brains.mlp, params: {{hidden: [8, 8], explore: true}}, inputs: [body.observation, body.status]}}
  model:   {{type: world_models.gaussian_ensemble, params: {{members: 3, elites: 2, hidden: [8]}},
            inputs: [body.observation, brain.action, body.reward, body.status]}}
  learner: {{type: learners.model_fit, params: {{learning_starts: 40, model_train_freq: 40}}, uses: {{model: model}},
            inputs: [body.observation, body.reward, body.status, brain.action]}}
evaluate:
  test: {{every: 30 steps, episodes: 2, without: [learner]}}
"""


def of_a_model(tmp_path, monkeypatch, *, until="90 steps", at="end", without_learner=False):
    pytest.importorskip("torch", reason="a model is fitted")
    text = MODEL.format(until=until)
    if without_learner:
        text = "".join(f"{line}\n" for line in text.splitlines() if "learner:" not in line and "reward, body.status, "
                       not in line).replace("[learner]", "[]")
    (tmp_path / "train.yaml").write_text(text)
    (tmp_path / "modelled.yaml").write_text(
        f"name: modelled\nstages:\n  train: {{assembly: train.yaml, keep: {{model: {{from: model, at: {at}}}}}}}\n"
        "measure: {length: test.length}\n")
    monkeypatch.chdir(tmp_path)
    return Study(tmp_path / "modelled.yaml")


@pytest.mark.parametrize("at", ["end", "best test.length"])
def test_a_model_that_was_never_fitted_is_not_kept(at, tmp_path, monkeypatch):
    with pytest.raises(StudyStopped, match="model was never fitted, so that it cannot be kept as model: what it "
                                           "predicts is drawn by chance"):
        of_a_model(tmp_path, monkeypatch, until="35 steps", at=at).run()


@pytest.mark.parametrize("at", ["end", "best 0 - test.steps"])
def test_a_model_is_kept_as_it_was_after_a_fit(at, tmp_path, monkeypatch):
    """Of its moments the one at 30 steps would be better, but nothing was known by then."""
    study = of_a_model(tmp_path, monkeypatch, at=at)
    study.run()
    (kept,) = study.cells(study.description.stages["train"]).chosen().values()
    learned, _ = artifact.load(kept.file)
    assert np.isfinite(learned["holdout"]).all()
    assert kept.moment.get("steps") == (None if at == "end" else 60)


def test_a_run_in_which_no_evaluation_came_after_the_first_fit_says_so(tmp_path, monkeypatch):
    with pytest.raises(StudyStopped, match="or was never evaluated after the first fit"):
        of_a_model(tmp_path, monkeypatch, until="45 steps", at="best test.length").run()


def test_that_nobody_fits_a_model_is_told_when_it_is_planned(tmp_path, monkeypatch):
    with pytest.raises(AssemblyError, match=r"keep.model.from: nobody fits model, and it is given no weights"):
        of_a_model(tmp_path, monkeypatch, without_learner=True).checks.check()
    of_a_model(tmp_path, monkeypatch).checks.check()
