"""Curves of evaluations: one line an arm with the interval that tables compute, and its cells behind it."""

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies.report_command import write as write_report
from stimloop.assemblies.studying.statistics import interval
from stimloop.loops.storage.runs import Run

pytest.importorskip("matplotlib")
from stimloop.assemblies.reports.arms_of_runs import arms_of
from stimloop.assemblies.reports.evaluation_curves import Arm, Curve, arms, cells, draw

ASSEMBLY = """
name: glide
until: 40 steps
components:
  body:  {type: bodies.point_mass, params: {max_steps: 15}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
evaluate: {test: {every: 20 steps, episodes: 2}}
variants: {still: {brain: {type: basics.silence}}}
"""


def curve(steps, values):
    return Curve(np.array(steps, float), np.array(values, float))


def arm(name, count, seed=0):
    rng = np.random.default_rng(seed)
    return Arm(name, tuple(curve([0, 10, 20], rng.normal(size=3)) for _ in range(count)))


def test_a_line_is_the_interquartile_mean_and_its_band_the_interval_of_the_table():
    told = Arm("a", tuple(curve([0, 50], [value, 2 * value]) for value in (5.0, 1.0, 2.0, 3.0, 100.0)))
    steps, mean, low, high = told.together()
    np.testing.assert_array_equal(steps, [0, 50])
    np.testing.assert_allclose(mean, [10 / 3, 20 / 3])  # of 2, 3 and 5: a quarter, rounded down, is cut at either end
    assert (low[0], high[0]) == interval([1.0, 2.0, 3.0, 5.0, 100.0])
    assert (low[1], high[1]) == interval([2.0, 4.0, 6.0, 10.0, 200.0])


def test_cells_evaluated_after_other_steps_are_joined_by_straight_lines_as_far_as_all_go():
    steps, mean, low, high = Arm("a", (curve([0, 10, 20], [0, 10, 20]), curve([5, 15], [1, 3]))).together()
    np.testing.assert_array_equal(steps, [5, 10, 15])
    np.testing.assert_allclose(mean, [3, 6, 9])
    np.testing.assert_allclose([low, high], [[1, 2, 3], [5, 10, 15]])
    _, mean, low, high = Arm("one", (curve([0, 10], [3, 4]),)).together()
    np.testing.assert_array_equal(mean, [3, 4])
    assert np.isnan([low, high]).all()


def test_a_cell_without_a_number_is_left_out_where_it_has_none():
    told = Arm("a", (curve([0, 10], [1, np.nan]), curve([0, 10], [3, 4])))
    np.testing.assert_array_equal(told.together()[1], [2, 4])


def test_fifteen_arms_look_different_and_stand_in_the_legend():
    figure = draw([arm(f"arm {i}", 3, i) for i in range(15)])
    figure.draw_without_rendering()
    (axis,) = figure.axes
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axis.lines}
    assert len(looks) == 15
    legend = axis.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"arm {i} (n=3)" for i in range(15)]
    extents = [text.get_window_extent() for text in legend.get_texts()]
    assert all(extent.y0 >= 0 and extent.x1 <= figure.bbox.x1 for extent in extents)


def test_single_cells_stand_thin_behind_each_arm():
    figure = cells([arm("a", 3), arm("b", 1)])
    first, second = figure.axes
    assert [line.get_linewidth() < 1 for line in first.lines] == [True, True, True, False]
    assert first.lines[0].get_zorder() < first.lines[-1].get_zorder()
    assert len(second.lines) == 1
    assert first.get_ylim() == second.get_ylim()
    assert cells([arm("a", 1), arm("b", 1)]) is None  # the figure of all shows them
    assert cells([arm("a", 3)]) is None
    assert len(draw([arm("a", 3)]).axes[0].lines) == 4


def test_more_arms_than_look_different_stand_each_alone():
    many = [arm(str(i), 1, i) for i in range(42)]
    assert draw(many) is None
    assert len(cells(many).axes) == 42


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    pytest.importorskip("torch")
    folder, made = tmp_path_factory.mktemp("glide"), sl.Assembly.from_yaml(ASSEMBLY)
    chosen = [made.set("seed", 0), made.set("seed", 1), made.variant("still"), made.set("brain.params.hidden", [4]),
              made.set("seed", 1)]
    return [Run(each.run(folder=folder).path) for each in chosen]


def test_runs_that_differ_by_their_seed_belong_together_and_others_say_how_they_differ(runs):
    told = [(name, [run.attributes["seed"] for run in group]) for name, group in arms_of(runs)]
    assert told == [("base, brain.params.hidden=[8]", [0, 1]), ("still", [0]), ("base, brain.params.hidden=[4]", [0]),
                    ("base, again", [1])]
    assert [name for name, _ in arms_of(runs[:3])] == ["base", "still"]


def test_the_report_of_several_runs_shows_all_their_evaluations_first(runs, tmp_path):
    drawn = arms(arms_of(runs[:3]))
    assert [(each.name, len(each.cells)) for each in drawn["test"]] == [("base", 2), ("still", 1)]
    np.testing.assert_array_equal(drawn["test"][0].cells[1].steps, [0, 20, 40])
    np.testing.assert_array_equal(drawn["test"][0].cells[1].values, runs[1].evaluations("test")["return"])
    page = write_report([run.path for run in runs[:3]], tmp_path / "r.html").read_text()
    places = [page.index(text) for text in ("Evaluations, 3 runs", "<svg", "base (n=2)", "Warnings")]
    assert places == sorted(places)
    assert "Evaluations, 1 run" not in write_report([runs[0].path], tmp_path / "one.html").read_text()
