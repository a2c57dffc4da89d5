"""Products by oneDNN are those of plain torch, to rounding, with gradients of first and second order."""

from __future__ import annotations

import pytest
import torch

from stimloop.components.parts import products


@pytest.fixture(autouse=True)
def _on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take oneDNN's way here whoever made the processor."""
    monkeypatch.setattr(products, "PAYS", products._ONEDNN is not None)


SIZES = [(256, 256, 256), (512, 23, 256), (4096, 256, 1)]  # batch, in, out: all large


def _plain(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return bias.addmm(values, weight.t())


def _ours(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return products.product(values, weight.t(), bias)


def _drawn(size: tuple[int, int, int]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    batch, inputs, outputs = size
    return [tensor.requires_grad_() for tensor in (torch.randn(batch, inputs), torch.randn(outputs, inputs),
                                                   torch.randn(outputs))]


def test_the_pinned_torch_has_the_fast_way() -> None:
    assert products._ONEDNN is not None


def test_it_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("vendor_id\t: AuthenticAMD", True), ("vendor_id\t: GenuineIntel", False)):
        monkeypatch.setattr(products.Path, "read_text", lambda self, text=text: text)
        monkeypatch.setattr(products.Path, "exists", lambda self: True)
        assert products._by_amd() is expected
    monkeypatch.setattr(products.Path, "exists", lambda self: False)
    monkeypatch.setattr(products.platform, "processor", lambda: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD")
    assert products._by_amd()
    for capability, expected in (("AVX2", False), ("AVX512", True)):  # Zen 3 has none that MKL would leave unused
        monkeypatch.setattr(products.torch.backends.cpu, "get_cpu_capability", lambda c=capability: c)
        assert products._left_unused() is expected


@pytest.mark.parametrize("size", SIZES)
def test_products_and_gradients_are_those_of_plain_torch(size: tuple[int, int, int]) -> None:
    given = _drawn(size)
    ours, plain = _ours(*given), _plain(*given)
    assert type(ours.grad_fn).__name__ == "_ProductBackward"
    torch.testing.assert_close(ours, plain, atol=1e-3, rtol=1e-4)
    for mine, theirs in zip(torch.autograd.grad(ours.square().mean(), given),
                            torch.autograd.grad(plain.square().mean(), given), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_gradients_of_gradients_are_those_of_plain_torch() -> None:
    given = _drawn((256, 256, 256))
    found = []
    for function in (_ours, _plain):
        loss = function(*given).tanh().square().sum()
        first = torch.autograd.grad(loss, given, create_graph=True)
        found.append(torch.autograd.grad(sum((part.square().mean() for part in first), torch.zeros(())), given))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3 * float(theirs.abs().max()), rtol=1e-3)


def test_small_ones_and_double_precision_stay_with_plain_torch() -> None:
    small, double = _drawn((8, 8, 8)), [tensor.double() for tensor in _drawn((256, 256, 256))]
    assert torch.equal(_ours(*small), _plain(*small))
    assert torch.equal(_ours(*double), _plain(*double))


@pytest.mark.parametrize("size", [*SIZES, (8, 8, 8)])
@pytest.mark.parametrize("pays", [True, False])
def test_products_into_memory_are_those_of_plain_torch(size: tuple[int, int, int], pays: bool, monkeypatch) -> None:
    monkeypatch.setattr(products, "PAYS", pays)
    values, weight, bias = (tensor.detach() for tensor in _drawn(size))
    for given in (None, bias):
        found = products.product_into(torch.full((size[0], size[2]), torch.nan), values, weight.t(), given)
        wanted = values @ weight.t() + (0 if given is None else given)
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-4)
