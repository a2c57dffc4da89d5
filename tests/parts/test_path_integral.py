"""Path integrals: the closed form, and temperatures that make as many draws count as were asked for."""

import pytest

torch = pytest.importorskip("torch", reason="planning needs torch")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stimloop.components.parts.path_integral import Weighing, average, effective_size, temperature_for  # noqa: E402


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
