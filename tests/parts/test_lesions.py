"""Lesions: how many are silenced, which, and that they stay so."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.components.parts.lesions import Lesion, LesionError, draw_connections, draw_neurons

REGIONS = {"M1": range(100), "F5": range(100, 200), "AIP": range(200, 300)}


@pytest.mark.parametrize(("fraction", "truncated", "rounded"),
                         [(0.0, 0, 0), (0.25, 25, 25), (0.58, 57, 58), (0.9, 90, 90), (0.999, 99, 100), (1, 100, 100)])
def test_counts_truncate_unless_asked_to_round(fraction, truncated, rounded):
    for rule, dead in (("truncate", truncated), ("round", rounded)):
        mask = draw_neurons(Lesion(kind="region", region="F5", fraction=fraction, count=rule), 300, 1, REGIONS)
        assert (mask[100:200] == 0).sum() == dead
        assert mask[:100].all()
        assert mask[200:].all()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.integers(1, 40), st.integers(0, 2**31))
def test_weights_silenced_are_int_of_the_fraction(fraction, size, seed):
    mask = draw_connections(Lesion(fraction=fraction), (size, size), seed)
    assert mask.dtype == np.float32
    assert (mask == 0).sum() == int(fraction * size * size)
    assert set(np.unique(mask)) <= {0.0, 1.0}


def test_a_seed_is_a_draw_and_the_lesion_s_own_seed_wins():
    lesion = Lesion(fraction=0.5)
    same = draw_connections(lesion, (32, 32), 3)
    np.testing.assert_array_equal(same, draw_connections(lesion, (32, 32), 3))
    assert (same != draw_connections(lesion, (32, 32), 4)).any()
    own = Lesion(fraction=0.5, seed=3)
    np.testing.assert_array_equal(same, draw_connections(own, (32, 32), 99))


def test_a_larger_lesion_of_one_seed_contains_the_smaller():
    small = draw_connections(Lesion(fraction=0.3, seed=0), (16, 16), 0)
    large = draw_connections(Lesion(fraction=0.6, seed=0), (16, 16), 0)
    assert (large[small == 0] == 0).all()


def test_listed_neurons_and_masks_are_taken_as_given():
    np.testing.assert_array_equal(draw_neurons(Lesion(kind="neurons", neurons=[0, 3]), 5, 0), [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(draw_neurons(Lesion(kind="mask", mask=[1, 0, 1]), 3, 0), [1, 0, 1])
    assert (draw_neurons(Lesion(kind="neurons", fraction=0.4), 10, 0) == 0).sum() == 4


def test_connections_between_regions_are_cut_and_no_others():
    mask = draw_connections(Lesion(kind="connections", source="F5", target="M1"), (300, 300), 0, REGIONS)
    assert (mask[:100, 100:200] == 0).all()
    assert mask.sum() == 300 * 300 - 100 * 100
    some = draw_connections(Lesion(kind="connections", source=[0, 1], target=[4], fraction=0.5), (5, 5), 0)
    assert (some[4, :2] == 0).sum() == 1
    assert some.sum() == 24


@pytest.mark.parametrize("fields", [{"fraction": 1.1}, {"fraction": -0.1}, {"kind": "region"}, {"kind": "mask"},
                                    {"neurons": [1]}, {"kind": "neurons", "neurons": [1], "fraction": 0.5},
                                    {"kind": "weights", "region": "M1"}, {"fraction": float("nan")}])
def test_contradictions_are_refused(fields):
    with pytest.raises(LesionError):
        Lesion(**fields)


def test_errors_name_what_does_not_exist():
    with pytest.raises(LesionError, match=r"M2.*M1, F5, AIP"):
        draw_neurons(Lesion(kind="region", region="M2"), 300, 0, REGIONS)
    with pytest.raises(LesionError, match=r"neuron 7; there are 5"):
        draw_neurons(Lesion(kind="neurons", neurons=[7]), 5, 0)
    with pytest.raises(LesionError, match="5 ones and zeros"):
        draw_neurons(Lesion(kind="mask", mask=[1]), 5, 0)


def test_the_key_tells_descriptions_apart():
    lesion = Lesion(fraction=0.9)
    assert lesion.key == Lesion(fraction=0.9).key
    others = [Lesion(fraction=0.8), Lesion(fraction=0.9, seed=0), Lesion(kind="neurons", fraction=0.9)]
    assert len({lesion.key, *(other.key for other in others)}) == 4
    assert float(np.float32(lesion.key)) == lesion.key  # it travels among float32 numbers
    assert dataclasses.is_dataclass(lesion)
