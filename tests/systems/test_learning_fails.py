"""What goes wrong in the middle of learning: it says in which component and epoch, and what was recorded stays."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.assemblies import execute, study  # noqa: E402
from stimloop.assemblies.cli import app  # noqa: E402
from stimloop.assemblies.reports.warnings import warnings  # noqa: E402
from stimloop.assemblies.studying.ends import StudyStopped  # noqa: E402
from stimloop.loops.errors import AssemblyError, Diverged, RunError  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402

from .imagining import TEXT, assembly, mbpo, sac  # noqa: E402

KINDS = {"sac": sac, "mbpo": mbpo, "mopac": assembly}
TICK = 20_000_000
STEP = 64  # of the body, after which something is spoilt, in epoch 1: 88 updates are made, the model is due at 65


def spoilt(made, folder, spoil, error=Diverged, step=STEP):
    """Run, and spoil something after a step; return the error with its notes, and the run that is left."""
    def prepare(loop):
        def look(now):
            if loop.counter("body").steps == step and not done:
                done.append(now)
                spoil(loop.components)

        done = []
        loop.attend(look)

    with pytest.raises(error) as caught:
        execute.start(made, folder=folder, prepare=prepare)
    (path,) = folder.rglob("*.zarr")
    return f"{caught.value} {' '.join(caught.value.__notes__)}", sl.open(path)


def nan(arrays):
    """Make float arrays or tensors something that is no number."""
    for array in arrays:
        if isinstance(array, torch.Tensor):
            array.data.fill_(float("nan"))
        elif array.dtype.kind == "f":
            array[...] = np.nan


def check_readable(run, least=STEP):
    """What happened until then is there, and the run says why it ended."""
    assert run.state == "failed"
    steps = int(run.episodes("body")["length"].sum())
    assert steps >= least
    rows = run.columns("body.observation")["value"].read()
    assert len(rows) >= steps
    assert np.isfinite(rows).all()
    assert np.isfinite(run.columns("learner.q_loss")["value"].read()).all()
    assert "`learner` (learners." in warnings(run)[0]


@pytest.mark.parametrize("part", ["critic", "brain"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_critic_or_a_policy_that_turns_into_no_number_is_told_at_once(kind, part, tmp_path):
    said, run = spoilt(KINDS[kind](), tmp_path, lambda parts: nan(parts[part].parameters()))
    assert re.search("learning has diverged after (89|90|91|92|93|94|95|96) updates", said), "2 at each step"
    assert "q_loss nan" in said
    assert "Lower learning_rate" in said
    assert "while stepping `learner` (learners." in said
    assert kind == "sac" or "in epoch 1" in said
    check_readable(run)


def test_a_value_of_states_that_turns_into_no_number_is_told_at_once(tmp_path):
    said, run = spoilt(assembly(), tmp_path, lambda parts: nan(parts["value"].parameters()))
    assert "v_loss nan" in said
    assert "in epoch 1" in said
    check_readable(run)


@pytest.mark.parametrize("kind", KINDS)
def test_learning_that_runs_away_by_itself_is_told(kind, tmp_path):
    with pytest.raises(Diverged, match=r"diverged after \d+ updates: .*Lower learning_rate"):
        KINDS[kind]().set("learner.params.learning_rate", 1e30).run(folder=tmp_path)
    (path,) = tmp_path.rglob("*.zarr")
    run = sl.open(path)
    assert run.state == "failed"
    assert run.columns("body.reward")["value"].read().size > 20


@pytest.mark.parametrize("kind", ["mbpo", "mopac"])
@pytest.mark.parametrize("which", ["everything", "rewards", "observations"])
def test_a_model_that_turns_into_no_number_is_told_with_its_epoch(kind, which, tmp_path):
    """Fitting has ended, so that nothing mends it; lives of one step, so that none meets what it brought about."""
    made = KINDS[kind]().set({"learner.params.model_train_end_epoch": 1,
                              "learner.params.rollout_schedule": [0, 1, 1, 1]})

    def spoil(parts):
        network = parts["model"].network
        if which == "everything":
            nan(network.arrays.values())
        else:
            network.arrays["out/bias"][:, 0 if which == "rewards" else 1] = np.nan

    said, run = spoilt(made, tmp_path, spoil)
    assert "epoch 1 is not finite" in said or "planning has diverged" in said
    assert "in epoch 1, after " in said
    assert "while stepping `learner` (learners." in said
    assert "rollout_schedule" in said
    check_readable(run)


def test_what_the_end_of_an_episode_hides_is_found_too(tmp_path):
    """A rule that ends what is no number would let it pass: the life is over, and nobody asks what came of it."""
    made = mbpo().set({"learner.params.model_train_end_epoch": 1, "learner.params.termination": "inverted_pendulum"})
    said, _ = spoilt(made, tmp_path, lambda parts: parts["model"].network.arrays["out/bias"].__setitem__(
        (slice(None), slice(1, None)), np.nan))
    assert "what was imagined in epoch 1 is not finite" in said


class Loud(sl.Component):
    """Makes rewards larger than a model can learn."""

    def __init__(self):
        self.inputs = {"reward": Port("reward", (), wakes=True)}
        self.outputs = {"reward": Port("the same, very much of it", ())}

    def step(self, now, inputs):
        return {"reward": inputs["reward"] * np.float32(1e12)}


@pytest.mark.parametrize("kind", ["mbpo", "mopac"])
def test_a_fit_that_diverges_says_in_which_epoch(kind, tmp_path):
    made = KINDS[kind]().add("loud", Loud, inputs=["body.reward"])
    for name in ("model", "learner"):
        made = made.set(f"{name}.inputs", ["body.observation", "loud.reward", "body.status", "brain.action"])
    with pytest.raises(Diverged, match="fitting the model has diverged") as caught:
        made.run(folder=tmp_path)
    said = " ".join(caught.value.__notes__)
    assert "in epoch 0, after 20 real steps" in said
    assert "while stepping `learner` (learners." in said
    (path,) = tmp_path.rglob("*.zarr")
    assert len(sl.open(path).columns("body.reward")["value"].read()) > 20


def test_a_rule_of_ones_own_that_fails_says_in_which_epoch(tmp_path, monkeypatch):
    from stimloop.components.parts import terminations

    def fails(observation, action, successor):
        if len(successor) > 3:  # not yet when it is tried
            raise ValueError("no such height")
        return successor[..., 0] < -9

    monkeypatch.setattr(terminations, "find", lambda name: fails)
    with pytest.raises(ValueError, match="no such height") as caught:
        mbpo().run(folder=tmp_path)
    assert "in epoch 0, after 20 real steps" in " ".join(caught.value.__notes__)


def test_without_a_rule_for_the_end_it_is_not_built():
    params = assembly().get("learner.params")
    del params["termination"]
    with pytest.raises(AssemblyError, match=r"learner(.|\n)*termination"):
        assembly().set("learner.params", params).build()


def test_before_there_is_a_step_nothing_is_imagined():
    """It waits until it can be fitted; asked by hand all the same, it says what is missing."""
    with assembly(learning_starts=0, min_buffer=0).build() as loop:
        learner = loop.components["learner"]
        with pytest.raises(RunError, match="nothing to draw from: no step has reached the replay buffer yet"):
            learner.buffer.sample(4, learner._imagining)
        with pytest.raises(RunError, match="0 rows are too few to fit a model to"):
            learner._refresh()
        loop.run("4 steps")
        assert (learner._refreshed, len(learner.imagined)) == (0, 0)
        loop.run("5 steps")
        assert (learner._refreshed, len(learner.imagined)) == (1, 24)


@pytest.mark.parametrize("name", ["rollout_schedule", "ratio_schedule"])
@pytest.mark.parametrize("wrong", [[5, 1, 1, 1], [1, 1, 1, 1], [-1, 2, 1, 1], [0, 1, 1], [0, 1, -1, 1]])
def test_a_schedule_that_cannot_be_followed_is_refused(name, wrong):
    with pytest.raises(AssemblyError, match="is not a schedule") as caught:
        assembly(**{name: wrong}).build()
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"learner.params.{name}")
    assert "first epoch" in problem.fix
    assert "a number" not in problem.fix
    if wrong[:2] == [5, 1]:
        assert "epoch 1 does not come after epoch 5" in problem.what


def test_a_memory_too_small_to_begin_with_is_refused():
    with pytest.raises(AssemblyError, match=r"min_buffer: 20 .*buffer_size: 19") as caught:
        assembly(buffer_size=19).build()
    assert caught.value.problems[0].where.startswith("learner.params.min_buffer")
    assembly(buffer_size=20).build().close()


def test_a_schedule_that_begins_after_the_run_is_told(tmp_path):
    run = assembly(rollout_schedule=[20, 40, 1, 5]).run(folder=tmp_path / "late")
    told = [text for text in warnings(run) if "rollout_schedule" in text]
    assert told == ["learner.params.rollout_schedule goes from 1 to 5 from epoch 20 on, and the run ended in epoch 3: "
                    "it stayed at 1. Run longer, or write earlier epochs."]
    for schedule in ([2, 40, 1, 5], [20, 40, 5, 5]):
        run = assembly(rollout_schedule=schedule).run(folder=tmp_path / f"{schedule[0]}")
        assert not [text for text in warnings(run) if "schedule" in text]


@pytest.mark.parametrize(("change", "said"), [
    ({"min_buffer": 500}, "begins after min_buffer = 500"),
    ({"min_buffer": 500, "ratio_schedule": [0, 1, 0.5, 0.5]}, "begins after min_buffer = 500"),  # its model is fitted
    ({"insert": "episode_end"}, "insert: episode_end remembers a step when its episode is over, and none was")])
def test_what_never_comes_to_an_update_says_why(change, said, tmp_path):
    run = assembly(**{"ratio_schedule": [0, 1, 1, 1], **change}).set("body.params.max_steps", 0).run(folder=tmp_path)
    assert any(text.startswith("learner never updated") and said in text for text in warnings(run)), warnings(run)


def test_a_first_fit_that_outlasts_the_run_is_why_nothing_was_updated(tmp_path):
    made = assembly(cost="1000 s", ratio_schedule=[0, 1, 0.5, 0.5]).set("brain.inputs.learned", "learner.learned")
    run = made.run(folder=tmp_path)
    told = "learner never updated: with cost: 1000 s the first fit of its model was not done when the run ended"
    assert any(text.startswith(told) for text in warnings(run)), warnings(run)


def test_steps_that_are_all_left_out_are_why_nothing_was_updated(tmp_path):
    made = assembly(unfinished="drop").set("body.params.restart", "at_once").set("body.params.max_steps", 1)
    run = made.run(folder=tmp_path)
    told = "learner never updated: unfinished: drop left out all of its steps"
    assert any(text.startswith(told) for text in warnings(run)), warnings(run)


def test_the_command_and_a_study_say_component_and_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.yaml").write_text(TEXT.replace("batch_size: 16,", "batch_size: 16, learning_rate: 1.0e+30,"))
    done = CliRunner().invoke(app, ["run", "far.yaml"])
    assert done.exit_code == 1
    for words in ("learning has diverged", "in epoch 0", "`learner` (learners.mopac)"):
        assert words in done.output
    (tmp_path / "many.yaml").write_text("name: many\nstages: {one: {assembly: far.yaml}}\n"
                                        "measure: {u: learner.updates}\n")
    with pytest.raises(StudyStopped) as caught:
        study.load("many.yaml").run()
    for words in ("learning has diverged", "in epoch 0", "`learner` (learners.mopac)"):
        assert words in str(caught.value)
