"""The grammar of measures, and the statistics of tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.assemblies.studying import tables
from stimloop.assemblies.studying.measures import Area, Name, names, parse, value
from stimloop.assemblies.studying.statistics import interquartile_mean, interval
from stimloop.loops.errors import AssemblyError

NUMBERS = {"test.return": 3.0, "injured.test.return": 1.0, "healthy.test.return": 5.0, "brain:base.test.return": 8.0,
           "metrics.success": 0.5}


def computed(text):
    return value(parse(text), lambda name: NUMBERS[str(name)])


@pytest.mark.parametrize(("text", "expected"), [
    ("test.return", 3), ("-test.return", -3), ("2 * test.return - 1e1", -4), ("1_000 + metrics.success", 1000.5),
    ("(test.return - injured.test.return) / (healthy.test.return - injured.test.return)", 0.5),
    ("brain:base.test.return / 2 / 2", 2), ("10 - 2 - 3", 5), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("--1", 1),
])
def test_measures_are_arithmetic(text, expected):
    assert computed(text) == expected


def test_names_say_whose_number_is_meant():
    assert list(names(parse("test.return + a.test.x * s:b.c.d"))) == [
        Name("test", "return"), Name("test", "x", "a"), Name("c", "d", "b", "s")]


def test_a_division_by_nothing_is_not_a_number():
    assert np.isnan(computed("1 / (test.return - 3)"))


@pytest.mark.parametrize("text", ["", "1 +", "test", "(1", "1)", "a.b c.d", "s:b.c", "a.b.c.d", "f(1)", "1 ** 2",
                                  "a.b[0]", "__import__('os')",
                                  "1 if a.b else 2", "(" * 60 + "1" + ")" * 60, "x" * 3000, 3])
def test_anything_else_is_refused(text):
    with pytest.raises(AssemblyError, match="measure"):
        parse(text)


@given(st.recursive(st.integers(1, 9).map(str), lambda part: st.one_of(
    st.tuples(part, st.sampled_from("+-*/"), part).map(" ".join), part.map("({})".format)), max_leaves=12))
def test_it_computes_as_python_does(text):
    assert computed(text) == pytest.approx(eval(text), rel=1e-12)  # the test's own text, made of digits and signs


ROWS = [{"steps": np.array(250 * i), "return": np.array([mean - 1, mean + 1])}
        for i, mean in enumerate([-900, -150, -250, -190, -180, -300])]


@pytest.mark.parametrize(("text", "expected"), [
    ("steps_until(test.return >= -200, 1, 4000)", 250), ("steps_until(test.return >= -200, 2, 4_000)", 750),
    ("steps_until(test.return >= -200, 3, 4000)", 4000), ("steps_until(test.return <= -900, 1, 7)", 0),
    ("steps_until(sac.test.return >= 5, 1, 1e4)", 10_000)])
def test_steps_until_a_bound_is_held(text, expected):
    name = parse(text)
    assert isinstance(name, Name)
    assert name.curve.of([int(row["steps"]) for row in ROWS], [row["return"].mean() for row in ROWS]) == expected
    assert tables._of_curve(ROWS, "return", name.curve) == expected
    assert parse(str(name)) == name
    assert value(parse(f"{text} / 2"), lambda asked: float(expected)) == expected / 2


@pytest.mark.parametrize(("rows", "expected"), [
    (ROWS, -274),  # (-900 / 2 - 150 - 250 - 190 - 180 - 300 / 2) / 5
    ([*ROWS[:2], ROWS[5]], -285),  # 250 steps of -525 and 1000 of -225, by 1250
    (ROWS[:1], -900), ([], None)])
def test_area_under_a_curve_by_steps(rows, expected):
    name = parse("area_under(a.test.return)")
    assert name == Name("test", "return", "a", curve=Area())
    assert parse(str(name)) == name
    assert tables._of_curve(rows, "return", name.curve) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("text", [
    "area_under(test.return", "area_under", "area_under(3)", "area_under(test.return >= 1)",
    "steps_until(test.return)", "steps_until(test.return >= 1)", "steps_until(test.return >= 1, 0, 5)",
    "steps_until(test.return >= 1, 1.5, 5)", "steps_until(3 >= 1, 1, 5)", "steps_until(test.return > 1, 1, 5)",
    "steps_until(test.return >= other.return, 1, 5)", "test.return >= 1", "steps_until", "test.return, 3"])
def test_a_bound_that_cannot_be_read_is_refused(text):
    with pytest.raises(AssemblyError):
        parse(text)


def test_an_evaluation_that_never_took_place_says_nothing_of_steps():
    assert tables._of_curve([], "return", parse("steps_until(test.return >= 1, 1, 5)").curve) is None


def test_the_mean_of_the_middle_half():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -50])) == 3.5
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3
    low, high = interval([1.0, 2, 3, 4, 5])
    assert 1 <= low < 3 < high <= 5
    assert interval([5.0, 3, 1, 4, 2]) == (low, high)
    assert interval([7.0, 7, 7]) == (7, 7)
