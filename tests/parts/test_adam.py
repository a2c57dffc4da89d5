"""Adam is torch's own, and goes on where it was saved."""

import pytest
import torch

from stimloop.components.parts.adam import Adam


def _run(steps: int, optimiser, theirs=None, start: int = 0) -> None:
    for i in range(start, steps):
        torch.manual_seed(i)
        gradients = [torch.randn_like(parameter) for parameter in optimiser.parameters]
        gradients[1] = gradients[1].t().contiguous().t()  # a view against the order of memory
        optimiser.descend(gradients)
        if theirs is not None:
            for parameter, gradient in zip(theirs.param_groups[0]["params"], gradients, strict=True):
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
            theirs.step()


def _drawn() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [*(torch.randn(shape, requires_grad=True) for shape in ((5,), (4, 3), ())),
            torch.randn(3, 6).t().requires_grad_()]  # one that lies transposed in memory


def test_it_is_the_adam_of_torch():
    mine, theirs = Adam(_drawn(), 1e-2, eps=1e-5), torch.optim.Adam(_drawn(), 1e-2, eps=1e-5)
    _run(20, mine, theirs)
    for ours, other in zip(mine.parameters, theirs.param_groups[0]["params"], strict=True):
        torch.testing.assert_close(ours, other)


def test_decays_are_those_of_the_loss():
    decays = [0.1, 0.0, 0.3, 0.1]
    mine, theirs = Adam(_drawn(), 1e-2, decays=decays), torch.optim.Adam(_drawn(), 1e-2)
    for i in range(20):
        torch.manual_seed(i)
        slopes = [torch.randn_like(parameter) for parameter in mine.parameters]
        mine.descend(slopes)
        others = theirs.param_groups[0]["params"]
        loss = sum((slope * p).sum() + decay / 2 * p.square().sum()
                   for slope, p, decay in zip(slopes, others, decays, strict=True))
        theirs.zero_grad()
        loss.backward()
        theirs.step()
    for ours, other in zip(mine.parameters, others, strict=True):
        torch.testing.assert_close(ours, other)
    with pytest.raises(ValueError, match="2 decays for 4 parameters"):
        Adam(_drawn(), 1e-2, decays=[0.1, 0.2])


def test_it_goes_on_where_it_was_saved():
    whole, first, second = Adam(_drawn(), 1e-2), Adam(_drawn(), 1e-2), Adam(_drawn(), 1e-2)
    _run(10, whole)
    _run(4, first)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        for mine, theirs in zip(second.parameters, first.parameters, strict=True):
            mine.copy_(theirs)
    _run(10, second, start=4)
    for mine, theirs in zip(whole.parameters, second.parameters, strict=True):
        assert torch.equal(mine, theirs)


def test_what_has_no_gradient_stays():
    optimiser = Adam(_drawn(), 1e-2)
    before = optimiser.parameters[0].detach().clone()
    optimiser.descend([None, torch.ones(4, 3), None, None])
    assert torch.equal(optimiser.parameters[0], before)
    assert optimiser.state_dict()["0"]["step"] == 0
