"""The loss of an ensemble of dynamics on one minibatch a member, and its slopes written out.

Of each member the mean over rows and outputs of (mean - target)^2 exp(-v) + v, v its log-variance (twice the negative
log-likelihood of a normal, without its constant: Chua et al. 2018, arXiv:1805.12114, section 4), summed over members;
and a pull on the soft bounds of v, 0.01 of their sum apart. Decays of weights are the optimiser's (`parts/adam.py`).
Without autograd nothing is allocated or remembered, and every pass goes over arrays of all members at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

PULL = 0.01  # on each bound of the log-variance, towards the other
_silu, _silu_back = torch.ops.aten.silu.out, torch.ops.aten.silu_backward.grad_input


class Slopes:
    """Works out slopes of minibatches of one size; its arrays are used again for each.

    Args:
        weights: [members, out, in] of each layer, from below; the last says mean and raw log-variance.
        biases: [members, out] of each layer.
        most: upper bound of the log-variance [outputs].
        least: lower bound [outputs].
        rows: of a minibatch, for each member.
    """

    def __init__(self, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor], most: torch.Tensor,
                 least: torch.Tensor, rows: int) -> None:
        self._weights, self._biases = list(weights), list(biases)
        self._most, self._least = most[:, None], least[:, None]
        self.rows, self.outputs, members = rows, len(most), len(weights[0])
        new = weights[0].new_empty
        hidden = [weight.shape[1] for weight in weights[:-1]]
        self._inputs = new(members, rows, weights[0].shape[2])
        self._gathered, self._targets = new(members, rows, self.outputs), new(members, self.outputs, rows)
        self._before, self._after, self._back = ([new(members, rows, size) for size in hidden] for _ in range(3))
        # what the networks say lies [members, outputs, rows], so that mean and log-variance are each in one piece
        self._raw, self._raw_back = (new(members, 2 * self.outputs, rows) for _ in range(2))
        self._scratch = [new(members, self.outputs, rows) for _ in range(5)]
        self._of_weights = [torch.empty_like(weight) for weight in weights]
        self._of_biases = [torch.empty_like(bias) for bias in biases]
        self._of_most, self._of_least = torch.empty_like(most), torch.empty_like(least)

    @property
    def gradients(self) -> list[torch.Tensor]:
        """Slopes of weights, biases, upper and lower bound, in this order, as `compute` left them."""
        return [*self._of_weights, *self._of_biases, self._of_most, self._of_least]

    def take(self, inputs: torch.Tensor, targets: torch.Tensor, chosen: torch.Tensor) -> None:
        """Take each member's rows `chosen` [members, rows] of inputs [all, in] and targets [all, outputs]."""
        flat = chosen.reshape(-1)
        torch.index_select(inputs, 0, flat, out=self._inputs.view(len(flat), -1))
        torch.index_select(targets, 0, flat, out=self._gathered.view(len(flat), -1))
        self._targets.copy_(self._gathered.transpose(1, 2))

    @torch.no_grad()
    def compute(self) -> list[torch.Tensor]:
        """Work out the slopes on the rows taken, with the weights as they are now; see `gradients`."""
        top = self._forward()
        self._head()
        above, weight = self._raw_back, self._weights[-1]
        torch.bmm(above, top, out=self._of_weights[-1])
        torch.sum(above, 2, out=self._of_biases[-1])
        above = above.transpose(1, 2)
        for depth in reversed(range(len(self._back))):
            back = torch.bmm(above, weight, out=self._back[depth])
            _silu_back(back, self._before[depth], grad_input=back)
            below = self._after[depth - 1] if depth else self._inputs
            torch.bmm(back.transpose(1, 2), below, out=self._of_weights[depth])
            torch.sum(back, 1, out=self._of_biases[depth])
            above, weight = back, self._weights[depth]
        return self.gradients

    def _forward(self) -> torch.Tensor:
        """Fill in what goes into each layer's activation and comes out; return what the last layer reads."""
        values = self._inputs
        for weight, bias, before, after in zip(self._weights[:-1], self._biases[:-1], self._before, self._after,
                                               strict=True):
            torch.baddbmm(bias[:, None], values, weight.transpose(1, 2), out=before)
            values = _silu(before, out=after)
        torch.baddbmm(self._biases[-1][:, :, None], self._weights[-1], values.transpose(1, 2), out=self._raw)
        return values

    def _head(self) -> None:
        """Slopes of the loss by what the networks say, and by the bounds.

        With h = most - softplus(most - raw) and v = least + softplus(h - least), s the logistic function:
        dv/dleast = s(least - h), dv/dh = 1 - dv/dleast, dh/dmost = s(raw - most), dh/draw = 1 - dh/dmost.
        """
        share = 1 / (self.rows * self.outputs)
        variance, by_least, by_most, missed, slope = self._scratch
        mean, raw = self._raw.split(self.outputs, 1)
        of_mean, of_raw = self._raw_back.split(self.outputs, 1)
        torch.sub(self._most, raw, out=variance)
        torch.sigmoid(torch.neg(variance, out=by_most), out=by_most)
        torch.sub(self._most, torch.nn.functional.softplus(variance), out=variance).sub_(self._least)  # h - least
        torch.sigmoid(torch.neg(variance, out=by_least), out=by_least)
        torch.add(torch.nn.functional.softplus(variance), self._least, out=variance)
        torch.sub(mean, self._targets, out=missed)
        torch.mul(missed, torch.neg(variance, out=slope).exp_(), out=slope)  # (mean - target) exp(-v)
        torch.mul(slope, 2 * share, out=of_mean)
        slope.mul_(missed).neg_().add_(1).mul_(share)  # by v
        slope.sub_(by_least.mul_(slope))  # by h
        torch.sub(slope, by_most.mul_(slope), out=of_raw)
        torch.sum(by_most, (0, 2), out=self._of_most).add_(PULL)
        torch.sum(by_least, (0, 2), out=self._of_least).sub_(PULL)

    def losses(self) -> torch.Tensor:
        """Return the loss [members] of the rows of the latest `compute`, before that step, without the pull."""
        variance, _, _, missed, _ = self._scratch
        return (missed.square() * torch.exp(-variance) + variance).mean((1, 2))
