"""Layers in one step give what layer by layer gives: activities, gradients, and gradients of gradients."""

from itertools import pairwise

import pytest
import torch

from stimloop.components.parts import products
from stimloop.components.parts.backpropagation import through_layers


def _pairs(sizes: list[tuple[int, int]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.randn(out, into, dtype=torch.float64, requires_grad=True),
             torch.randn(out, dtype=torch.float64, requires_grad=True)) for into, out in sizes]


def _one_by_one(values, activation, layers, heads):
    activities = []
    for weight, bias in layers:
        values = getattr(torch.nn.functional, activation)(torch.nn.functional.linear(values, weight, bias))
        activities.append(values)
    return tuple(activities), tuple(torch.nn.functional.linear(values, *pair) for pair in heads)


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("hidden", [[], [4], [5, 4, 3]])
@pytest.mark.parametrize("used", ["heads", "first head", "activities", "all"])
def test_it_is_the_same_as_layer_by_layer(activation, hidden, used):
    torch.manual_seed(0)
    sizes = [6, *hidden]
    layers, heads = _pairs(list(pairwise(sizes))), _pairs([(sizes[-1], 2), (sizes[-1], 3)])
    values = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    given = [values, *(tensor for pair in (*layers, *heads) for tensor in pair)]
    found = []
    for function in (through_layers, _one_by_one):
        activities, said = function(values, activation, layers, heads)
        chosen = {"heads": said, "first head": said[:1], "activities": activities, "all": (*activities, *said)}[used]
        loss = sum((part.square().sum() for part in chosen), torch.zeros((), dtype=torch.float64))
        if not loss.requires_grad:
            assert used == "activities"
            return
        first = torch.autograd.grad(loss, given, create_graph=True, allow_unused=True)
        again = sum((part.square().sum() for part in first if part is not None), torch.zeros(()))
        second = torch.autograd.grad(again, given, allow_unused=True)
        found.append([*activities, *said, *first, *second])
    for mine, theirs in zip(*found, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs)


def test_gradients_pass_through_frozen_weights():
    torch.manual_seed(0)
    layers, heads = _pairs([(3, 4)]), _pairs([(4, 1)])
    for tensor in (*layers[0], *heads[0]):
        tensor.requires_grad_(False)
    values = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    through_layers(values, "tanh", layers, heads)[1][0].sum().backward()
    assert values.grad is not None
    assert layers[0][0].grad is None


@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_large_layers_take_the_fast_products_and_agree_with_plain_torch(monkeypatch, activation):
    """Beyond the size from which oneDNN multiplies: forwards, backwards, and backwards again."""
    asked, fast = [], products._ONEDNN

    def spied(*given):
        asked.append(given[0].shape)
        return fast(*given)

    monkeypatch.setattr(products, "_ONEDNN", spied)
    monkeypatch.setattr(products, "PAYS", True)
    torch.manual_seed(0)
    layers = [(tensor[0].detach().float().div(10).requires_grad_(), tensor[1].detach().float().requires_grad_())
              for tensor in _pairs([(64, 256), (256, 256)])]
    heads = [(tensor[0].detach().float().div(10).requires_grad_(), tensor[1].detach().float().requires_grad_())
             for tensor in _pairs([(256, 128)])]
    values, found = torch.randn(256, 64, requires_grad=True), []
    given = [values, *(tensor for pair in (*layers, *heads) for tensor in pair)]
    for function in (through_layers, _one_by_one):
        loss = function(values, activation, layers, heads)[1][0].square().mean()
        first = torch.autograd.grad(loss, given, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), given)
        found.append((loss, *first, *second))
        if function is through_layers:
            assert len(asked) > 6
            before = len(asked)
    assert len(asked) == before
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3 * float(theirs.detach().abs().max()), rtol=1e-3)
