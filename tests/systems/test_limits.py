"""Settings at their limits: what cannot work is refused or told, and what can work does."""

import pytest

pytest.importorskip("torch", reason="learning needs torch")

import stimloop as sl
from stimloop.assemblies.reports.warnings import warnings
from stimloop.assemblies.resuming import export_weights
from stimloop.loops.errors import AssemblyError
from systems import test_model_fit
from systems.test_model_learners import assembly, sac


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
