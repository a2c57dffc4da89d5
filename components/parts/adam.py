"""Adam whose state is plain arrays, so that a run goes on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) over tensors that are changed in place, in one fused pass."""

    def __init__(self, parameters: Iterable[torch.Tensor], learning_rate: float, eps: float = 1e-8) -> None:
        self.parameters = list(parameters)
        self._rate, self._eps = learning_rate, eps
        self.forget()

    def forget(self) -> None:
        """Return to before the first step."""
        self._optimiser = torch.optim.Adam(self.parameters, self._rate, eps=self._eps, fused=True)

    def descend(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Make one step along these gradients; None leaves a tensor as it is."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            # the fused pass goes through memory in order, and autograd hands out transposed views
            parameter.grad = gradient if gradient is None else gradient.contiguous()
        self._optimiser.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {str(i): {name: value.cpu().numpy().copy() for name, value in self._optimiser.state[parameter].items()}
                for i, parameter in enumerate(self.parameters) if parameter in self._optimiser.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.forget()
        for i, moments in state.items():
            parameter = self.parameters[int(i)]
            self._optimiser.state[parameter] = {
                name: torch.from_numpy(np.array(value, np.float32)).to(parameter.device)
                for name, value in moments.items()}
