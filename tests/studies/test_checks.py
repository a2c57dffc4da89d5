"""What cannot work is told when a study is planned: assemblies that cannot be built, names that no run will have."""

import subprocess
import sys

import pytest

from stimloop.assemblies.settings import Settings
from stimloop.assemblies.study import Study
from stimloop.assemblies.study_command import Options, command
from stimloop.loops.errors import AssemblyError
from stimloop.loops.evaluation import COLUMNS

STIMLOOP = [sys.executable, "-m", "stimloop.assemblies.cli"]


def refused(tiny, file, change):
    """Return what planning says once a file has been changed; running says the same, and trains nothing."""
    path = tiny.parent / file
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(AssemblyError) as planned:
        command("tiny.yaml", Options(plan=True), Settings(), quiet=True)
    with pytest.raises(AssemblyError) as ran:
        Study(tiny).run()
    assert str(ran.value) == str(planned.value)
    assert not list((tiny.parent / "studies").glob("*/*/*"))
    return str(planned.value)


@pytest.mark.parametrize(("change", "said"), [
    (("at: best test.return", "at: best tset.return"), "keep.trained.at: there is no evaluation 'tset'"),
    (("at: best test.return", "at: best test.retrun"), "keep.trained.at: test.retrun: evaluation test has no column"),
    (("at: best test.return", "at: best learner.updates"), "keep.trained.at: there is no evaluation 'learner'"),
    (("from: brain", "from: brian"), "keep.trained.from: there is no component 'brian'"),
    (("from: brain", "from: body"), "keep.trained.from: body has no learned part that could be kept"),
    (("return: test.return", "return: test.retrun"), "measure.return: test.retrun: evaluation test has no column"),
    (("return: test.return", "return: tset.return"), "measure.return: tset.return: there is no evaluation or"),
    (("metrics.episodes", "metrics.epsodes"), "measure.episodes: metrics.epsodes: metrics has no output 'epsodes'"),
    (("metrics.episodes", "body.reward"), "measure.episodes: body.reward: body.reward is not recorded"),
    (("- still.test", "- stil.test"), "measure.gain: stil.test.return: stage act has no variant 'stil'"),
    (("train:base", "trian:base"), "measure.learned: trian:base.test.return: there is no stage 'trian'"),
    (("train:base", "train:bsae"), "measure.learned: train:bsae.test.return: stage train has no variant 'bsae'"),
    (("{measure: episodes,", "{measure: episodes, stage: train,"), "expect.0.measure: metrics.episodes: there is no"),
    (("{measure: episodes,", "{measure: episodes, after: 20 steps,"), "expect.0.after: `after` chooses a row of an"),
    (("brain.params.weights: trained", "brain.params.wieghts: trained"), "brains.mlp has no parameter 'wieghts'"),
])
def test_a_name_that_no_run_will_have_is_told(tiny, change, said):
    assert said in refused(tiny, "tiny.yaml", change)


def test_success_is_no_column_where_the_body_never_says_that_it_is_solved(tiny):
    pytest.importorskip("gymnasium")
    tiny.write_text(tiny.read_text().replace("at: best test.return", "at: best test.success"))
    body = "{type: bodies.gymnasium_env, params: {env: Pendulum-v1}, inputs"
    for file in ("train.yaml", "act.yaml"):
        path = tiny.parent / file
        path.write_text(path.read_text().replace("{type: bodies.point_mass, params: {max_steps: 15}, inputs", body))
    with pytest.raises(AssemblyError, match=r"keep.trained.at: .*does not say when it is solved"):
        Study(tiny).run()


def test_a_number_of_another_stage_has_one_cell_at_each_point(tiny):
    text = tiny.read_text().replace("given: {brain.params.weights: trained}, ", "")
    text += "  - {measure: learned, at_most: 0}\n"
    elsewhere = text.replace("still], sweep: {seed: [0, 1]}", "still], sweep: {brain.seed: [0, 1]}")
    tiny.write_text(elsewhere)
    with pytest.raises(AssemblyError, match=r"expect.4.measure: .* stage train has a cell for each seed"):
        Study(tiny).checks.check()
    tiny.write_text(elsewhere.replace("{brain.seed: [0, 1]}", "{brain.seed: [0, 1]}, joins: {seed: brain.seed}"))
    Study(tiny).checks.check()
    tiny.write_text(text.replace("still], sweep: {seed: [0, 1]}", "still], sweep: {seed: [0, 7]}"))
    with pytest.raises(AssemblyError, match=r"expect.4.measure: .*\n *Sweep the same values"):
        Study(tiny).checks.check()


@pytest.mark.parametrize("best", ["still.test.return", "train:base.test.return", "3"])
def test_the_best_moment_is_one_of_the_runs_own_evaluations(tiny, best):
    tiny.write_text(tiny.read_text().replace("best test.return", f"best {best}"))
    with pytest.raises(AssemblyError, match=r"keep.trained.at(.|\n)*a column of the run's own evaluations"):
        Study(tiny)


def test_a_measure_need_not_mean_something_in_every_stage(tiny):
    told, _, _ = command("tiny.yaml", Options(plan=True), Settings(), quiet=True)
    assert told["runs"] == 6


def test_an_assembly_that_cannot_be_built_is_told_once_with_the_cells_it_hits(tiny):
    said = refused(tiny, "act.yaml", ("max_steps: 15", "max_steps: -1"))
    assert "stage act, 4 cells (base, still): body.params.max_steps (act.yaml:6:" in said
    assert said.count("max_steps") == 1


def test_a_variant_that_cannot_be_built_is_told(tiny):
    said = refused(tiny, "act.yaml", ("type: basics.silence", "type: basics.silense"))
    assert "stage act, 2 cells (still): brain.type (act.yaml:12:" in said


def test_a_value_of_a_sweep_that_cannot_be_built_is_told(tiny):
    tiny.write_text(tiny.read_text().replace("2 of 2", "2 of 4"))
    said = refused(tiny, "tiny.yaml", ("variants: [base, still], sweep: {seed: [0, 1]",
                                       "variants: [base, still], sweep: {seed: [0, 1], body.params.max_steps: [9, -1]"))
    assert "stage act, 4 cells (base, still at body.params.max_steps=-1): body.params.max_steps" in said


def test_planning_leaves_with_an_error(tiny):
    act = tiny.parent / "act.yaml"
    act.write_text(act.read_text().replace("max_steps: 15", "max_steps: -1"))
    done = subprocess.run([*STIMLOOP, "study", "tiny.yaml", "--plan"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "stage act, 4 cells (base, still): body.params.max_steps" in done.stderr


def test_rows_of_evaluations_have_the_columns_that_are_checked(tiny):
    import stimloop as sl

    with sl.load(tiny.parent / "act.yaml").build() as loop:
        assert set(loop.evaluations["test"].evaluate()) == set(COLUMNS)
