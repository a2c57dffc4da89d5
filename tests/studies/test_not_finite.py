"""A measure that is no finite number is told as such, and not as one that is not there."""

from stimloop.assemblies.study import Study
from stimloop.assemblies.study_command import facts
from stimloop.assemblies.studying import tables, texts


def test_a_division_by_nothing_is_told_in_table_and_verdict(tiny):
    text = tiny.read_text().replace("measure:\n", "measure:\n  odd: test.return / (metrics.episodes * 0)\n")
    tiny.write_text(f"{text}  - {{measure: odd, at_least: 0}}\n  - {{measure: odd, above: still}}\n")
    study = Study(tiny)
    result = study.run()
    rows = {(row.stage, row.variant): row for row in result.rows}
    assert texts.cell_of(rows["act", "base"], "odd") == "not finite n=2"
    assert texts.cell_of(rows["train", "base"], "odd") == ""  # no metrics there
    assert facts(result)["rows"][-1]["measures"]["odd"]["not_finite"] == 2
    bound, above = result.verdicts[-2:]
    assert not bound.holds
    assert bound.says == "not finite in 2 of 2 cells: is something divided by nothing?"
    assert not above.holds
    assert above.says == "not finite in 4 of 4 cells: is something divided by nothing?"


def test_one_cell_that_is_not_finite_is_told_beside_the_others(tiny):
    study = Study(tiny)

    class Told(tables.Numbers):
        def _number(self, name, place, after):
            return float("inf") if place.point == (("seed", 1),) else 3.0

    numbers = Told(study.description, lambda place: None)
    row = next(row for row in tables.rows(study.description, numbers) if row.stage == "act")
    assert texts.cell_of(row, "episodes") == "3 no interval n=1, 1 not finite"
    verdict = tables.verdicts(study.description, numbers)[0]
    assert not verdict.holds
    assert verdict.says == "1 of 1: 3; 1 not finite"
