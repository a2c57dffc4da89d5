"""The termination that is named is held against the environment that the body is, before anything runs."""

import pytest

pytest.importorskip("mujoco", reason="the environments of MuJoCo are not installed")
pytest.importorskip("torch", reason="learning needs torch")

from stimloop.assemblies.checking import check
from stimloop.assemblies.loading import load
from stimloop.assemblies.settings import Settings
from stimloop.components.parts import allowed
from stimloop.loops.errors import AssemblyError

RULES = "learner.params.termination"
PARAMS = "body.params.env_params"


def made(name, changes):
    owner = "brain" if name == "mppi" else "learner"
    assembly = load("mopac_hopper").small() if name != "mppi" else load("pets_pendulum").small()
    return assembly.set({f"{owner}.params.{key}" if "." not in key else key: value for key, value in changes.items()})


def told(assembly):
    """Return errors and notices of a termination, as `check` tells them; `build` raises the errors too."""
    found = [problem for problem in check(assembly).found if "params.termination" in problem.where]
    errors = [problem for problem in found if not problem.notice]
    if errors:
        with pytest.raises(AssemblyError) as caught:
            assembly.build()
        assert errors == caught.value.problems
    else:
        assembly.build().close()
    return errors, [problem for problem in found if problem.notice]


@pytest.mark.parametrize("params", [
    {"exclude_current_positions_from_observation": False}, {"terminate_when_unhealthy": False},
    {"healthy_z_range": [0.5, 1.0]}])
def test_changed_rules_of_an_environment_are_an_error(params):
    (problem,), notices = told(made("mopac", {PARAMS: params}))
    assert problem.what.startswith(f"{next(iter(params))} of Hopper-v5 change when its episodes end")
    assert problem.where.startswith(RULES)
    assert "my_module:function" in problem.fix
    assert not notices


@pytest.mark.parametrize("params", [
    {"reset_noise_scale": 0.1}, {"healthy_z_range": [0.7, float("inf")], "terminate_when_unhealthy": True}])
def test_parameters_that_change_no_rule_are_none(params):
    assert told(made("mopac", {PARAMS: params})) == ([], [])


def test_the_rule_of_another_environment_is_an_error():
    (problem,), _ = told(made("mopac", {"termination": "walker2d"}))
    assert problem.what == "walker2d is not the rule by which episodes of Hopper-v5 end"
    assert problem.fix == "Write termination: hopper."
    (problem,), _ = told(made("mppi", {"termination": "hopper"}))
    assert (problem.what, problem.fix) == ("hopper is not the rule by which episodes of Pendulum-v1 end",
                                           "Write termination: pendulum.")
    assert problem.where.startswith("brain.params.termination")


def test_the_rule_of_another_body_of_ours_is_an_error():
    assembly = load("mopac_hand_gait").small().set("learner.params.termination", "hopper")
    (problem,), _ = told(assembly)
    assert problem.fix == "Write termination: hand_gait."


def test_names_of_one_and_the_same_rule_are_alike():
    for name in ("never", "halfcheetah", "pendulum"):
        assert told(made("mppi", {"termination": name})) == ([], [])


def test_that_no_imagined_episode_ends_where_real_ones_do_is_noticed():
    errors, (notice,) = told(made("mopac", {"termination": "never"}))
    assert not errors
    assert notice.what == "no imagined episode ends, though those of Hopper-v5 do"
    assert told(made("mopac", {"termination": "never", PARAMS: {"terminate_when_unhealthy": False}})) == ([], [])


def test_where_no_rule_is_asked_none_is_held_against_the_body():
    changed = made("mopac", {PARAMS: {"terminate_when_unhealthy": False}, "ratio_schedule": [0, 1, 1, 1]})
    assert told(changed) == ([], [])


def test_where_one_of_both_is_ones_own_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_hops.py").write_text("def ended(o, a, then):\n    return then[..., 1] < 0.3\n")
    assembly = made("mopac", {"termination": "my_hops:ended", PARAMS: {"healthy_z_range": [0.3, 2.0]}})
    assert not check(assembly, Settings(allow=("my_hops",), folder=tmp_path)).errors
    allowed.allow_only(())
    assert told(load("mopac_pendulum").small().set({"body.params.env": "MountainCarContinuous-v0",
                                                    RULES: "inverted_pendulum"})) == ([], [])
