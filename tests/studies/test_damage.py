"""Cells whose run or kept file is lost: told with the cell and what to do, counted nowhere, and run anew when asked."""

import shutil

import pytest

from stimloop.assemblies.settings import Settings
from stimloop.assemblies.study import Study, StudyStopped
from stimloop.assemblies.study_command import Options, command
from stimloop.assemblies.studying import plan
from stimloop.assemblies.studying.records import BEST, DONE, read, write

CELL = "train:base at seed=1"


def parts(study, name, at=-1):
    """Return the cells of a stage, and the folder of one of them."""
    cells = study.cells(study.description.stages[name])
    return cells, cells.path(cells.cells[at])


@pytest.fixture
def run(tiny):
    """A study that has been run, and its result."""
    study = Study(tiny)
    return study, study.run()


@pytest.mark.parametrize(("file", "content", "says"), [
    ("best.safetensors", b"", "what it kept as 'trained' cannot be read: .*best.safetensors"),
    ("best.safetensors", None, "what it kept as 'trained' is gone: .*best.safetensors"),
    ("best.json", None, "what it kept as 'trained' is gone: .*best.json"),
    ("best.json", b"{}", "what it kept as 'trained' cannot be read: .*best.json"),
])
def test_what_a_cell_kept_and_is_lost_is_told_at_that_cell(tiny, run, file, content, says):
    first, result = run
    path = parts(first, "train")[1] / "trained" / file
    path.unlink() if content is None else path.write_bytes(content)
    told, shown, _ = command("tiny.yaml", Options(status=True), Settings(), quiet=True)
    assert [(row["cell"], row["state"]) for row in told["cells"]] == [
        ("train:base at seed=0", "finished"), (CELL, "damaged"), ("act: 4 cells", plan.WAITS)]
    assert says.partition(":")[0] in shown
    assert command("tiny.yaml", Options(plan=True), Settings(), quiet=True)[0]["left"] == 5
    with pytest.raises(StudyStopped, match=rf"1 finished cell of stage train is damaged(.|\n)*--rerun damaged"
                                           rf"(.|\n)*{CELL}: {says}"):
        Study(tiny).run()
    assert Study(tiny).run(rerun=("damaged",)).rows == result.rows


def test_a_run_that_was_removed_is_told_at_its_cell(tiny, run):
    first, result = run
    _, path = parts(first, "act", 0)
    shutil.rmtree(path / "run")
    study = Study(tiny)
    assert [row["state"] for row in study.status()].count("damaged") == 1
    assert plan.plan(study)["left"] == 1
    lacking = next(row for row in study.result().rows if (row.stage, row.variant) == ("act", "base"))
    assert len(lacking.values["return"]) == 1
    with pytest.raises(StudyStopped, match=r"act:base at seed=0: its run is gone: .*zarr"):
        Study(tiny).run()
    assert Study(tiny).run(rerun=("damaged",)).rows == result.rows


def test_what_is_chosen_over_several_cells_waits_for_all_of_them(tiny):
    text = tiny.read_text().replace("at: best test.return", "at: best test.return, over: [seed]")
    tiny.write_text(text.replace("  learned: train:base.test.return\n", ""))
    study = Study(tiny)
    study.run()
    cells, _ = parts(study, "train")
    (chosen,) = cells.chosen().values()
    best = next(cell for cell in cells.cells if chosen.place in cell.places)
    (cells.path(best) / DONE).unlink()
    assert [row["cell"] for row in Study(tiny).status()][2:] == ["act: 4 cells"]
    assert Study(tiny).kept() == []


def test_a_cell_that_is_run_anew_keeps_nothing_of_what_was_before(tiny, run):
    _, path = parts(run[0], "train")
    best = path / "trained" / BEST
    before = read(best)
    write(best, {**before, "value": 1e9})  # as other code would have learned it
    write(path / DONE, {**read(path / DONE), "code": {"brain": "other"}})
    Study(tiny).run(rerun=("stale",))
    assert read(best)["value"] == before["value"]
    assert len(list(path.glob(f"before-*/trained/{BEST}"))) == 1
