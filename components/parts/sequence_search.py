"""Searching for the sequence of actions that gains most: path integrals, and cross-entropy.

Both draw variants of a sequence, try them all, and move towards those that gained; one weighs every variant by what it
gained (Williams et al. 2017, Information theoretic MPC, ICRA), the other keeps the best and narrows (Rubinstein 1999;
Chua et al. 2018, arXiv:1805.12114). What a variant gains is the caller's to say: `parts/foresight.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

from ...loops.errors import Diverged
from .path_integral import Weighing, average, effective_size

Gain = Callable[[torch.Tensor], torch.Tensor]  # sequences [states, draws, time, actions] -> gains [states, draws]
Normal = Callable[[tuple[int, ...]], torch.Tensor]  # a shape -> standard normal numbers [states, *shape]


@dataclass(frozen=True)
class Found:
    """What a search ended with."""

    mean: torch.Tensor  # [states, time, actions] the sequence
    deviation: torch.Tensor  # [states, time, actions] of the last draws around it
    expected: torch.Tensor  # [states] what those that counted gained, on average
    size: torch.Tensor  # [states] how many counted


@dataclass(frozen=True)
class SequenceSearch:
    """Improves a sequence of actions in [-1, 1] by trying variants of it.

    What is weighed is the action after it was cut at the bounds, never the noise that was drawn: as weights sum to 1,
    the mean of the actions is the sequence plus the weighted mean of what was really added to it.

    Args:
        method: `mppi` weighs all variants by what they gained; `cem` goes by the best alone, and narrows its draws.
        particles: variants drawn each time.
        iterations: how often they are drawn.
        noise: standard deviation of the (first) draws.
        weighing: how gains become weights; of cem where `elite_weights` is weighed.
        elites: cem: how many of the best count.
        elite_weights: cem: do they count alike, or by what they gained (as in TD-MPC2, Hansen et al. 2024,
            arXiv:2310.16828)?
        momentum: cem: share of mean and deviation that stays as it was.
        min_noise: cem: least standard deviation of later draws.
        keep: cem: share of the elites that is tried again beside the next draws (iCEM, Pinneri et al. 2020,
            arXiv:2008.06389).
        colour: noise has a power spectrum of 1 / frequency^colour over time (iCEM); 0 is white.
    """

    method: Literal["mppi", "cem"] = "mppi"
    particles: int = 100
    iterations: int = 1
    noise: float = 0.5
    weighing: Weighing = field(default_factory=Weighing)
    elites: int = 10
    elite_weights: Literal["equal", "weighed"] = "equal"
    momentum: float = 0.0
    min_noise: float = 0.05
    keep: float = 0.0
    colour: float = 0.0

    def find(self, mean: torch.Tensor, offered: torch.Tensor, normal: Normal, gain: Gain) -> Found:
        """Return what is better than `mean` [states, time, actions].

        Sequences `offered` [states, any, time, actions] are tried beside each draw. Raises Diverged where a gain is
        no finite number.
        """
        deviation, kept = torch.full_like(mean, self.noise), offered[:, :0]
        for _ in range(self.iterations):
            white = normal((self.particles, *mean.shape[1:]))
            drawn = (mean[:, None] + deviation[:, None] * coloured(white, self.colour)).clamp(-1, 1)
            drawn[:, 0] = mean  # one variant is the sequence as it stands
            tried = torch.cat([drawn, offered, kept], dim=1)
            gains = gain(tried)
            if not torch.isfinite(gains).all():
                raise Diverged("planning has diverged: what a sequence would gain is not finite. The model predicts "
                               "too far from what it has seen, or the world has left its range; shorten horizon")
            if self.method == "cem":
                tried, gains = self._best(tried, gains)
                weights = self._elite_weights(gains)
            else:
                weights = self.weighing.weights(gains)
            middle = average(tried, weights)
            if self.method == "cem":
                spread = average((tried - middle[:, None]).square(), weights).sqrt()
                mean = self.momentum * mean + (1 - self.momentum) * middle
                deviation = self.momentum * deviation + (1 - self.momentum) * spread
                deviation = deviation.clamp(self.min_noise, self.noise)
                kept = tried[:, :int(self.keep * self.elites)]
            else:
                mean = middle
        return Found(mean.clamp(-1, 1), deviation, (weights * gains).sum(dim=1), effective_size(weights))

    def _best(self, tried: torch.Tensor, gains: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the elites [states, elites, time, actions] and their gains, the best first."""
        gains, which = gains.topk(self.elites, dim=1)
        return tried.gather(1, which[:, :, None, None].expand(-1, -1, *tried.shape[2:])), gains

    def _elite_weights(self, gains: torch.Tensor) -> torch.Tensor:
        if self.elite_weights == "equal":
            return torch.full_like(gains, 1 / gains.shape[1])
        return self.weighing.weights(gains)


def coloured(white: torch.Tensor, colour: float) -> torch.Tensor:
    """Return noise of variance 1 whose power falls as 1 / frequency^colour over time, from white [..., time, actions].

    The frequency 0, of what stays, has the power of the lowest one above it (Timmer and Koenig 1995).
    """
    length = white.shape[-2]
    if colour == 0 or length == 1:
        return white
    frequency = torch.fft.fftfreq(length, dtype=white.dtype).abs()
    power = frequency.clamp(min=1 / length) ** -colour
    share = (power / power.mean()).sqrt()[:length // 2 + 1, None]
    return torch.fft.irfft(torch.fft.rfft(white, dim=-2) * share, n=length, dim=-2)


def shifted(plan: torch.Tensor) -> torch.Tensor:
    """Return a sequence [..., time, actions] as it stands one step later; the new last action is 0."""
    return torch.cat([plan[..., 1:, :], torch.zeros_like(plan[..., :1, :])], dim=-2)
