"""What a report shows: every stimulus delivered, in time and with its unit; nothing covered, nothing cut off."""

import re

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies.reports import activity, canvas, charge, figures, page, stimulation, tables, traces

pytest.importorskip("matplotlib")

SECOND = 1_000_000_000


def stimulated(until="400 ms", **entries):
    """A point mass whose brain is stimulated by a command that is published once and held."""
    return (sl.Assembly("held", until=until, **entries)
            .add("body", "bodies.point_mass", inputs=["brain.action"])
            .add("brain", "brains.mlp", hidden=[8], inputs=["body.observation", "body.status", "stimulator.current"])
            .add("command", "basics.constant", value=[2.0, 0.0])
            .add("limiter", "links.safety_limiter", peak=5, inputs=[{"command": "command.output"}])
            .add("stimulator", "stimulators.electrode_field", inputs=["limiter.command"]))


def drawn(figure):
    """Lay a figure out, and return what knows the place of each thing in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made = FigureCanvasAgg(figure)
    made.draw()
    return made.get_renderer()


def test_a_command_that_is_held_counts_and_is_drawn_to_the_end_of_the_run(tmp_path):
    run = stimulated().run(folder=tmp_path)
    assert run.streams["limiter.command"].rows == 1
    assert charge.end(run) == 400_000_000
    assert charge.total(run) == pytest.approx(2 * 0.4)
    whole, *_, below = stimulation.draw(run, "limiter.command").axes
    assert whole.lines[0].get_xdata().max() == pytest.approx(0.4)
    assert set(whole.lines[0].get_ydata()) == {2}
    assert below.lines[0].get_ydata()[-1] == pytest.approx(0.8)


def test_the_running_total_ends_where_the_run_does():
    times, values = np.array([0, SECOND, 3 * SECOND]), np.array([[1.0], [-2.0], [4.0]])
    np.testing.assert_allclose(charge.running(times, values, 4 * SECOND), [0, 1, 5, 9])


def test_stimulation_that_begins_late_or_in_another_lane_is_drawn(monkeypatch):
    values = np.zeros((5000, 2, 3))
    values[4000:4003, 1, 2] = [3, -4, 1]
    times = np.arange(5000) * 1_000_000
    assert stimulation.lane_shown(values) == 1
    edges, low, high = canvas.outline(times, values[:, 1], 5 * SECOND)
    assert len(edges) <= canvas.ROWS + 1
    assert edges[-1] == 5 * SECOND
    np.testing.assert_array_equal([low.min(axis=0)[2], high.max(axis=0)[2]], [-4, 3])
    begin, until = stimulation.closer(times, values[:, 1], 5 * SECOND)
    assert begin <= 4_000_000_000 < 4_003_000_000 <= until
    assert until - begin < SECOND


def test_no_empty_picture_where_nothing_was_delivered(tmp_path):
    run = stimulated().set("command.params.value", [0.0, 0.0]).run(folder=tmp_path)
    shown = stimulation.section(run)
    assert "<svg" not in shown
    assert "zero throughout" in shown
    assert stimulation.section(stimulated().remove("limiter", "stimulator", "command").set(
        "brain.inputs.current", None).run(folder=tmp_path)) is None


def test_every_axis_has_its_unit_and_no_legend_covers_a_curve(tmp_path):
    run = sl.load("elbow_stimulation").variant("random").small().run(folder=tmp_path)
    figures_ = [stimulation.draw(run, "limiter.command"), traces.draw(run), activity.draw(run)]
    for figure in figures_:
        renderer = drawn(figure)
        edge = figure.bbox
        for axis in figure.axes:
            assert re.search(r" / .+", axis.get_ylabel()), axis.get_ylabel()
            legend = axis.get_legend()
            if legend is not None:
                assert not legend.get_window_extent(renderer).overlaps(axis.get_window_extent(renderer))
            for text in (axis.yaxis.label, axis.title, getattr(axis, "_left_title", axis.title)):
                box = text.get_window_extent(renderer)
                assert edge.x0 - 1 <= box.x0 <= box.x1 <= edge.x1 + 1, text.get_text()
        assert figure.axes[len(figure.axes) - 1 - (figure is figures_[2])].get_xlabel() == "time / s"


@pytest.mark.parametrize(("units", "of_charge"), [("uA", "uC"), ("mA", "mC"), ("", "a.u. s"), ("V", "V s")])
def test_charge_has_the_unit_that_follows_from_the_command(units, of_charge):
    assert charge.unit(units) == of_charge


def test_a_table_names_its_units_once_or_in_each_cell_where_they_differ():
    rows = [{"charge": 40.0, "charge_unit": "uC"}, {"charge": 2.0, "charge_unit": "uC"}]
    assert tables.text(rows, ("charge",)).split("\n")[0].strip() == "charge / uC"
    rows[1]["charge_unit"] = "a.u. s"
    assert [line.strip() for line in tables.text(rows, ("charge",)).split("\n")][2:] == ["40 uC", "2 a.u. s"]
    assert "<th>charge</th>" in page.table_html(rows, ("charge",))


def test_a_run_without_stimulation_has_no_charge_and_needs_no_unit():
    rows = [{"charge": 0.0, "charge_unit": ""}, {"charge": 2.0, "charge_unit": "uC"}]
    assert tables.text(rows, ("charge",)).split("\n")[0].strip() == "charge / uC"


def test_the_page_says_what_it_shows(tmp_path):
    run = stimulated(about="A held current.").run(folder=tmp_path)
    text = page.write_report([run], tmp_path / "r.html").read_text()
    assert "A held current." in text
    assert "What happened" not in text
    assert "first 0.4 s" in text
    assert text.index("class=warn") < text.index("<table>") < text.index("<svg")
    assert figures.compare([run]) is None, "no episode ended"
