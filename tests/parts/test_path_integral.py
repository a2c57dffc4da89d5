"""Path integrals: the closed form, and temperatures that make as many draws count as were asked for."""

import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stimloop.components.parts.path_integral import (  # noqa: E402
    Weighing,
    average,
    effective_size,
    temperature_for,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_linear_return_moves_the_sequence_by_its_closed_form(temperature):
    """S = g . noise gives sigma^2 g / temperature (the mean of a normal tilted by exp(S / temperature))."""
    generator, sigma, draws = torch.Generator().manual_seed(0), 0.5, 20_000
    slope = temperature * torch.tensor([[0.8, -0.3, 0.5], [0.1, 0.9, -0.6]])[:, None]  # [states, time, actions]
    noise = sigma * torch.randn(2, draws, 1, 3, generator=generator)
    returns = (noise * slope[:, None]).sum(dim=(2, 3))
    moved = average(noise, Weighing("fixed", temperature).weights(returns))
    expected = sigma**2 * slope / temperature
    assert (moved - expected).norm() < 0.05 * expected.norm()


def test_weights_are_those_of_the_definition():
    returns = torch.tensor([[1.0, 2.0, 4.0]])
    expected = (returns / 2).exp() / (returns / 2).exp().sum()
    assert torch.allclose(Weighing("fixed", 2.0).weights(returns), expected)
    deviation = returns.std(correction=0)
    assert torch.allclose(Weighing("deviation", 2.0).weights(returns), (returns / (2 * deviation)).softmax(dim=1))


@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 1e4]), share=st.sampled_from([0.05, 0.1, 0.5, 0.9]))
def test_as_many_draws_count_as_were_asked_for_on_any_scale(seed, scale, share):
    returns = scale * torch.randn(4, 100, generator=torch.Generator().manual_seed(seed)) + 7 * scale
    size = effective_size(Weighing("effective", share=share).weights(returns))
    assert torch.allclose(size, torch.full((4,), 100 * share), rtol=0.02)


def test_where_all_gain_the_same_all_count_the_same():
    same = torch.full((2, 10), 3.0)
    for scaling in ("fixed", "deviation", "effective"):
        assert torch.allclose(Weighing(scaling).weights(same), torch.full((2, 10), 0.1))
    assert torch.isfinite(temperature_for(same, 2.0)).all()


def test_fewer_draws_than_one_cannot_count():
    size = effective_size(Weighing("effective", share=0.001).weights(torch.arange(10.0)[None]))
    assert size.item() == pytest.approx(1.0, abs=0.01)


def rounded(value, draws, seed=0):
    """Return one gain as float32 sums tell it: up to three steps of the last bit apart."""
    step = torch.nextafter(torch.tensor(value), torch.tensor(torch.inf)) - value
    return value + step * torch.randint(-3, 4, (2, draws), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scaling", ["effective", "deviation"])
@pytest.mark.parametrize("value", [0.3, -1.0, 1000.0])
def test_what_differs_by_rounding_alone_counts_the_same(value, scaling):
    """All over at once, say: who is first among them is chance, and no plan may follow it."""
    gains = rounded(value, 100)
    assert len(gains.unique()) > 3
    assert torch.equal(Weighing(scaling).weights(gains), torch.full((2, 100), 0.01))


def test_the_best_that_differ_by_rounding_alone_count_the_same():
    """Half gain 1000, half one less: of the first fifty ten would count, by their last bits."""
    gains = torch.cat([rounded(1000.0, 50), rounded(999.0, 50, seed=1)], dim=1)
    assert torch.equal(Weighing("effective", share=0.1).weights(gains),
                       torch.cat([torch.full((2, 50), 0.02), torch.zeros(2, 50)], dim=1))


@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 1e4]), far=st.sampled_from([0.0, 7.0, -300.0]),
       share=st.sampled_from([0.01, 0.1, 0.9]))
def test_what_differs_by_more_is_weighed_to_the_last_bit_by_the_definition(seed, scale, far, share):
    returns = scale * (torch.randn(4, 100, generator=torch.Generator().manual_seed(seed)) + far)
    below = returns - returns.amax(dim=1, keepdim=True)
    deviation = returns.std(dim=1, keepdim=True, correction=0)
    assert torch.equal(Weighing("deviation").weights(returns), (below / deviation).softmax(dim=1))
    assert torch.equal(Weighing("fixed").weights(returns), below.softmax(dim=1))
    found = (below / temperature_for(returns, 100 * share)).softmax(dim=1)
    second = below.topk(2, dim=1).values[:, 1]
    alone = -second > 2e-3 * returns.abs().amax(dim=1)  # where one draw is to count, no other may be near the best
    kept = alone if share == 0.01 else torch.ones_like(alone)
    assert torch.equal(Weighing("effective", share=share).weights(returns)[kept], found[kept])
