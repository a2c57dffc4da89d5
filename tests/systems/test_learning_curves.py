"""Curves of learning in reports, and their ends in `show`: over the steps of the body, thinned where they are many."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib")

import stimloop as sl
from stimloop.assemblies.cli import app
from stimloop.assemblies.reports import canvas, figures, learning_curves, page

TEXT = """
name: curves
until: 60 steps
lanes: 2
components:
  body: {type: bodies.point_mass, params: {max_steps: 3}, inputs: [{action: noise.output}]}
  noise: {type: basics.noise}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward]}
  budget: {type: protocols.budget, inputs: [body.status]}
evaluate: {test: {every: 20 steps, episodes: 1, without: [metrics, budget]}}
"""


@pytest.fixture
def run(tmp_path):
    return sl.Assembly.from_yaml(TEXT).run(folder=tmp_path)


def lines(axis):
    return [(line.get_xdata(), line.get_ydata()) for line in axis.get_lines()]


def test_measures_of_learners_are_drawn_over_steps(run):
    keys = learning_curves.measures(run)
    assert "metrics.return" in keys
    assert not any(key.startswith("budget.") for key in keys), "it does not learn"
    drawn = {axis.get_title(loc="left").partition(":")[0]: axis for axis in learning_curves.draw(run).axes}
    assert {key for key in keys if run.streams[key].rows} == set(drawn)
    ((at, values),) = lines(drawn["metrics.return"])
    np.testing.assert_allclose(values, np.asarray(run["metrics.return"]))
    status = np.asarray(run["body.status"])
    steps = np.cumsum((status != 1).sum(axis=1))
    np.testing.assert_array_equal(at, steps[np.searchsorted(run["body.status"]["time"], run["metrics.return"]["time"])])
    assert all(axis.get_ylabel().count(" / ") == 1 for axis in drawn.values())
    assert "steps" in drawn["metrics.return"].get_xlabel()


def test_returns_lie_over_steps_of_all_lanes(run, monkeypatch):
    made = []
    monkeypatch.setattr(canvas, "svg", lambda figure: made.append(figure) or "<svg>")
    assert figures.returns(run) == "<svg>"
    assert "steps" in made[0].axes[0].get_xlabel()
    for at, values in lines(made[0].axes[0]):
        assert list(at) == [6 * (i + 1) for i in range(10)]
        assert len(values) == 10
    assert len(lines(made[0].axes[0])) == 2


def test_many_points_are_thinned_and_no_extreme_is_lost(monkeypatch):
    from matplotlib.figure import Figure

    values = np.random.default_rng(0).standard_normal(100_000)
    values[77_777] = 99.0
    axis = Figure().subplots()
    learning_curves.curve(axis, np.arange(100_000), values, "#000", "all")
    ((at, means),) = lines(axis)
    assert len(at) == len(means) == canvas.ROWS
    assert abs(means.mean() - values.mean()) < 1e-3
    assert axis.dataLim.y1 == 99.0


def test_the_page_holds_them(run, tmp_path):
    text = page.write_report([run], tmp_path / "report.html").read_text()
    assert "Learning" in text
    assert "metrics.return" in text


def test_show_says_where_learning_began_and_where_it_is(run):
    facts = json.loads(CliRunner().invoke(app, ["show", str(run.path), "--json"]).stdout)
    rows = {row["measure"]: row for row in facts["learning"]}
    episodes = run.episodes().sort_values("end", kind="stable")
    over = episodes[episodes["how"] != "running"]["return"].to_numpy()
    assert rows["body: return of an episode"] == {
        "measure": "body: return of an episode", "values": 20, "first": pytest.approx(over[:2].mean()),
        "last": pytest.approx(over[-2:].mean())}
    tests = run.evaluations("test")["return"].to_numpy()
    assert rows["evaluations/test: return"]["first"] == pytest.approx(tests[0])
    assert rows["evaluations/test: return"]["last"] == pytest.approx(tests[-1])
    values = np.asarray(run["metrics.return"])
    assert rows["metrics.return"]["values"] == len(values)
    assert rows["metrics.return"]["last"] == pytest.approx(values[-1:].mean())
    text = CliRunner().invoke(app, ["show", str(run.path)]).stdout
    assert "metrics.return" in text
    assert "first tenth" in text


def test_what_cannot_be_read_is_told_and_the_rest_is_shown(run, tmp_path):
    (run.path / "metrics" / "metrics" / "return" / "value" / "c.0").unlink()
    facts = json.loads(CliRunner().invoke(app, ["show", str(run.path), "--json"]).stdout)
    assert facts["learning"] == []
    assert any("Returns and measures cannot be told" in text and "return" in text for text in facts["warnings"])
    text = page.write_report([run], tmp_path / "report.html").read_text()
    assert "Return of each episode" in text
    assert "This cannot be drawn: " in text


def test_a_run_without_learning_has_no_table_and_no_figure(tmp_path):
    a = sl.Assembly.from_yaml(TEXT).set({"evaluate": None, "metrics": None})
    run = a.run("2 steps", folder=tmp_path)
    assert learning_curves.draw(run) is None
    assert learning_curves.table(run) == []
