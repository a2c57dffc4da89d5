"""Where a row has one cell its interval is over the episodes of that cell, drawn together from all variants."""

import numpy as np
import pytest

from stimloop.assemblies.study import Study
from stimloop.assemblies.studying import texts
from stimloop.assemblies.studying.statistics import interval_over_episodes


def test_episodes_are_drawn_together():
    base = np.array([1.0, 5.0, 9.0])
    columns = {"one": base, "other": base - 2.0}
    assert interval_over_episodes(columns, lambda means: means["one"] - means["other"]) == pytest.approx((2.0, 2.0))
    low, high = interval_over_episodes({"one": base}, lambda means: means["one"])
    assert 1.0 <= low < 5.0 < high <= 9.0
    assert np.isnan(interval_over_episodes(columns, lambda means: float("nan"))).all()


def test_a_study_of_one_seed_has_intervals_over_episodes_and_says_so(tiny):
    tiny.write_text(tiny.read_text().replace("[0, 1]", "[0]").replace(", in: 2 of 2", ""))
    study = Study(tiny)
    result = study.run()
    row = next(row for row in result.rows if (row.stage, row.variant) == ("act", "base"))
    assert row.spans["return"].episodes == 3
    assert row.spans["return"].low < row.values["return"][0] < row.spans["return"].high
    assert row.spans["episodes"].episodes == 0  # a port's last value is one number
    shown = texts.text(result.rows, result.verdicts, study.description.measures)
    assert "no interval n=1" in shown
    assert "over the episodes of that cell (2, 3), and says nothing of other seeds" in shown


def test_numbers_without_an_interval_are_above_nothing(tiny):
    text = tiny.read_text().replace("[0, 1]", "[0]").replace(", in: 2 of 2", "")
    tiny.write_text(text + "  - {measure: episodes, above: still}\n")
    verdict = Study(tiny).run().verdicts[-1]
    assert not verdict.holds
    assert verdict.says == "no interval against no interval of still"
