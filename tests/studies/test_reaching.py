"""A bound that no run can hold, by its stop and by how often it is evaluated, is refused before anything runs."""

import pytest

from stimloop.assemblies.settings import Settings
from stimloop.assemblies.study import Study
from stimloop.assemblies.study_command import Options, command
from stimloop.loops.errors import AssemblyError


def measured(tiny, text, *more, file="act.yaml", change=("", "")):
    """Write a measure `fast` (and lines of `expect`) into the study, and change one of its assemblies."""
    lines = "".join(f"  - {line}\n" for line in more)
    tiny.write_text(tiny.read_text().replace("measure:\n", f"measure:\n  fast: {text}\n") + lines)
    path = tiny.parent / file
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    return tiny


def refused(tiny):
    """Return what planning says; running says the same, and trains nothing."""
    with pytest.raises(AssemblyError) as planned:
        command("tiny.yaml", Options(plan=True), Settings(), quiet=True)
    with pytest.raises(AssemblyError) as ran:
        Study(tiny).run()
    assert str(ran.value) == str(planned.value)
    assert not list((tiny.parent / "studies").glob("*/*/*"))
    return str(planned.value)


def noticed(tiny, **options):
    told, text, _ = command("tiny.yaml", Options(plan=True, **options), Settings(), quiet=True)
    assert all(f"notice: {notice}" in text for notice in told["notices"])
    return told["notices"]


def test_more_evaluations_in_a_row_than_any_run_has_are_refused(tiny):
    said = refused(measured(tiny, "steps_until(test.return >= -2, 5, 90)"))
    assert "stage train (base) has 4 at most (until 90 steps, every 30 steps and once before the first)" in said
    assert "stage act (base, still) has 3 at most (until 40 steps, every 20 steps and once before the first)" in said
    assert said.count("measure.fast: steps_until(test.return >= -2, 5, 90): asks for 5 evaluations in a row") == 2
    assert "Let stages.train run longer (until), evaluate more often (evaluate.test.every), or ask for 4 in a row" \
        in said


def test_as_many_as_one_of_the_stages_has_are_a_notice_for_the_other(tiny):
    told = noticed(measured(tiny, "steps_until(test.return >= -2, 4, 40)"))
    assert [("stage act (base, still) has 3 at most" in notice, "stage train (base) has 4 evaluations" in notice)
            for notice in told] == [(False, True), (True, False)]


def test_what_is_expected_of_a_run_that_cannot_hold_it_is_refused(tiny):
    said = refused(measured(tiny, "steps_until(test.return >= -2, 4, 40)", "{measure: fast, at_most: 30}"))
    assert said.startswith("tiny: expect.4.measure: steps_until(test.return >= -2, 4, 40): asks for 4 evaluations")
    assert "stage act (base, still)" in said


def test_an_evaluation_that_never_takes_place_is_refused(tiny):
    tiny = measured(tiny, "steps_until(train:base.test.return >= -2, 1, 90)", file="train.yaml",
                    change=("every: 30 steps,", "every: 91 steps, at_start: false,"))
    tiny.write_text(tiny.read_text().replace(", at: best test.return", ""))
    said = refused(tiny)
    assert "asks for 1 evaluation in a row, and a run of stage train (base) has none (until 90 steps, every 91 steps)" \
        in said
    assert "or ask for" not in said


@pytest.mark.parametrize(("change", "held", "fits"), [
    (("until: 40 steps", "until: 3 episodes"), 5, True),  # nobody knows how many steps an episode has
    (("every: 20 steps", "every: 20 episodes"), 2, True),  # an episode may have one step
    (("every: 20 steps", "every: 20 episodes"), 3, True),
    (("every: 20 steps", "every: 20 episodes"), 4, False),
    (("until: 40 steps", "until: 39 steps"), 3, False),
    (("until: 40 steps", "lanes: 2\nuntil: 39 steps"), 3, True),  # the last instant may be the 40th step
    (("until: 40 steps", "until: 40 s"), 9, True),
])
def test_only_what_is_certain_is_refused(tiny, change, held, fits):
    tiny = measured(tiny, f"steps_until(test.return >= -2, {held}, 40)", "{measure: fast, at_most: 30}", change=change)
    text = tiny.read_text()  # of the second stage alone
    tiny.write_text("\n".join(line for line in text.splitlines() if "train" not in line or "act:" in line).replace(
        "given: {brain.params.weights: trained}, ", "").replace("  - {measure: return, after: 20 steps, at_most: 0}",
                                                                ""))
    if fits:
        Study(tiny).checks.check()
    else:
        assert f"asks for {held} evaluations in a row" in refused(tiny)


def test_an_evaluation_that_is_not_there_is_refused(tiny):
    assert "there is no evaluation 'tset'" in refused(measured(tiny, "steps_until(tset.return >= -2, 1, 40)"))


def test_the_whole_of_a_sweep_counts(tiny):
    tiny = measured(tiny, "steps_until(test.return >= -2, 5, 90)")
    text = tiny.read_text().replace("keep: {trained: {from: brain, at: best test.return}}", "keep: {}")
    text = text.replace("given: {brain.params.weights: trained}, ", "").replace("train:base.test.return", "test.return")
    tiny.write_text(text.replace("sweep: {seed: [0, 1]}, keep", "sweep: {seed: [0], evaluate.test.every: [30 steps, "
                                                                "15 steps]}, keep"))
    told = noticed(tiny)
    assert any("stage train (base) has 4 at most (until 90 steps, every 30 steps" in notice for notice in told)
    assert not any("every 15 steps" in notice and "can never" in notice for notice in told)


@pytest.mark.parametrize(("limit", "said"), [(41, "but a run of stage act (base, still) ends after 40"), (40, None),
                                             (20, None), (19, "that would count for more than never")])
def test_a_limit_that_is_not_the_length_of_the_run_is_a_notice(tiny, limit, said):
    told = [notice for notice in noticed(measured(tiny, f"steps_until(test.return >= -2, 2, {limit})"))
            if "stage act" in notice]
    assert len(told) == (said is not None)
    assert said is None or (said in told[0] and "Write 40 as the last number." in told[0])


def test_the_small_form_is_told_but_not_refused(tiny):
    tiny = measured(tiny, "steps_until(test.return >= -2, 5, 9000)", "{measure: fast, at_most: 9000}",
                    change=("every: 20 steps", "every: 10 steps"))
    tiny.write_text(tiny.read_text() + "small:\n  act.set: {evaluate.test.every: 20 steps}\n")
    assert any("ends after 40" in notice for notice in noticed(tiny))
    told = noticed(tiny, small=True)
    assert any("stage act (base, still) has 3 at most" in notice for notice in told)
    assert not any("ends after" in notice for notice in told)


def test_running_says_the_doubts_before_the_first_run(tiny, capsys):
    told, _, _ = command(str(measured(tiny, "steps_until(test.return >= -2, 1, 91)")), Options(), Settings(), False)
    said = capsys.readouterr().err
    assert said.startswith("notice: measure.fast:")
    assert said.count("notice: ") == len(told["notices"]) == 2
