"""A bound that was never held is told as such, and not as the number of steps that its limit is."""

import numpy as np
import pytest

from stimloop.assemblies.study import Study
from stimloop.assemblies.study_command import facts
from stimloop.assemblies.studying import tables, texts
from stimloop.assemblies.studying.measures import Until
from stimloop.assemblies.studying.statistics import interval
from stimloop.assemblies.studying.tables import Row, Span


def test_the_table_the_verdict_and_json_say_in_how_many_cells_a_bound_was_never_held(tiny):
    text = tiny.read_text().replace("measure:\n", "measure:\n  fast: steps_until(test.return >= -1e9, 1, 77)\n"
                                    "  slow: steps_until(test.return >= 1e9, 1, 77)\n"
                                    "  share: steps_until(test.return >= 1e9, 1, 77) / 7\n")
    tiny.write_text(f"{text}  - {{measure: slow, at_most: 76}}\n")
    result = Study(tiny).run()
    row = next(row for row in result.rows if (row.stage, row.variant) == ("act", "base"))
    assert texts.cell_of(row, "fast") == "0 [0, 0] n=2"
    assert texts.cell_of(row, "slow") == "never (counts as 77) n=2"
    assert texts.cell_of(row, "share") == "never (counts as 11) n=2"
    told = facts(result)["rows"][-1]["measures"]
    assert [told[name]["never"] for name in ("fast", "slow", "share", "return")] == [0, 2, 2, 0]
    assert told["slow"]["values"] == [77, 77]
    assert result.verdicts[-1].says == "0 of 2: 77 (never), 77 (never)"
    assert "limit that the measure gives counts" in texts.meaning(result.rows)


def test_a_cell_that_never_held_it_is_counted_beside_those_that_did():
    row = Row("s", "base", (), {"m": (200.0, 77.0, 200.0)}, {"m": Span(77.0, 200.0)},
              missed={"m": (True, False, False)})  # the other held it at 200, the last of its evaluations
    assert texts.cell_of(row, "m") == "159 [77, 200] n=3, 1 never"
    assert "never" not in texts.meaning([Row("s", "base", (), {"m": (1.0,)}, {"m": Span(0.0, 2.0)})])


def test_a_bound_that_is_held_at_the_limit_is_no_miss():
    until = Until(">=", 1.0, 2, 20.0)
    assert until.reached([0, 10, 20, 30], [0, 0, 1, 1]) == until.of([0, 10, 20, 30], [0, 0, 1, 1]) == 20
    assert until.reached([0, 10, 20], [1, 0, 1]) is None
    assert until.of([0, 10, 20], [1, 0, 1]) == 20
    assert str(tables.Told((20.0, 20.0), 0, (False, True))) == "20, 20 (never)"


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_what_is_said_of_the_interval_of_few_cells_is_so(count):
    values = np.random.default_rng(count).normal(size=count)
    assert (interval(values) == (values.min(), values.max())) is (count < 5)
    row = Row("s", "base", (), {"m": tuple(values)}, {"m": Span(*interval(values))})
    assert ("from the lowest to the highest" in texts.meaning([row])) is (count < 5)
