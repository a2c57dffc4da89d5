"""Searching sequences: against closed forms, known optima and brute force."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stimloop.components.parts.foresight import Foresight, Start  # noqa: E402
from stimloop.components.parts.path_integral import Weighing  # noqa: E402
from stimloop.components.parts.sequence_draws import Draws  # noqa: E402
from stimloop.components.parts.sequence_search import SequenceSearch, coloured, shifted  # noqa: E402
from stimloop.loops.errors import AssemblyError, Diverged  # noqa: E402

NOTHING = torch.zeros(1, 0, 4, 2)  # no sequences offered


def normal(seed=0, states=1):
    return Draws(seed, np.arange(states), np.zeros(states, np.uint64)).normal


def test_weights_move_a_sequence_as_the_closed_form_says():
    """Of gains linear in the actions, g . a, path integrals with noise sigma move by sigma^2 g / temperature."""
    slope = torch.tensor([[0.5, -0.25]])
    search = SequenceSearch(particles=20_000, noise=0.1, weighing=Weighing("fixed", 0.1))
    found = search.find(torch.zeros(1, 1, 2), NOTHING[:, :, :1], normal(),
                        lambda tried: (tried * slope).sum(dim=(2, 3)))
    closed = 0.1**2 * slope / 0.1
    assert (found.mean[0] - closed).norm() < 0.05 * closed.norm()


def test_what_was_cut_off_an_action_is_not_weighed():
    """At the bound only what points inwards was really added."""
    search = SequenceSearch(particles=1000, noise=1.0, weighing=Weighing("fixed", 1e9))  # all alike
    found = search.find(torch.ones(1, 4, 2), NOTHING, normal(), lambda tried: torch.zeros(tried.shape[:2]))
    expected = 1 - 1 / np.sqrt(2 * np.pi)  # of a normal, cut off above 0 (and hardly ever below -2)
    assert torch.allclose(found.mean, torch.full_like(found.mean, expected), atol=0.1)


def test_what_was_added_or_the_noise_itself_may_be_weighed_instead():
    def found(weighed, **changes):
        search = SequenceSearch(particles=1000, noise=1.0, weighing=Weighing("fixed", 1e9), weighed=weighed, **changes)
        return search.find(torch.ones(1, 4, 2), NOTHING, normal(), lambda tried: torch.zeros(tried.shape[:2])).mean

    assert torch.allclose(found("added"), found("action"), atol=1e-5)
    drawn = normal()((1000, 4, 2))[:, 1:].sum(dim=1) / 1000
    assert torch.allclose(found("noise"), (1 + drawn).clamp(max=1), atol=1e-5)  # as if nothing had been cut
    assert torch.allclose(found("action", bound=10.0), 1 + drawn, atol=1e-5)


def test_no_more_can_be_elites_than_were_tried():
    with pytest.raises(AssemblyError, match="11 of 10 variants cannot be elites"):
        SequenceSearch("cem", 10, elites=11)


def hill(top):
    return lambda tried: -((tried - top[:, None]) ** 2).sum(dim=(2, 3))


@given(seed=st.integers(0, 1000), weights=st.sampled_from(["equal", "weighed"]))
def test_cross_entropy_finds_the_top_of_a_hill(seed, weights):
    top = 1.8 * torch.rand((2, 4, 2), generator=torch.Generator().manual_seed(seed)) - 0.9
    search = SequenceSearch("cem", 200, 10, 0.8, elites=20, elite_weights=weights, min_noise=0.01)
    found = search.find(torch.zeros(2, 4, 2), NOTHING.expand(2, -1, -1, -1), normal(seed, 2), hill(top))
    assert (found.mean - top).abs().max() < 0.1
    assert found.deviation.max() < 0.2


def test_elites_count_momentum_and_least_noise_are_those_of_a_reference():
    """One iteration, written down in NumPy."""
    top = torch.full((1, 4, 2), 0.4)
    search = SequenceSearch("cem", 30, 1, 0.5, elites=5, momentum=0.25, min_noise=0.2)
    begun = torch.full((1, 4, 2), 0.1)
    found = search.find(begun, NOTHING, normal(3), hill(top))
    tried = np.clip(0.1 + 0.5 * normal(3)((30, 4, 2))[0].numpy(), -1, 1)
    tried[0] = 0.1
    gains = -((tried - 0.4) ** 2).sum((1, 2))
    best = tried[np.argsort(-gains)[:5]]
    np.testing.assert_allclose(found.mean[0], 0.25 * 0.1 + 0.75 * best.mean(0), atol=1e-6)
    spread = 0.25 * 0.5 + 0.75 * best.std(0)
    np.testing.assert_allclose(found.deviation[0], spread.clip(0.2, 0.5), atol=1e-5)
    np.testing.assert_allclose(found.expected, np.sort(gains)[-5:].mean(), rtol=1e-5)
    assert float(found.size) == pytest.approx(5)


def test_elites_that_are_kept_are_never_lost():
    """With little luck later on, the best of the first draws is still among those that count."""
    seen = []

    def gain(tried):
        seen.append(tried)
        return hill(torch.full((1, 4, 2), 0.9))(tried)

    search = SequenceSearch("cem", 20, 3, 0.5, elites=4, keep=0.5)
    search.find(torch.zeros(1, 4, 2), NOTHING, normal(), gain)
    assert [tried.shape[1] for tried in seen] == [20, 22, 22]
    best = seen[0][0, hill(torch.full((1, 4, 2), 0.9))(seen[0])[0].argmax()]
    assert any(torch.equal(best, row) for row in seen[1][0])


def test_a_sequence_that_is_offered_and_best_wins():
    top = torch.full((1, 4, 2), 0.7)
    search = SequenceSearch("cem", 10, 2, 0.1, elites=1)
    found = search.find(torch.zeros(1, 4, 2), top[:, None], normal(), hill(top))
    assert torch.allclose(found.mean, top)


@pytest.mark.parametrize("length", [4, 7, 16])
@pytest.mark.parametrize("colour", [0.5, 1.0, 2.0])
def test_coloured_noise_has_variance_one_and_moves_slower(colour, length):
    white = torch.randn((4000, length, 1), generator=torch.Generator().manual_seed(0))
    noise = coloured(white, colour)
    assert float(noise.var()) == pytest.approx(1.0, abs=0.05)
    assert torch.allclose(noise.var(dim=0), torch.ones(length, 1), atol=0.15)

    def jumps(values):
        return float(values.diff(dim=1).square().mean())

    assert jumps(noise) < (1 - 0.1 * colour) * jumps(white)
    assert torch.equal(coloured(white, 0.0), white)


def test_a_plan_moves_on_by_one_step():
    plan = torch.arange(6.0).view(1, 3, 2)
    assert torch.equal(shifted(plan), torch.tensor([[[2.0, 3.0], [4.0, 5.0], [0.0, 0.0]]]))


def test_what_is_not_finite_is_told():
    with pytest.raises(Diverged, match="planning has diverged"):
        SequenceSearch().find(torch.zeros(1, 4, 2), NOTHING, normal(), lambda tried: tried[..., 0, 0] * torch.nan)


class Chain:
    """States 0, 1, 2 in a row: action > 0 goes on, each step pays the state it leads to, and 2 is the end."""

    def __init__(self, size):
        self.size, self.ended = size, 0

    def parts(self, states, draws):
        for first in range(0, states * draws, self.size):
            yield np.arange(first, min(states * draws, first + self.size))

    def begin(self, start, which):
        pass

    def step(self, observation, action):
        after = observation + (action > 0)
        return after, after[:, 0], after[:, 0] >= 2

    def end(self):
        self.ended += 1


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("judged", [False, True])
def test_after_the_end_nothing_is_gained_and_nothing_judged(size, judged):
    start = Start(torch.tensor([[0.0], [1.0]]), None, np.zeros(2, np.int64))
    sequences = torch.tensor([[[1, 1, 1], [1, -1, -1]], [[1, 1, 1], [-1, -1, -1]]])[..., None].float()
    foresight = Foresight(Chain(size), 0.5, (lambda seen: 10 * seen[:, 0]) if judged else None)
    gains = foresight.gains(start, sequences)
    horizon = 10 * 0.5**3 * judged  # times the state that was reached, where the chain was not left
    expected = [[1 + 0.5 * 2, 1 + 0.5 + 0.25 + horizon], [2, 1 + 0.5 + 0.25 + horizon]]
    assert torch.allclose(gains, torch.tensor(expected))


def test_a_policy_is_followed_through_the_states_it_reaches():
    start = Start(torch.tensor([[0.0], [1.0]]), None, np.zeros(2, np.int64))
    done = Foresight(Chain(3), 1.0).follow(start, 2, 3, 1, lambda time, seen, rows: 1.0 - seen)
    assert done[:, :, :, 0].tolist() == [[[1, 0, 0]] * 2, [[0, 0, 0]] * 2]
