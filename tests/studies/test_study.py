"""Studies from file to verdict: order of stages, what is kept and given, skipping, resuming, failures, stale code."""

import json
import re

import numpy as np
import pytest

from stimloop.assemblies.study import Study, StudyStopped
from stimloop.assemblies.studying import running, texts
from stimloop.loops.errors import AssemblyError, StimloopError
from stimloop.loops.storage import artifact


def test_a_study_ends_in_a_table_and_verdicts(tiny):
    said = []
    study = Study(tiny)
    result = study.run(say=said.append)
    assert len(said) == 12
    assert said[0] == "train:base at seed=0: begins (1/2)"
    assert re.fullmatch(r"train:base at seed=0: finished in \d+ s \(1/2\); kept trained: test.return -\S+ after \d+ "
                        r"steps \(row \d of 4 of evaluation test\)", said[1])
    assert said[-1].startswith("act:still at seed=1: finished in")
    assert said[-1].endswith("s (4/4)")
    rows = {(row.stage, row.variant): row for row in result.rows}
    assert set(rows) == {("train", "base"), ("act", "base"), ("act", "still")}
    assert rows["act", "still"].summary("gain")[:3] == (0, 0, 0)
    mean, low, high, n = rows["act", "base"].summary("return")
    assert low <= mean <= high
    assert n == 2
    assert rows["act", "base"].values["learned"] == rows["train", "base"].values["return"]
    assert [verdict.holds for verdict in result.verdicts[:3]] == [True, True, True]
    shown = texts.text(result.rows, result.verdicts, study.description.measures)
    assert "PASS  episodes of act:base at least 2 in 2 of 2: 2 of 2" in shown


def test_what_an_earlier_stage_kept_at_its_best_moment_is_given_to_cells_of_the_same_seed(tiny):
    study = Study(tiny)
    study.run()
    train, act = (study.description.stages[name] for name in ("train", "act"))
    cells = study.cells(train)
    for cell in study.cells(act).cells:
        place = cell.places[0]
        if place.variant != "base":
            continue
        (kept,) = [path for (name, point), path in cells.kept().items() if point == place.point]
        assert cell.assembly.get("brain.params.weights") == f"study:{kept.relative_to(study.folder)}"
        maker = next(c for c in cells.cells if c.places[0].point == place.point)
        from stimloop.loops.storage.runs import Run

        table = Run(cells.run_of(maker.places[0])).evaluations("test")
        best = json.loads((kept.parent / "best.json").read_text())
        assert best["value"] == table["return"].max()
        assert best["steps"] == table["steps"][int(np.argmax(table["return"]))]
        artifact.load(kept)


def test_stages_that_sweep_different_addresses_join_as_they_say(tiny):
    text = tiny.read_text().removesuffix("  - {measure: return, above: still}\n")
    elsewhere = "sweep: {body.seed: [1]}, joins: {seed: body.seed}"
    for old, new in (("variants: [base, still], sweep: {seed: [0, 1]}", elsewhere), (" - still.test.return", ""),
                     (", variant: still", ""), ("2 of 2", "1 of 1")):
        assert old in text
        text = text.replace(old, new)
    tiny.write_text(text)
    study = Study(tiny)
    result = study.run()
    train, act = (study.description.stages[name] for name in ("train", "act"))
    kept = study.cells(train).kept()["trained", (("seed", 1),)]
    (cell,) = study.cells(act).cells
    assert cell.assembly.get("brain.params.weights") == f"study:{kept.relative_to(study.folder)}"
    learned = {row.stage: row.values["learned"] for row in result.rows}
    assert learned["act"] == learned["train"][1:]


def test_finished_cells_are_skipped_and_the_table_stays(tiny):
    first = Study(tiny).run()
    said = []
    again = Study(tiny).run(say=said.append)
    assert said == []
    assert again.rows == first.rows
    assert {row["state"] for row in Study(tiny).status()} == {"finished"}


def test_before_it_runs_it_says_what_it_would_do(tiny):
    rows = Study(tiny).status()
    assert [row["state"] for row in rows] == ["waiting", "waiting", "waits for what earlier stages keep"]
    assert rows[2]["cell"] == "act: 4 cells"


def test_several_processes_share_the_work(tiny):
    alone = Study(tiny, folder=tiny.parent / "alone").run()
    shared = Study(tiny, folder=tiny.parent / "shared").run(workers=2)
    assert shared.rows == alone.rows


def test_failed_cells_are_listed_once_an_error_and_run_anew_when_asked(tiny, monkeypatch):
    whole = running._go

    def fail(work, allowed):
        if work.assembly.name == "act":
            raise StimloopError("it went wrong")
        return whole(work, allowed)

    monkeypatch.setattr(running, "_go", fail)
    with pytest.raises(StudyStopped, match="4 cells of stage act failed") as stopped:
        Study(tiny).run()
    assert str(stopped.value).count("it went wrong") == 1
    assert "act:base at seed=0, act:still at seed=0, act:base at seed=1" in str(stopped.value)
    monkeypatch.setattr(running, "_go", whole)
    with pytest.raises(StudyStopped, match="4 cells of stage act failed"):
        Study(tiny).run()
    result = Study(tiny).run(rerun=("failed",))
    assert all(verdict.holds for verdict in result.verdicts[:3])


def test_given_weights_that_do_not_fit_stop_the_stage_before_any_of_its_cells_runs(tiny):
    act = tiny.parent / "act.yaml"
    act.write_text(act.read_text().replace("hidden: [8, 8]", "hidden: [8, 9]"))
    with pytest.raises(AssemblyError, match=r"stage act, 2 cells \(base\): brain.params.weights \(act.yaml:7:31\)"):
        Study(tiny).run()
    assert {row["state"] for row in Study(tiny).status()} == {"finished", "waiting"}


def test_cells_whose_code_changed_are_stale(tiny, monkeypatch):
    study = Study(tiny)
    first = study.run()
    from stimloop.assemblies.studying import states

    original = states.code_of
    monkeypatch.setattr(states, "code_of", lambda *given: {**original(*given), "brain": "changed"})
    assert {row["state"] for row in Study(tiny).status()} == {"stale"}
    with pytest.raises(StudyStopped, match="the code of 2 finished cells has changed"):
        Study(tiny).run()
    assert Study(tiny).run(accept_stale=True).rows == first.rows
    assert {row["state"] for row in Study(tiny).status()} == {"finished"}


@pytest.mark.parametrize(("change", "said"), [
    (("trained}, variants", "traned}, variants"), r"no stage above keeps 'traned'"),
    (("variants: [base, still]", "variants: [base, stil]"), r"stages.act.variants: act.yaml has no variant .stil."),
    (("measure: gain,", "measure: gian,"), r"there is no measure 'gian'"),
    (("at_most: 0}\n  - {measure: return, above", "}\n  - {measure: return, above"), "needs one of at_least, at_most"),
    (("at: best test.return", "at: bets"), "is no moment"),
    (("sweep: {seed: [0, 1]}}\nmeasure", "sweep: {seed: 3}}\nmeasure"), "is not a list of values"),
    (("sweep: {seed: [0, 1]}}\nmeasure", "}\nmeasure"), "for each seed: nothing says which is meant"),
    (("after: 20 steps", "after: soon"), "is no counter"),
    (("variants: [base, still]", "joins: {seed: body.seed}, variants: [base, still]"), "'body.seed' is not swept here"),
    (("variants: [base, still]", "joins: {sed: seed}, variants: [base, still]"), "no stage above sweeps 'sed'"),
])
def test_what_is_wrong_in_a_study_is_told(tiny, change, said):
    tiny.write_text(tiny.read_text().replace(*change).replace(", in: 2 of 2", ""))
    assert change[1] in tiny.read_text()
    with pytest.raises(AssemblyError, match=said):
        Study(tiny).run()
