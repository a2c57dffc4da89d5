"""What people read of a study: labels of variants, formulas of measures, one cell and two cells."""

import pytest

from stimloop.assemblies.study import Study, load
from stimloop.assemblies.studying import plan, reading, texts
from stimloop.assemblies.studying.tables import Row, Span, Verdict
from stimloop.loops.errors import AssemblyError


def labelled(tiny, labels):
    tiny.write_text(tiny.read_text().replace("variants: [base, still]", f"variants: [base, still], labels: {labels}"))
    return reading.load(tiny)


def test_a_variant_is_called_by_its_label(tiny):
    described = labelled(tiny, "{base: practised, still: idle}")
    row = Row("act", "base", (), {"gain": (1.0,)}, {"gain": Span(0.0, 2.0)}, "practised")
    verdicts = [Verdict(line, True, "so") for line in described.expect]
    shown = texts.text([row], verdicts, {"gain": described.measures["gain"]})
    assert "act    practised  1 [0, 2] n=1" in shown
    assert "gain = test.return - still.test.return" in shown
    assert "gain of act:idle at most 0" in shown
    assert "return of act:practised above idle" in shown
    assert "base" not in shown


@pytest.mark.parametrize(("labels", "said"), [
    ("{bsae: x}", "stages.act.labels.bsae: there is no variant 'bsae'"),
    ("{base: still}", "stages.act.labels.base: 'still' is no name that only this variant has"),
    ("{base: x, still: x}", "stages.act.labels.still: 'x' is no name"), ("{base: 3}", "3 is no name"),
])
def test_a_label_belongs_to_one_variant(tiny, labels, said):
    with pytest.raises(AssemblyError, match=said):
        labelled(tiny, labels)


def test_the_demonstration_calls_its_rows_by_name():
    assert load("first_coprocessor", small=True).description.stages["compare"].called("base") == "learned"


def test_one_is_not_many(tiny):
    tiny.write_text(tiny.read_text().replace("[0, 1]", "[0]").replace("2 of 2", "1 of 1"))
    study = Study(tiny)
    assert "tiny: 2 stages, 3 runs, 3 left" in plan.text(plan.plan(study))
    assert study.status()[-1]["cell"] == "act: 2 cells"
    assert [plan._until(said) for said in ("1 episodes of body", "2 steps", "10 s")] == [
        "1 episode of body", "2 steps", "10 s"]
    assert [texts.count(number, "cell") for number in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]
    tiny.write_text(tiny.read_text().replace("variants: [base, still]", "variants: [still]").replace(
        "above: still", "at_least: -99").replace("{measure:", "{variant: still, measure:").replace(
            ", variant: still}", "}").replace("variant: still, at_most", "at_most"))
    assert Study(tiny).status()[-1]["cell"] == "act: 1 cell"
