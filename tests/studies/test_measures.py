"""The grammar of measures, and the statistics of tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.assemblies.studying.measures import Name, names, parse, value
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


def test_the_mean_of_the_middle_half():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -50])) == 3.5
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3
    low, high = interval([1.0, 2, 3, 4, 5])
    assert 1 <= low < 3 < high <= 5
    assert interval([5.0, 3, 1, 4, 2]) == (low, high)
    assert interval([7.0, 7, 7]) == (7, 7)
