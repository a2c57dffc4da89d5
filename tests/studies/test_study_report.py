"""The page about a study: verdicts, table, figures, curves, plan and links that lead somewhere."""

import re
import subprocess
import sys

import numpy as np
import pytest

from stimloop.assemblies.report_command import write as write_report
from stimloop.assemblies.reports import study_figures, study_page
from stimloop.assemblies.study import Study, StudyStopped
from stimloop.assemblies.studying.description import Figure
from stimloop.assemblies.studying.tables import NO_SPAN, Row, Span
from stimloop.loops.errors import AssemblyError, RunError

pytest.importorskip("matplotlib")
STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]


def test_the_page_says_it_all_and_its_links_lead_to_cells(tiny):
    done = subprocess.run([*STIMLOOP, "study", "tiny.yaml"], capture_output=True, text=True)
    path = tiny.parent / "studies" / "tiny" / "report.html"
    assert done.returncode == 3, done.stderr  # its last line of `expect` may not hold: one is above itself
    assert done.stdout.rstrip().endswith(f"report  {path}")
    page = path.read_text()
    for text in ("episodes of act:base at least 2 in 2 of 2", "PASS", "interquartile mean of n cells", "Plan", "torch",
                 "Evaluations of stage train", "gain: (test.return - still.test.return)", "given brain.params.weights"):
        assert text in page, text
    assert page.count("<svg") == 4 + 1 + 2  # a figure each measure; a stage's curves; those of two variants, and cells
    assert "base (n=2)" in page
    assert "still (n=2)" in page
    assert "A bar is an interquartile mean" in page
    assert re.search(r"train:base at seed=1</td><td>test.return -\S+ after \d+ steps \(row \d of 4 of evaluation", page)
    assert len(re.findall(r"kept    trained of train:base at seed=\d: test.return", done.stdout)) == 2
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) == 2 + 6  # what was kept, and the cells
    assert all((path.parent / link).is_file() for link in links[:2])
    assert all((path.parent / link / "done.json").is_file() for link in links[2:])
    assert "<script" not in page
    assert "https://" not in page.replace("https://matplotlib.org", "")


def test_report_finds_a_study_by_folder_and_by_name(tiny):
    Study(tiny).run()
    assert write_report([tiny.parent / "studies" / "tiny"], None) == tiny.parent / "studies" / "tiny" / "report.html"
    assert write_report([tiny.parent / "tiny.yaml"], tiny.parent / "r.html") == tiny.parent / "r.html"
    with pytest.raises(RunError, match="name one study alone"):
        write_report([tiny.parent / "studies" / "tiny"] * 2, None)
    with pytest.raises(StudyStopped, match=r"first_coprocessor was not run here(.|\n)*studies/tiny"):
        write_report([type(tiny)("first_coprocessor")], None)


def test_names_are_escaped(tiny):
    tiny.write_text(tiny.read_text().replace("name: tiny", "name: tiny\nabout: <b>bold</b>"))
    study = Study(tiny)
    page = study_page.write_report(study, study.result(), tiny.parent / "r.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "6 of 6 runs have not finished" in page


def test_a_figure_shows_every_cell_and_the_interval():
    row = Row("s", "base", (), {"m": (1.0, 2.0, 6.0)}, {"m": Span(1.0, 6.0)})
    alone = Row("s", "still", (), {"m": (3.0,)}, {"m": NO_SPAN})
    none = Row("s", "gone", (), {"m": ()}, {"m": NO_SPAN})
    (axis,) = study_figures.measure([row, alone, none], "m").axes
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [1, 2, 6])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["s\nbase", "s\nstill"]
    upright = [tuple(line.get_segments()[0][:, 1]) for line in axis.collections if len(line.get_segments()[0])]
    assert (1.0, 6.0) in upright
    assert study_figures.measure([none], "m") is None


def test_a_line_runs_over_what_is_swept_or_measured_and_controls_are_level():
    """Places, means and bands as they are; a control without a number on the axis below is a level line."""
    def row(delay, late, got, low, high):
        return Row("late", "base", (("d", delay),), {"x": (late,), "m": got}, {"x": NO_SPAN, "m": Span(low, high)})

    rows = [row("40 ms", 45.0, (1.0, 3.0), 1.0, 3.0), row(0, 5.0, (6.0, 8.0), 6.0, 8.0),
            Row("controls", "healthy", (), {"x": (), "m": (9.0,)}, {"x": NO_SPAN, "m": NO_SPAN})]
    for x, places in (("d", [0, 40]), ("x", [5, 45])):
        (axis,) = study_figures.lines(rows, Figure(x, "m")).axes
        line = axis.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), places)
        np.testing.assert_array_equal(line.get_ydata(), [7, 2])
        corners = {tuple(corner) for corner in axis.collections[0].get_paths()[0].vertices}
        assert {(places[0], 6.0), (places[0], 8.0), (places[1], 1.0), (places[1], 3.0)} <= corners
        level = next(each for each in axis.lines if each.get_label() == "controls healthy")
        assert set(level.get_ydata()) == {9.0}
    assert study_figures.lines(rows[2:], Figure("x", "m")) is None


@pytest.mark.parametrize(("entry", "told"), [
    ("{x: nothing, y: gain}", "is no measure, and no stage sweeps it"), ("{x: seed, y: gian}", "Did you mean .gain"),
    ("{x: seed}", "does not say what is drawn over what"), ("{x: seed, y: gain, z: 1}", "figure")])
def test_a_figure_that_cannot_be_drawn_is_refused(tiny, entry, told):
    tiny.write_text(f"{tiny.read_text()}figure: {entry}\n")
    with pytest.raises(AssemblyError, match=told):
        Study(tiny)


def test_a_cell_that_never_held_a_bound_is_hollow():
    row = Row("s", "base", (), {"m": (100.0, 300.0)}, {"m": Span(100, 300)}, missed={"m": (False, True)})
    dots = study_figures.measure([row], "m").axes[0].lines
    hollow = {tuple(dot.get_ydata()): dot.get_markerfacecolor() == "white" for dot in dots}
    assert hollow == {(100,): False, (300,): True}


def test_labels_name_the_lines_of_a_figure_too(tiny):
    tiny.write_text(tiny.read_text().replace("variants: [base, still]",
                                             "variants: [base, still], labels: {base: practised}"))
    study = Study(tiny)
    study.run()
    act = study.description.stages["act"]
    assert [(name, len(runs)) for name, runs in study_page._arms(study, act)] == [("practised", 2), ("still", 2)]
