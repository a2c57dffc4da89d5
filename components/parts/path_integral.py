"""Model predictive path integrals: noise on an action sequence, averaged by what each draw of it would gain.

Williams et al. 2017 (Information theoretic MPC for model-based reinforcement learning, ICRA): of K draws with returns
S_k, the sequence moves by sum_k w_k noise_k, where w_k is proportional to exp(S_k / temperature). How sharp that is
hangs on the scale of the returns; so the temperature may be found for each state by the share of draws that count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Scaling = Literal["fixed", "deviation", "effective"]
_HALVINGS = 30  # of the search for a temperature: beyond what float32 tells apart
_ROUNDING = 16  # last bits of the largest return up to which two returns may differ by the order of their sums alone


@dataclass(frozen=True)
class Weighing:
    """How returns become weights.

    `scaling` is what `temperature` is multiplied by: `fixed` nothing, `deviation` the standard deviation of a state's
    returns; `effective` ignores it and finds the one at which the effective sample size (1 / sum of squared weights)
    is `share` of the draws. Both would rank returns that differ by rounding alone; these weigh equally instead.
    """

    scaling: Scaling = "effective"
    temperature: float = 1.0
    share: float = 0.1

    def weights(self, returns: torch.Tensor) -> torch.Tensor:
        """Return weights [states, draws] that sum to 1 over the draws of each state."""
        if self.scaling == "effective":
            temperature = temperature_for(returns, max(1.0, self.share * returns.shape[1]))
        elif self.scaling == "deviation":
            temperature = self.temperature * returns.std(dim=1, keepdim=True, correction=0)
        else:
            return _weights(returns, torch.full_like(returns[:, :1], self.temperature))
        return _weights(*_told_apart(returns, temperature))


def _told_apart(returns: torch.Tensor, temperature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return returns [states, draws] and temperatures [states, 1] that tell nothing apart by rounding alone.

    Where all returns of a state lie that close together, or the temperature does that would tell the best apart, those
    are the best; all else is left as it is, to the last bit.
    """
    most = returns.amax(dim=1, keepdim=True)
    finest = _ROUNDING * torch.finfo(returns.dtype).eps * returns.abs().amax(dim=1, keepdim=True)
    lost = (most - returns.amin(dim=1, keepdim=True) <= finest) | (temperature < finest)
    return (torch.where(lost & (returns >= most - finest), most, returns),
            torch.where(lost, torch.maximum(temperature, finest), temperature))


def _weights(returns: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Softmax of returns [states, draws] at a temperature each [states, 1]; equal weights where all gain the same."""
    below = returns - returns.amax(dim=1, keepdim=True)
    return (below / temperature.clamp(min=torch.finfo(returns.dtype).tiny)).softmax(dim=1)


def effective_size(weights: torch.Tensor) -> torch.Tensor:
    """Return how many draws count [states]: 1 over the sum of squared weights (Kong 1992)."""
    return 1 / weights.square().sum(dim=1)


def temperature_for(returns: torch.Tensor, size: float) -> torch.Tensor:
    """Return the temperature [states, 1] at which `size` draws count; where all gain the same, any will do: 1.

    The effective size grows with the temperature, from 1 to all, so halving its logarithm finds it.
    """
    spread = returns.amax(dim=1, keepdim=True) - returns.amin(dim=1, keepdim=True)
    flat = spread <= 0
    scale = torch.where(flat, torch.ones_like(spread), spread)
    low, high = torch.full_like(scale, -14.0), torch.full_like(scale, 14.0)  # of log(temperature / spread)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        few = effective_size(_weights(returns, scale * middle.exp()))[:, None] < size
        low, high = torch.where(few, middle, low), torch.where(few, high, middle)
    return scale * ((low + high) / 2).exp()


def average(noise: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return what to add to each sequence [states, time, actions]: noise [states, draws, time, actions], weighted."""
    states, draws = weights.shape
    return torch.bmm(weights[:, None], noise.reshape(states, draws, -1)).view(states, *noise.shape[2:])
