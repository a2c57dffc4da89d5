"""Termination functions: each rule at its edge, alike for NumPy and torch, named, guessed, refused."""

from importlib import import_module
from inspect import signature

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.parts import allowed, terminations
from stimloop.components.parts.terminations import NAMED, ended, find, name_for_env

SIZES = {"inverted_pendulum": 4, "inverted_double_pendulum": 9, "hopper": 11, "walker2d": 17, "ant": 27,
         "humanoid": 45, "halfcheetah": 17, "pendulum": 3, "hand_valve": 10, "hand_gait": 19, "never": 2}
UP = 1 + 1e-6


def row(name, **entries):
    """One successor that is far from any end, with some entries replaced."""
    start = {"hopper": {0: 1.25}, "walker2d": {0: 1.25}, "ant": {0: 0.7}, "humanoid": {0: 1.4},
             "inverted_double_pendulum": {3: 1.0, 4: 1.0}, "hand_gait": {11: 0.15}}.get(name, {})
    values = np.zeros(SIZES[name])
    for place, value in {**start, **{int(key[1:]): value for key, value in entries.items()}}.items():
        values[place] = value
    return values


def says(name, successor):
    successor = np.atleast_2d(successor)
    return bool(ended(find(name), np.zeros_like(successor), np.zeros((len(successor), 1)), successor)[0])


@pytest.mark.parametrize("name", SIZES)
def test_what_is_far_from_any_end_goes_on(name):
    assert not says(name, row(name))


@pytest.mark.parametrize(("name", "entries", "over"), [
    ("inverted_pendulum", {"o1": 0.2}, False), ("inverted_pendulum", {"o1": 0.2 * UP}, True),
    ("inverted_pendulum", {"o1": -0.2 * UP}, True), ("inverted_pendulum", {"o3": np.inf}, True),
    ("hopper", {"o0": 0.7}, True), ("hopper", {"o0": 0.7 * UP}, False), ("hopper", {"o1": 0.2}, True),
    ("hopper", {"o1": -0.2}, True), ("hopper", {"o1": -0.2 / UP}, False), ("hopper", {"o5": 100.0}, True),
    ("hopper", {"o5": -100.0}, True), ("hopper", {"o5": -99.9}, False), ("hopper", {"o0": np.inf}, True),
    ("walker2d", {"o0": 0.8}, True), ("walker2d", {"o0": 2.0}, True), ("walker2d", {"o0": 1.999}, False),
    ("walker2d", {"o1": -1.0}, True), ("walker2d", {"o1": 0.999}, False), ("walker2d", {"o9": 1e6}, False),
    ("ant", {"o0": 0.2}, False), ("ant", {"o0": 1.0}, False), ("ant", {"o0": 0.2 / UP}, True),
    ("ant", {"o0": 1.0 * UP}, True), ("ant", {"o20": np.inf}, True),
    ("humanoid", {"o0": 1.0}, True), ("humanoid", {"o0": 2.0}, True), ("humanoid", {"o0": 1.0001}, False),
    ("halfcheetah", {"o0": -9.0}, False), ("pendulum", {"o0": np.nan}, False), ("hand_valve", {"o9": 1e9}, False),
    ("hand_gait", {"o11": 0.04}, False), ("hand_gait", {"o11": 0.04 / UP}, True)])
def test_a_rule_at_its_edge(name, entries, over):
    assert says(name, row(name, **entries)) is over


@pytest.mark.parametrize(("name", "place"), [("inverted_pendulum", 0), ("hopper", 0), ("hopper", 7), ("walker2d", 0),
                                             ("walker2d", 1), ("ant", 0), ("ant", 9), ("humanoid", 0),
                                             ("hand_gait", 11)])
def test_what_is_no_number_ends_where_gymnasium_ends_it(name, place):
    assert says(name, row(name, **{f"o{place}": np.nan}))


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.5, 2))
def test_the_double_pendulums_tip_by_its_angles(first, second, scale):
    """Equation of the geometry: y = 0.6 (cos a + cos(a + b)); a prediction off the unit circle changes nothing."""
    height = 0.6 * (np.cos(first) + np.cos(first + second))
    if abs(height - 1) < 1e-9:
        return
    angles = {"o1": np.sin(first), "o2": scale * np.sin(second), "o3": np.cos(first), "o4": scale * np.cos(second)}
    assert says("inverted_double_pendulum", row("inverted_double_pendulum", **angles)) == (height <= 1)


@pytest.mark.parametrize("name", SIZES)
def test_numpy_and_torch_are_answered_alike(name):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    successor = (random.normal(0, 1.5, (500, SIZES[name])) + row(name) * random.uniform(0, 2, (500, 1))).astype("f4")
    successor[::17, random.integers(SIZES[name])] = np.nan
    told = ended(find(name), successor, successor, successor)
    again = ended(find(name), *[torch.from_numpy(successor)] * 3)
    assert again.dtype == torch.bool
    np.testing.assert_array_equal(told, again.numpy())
    assert told.any() == (NAMED[name] is not terminations.never)
    grid = ended(find(name), *[successor.reshape(50, 10, -1)] * 3)  # any number of batch axes
    np.testing.assert_array_equal(grid.ravel(), told)


@pytest.mark.parametrize(("env", "name"), [
    ("Hopper-v5", "hopper"), ("Hopper-v4", "hopper"), ("InvertedDoublePendulum-v5", "inverted_double_pendulum"),
    ("HalfCheetah-v5", "halfcheetah"), ("Walker2d-v5", "walker2d"), ("Pendulum-v1", "pendulum"),
    ("inverted_pendulum", "inverted_pendulum"), ("hand_gait", "hand_gait")])
def test_an_environments_function_is_found_by_its_name(env, name):
    assert name_for_env(env) == name
    assert name in NAMED


@pytest.mark.parametrize("env", ["Swimmer-v5", "CartPole-v1", "my_module:Thing-v0", "myElbowPose1D6MRandom-v0"])
def test_an_unknown_environment_is_an_error_that_says_what_to_do(env):
    with pytest.raises(ValueError, match=r"not known when an episode .*my_module:function.*stimloop new environment"):
        name_for_env(env)


def test_a_misspelt_environment_or_function_is_told_the_nearest():
    with pytest.raises(ValueError, match='Did you mean "Hopper"'):
        name_for_env("Hoper-v5")
    with pytest.raises(ValueError, match='"walker2d"'):
        find("walker_2d")


@pytest.mark.parametrize("params", [{"healthy_z_range": (0.5, 1)}, {"terminate_when_unhealthy": False},
                                    {"exclude_current_positions_from_observation": False}])
def test_an_environment_of_other_rules_is_not_guessed(params):
    with pytest.raises(ValueError, match=f"{next(iter(params))}.*my_module:function"):
        name_for_env("Hopper-v5", params)
    assert name_for_env("Hopper-v5", {"reset_noise_scale": 0.1}) == "hopper"
    assert name_for_env("HalfCheetah-v5", params) == "halfcheetah", "where no episode ends none ends otherwise"


@pytest.mark.parametrize(("rule", "usual"), terminations.USUAL.items())
def test_parameters_as_they_are_usual_change_no_rule(rule, usual):
    """What is usual is what Gymnasium's own constructor has as default."""
    gymnasium = pytest.importorskip("gymnasium")
    env = {"walker2d": "Walker2d"}.get(rule, rule.capitalize()) + "-v5"
    maker = gymnasium.spec(env).entry_point.partition(":")
    defaults = signature(getattr(import_module(maker[0]), maker[2])).parameters
    assert usual == {key: each.default for key, each in defaults.items() if key in usual}
    assert {key for key in defaults if key.startswith("healthy_") and key.endswith("_range")} <= set(usual)
    assert name_for_env(env, {key: list(v) if isinstance(v, tuple) else v for key, v in usual.items()}) == rule


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own, on the path; nothing is allowed afterwards."""
    (tmp_path / "own_rules.py").write_text("def low(o, a, then):\n    return then[..., 0] < 0.5\nword = 'low'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_rules"
    allowed.allow_only(())


def test_a_function_of_ones_own_is_imported_only_if_allowed(own):
    allowed.allow_only(())
    with pytest.raises(ValueError, match="--allow own_rules"):
        find("own_rules:low")
    allowed.allow_only([own])
    assert find("own_rules:low")(None, None, np.array([[0.2], [0.7]])).tolist() == [True, False]
    with pytest.raises(ValueError, match="no function but a str"):
        find("own_rules:word")


@pytest.mark.parametrize(("function", "said"), [
    (lambda o, a, then: then[:, 0], "float32; return bool"), (lambda o, a, then: then[0] < 0, "return one bool"),
    (lambda o, a, then: then < 0, "return one bool"), (lambda o, a, then: False, "a bool; return one bool")])
def test_an_answer_of_the_wrong_kind_is_told(function, said):
    with pytest.raises(ValueError, match=said):
        ended(function, *[np.zeros((4, 3), np.float32)] * 3)


def test_what_never_ends_needs_to_see_nothing():
    assert not ended(terminations.never, *[np.ones((3, 0), np.float32)] * 3).any()


@pytest.mark.parametrize("name", [name for name, rule in NAMED.items() if terminations.READS[rule]])
def test_a_named_rule_that_reads_more_than_is_observed_says_both_sizes(name):
    """With as many numbers as it reads it can be asked; with one less it says so."""
    needs = terminations.READS[NAMED[name]]
    rows = [np.ones((3, size), np.float32) for size in (needs, needs - 1)]
    assert ended(NAMED[name], rows[0], rows[0], rows[0]).shape == (3,)
    with pytest.raises(ValueError, match=rf"termination {NAMED[name].__name__} reads {needs} numbers? .* has "
                                         rf"{needs - 1}\. .*my_module:function"):
        ended(NAMED[name], rows[1], rows[1], rows[1])
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=f"reads {needs} number"):
        ended(NAMED[name], *[torch.from_numpy(rows[1])] * 3)
