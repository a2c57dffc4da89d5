"""Searching for the best command: what is known of paraboloids, ties, bounds, and of how near the searches come."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="searching needs torch")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stimloop.components.parts import stimulus_search  # noqa: E402
from stimloop.loops.errors import AssemblyError  # noqa: E402

KINDS = ("grid", "gradient", "cem")


def search(kind, channels=2, low=-5.0, high=5.0, points=101, starts=32, iterations=30, seed=0):
    return stimulus_search.make(kind, np.full(channels, low), np.full(channels, high), points, starts, iterations, seed)


def paraboloid(peaks):
    """One peak [batch, channels] for each row, of height 0."""
    return lambda rows, commands: -(commands - peaks[rows]).square().sum(1)


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_led_to_its_own_peak(kind):
    peaks = torch.tensor([[1.0, -2.0], [4.9, 0.0], [-3.3, 3.3]])
    found = search(kind).best(paraboloid(peaks), 3)
    assert (found - peaks).abs().max() < {"grid": 0.051, "gradient": 0.02, "cem": 0.05}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_peak_outside_the_bounds_is_answered_on_the_bound(kind):
    found = search(kind, low=-1, high=2).best(paraboloid(torch.tensor([[9.0, 0.5]])), 1)
    assert found[0, 0] == pytest.approx(2.0, abs=1e-3)
    assert found.min() >= -1
    assert found.max() <= 2


def test_a_grid_has_both_ends_and_every_combination():
    tried = search("grid", channels=2, points=3).commands
    assert tried.tolist() == [[a, b] for a in (-5.0, 0.0, 5.0) for b in (-5.0, 0.0, 5.0)]


def test_of_equal_commands_the_grid_gives_the_first():
    assert search("grid", points=3).best(lambda rows, commands: torch.zeros(len(rows)), 2).tolist() == [[-5, -5]] * 2


def test_a_grid_that_nobody_could_wait_for_is_refused_with_the_remedy():
    with pytest.raises(AssemblyError, match=r"(?s)16 channels has 1e\+32 commands.*search: gradient"):
        search("grid", channels=16, points=100)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_question_has_the_same_answer_whoever_asked_before(kind):
    made, peaks = search(kind, points=21), torch.tensor([[1.0, -2.0], [4.0, 0.0]])
    first = made.best(paraboloid(peaks), 2)
    made.best(paraboloid(-peaks), 2)
    assert torch.equal(made.best(paraboloid(peaks), 2), first)


@given(seed=st.integers(0, 200), kind=st.sampled_from(KINDS))
@settings(max_examples=15)
def test_a_row_s_answer_does_not_hang_on_the_rows_beside_it(seed, kind):
    peaks = torch.rand((4, 2), generator=torch.Generator().manual_seed(seed)) * 10 - 5
    made = search(kind, points=21)
    together = made.best(paraboloid(peaks), 4)
    alone = torch.cat([made.best(paraboloid(peaks[i:i + 1]), 1) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["gradient", "cem"])
def test_hills_of_random_networks_are_climbed_as_high_as_the_grid_s(kind):
    """Spec 7.12 in small: the gap to a grid of 100 points is at most 1 % of the range of scores, for 9 rows of 10."""
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn((7, 32), generator=generator), torch.randn((32, 1), generator=generator)
    seen = torch.randn((100, 5), generator=generator)

    def score(rows, commands):
        return (torch.cat([seen[rows], commands], 1) @ first).tanh().matmul(second)[:, 0]

    grid = search("grid", points=100)
    scores = torch.stack([score(torch.full((10_000,), row), grid.commands) for row in range(100)])
    found = score(torch.arange(100), search(kind).best(score, 100))
    gap = (scores.amax(1) - found) / (scores.amax(1) - scores.amin(1))
    assert (gap <= 0.01).float().mean() >= 0.9
    assert gap.mean() <= 0.01
