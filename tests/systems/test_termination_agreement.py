"""Termination functions judge as their environments do, and the comparison finds those that do not."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the environments of MuJoCo are not installed")
gymnasium = pytest.importorskip("gymnasium")

import stimloop as sl  # noqa: E402
from stimloop.assemblies import own_environment  # noqa: E402
from stimloop.components.parts import termination_check, terminations  # noqa: E402
from stimloop.loops.errors import RunError  # noqa: E402
from stimloop.loops.status import TERMINATED  # noqa: E402
from systems import terminations as script  # noqa: E402

FEW = 2000  # transitions; `python tests/systems/terminations.py` takes 100 000


@pytest.mark.parametrize("env", script.ENVS)
def test_a_rule_agrees_with_its_environment(env):
    few = 10 * FEW if env == "InvertedDoublePendulum-v5" else FEW  # Gymnasium's height is late: 1 in 20 000 differs
    found = script.judged(env, few, seed=1)
    assert found.passed, found.text()
    assert found.transitions == few
    assert found.ends > 0 or env in ("Ant-v5", "HalfCheetah-v5", "Pendulum-v1")  # an ant seldom leaves its range


@pytest.mark.parametrize("kwargs", [{"include_cfrc_ext_in_observation": False}])
def test_the_ants_rule_holds_for_the_truncated_observation(kwargs):
    assert termination_check.compare("Ant-v5", terminations.ant, transitions=500, params=kwargs).passed


def test_a_wrong_rule_is_found_out():
    late = termination_check.compare("Hopper-v5", lambda o, a, then: then[..., 0] < 0.65, transitions=FEW)
    assert not late.passed
    assert late.missed > 0
    assert late.examples[0][0] == "overlooked"
    early = termination_check.compare("Hopper-v5", lambda o, a, then: then[..., 0] < 1.2, transitions=FEW)
    assert early.invented > 0
    assert not early.passed
    assert "FAILED" in early.text()


def test_a_rule_that_never_ends_fails_where_ends_are_rare():
    """One end in 20 000 transitions is agreement of 99.995 %, and yet nothing was judged."""
    rare = termination_check.Agreement("E", "f", transitions=20_000, ends=1, missed=1, invented=0)
    assert rare.share >= termination_check.AGREEMENT
    assert not rare.passed


def test_where_no_end_was_seen_nothing_was_tested():
    pole = terminations.inverted_pendulum
    blind = termination_check.compare("MountainCarContinuous-v0", pole, transitions=200)
    assert (blind.ends, blind.share, blind.tested, blind.passed) == (0, 1.0, False, False)
    assert "200 transitions, 0 of them ends: NOT TESTED" in blind.text()
    assert "the function is named never" in blind.text()
    assert termination_check.compare("MountainCarContinuous-v0", terminations.never, transitions=200).passed
    busy = termination_check.compare("MountainCarContinuous-v0", lambda o, a, then: then[..., 0] < 0, transitions=200)
    assert "FAILED" in busy.text()


@pytest.mark.parametrize("seed", [0, 5])
def test_a_car_gets_up_its_mountain_while_it_is_watched(seed):
    """Its end lies far from where random actions lead."""
    right = termination_check.compare("MountainCarContinuous-v0", lambda o, a, then: then[..., 0] >= 0.45,
                                      transitions=2000, seed=seed)
    assert right.ends > 0
    assert right.passed
    pole = termination_check.compare("MountainCarContinuous-v0", terminations.inverted_pendulum, transitions=2000,
                                     seed=seed)
    assert pole.missed > 0
    assert not pole.passed


def test_the_same_seed_plays_the_same():
    one, two = (script.judged("Hopper-v5", 300, seed=4) for _ in range(2))
    assert one == two
    assert one != script.judged("Hopper-v5", 300, seed=5)


def test_one_way_of_acting_answers_to_what_is_seen():
    """Each sixth episode: the same to the same, something else to something else, and another network the next time."""
    mind, seen = termination_check._Mind(np.random.default_rng(2), 3, episode=5), np.linspace(-1, 1, 5)
    first = mind.act(seen)
    assert np.abs(first).max() <= 1
    np.testing.assert_array_equal(mind.act(seen), first)
    assert np.abs(mind.act(-seen) - first).max() > 0.1
    assert np.abs(termination_check._Mind(np.random.default_rng(3), 3, episode=11).act(seen) - first).max() > 0.1
    blind = termination_check._Mind(np.random.default_rng(2), 3, episode=6)
    assert (blind.act(seen) != blind.act(seen)).any()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A run of a policy that learns, with a short and a long life in it."""
    pytest.importorskip("torch", reason="learning needs torch")
    assembly = sl.load("mopac_inverted_pendulum").resolve(small=True).set({"until": "200 steps"})
    return assembly.set({"body.params.max_steps": 50}).run(folder=tmp_path_factory.mktemp("runs"))


def test_a_rule_is_asked_about_what_a_policy_did(lived):
    found = script.of_policy(lived.path)
    assert found.passed, found.text()
    ends = int(((lived.columns("body.status")["value"].read() & TERMINATED) != 0).sum())
    assert (found.transitions, found.ends) == (200, ends)
    assert ends > 0
    never = termination_check.judge("InvertedPendulum-v5", terminations.never,
                                    own_environment.lived(lived.path, "InvertedPendulum-v5"))
    assert (never.missed, never.invented, never.passed) == (ends, 0, False)


def test_a_run_in_another_environment_is_no_evidence(lived):
    with pytest.raises(RunError, match="a run in InvertedPendulum-v5, not in Hopper-v5"):
        list(own_environment.lived(lived.path, "Hopper-v5"))


def test_a_run_that_begins_anew_at_once_did_not_see_its_ends(tmp_path):
    pytest.importorskip("torch", reason="learning needs torch")
    assembly = sl.load("mopac_inverted_pendulum").resolve(small=True, variant="sac").set(
        {"until": "60 steps", "body.params.restart": "at_once", "body.params.max_steps": 0})
    run = assembly.run(folder=tmp_path)
    with pytest.raises(RunError, match=r"begins anew at once.*restart: next_tick"):
        list(own_environment.lived(run.path, "InvertedPendulum-v5"))


def test_what_cannot_be_compared_says_why():
    with pytest.raises(ValueError, match="the action of CartPole-v1 is Discrete"):
        termination_check.compare("CartPole-v1", terminations.never, transitions=5)
    with pytest.raises(ValueError, match="not registered"):
        termination_check.compare("Hoper-v5", terminations.never, transitions=5)
    with pytest.raises(ValueError, match="no transition of Hopper-v5"):
        termination_check.judge("Hopper-v5", terminations.never, [])


def test_the_script_prints_what_it_found(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["terminations.py", "--env", "Pendulum-v1", "--transitions", "50", "--json"])
    assert script.main() == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["env"], facts["agreement"], facts["passed"]) == ("Pendulum-v1", 1.0, True)
