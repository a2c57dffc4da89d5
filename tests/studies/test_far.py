"""How far a stage is: counts, shares and time left, from what cells under way leave in their folders."""

import io

import pytest

from stimloop.assemblies.study import Study
from stimloop.assemblies.studying import claims, far, watching
from stimloop.assemblies.studying.records import DONE, read, write


def act(tiny):
    study = Study(tiny)
    study.run()
    return study.cells(study.description.stages["act"])


def test_running_cells_say_how_far_they_are(tiny, monkeypatch):
    monkeypatch.setattr(far, "EVERY", 0.0)
    cells = act(tiny)
    for cell in cells.cells:
        said = read(cells.path(cell) / far.FAR)
        assert 0.9 <= said["fraction"] <= 1
        assert said["seconds"] >= 0


def test_the_time_left_comes_from_cells_that_ended_and_from_those_under_way(tiny):
    cells = act(tiny)
    one, two, three, four = (cells.path(cell) for cell in cells.cells)
    write(one / DONE, {**read(one / DONE), "seconds": 30.0})
    for path in (two, three, four):
        (path / DONE).unlink()
        (path / far.FAR).unlink(missing_ok=True)
    write(two / far.FAR, {"fraction": 0.75, "first": 0.5, "seconds": 12.5})  # 50 s the whole
    with claims.take(two), claims.take(three):  # the third has not said anything yet
        now = far.far(cells)
        assert (now.ended, now.of, len(now.running)) == (1, 4, 2)
        assert now.seconds_left == pytest.approx((4 - 1 - 0.75) * 40 / 2)
        assert str(now) == ("1/4 cells, act:still at seed=0 75%, act:base at seed=1, about 45 s left")
    assert far.far(cells).seconds_left is None


def test_a_terminal_shows_the_stage_and_what_ended(tiny):
    from rich.console import Console

    cells = act(tiny)
    cell = cells.cells[0]
    done = read(cells.path(cell) / DONE)
    (cells.path(cell) / DONE).unlink()
    drawn = io.StringIO()
    with watching.Watch("act", cells, Console(file=drawn, force_terminal=True, width=100)):
        write(cells.path(cell) / DONE, done)
    assert "act:base at seed=0: finished" in drawn.getvalue()
    assert "4/4 cells" in drawn.getvalue()
    assert "act:still" not in drawn.getvalue(), "what had ended before is no news"
