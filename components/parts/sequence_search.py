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

from ...loops.errors import AssemblyError, Diverged, Problem
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
    tried: torch.Tensor  # [states, draws, time, actions] the last variants
    gains: torch.Tensor  # [states, draws] what each of them gained


@dataclass(frozen=True)
class SequenceSearch:
    """Improves a sequence of actions by trying variants of it.

    As weights sum to 1, the mean of the actions after they were cut at the bound is the sequence plus the weighted mean
    of what was really added to it.

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
        bound: actions are cut at plus and minus this.
        weighed: mppi: what is averaged: the `action`s; what was really `added` to the sequence, which comes to the same
            but for rounding; or the `noise` as it was drawn, before anything was cut.
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
    bound: float = 1.0
    weighed: Literal["action", "added", "noise"] = "action"

    def __post_init__(self) -> None:
        if self.method == "cem" and self.elites > self.particles:
            raise AssemblyError([Problem(f"{self.elites} of {self.particles} variants cannot be elites", "elites",
                                         "Write elites: at most as many as particles.")])

    def find(self, mean: torch.Tensor, offered: torch.Tensor, normal: Normal, gain: Gain) -> Found:
        """Return what is better than `mean` [states, time, actions].

        Sequences `offered` [states, any, time, actions] are tried beside each draw. Raises Diverged where a gain is
        no finite number.
        """
        deviation, kept = torch.full_like(mean, self.noise), offered[:, :0]
        for _ in range(self.iterations):
            noise = deviation[:, None] * coloured(normal((self.particles, *mean.shape[1:])), self.colour)
            noise[:, 0] = 0  # one variant is the sequence as it stands
            tried = torch.cat([self._cut(mean[:, None] + noise), offered, kept], dim=1)
            gains = gain(tried)
            if not torch.isfinite(gains).all():
                raise Diverged("planning has diverged: what a sequence would gain is not finite. The model predicts "
                               "too far from what it has seen, or the world has left its range; look fewer steps ahead "
                               "(horizon, or rollout_schedule)")
            if self.method == "cem":
                best, counted = self._best(tried, gains)
                weights = self._elite_weights(counted)
                middle = average(best, weights)
                spread = average((best - middle[:, None]).square(), weights).sqrt()
                mean = self.momentum * mean + (1 - self.momentum) * middle
                deviation = self.momentum * deviation + (1 - self.momentum) * spread
                deviation = deviation.clamp(self.min_noise, self.noise)
                kept = best[:, :int(self.keep * self.elites)]
            else:
                weights, counted = self.weighing.weights(gains), gains
                mean = self._moved(mean, tried, noise, weights)
            mean = self._cut(mean)
        return Found(mean, deviation, (weights * counted).sum(dim=1), effective_size(weights), tried, gains)

    def _cut(self, actions: torch.Tensor) -> torch.Tensor:
        return actions.clamp(-self.bound, self.bound)

    def _moved(self, mean: torch.Tensor, tried: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor
               ) -> torch.Tensor:
        """Return the sequence after one step of path integrals."""
        if self.weighed == "action":
            return average(tried, weights)
        added = tried - mean[:, None]
        if self.weighed == "noise":
            added[:, :self.particles] = noise
        return mean + average(added, weights)

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
    power = (frequency * length).round().clamp(min=1) ** -colour  # of the lowest 1: no colour is beyond all numbers
    share = (power / power.mean()).sqrt()[:length // 2 + 1, None]
    return torch.fft.irfft(torch.fft.rfft(white, dim=-2) * share, n=length, dim=-2)


def shifted(plan: torch.Tensor) -> torch.Tensor:
    """Return a sequence [..., time, actions] as it stands one step later; the new last action is 0."""
    return torch.cat([plan[..., 1:, :], torch.zeros_like(plan[..., :1, :])], dim=-2)
