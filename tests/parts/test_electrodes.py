"""Electrode arrays: known places, and columns that sum to 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.parts import electrodes
from stimloop.loops.errors import AssemblyError


@pytest.mark.parametrize(("channels", "reached"), [(1, [50]), (2, [33, 67]), (3, [25, 50, 75]), (4, [20, 40, 60, 80])])
def test_even_electrodes_of_width_0_1_reach_one_neuron_each(channels, reached):
    weights = electrodes.array(channels, 100, "even", None, None, 0.1, None, 0)
    assert weights.argmax(axis=0).tolist() == reached
    # a centre a third of a neuron off still gives its neighbour less than 1 % of the current
    assert (weights.max(axis=0) > 0.99).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 200), st.floats(1e-3, 50))
def test_columns_sum_to_1_whatever_the_width(channels, units, spread):
    weights = electrodes.array(channels, units, "even", None, None, spread, None, 0)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-5)
    assert (weights >= 0).all()


def test_width_is_that_of_a_gaussian():
    weights = electrodes.array(1, 101, "list", [50.0], None, 4.0, None, 0)[:, 0]
    np.testing.assert_allclose(weights[54] / weights[50], np.exp(-0.5), rtol=1e-5)
    np.testing.assert_allclose(weights[46], weights[54], rtol=1e-6)


def test_permutation_is_distinct_sorted_and_exact():
    weights = electrodes.array(5, 32, "permutation", None, None, 0.1, None, 7)
    sites = weights.argmax(axis=0)
    assert (np.diff(sites) > 0).all()
    assert weights.sum() == 5.0
    assert ((weights == 0) | (weights == 1)).all()
    assert (electrodes.array(5, 32, "permutation", None, None, 0.1, None, 8) != weights).any()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 31), max_size=28), st.integers(1, 4))
def test_surviving_electrodes_avoid_the_dead_and_are_distinct(dead, channels):
    weights = electrodes.array(channels, 32, "surviving", None, sorted(dead), 0.1, None, 0)
    sites = weights.argmax(axis=0)
    assert not set(sites.tolist()) & dead
    assert len(set(sites.tolist())) == channels


def test_a_span_confines_the_array_to_a_region():
    weights = electrodes.array(2, 300, "even", None, None, 3.0, [100, 200], 0)
    assert weights.argmax(axis=0).tolist() == [133, 167]
    assert (weights[:100] == 0).all()
    assert (weights[200:] == 0).all()


def test_arrays_that_cannot_be_are_refused():
    with pytest.raises(AssemblyError, match="only 32"):
        electrodes.array(1, 32, "even", None, None, 0.1, [0, 100], 0)
    with pytest.raises(AssemblyError, match="5 electrodes"):
        electrodes.array(5, 6, "surviving", None, [0, 1, 2], 0.1, None, 0)
    with pytest.raises(AssemblyError, match="between 0 and 9"):
        electrodes.array(2, 10, "list", [3.0, 11.0], None, 0.1, None, 0)
    for wrong in ((0, "even", None, None, 0.1, None), (1, "even", [1.0], None, 0.1, None),
                  (1, "even", None, [1], 0.1, None), (1, "even", None, None, 0.0, None),
                  (1, "even", None, None, 0.1, [5, 5]), (1, "list", None, None, 0.1, None)):
        with pytest.raises(AssemblyError):
            electrodes.check(*wrong)


def test_a_lane_s_current_does_not_depend_on_its_neighbours():
    weights = electrodes.array(16, 300, "even", None, None, 1.75, None, 0)
    command = np.random.default_rng(0).normal(size=(33, 16)).astype(np.float32)
    together = electrodes.spread_out(weights, command)
    for lane in range(33):
        np.testing.assert_array_equal(electrodes.spread_out(weights, command[lane:lane + 1])[0], together[lane])
