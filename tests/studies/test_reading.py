"""What is wrong in the text of a study is told when it is read, at the entry that is wrong."""

import pytest

from stimloop.assemblies.study import Study
from stimloop.loops.errors import AssemblyError


def refused(tiny, *changes):
    """Return what reading says once the study has been changed."""
    text = tiny.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    tiny.write_text(text)
    with pytest.raises(AssemblyError) as told:
        Study(tiny)
    return str(told.value)


@pytest.mark.parametrize("values", ["[0, 1, 0]", "[3, 3, 3]", "[1, 1.0]", "[[8, 8], [8, 8]]"])
def test_a_value_that_is_swept_twice_would_be_counted_twice(tiny, values):
    said = refused(tiny, ("variants: [base, still], sweep: {seed: [0, 1]}",
                          f"variants: [base, still], sweep: {{brain.seed: {values}}}"))
    assert "stages.act.sweep.brain.seed: " in said
    assert "stands twice" in said


def test_a_variant_that_is_listed_twice_is_refused(tiny):
    said = refused(tiny, ("variants: [base, still]", "variants: [base, still, base]"))
    assert "stages.act.variants: 'base' stands twice" in said


def test_what_is_set_cannot_be_swept(tiny):
    said = refused(tiny, ("variants: [base, still]", "set: {seed: 7}, variants: [base, still]"))
    assert "stages.act.sweep.seed: `set` gives seed a value of its own, so that every value swept comes to the same" \
        in said


def test_what_is_replaced_as_a_whole_cannot_be_swept_in_part(tiny):
    said = refused(tiny, ("variants: [base, still], sweep: {seed: [0, 1]}", "set: {brain: {type: basics.silence}}, "
                          "variants: [base, still], sweep: {brain.params.hidden: [[4], [8]]}"))
    assert "stages.act.sweep.brain.params.hidden: `set` gives brain.params.hidden a value of its own" in said


def test_a_study_may_bear_the_name_of_an_assembly():
    from stimloop.assemblies import study
    from stimloop.assemblies.loading import load, shipped

    both = set(shipped()) & set(study.shipped())
    assert "copac_elbow" in both
    assert study.load("copac_elbow").description.stages["patient"].assembly == load("copac_elbow").name == "copac_elbow"


@pytest.mark.parametrize("name", ["../evil", "''", "3", "a/b", "[x]", "a b"])
def test_a_study_is_named_as_a_folder_can_be(tiny, name):
    said = refused(tiny, ("name: tiny", f"name: {name}"))
    assert "name: " in said
    assert "is not a name" in said
    assert "of its cells" in said


def test_a_misspelt_variant_is_told_where_it_is_listed(tiny):
    said = refused(tiny, ("variants: [base, still]", "labels: {still: at rest}, variants: [base, stil]"))
    assert said.startswith("tiny.yaml: stages.act.variants: act.yaml has no variant 'stil'")
    assert 'Did you mean "still"?' in said
    assert "problems" not in said


@pytest.mark.parametrize(("share", "cells"), [("3 of 3", "2 cells"), ("1 of 1", "2 cells")])
def test_a_share_is_of_the_cells_that_there_are(tiny, share, cells):
    said = refused(tiny, ("in: 2 of 2", f"in: {share}"))
    assert f"expect.0.in: {share[0]} of {share[-1]} is said, and act:base has {cells}" in said


def test_a_line_names_a_variant_where_there_is_no_base(tiny):
    said = refused(tiny, ("variants: [base, still]", "variants: [still]"))
    assert "expect.0.variant: stage act has no variant 'base'" in said


def test_what_compares_all_cells_counts_none(tiny):
    assert "expect.3.in: `above` compares all cells" in refused(tiny, ("above: still}", "above: still, in: 1 of 2}"))


def test_what_is_wrong_in_an_assembly_is_told_with_the_stage_that_names_it(tiny):
    act = tiny.parent / "act.yaml"
    act.write_text(act.read_text().replace("until: 40 steps", "until: soon"))
    said = refused(tiny, ("name: tiny", "name: a/b"))
    assert "stages.act.assembly: until (act.yaml:3:" in said
    assert "'a/b' is not a name" in said


def test_a_variant_with_a_seed_of_its_own_cannot_be_run_over_seeds(tiny):
    act = tiny.parent / "act.yaml"
    act.write_text(act.read_text().replace("still: {brain", "still: {seed: 3, brain"))
    said = refused(tiny)
    assert "stages.act.sweep.seed: variant 'still' of act.yaml has a seed of its own, so that every seed swept comes " \
        "to the same run" in said
    tiny.write_text(tiny.read_text().replace("[0, 1]", "[0]").replace("2 of 2", "1 of 1"))
    Study(tiny)


@pytest.mark.parametrize("written", ["", "small:\n", "small: {}\n"])
def test_the_small_form_of_a_study_that_has_none_is_refused_as_run_does_of_an_assembly(tiny, written):
    tiny.write_text(tiny.read_text() + written)
    with pytest.raises(AssemblyError) as told:
        Study(tiny, small=True)
    assert "tiny.yaml: has no `small`" in str(told.value)
    Study(tiny)
    small = "small: {act.sweep.seed: [0], train.sweep.seed: [0], expect: []}\n"
    tiny.write_text(tiny.read_text().removesuffix(written) + small)
    assert Study(tiny, small=True).description.stages["act"].sweep["seed"] == (0,)
