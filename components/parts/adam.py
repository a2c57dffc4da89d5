"""Adam whose state is plain arrays, so that a run goes on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) over tensors that are changed in place.

    It calls the fused pass of torch.optim.Adam itself: around it that class spends ten times as long on small networks.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], learning_rate: float, eps: float = 1e-8,
                 decays: Sequence[float] | None = None) -> None:
        """Make the optimiser; `decays` are weights w of terms w / 2 |p|^2 of the loss, one a parameter (0 without)."""
        self.parameters = list(parameters)
        self.learning_rate, self._eps = learning_rate, eps
        each = list(decays) if decays is not None else [0.0] * len(self.parameters)
        if len(each) != len(self.parameters):
            raise ValueError(f"{len(each)} decays for {len(self.parameters)} parameters: give one for each")
        self._by_decay = [(decay, {i for i, mine in enumerate(each) if mine == decay}) for decay in sorted(set(each))]
        self.forget()

    def forget(self) -> None:
        """Return to before the first step."""
        self._first = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self._second = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self._steps = torch.zeros(len(self.parameters), device=self.parameters[0].device)

    @torch.no_grad()
    def descend(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Make one step along these gradients; None leaves a tensor as it is."""
        chosen = [i for i, gradient in enumerate(gradients) if gradient is not None]
        self._steps[chosen if len(chosen) < len(self.parameters) else slice(None)] += 1
        steps = self._steps.unbind()
        # the fused pass goes through memory in order, and autograd may hand out transposed views
        slopes: Any = {i: _laid_out(gradient, self.parameters[i]) for i, gradient in enumerate(gradients)
                       if gradient is not None}
        for decay, those in self._by_decay:
            if rows := [i for i in chosen if i in those]:
                parameters, gradient, first, second, counts = ([column[i] for i in rows] for column in (
                    self.parameters, slopes, self._first, self._second, steps))
                torch._fused_adam_(parameters, gradient, first, second, [], counts, lr=self.learning_rate, beta1=0.9,
                                   beta2=0.999, weight_decay=decay, eps=self._eps, amsgrad=False, maximize=False)

    def state_dict(self) -> dict[str, Any]:
        return {str(i): {"exp_avg": first.cpu().numpy().copy(), "exp_avg_sq": second.cpu().numpy().copy(),
                         "step": step}
                for i, (first, second, step) in enumerate(
                    zip(self._first, self._second, self._steps.tolist(), strict=True))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for i, (first, second) in enumerate(zip(self._first, self._second, strict=True)):
            kept = state[str(i)]
            first.copy_(torch.from_numpy(np.array(kept["exp_avg"])))
            second.copy_(torch.from_numpy(np.array(kept["exp_avg_sq"])))
            self._steps[i] = float(kept["step"])


def _laid_out(gradient: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """Return a gradient in the order in which its parameter lies in memory."""
    same = gradient.stride() == parameter.stride()
    return gradient if same else torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def shorten(gradients: Sequence[torch.Tensor | None], most: float | None
            ) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """Return gradients of a length of `most` at most, all together (None: as they are), and their length before."""
    there = [gradient for gradient in gradients if gradient is not None]
    norm = torch.stack(torch._foreach_norm(there)).norm()
    if most is None:
        return list(gradients), norm
    shortened = iter(torch._foreach_mul(there, (most / (norm + 1e-6)).clamp(max=1.0)))
    return [None if gradient is None else next(shortened) for gradient in gradients], norm
