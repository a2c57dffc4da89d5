"""Settings at their limits: what cannot work is refused or told, and what can work does."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl  # noqa: E402
from stimloop.assemblies.reports.warnings import warnings  # noqa: E402
from stimloop.assemblies.resuming import export_weights  # noqa: E402
from stimloop.components.parts import torch_memory  # noqa: E402
from stimloop.components.parts.schedules import Ramp  # noqa: E402
from stimloop.components.parts.sequence_search import coloured  # noqa: E402
from stimloop.loops.errors import AssemblyError, RunError  # noqa: E402
from stimloop.loops.port import Port  # noqa: E402
from stimloop.loops.status import FIRST  # noqa: E402
from stimloop.loops.storage import artifact  # noqa: E402
from systems import test_model_fit  # noqa: E402
from systems.imagining import assembly, sac  # noqa: E402
from systems.test_planning_in_bodies import planned  # noqa: E402


def test_a_refresh_that_comes_rarely_is_remembered_whole():
    """Room is for the refreshes of an epoch; where an epoch is over before the next one, for that one."""
    with assembly(model_train_freq=1000, rollout_schedule=[0, 1, 2, 2], planning=False).build() as loop:
        loop.run("40 steps")
        assert loop.components["learner"].imagined.size == 24
        assert loop.peek("learner.model_rows") == 24


def fit_learner(**params):
    made = sl.Assembly.from_yaml(test_model_fit.PETS)
    return made.set({f"learner.params.{name}": value for name, value in params.items()})


def test_a_model_that_is_never_to_be_fitted_is_not_imagined_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssemblyError, match="the model would never be fitted") as caught:
        assembly(model_train_end_epoch=0).build()
    assert caught.value.problems[0].where.startswith("learner.params.model_train_end_epoch")
    assembly(model_train_end_epoch=0, ratio_schedule=[0, 1, 1, 1]).build().close()  # it imagines nothing
    run = assembly().set("until", "40 steps").run(folder=tmp_path)
    export_weights(run.path, "model", tmp_path / "model.safetensors")
    given = assembly(model_train_end_epoch=0).set("model.params.weights", "model.safetensors")
    with given.build() as loop:
        loop.run("40 steps")
        assert loop.components["learner"]._fits == 0
        assert loop.peek("learner.model_rows") == 48


def test_a_model_that_was_never_fitted_is_neither_exported_nor_begun_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = assembly().set("until", "5 steps").run(folder=tmp_path)
    target = tmp_path / "model.safetensors"
    with pytest.raises(RunError, match=r"model was never fitted at the newest checkpoint of .* Go on with the run"):
        export_weights(run.path, "model", target)
    assert not target.exists()
    with assembly().build() as loop:  # as an earlier version wrote it
        artifact.save(target, loop.components["model"], "world_models.gaussian_ensemble")
    with pytest.raises(AssemblyError, match=r"model\.safetensors holds a model that was never fitted") as caught:
        assembly().set("model.params.weights", "model.safetensors").build()
    assert caught.value.problems[0].where.startswith("model.params.weights")


def test_nothing_is_imagined_before_the_first_fit(tmp_path):
    """Episodes of 50 steps, remembered at their end: epoch 1, from which nothing is fitted, begins before."""
    made = assembly(model_train_end_epoch=1, insert="episode_end", rollout_schedule=[0, 1, 2, 2])
    run = made.set({"body.params.max_steps": 60, "until": "100 steps"}).run(folder=tmp_path)
    assert run.streams["learner.q_loss"].rows > 0
    assert run.streams["learner.model_rows"].rows == 0
    told = [text for text in warnings(run) if "never fitted" in text]
    assert told == ["learner never fitted its model, so that it imagined nothing and learned from real steps alone. "
                    "Let learner.params.model_train_end_epoch be later, or learning_starts."]


def test_a_model_that_was_fitted_is_told_of_by_nobody(tmp_path):
    for name, params in {"fitted": {}, "real": {"ratio_schedule": [0, 1, 1, 1]}}.items():
        run = assembly(**params).set("until", "60 steps").run(folder=tmp_path / name)
        assert not [text for text in warnings(run) if "never fitted" in text], name


@pytest.mark.parametrize("made", [lambda: assembly(buffer_size=4, min_buffer=4), lambda: fit_learner(buffer_size=4)],
                         ids=["mopac", "model_fit"])
def test_a_memory_too_small_to_fit_a_model_to_is_refused(made):
    with pytest.raises(AssemblyError, match="4 steps are too few to fit a model to: it takes 5") as caught:
        made().build()
    assert caught.value.problems[0].where.startswith("learner.params.buffer_size")


def test_a_memory_may_be_small_where_no_model_is_fitted():
    assembly(buffer_size=4, min_buffer=4, ratio_schedule=[0, 1, 1, 1]).build().close()


SELDOM = "of which 40 came after the first 20, and it updates after each train_freq = 41 of these."


@pytest.mark.parametrize(("kind", "params", "said"), [
    (assembly, {"learning_starts": 60}, "begins after learning_starts = 60."),
    (assembly, {"min_buffer": 61}, "begins after min_buffer = 61."),
    (assembly, {"train_freq": 41}, SELDOM), (assembly, {"train_freq": 40}, None),
    (sac, {"train_freq": 41}, SELDOM), (sac, {"train_freq": 40}, None)])
def test_a_policy_that_was_never_taught_is_told_of(kind, params, said, tmp_path):
    """Its model is fitted all the same, which is no update of the policy."""
    made = kind().set({f"learner.params.{name}": value for name, value in params.items()}).set("until", "60 steps")
    run = made.run(folder=tmp_path)
    told = [text for text in warnings(run) if "never updated" in text]
    assert len(told) == (said is not None)
    assert all(said in text for text in told), told


HUGE = {"buffer_size": 10**12, "rollout_batch_size": 10**10, "model_retain_epochs": 10**10, "particles": 10**12,
        "epoch_length": 10**21, "rollout_schedule": [0, 1, 1e30, 1e30], "batch_size": 10**12}


@pytest.mark.parametrize("name", [*HUGE, "endless"])
def test_what_no_memory_holds_is_refused_before_anything_is_lived(name):
    params = {"buffer_size": 10**20} if name == "endless" else {name: HUGE[name]}
    with pytest.raises(AssemblyError, match=r"not enough memory|this machine has \d") as caught:
        assembly(**params).build()
    assert caught.value.problems[0].where.startswith(f"learner.params.{next(iter(params))}")


@pytest.mark.parametrize(("component", "params"), [
    ("brain", {"particles": 10**11}), ("brain", {"horizon": 10**12}), ("learner", {"buffer_size": 10**12})])
def test_what_no_memory_holds_is_refused_of_a_planner_and_its_model_too(component, params):
    (name, number), = params.items()
    with pytest.raises(AssemblyError, match=r"not enough memory|this machine has \d") as caught:
        sl.Assembly.from_yaml(test_model_fit.PETS).set(f"{component}.params.{name}", number).build()
    assert caught.value.problems[0].where.startswith(f"{component}.params.{name}")


def test_what_only_later_epochs_have_no_memory_for_is_told_before():
    with assembly(rollout_schedule=[0, 100, 1, 1e12], planning=False).build() as loop:
        (told,) = loop.components["learner"].warnings
        assert "where imagined lives have 1000000000000 steps, those remembered take" in told


def test_memory_that_runs_out_later_is_told_in_words():
    with assembly(planning=False).build() as loop:
        loop.components["learner"].imagine = lambda start, length: iter([({"reward": torch.zeros(10**13)}, {})])
        with pytest.raises(MemoryError) as caught:
            loop.run("60 steps")
    assert str(caught.value) == ("torch found none for 40 TB. Lower rollout_batch_size, rollout_schedule, "
                                 "model_retain_epochs or batch_size, or particles")
    assert "`learner`" in " ".join(caught.value.__notes__)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), TypeError("no tensor")])
def test_other_failures_of_torch_are_not_taken_for_a_lack_of_memory(error):
    for guard in (torch_memory.told, torch_memory.refused):
        with pytest.raises(type(error), match=str(error)), guard("x"):
            raise error


@pytest.mark.parametrize(("count", "said"), [(999, "999 bytes"), (2.5e9, "2.5 GB"), (10**20, "1e+08 TB")])
def test_bytes_are_said_as_people_read_them(count, said):
    assert torch_memory.said(count) == said


@pytest.mark.parametrize("made", [lambda count: assembly(threads=count),
                                  lambda count: fit_learner(threads=count),
                                  lambda count: fit_learner().set("brain.params.threads", count)],
                         ids=["mopac", "model_fit", "mppi"])
def test_more_threads_than_cores_are_not_begun(made, monkeypatch):
    begun, before = [], torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda count: begun.append(count) or before(1))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for count, told in ((100_000, 1), (2, 0)):
        with made(count).build() as loop:
            loop.run("24 steps")
            found = [text for part in loop.components.values() for text in getattr(part, "warnings", ())
                     if "threads" in text]
        assert len(found) == told
        assert all("threads: 100000 are more than this machine's 2 cores, so it works on 2" in text for text in found)
        assert set(begun) <= {1, 2}, "1 where it is set back"
        assert 2 in begun
        begun.clear()


def planner(**params):
    return fit_learner().set({f"brain.params.{name}": value for name, value in params.items()})


@pytest.mark.parametrize("name", ["noise", "bound", "temperature", "ent_coef", "learning_rate", "target_entropy"])
def test_a_number_that_single_precision_cannot_hold_is_refused(name):
    with pytest.raises(AssemblyError, match=r"is beyond single precision, which holds 3\.4e") as caught:
        assembly(**{"scaling": "fixed", name: 1e39}).build()
    assert caught.value.problems[0].where.startswith(f"learner.params.{name}")
    assembly(**{"scaling": "fixed", name: 1e38}).build().close()


@pytest.mark.parametrize("name", ["noise", "temperature"])
def test_a_planner_refuses_it_too(name):
    with pytest.raises(AssemblyError, match=r"is beyond single precision, which holds 3\.4e") as caught:
        planner(scaling="fixed", **{name: 1e39}).build()
    assert caught.value.problems[0].where.startswith(f"brain.params.{name}")


class Bare(sl.Component):
    """A body of any sizes in which nothing happens."""

    period = 10_000_000

    def __init__(self, *, seen: int = 2, done: int = 2):
        self.inputs = {"action": Port("what is done", (done,), low=-1, high=1, reads="hold")}
        self.outputs = {"observation": Port("what is seen", (seen,)), "reward": Port("nothing"),
                        "status": Port("flags", dtype="int64")}

    def step(self, now, inputs):
        lanes = self.lanes.count
        return {"observation": np.zeros((lanes, *self.outputs["observation"].shape), np.float32),
                "reward": np.zeros(lanes, np.float32), "status": np.full(lanes, FIRST if now == 0 else 0, np.int64)}


@pytest.mark.parametrize(("made", "sizes", "said"), [
    (assembly, {"seen": 0}, "an observation of 0 numbers: there is nothing to foresee"),
    (fit_learner, {"seen": 0}, "an observation of 0 numbers: there is nothing to foresee"),
    (assembly, {"done": 0}, "an action of 0 numbers: there is nothing to learn"),
    (sac, {"done": 0}, "an action of 0 numbers: there is nothing to learn"),
    (fit_learner, {"done": 0}, "an action of 0 numbers: there is nothing to plan")])
def test_bodies_that_show_or_do_nothing_are_refused(made, sizes, said):
    with pytest.raises(AssemblyError, match=said):
        made().set("body", None).add("body", Bare, inputs=["brain.action"], **sizes).build()


def test_a_body_that_shows_nothing_can_be_learned_without_a_model():
    with sac().set("body", None).add("body", Bare, inputs=["brain.action"], seen=0).build() as loop:
        loop.run("25 steps")
        assert loop.components["learner"].core.updates > 0


@pytest.mark.parametrize(("schedule", "said"), [
    ([0, 1, 0.5], "it has 3 numbers"), ([0, 1, 1, float("inf")], "inf is not finite"),
    ([-1, 1, 1, 1], "epoch -1 is before the first"), ([2, 1, 1, 1], "epoch 1 does not come after epoch 2"),
    ([0, 1, 1, -0.5], "-0.5 is below 0")])
def test_a_schedule_that_is_refused_is_told_why(schedule, said):
    with pytest.raises(AssemblyError, match="is not a schedule: ") as caught:
        Ramp(schedule, "ratio_schedule", "epoch")
    assert f"is not a schedule: {said}" in str(caught.value)


def test_a_learning_rate_that_is_always_0_is_told_so():
    with pytest.raises(AssemblyError, match="is not a schedule: both its values are 0"):
        Ramp([0, 10, 0, 0], "learning_rate")


def test_all_may_be_imagined():
    with assembly(ratio_schedule=[0, 1, 0, 0], planning=False).build() as loop:
        loop.run("40 steps")
        assert loop.peek("learner.real_ratio") == 0


@pytest.mark.parametrize("made", [assembly, fit_learner], ids=["mopac", "model_fit"])
def test_a_fit_that_is_stopped_by_the_clock_is_told_not_to_be_repeatable(made):
    for params, told in (({}, 0), ({"max_model_t": 100.0}, 1)):
        with made(**params).build() as loop:
            found = [text for text in loop.components["learner"].warnings if "need be alike" in text]
            assert len(found) == told
            assert all("max_model_t: 100 " in text for text in found)


def test_noise_of_any_colour_is_a_number():
    """So red that all is of the lowest frequency: one wave, of variance 1 over draws."""
    white = torch.randn(20_000, 15, 1, generator=torch.Generator().manual_seed(0))
    for colour in (100.0, 1e30):
        red = coloured(white, colour)
        power = torch.fft.rfft(red, dim=1).abs().square().mean((0, 2))
        assert red.square().mean().item() == pytest.approx(1, abs=0.02)
        assert power[2:].sum() < 1e-6 * power.sum()
    with planner(colour=100.0).build() as loop:
        loop.run("24 steps")


@pytest.mark.parametrize(("params", "never"), [
    ({"particles": 1, "elites": 1}, True), ({"particles": 1, "method": "mppi"}, True),
    ({"particles": 2, "elites": 1}, False)])
def test_a_planner_with_nothing_to_compare_is_told_so(params, never):
    made = planner(**params)
    with made.build() as loop:
        assert any("never plans" in text for text in loop.components["brain"].warnings) == never


@pytest.mark.parametrize(("termination", "refused"), [("hoper", True), ("hopper", False), (None, False)])
def test_a_rule_that_a_world_does_not_need_is_not_passed_over(termination, refused):
    made = planned(termination=termination)
    if refused:
        with pytest.raises(AssemblyError, match='Did you mean "hopper"'):
            made.build()
        return
    with made.build() as loop:
        told = [text for text in loop.components["brain"].warnings if "termination" in text]
    assert len(told) == (termination is not None)
    assert all("the world says itself when an episode is over" in text for text in told)
