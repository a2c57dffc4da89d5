"""What soft actor-critic knows beside the networks that it changes: weight of the entropy, target critic, optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class ActorCriticState:
    """Saves and brings back the rest, for a learner that keeps it under these names."""

    updates: int
    log_ent_coef: torch.Tensor
    optimiser: Any
    _target: list[torch.Tensor]

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "log_ent_coef": float(self.log_ent_coef.detach()),
                "target": {str(i): tensor.cpu().numpy().copy() for i, tensor in enumerate(self._target)},
                "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates = int(state["updates"])
        with torch.no_grad():
            self.log_ent_coef.fill_(float(state["log_ent_coef"]))
            for i, tensor in enumerate(self._target):
                tensor.copy_(torch.from_numpy(np.array(state["target"][str(i)])))
        self.optimiser.load_state_dict(state["optimiser"])
