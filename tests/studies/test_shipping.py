"""Shipped weights stand for the stage that made them, and for no other; a changed assembly is an error."""

import json

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies import settings
from stimloop.assemblies.study import SHIPPED, Study, StudyStopped, load
from stimloop.assemblies.studying import plan
from stimloop.assemblies.studying.shipping import stand_in
from stimloop.loops.errors import AssemblyError
from stimloop.loops.storage import artifact


@pytest.fixture
def shipped(tiny, monkeypatch):
    """The study of six cells with one seed, and a small form, run in full; what it kept is shipped."""
    folder = tiny.parent / "weights"
    folder.mkdir()
    monkeypatch.setattr(settings, "WEIGHTS", folder)
    small = "{train.set: {until: 30 steps}, train.sweep.seed: [0], act.sweep.seed: [0]}"
    tiny.write_text(f"{tiny.read_text().replace(', in: 2 of 2', '')}small: {small}\n")
    study = Study(tiny, folder=tiny.parent / "made")
    study.run()
    assert [file.name for file in study.ship(folder)] == ["trained.safetensors"]
    return tiny


def skipped(path, **options):
    return [stage["skipped"] for stage in plan.plan(Study(path, folder=path.parent / "new", **options))["stages"]]


def test_a_kept_file_says_what_made_it(shipped):
    learned, meta = artifact.load(settings.WEIGHTS / "trained.safetensors")
    made = meta["made"]
    assert learned
    assert {key: made[key] for key in ("study", "stage", "keep", "variant", "point", "small")} == {
        "study": "tiny", "stage": "train", "keep": "trained", "variant": "base", "point": {"seed": 0}, "small": False}
    assert len(made["recipe"]) == 64
    assert meta["note"].startswith(f"study tiny, stage train, seed=0: test.return {made['value']:.1f} after")


def test_the_small_form_skips_what_the_full_form_has_shipped(shipped):
    assert skipped(shipped, small=True) == [True, False]
    said = []
    study = Study(shipped, small=True, folder=shipped.parent / "new")
    result = study.run(say=said.append)
    assert [line.split(" ")[0] for line in said] == ["act:base", "act:base", "act:still", "act:still"]
    assert {row.stage for row in result.rows} == {"act"}
    assert study.status()[0]["state"] == "shipped weights trained"
    act = study.cells(study.description.stages["act"]).cells[0].assembly
    assert act.get("brain.params.weights") == "trained"


def test_other_seeds_are_not_skipped(shipped):
    assert skipped(shipped) == [False, False]
    told = plan.text(plan.plan(Study(shipped, folder=shipped.parent / "new")))
    assert "not skipped: shipped weights trained are there for seed=0 only" in told


def test_retrain_skips_nothing_and_what_small_makes_says_so(shipped):
    assert skipped(shipped, small=True, retrain=True) == [False, False]
    study = Study(shipped, small=True, retrain=True, folder=shipped.parent / "new")
    study.run()
    (path,) = study.cells(study.description.stages["train"]).kept().values()
    meta = artifact.load(path)[1]
    assert meta["made"]["small"]
    assert "in its small form" in meta["note"]
    with pytest.raises(StudyStopped, match="the small form learns for a few steps only"):
        study.ship(shipped.parent / "elsewhere")


def test_a_changed_assembly_is_an_error_that_names_the_remedy(shipped):
    train = shipped.parent / "train.yaml"
    train.write_text(train.read_text().replace("batch_size: 16", "batch_size: 8"))
    with pytest.raises(AssemblyError, match=r"stages.train.keep.trained: the shipped weights trained are not what this "
                                            r"stage learns now(.|\n)*--retrain(.|\n)*--ship FOLDER"):
        skipped(shipped, small=True)
    assert skipped(shipped, small=True, retrain=True) == [False, False]


@pytest.mark.parametrize("change", [("record: [learner]", "record: [brain]"), ("every: 20 steps}", "every: 10 steps}"),
                                    ("name: train", "name: practice")])
def test_what_is_only_recorded_or_saved_changes_nothing_that_is_learned(shipped, change):
    train = shipped.parent / "train.yaml"
    train.write_text(train.read_text().replace(*change))
    assert change[1] in train.read_text()
    assert skipped(shipped, small=True) == [True, False]


def test_weights_of_another_study_or_of_none_stand_for_nothing(shipped):
    shipped.write_text(shipped.read_text().replace("name: tiny", "name: other"))
    assert skipped(shipped, small=True) == [False, False]


def test_given_weights_count_by_what_they_hold(shipped):
    """What a later stage makes of other weights is not what was shipped."""
    study = Study(shipped, small=True)
    stage = study.full.stages["train"]
    found, _ = stand_in(study.description, study.full, study.description.stages["train"], {}, study.folder)
    assert list(found) == [("trained", (("seed", 0),))]
    path = settings.WEIGHTS / "trained.safetensors"
    learned, meta = artifact.load(path)
    artifact.write(path, learned, meta["type"], meta["ports"], meta["note"])  # without what made it
    assert stand_in(study.description, study.full, stage, {}, study.folder)[0] == {}


def test_the_shipped_study_needs_only_its_comparison():
    pytest.importorskip("torch")
    told = plan.plan(load("first_coprocessor", small=True))
    assert [stage["skipped"] for stage in told["stages"]] == [True, True, True, False]
    assert len(told["stages"][-1]["cells"]) == 6
    assert not any(stage["skipped"] for stage in plan.plan(load("first_coprocessor"))["stages"])


def test_shipped_weights_say_which_moment_they_are_of():
    for name in ("healthy_elbow", "best_constant_elbow", "taught_elbow"):
        made = artifact.load(settings.WEIGHTS / f"{name}.safetensors")[1]["made"]
        assert json.dumps(made["point"]).startswith('{"')
        assert made["study"] in {file.stem for file in SHIPPED.glob("*.yaml")}
        assert np.isfinite(made["value"])
    assert sl.load("healthy_elbow").until == "30000 steps"
