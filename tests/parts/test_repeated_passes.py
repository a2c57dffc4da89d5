"""Fitting in passes: when it stops, what it finds, and what it says where nothing can be found."""

import pytest

torch = pytest.importorskip("torch", reason="fitting needs torch")

from stimloop.components.parts.repeated_passes import RepeatedPasses  # noqa: E402
from stimloop.loops.errors import Diverged  # noqa: E402


def fit(passes, loss, parameter, rows=128, after=None):
    return passes.fit([parameter], loss, rows, torch.Generator().manual_seed(0), "a number", after)


def test_a_loss_that_never_falls_is_looked_at_in_pass_one_and_eleven():
    """The first look has nothing to compare with; at the second nothing has fallen: eleven passes of two minibatches."""
    parameter = torch.zeros(1, requires_grad=True)
    loss, steps = fit(RepeatedPasses(0.1), lambda rows: torch.full((len(rows),), 3.0) + 0 * parameter, parameter)
    assert loss == pytest.approx(3.0)
    assert steps == 11 * 2


def test_it_goes_on_while_the_loss_falls_and_at_most_so_long():
    parameter = torch.zeros(1, requires_grad=True)
    _, steps = fit(RepeatedPasses(1e-3, most=30, tolerance=1e-9), lambda rows: (parameter - 9) ** 2 + 0.0 * rows,
                   parameter)
    assert steps == 30 * 2


def test_least_squares_finds_the_line_that_made_the_rows():
    given = torch.linspace(-1, 1, 128)
    parameter = torch.zeros(2, requires_grad=True)

    def loss(rows):
        return (parameter[0] * given[rows] + parameter[1] - (2 * given[rows] - 0.5)).square()

    left, _ = fit(RepeatedPasses(0.02, most=600, check=50, tolerance=1e-9), loss, parameter)
    assert left < 1e-4
    assert parameter.detach().tolist() == pytest.approx([2.0, -0.5], abs=0.02)


def test_something_is_done_after_each_step():
    parameter, done = torch.zeros(1, requires_grad=True), []
    _, steps = fit(RepeatedPasses(0.1), lambda rows: parameter ** 2 + 0.0 * rows, parameter,
                   after=lambda: done.append(1))
    assert len(done) == steps


def test_a_loss_that_is_no_number_is_told_with_the_remedy():
    parameter = torch.zeros(1, requires_grad=True)
    with pytest.raises(Diverged, match=r"fitting a number has diverged in pass 1.*learning rate"):
        fit(RepeatedPasses(0.1), lambda rows: parameter + float("nan") + 0.0 * rows, parameter)
