"""What learners share that learn by soft actor-critic from a memory of all their steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...loops.lanes import Lanes
from . import single_numbers, torch_memory
from .policy_learner import PolicyLearner, check_sampled

if TYPE_CHECKING:
    import torch


class OffPolicyLearner(PolicyLearner):
    """Keeps every step in a replay buffer, and improves policy and critic from rows drawn out of it.

    A learner of this kind writes `remember`, `due` and `learn`, and ends its `build` with a `reset`.

    Args:
        given: all parameters of such a learner by name, the `locals()` with which its constructor begins.
    """

    core_settings: ClassVar[tuple[str, ...]] = ("learning_rate", "gamma", "tau", "ent_coef", "target_entropy",
                                                "target_update_interval")  # of `parts/soft_actor_critic.py`
    measures = {
        "q_loss": "half the mean squared error of the critics, summed over them",
        "policy_loss": "what the policy is to lessen: weighted log-probability minus promised reward",
        "ent_coef": "weight of the entropy",
        "entropy": "entropy of the policy in the minibatch",
        "q_mean": "mean promised reward of the actions in the minibatch",
        "grad_norm": "length of the policy's gradient",
    }
    example_uses = {"policy": ("brains.mlp", {"hidden": [8, 8], "explore": True}),
                    "value": ("critics.q_ensemble", {"hidden": [8, 8]})}

    def __init__(self, given: Mapping[str, Any]) -> None:
        single_numbers.check(given)
        super().__init__(*(given[name] for name in ("unfinished", "cost", "threads", "device")))
        self.buffer_size, self.batch_size = given["buffer_size"], given["batch_size"]
        self._core_settings = {name: given[name] for name in self.core_settings}

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        super().infer()
        self.refuse_choices()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the replay buffer and the actor-critic."""
        from .replay_buffer import ReplayBuffer
        from .soft_actor_critic import SoftActorCritic, check_action, check_partners

        super().build(lanes, seed)
        actions = check_action(self.inputs["action"].shape)
        self.warnings = [*self.warnings, *check_partners(self.used["policy"], self.used["value"])]
        columns, device = self.columns(), self.workplace.device
        with torch_memory.refused("buffer_size"):
            self.buffer = ReplayBuffer(self.buffer_size, columns, device)
        torch_memory.check("a minibatch takes", {"batch_size": self.batch_size},
                           self.batch_size * torch_memory.row(columns), device)
        check_sampled(self.used["policy"], self.inputs["observation"].shape, actions)
        parts = self.workplace.parts
        self.core = SoftActorCritic(parts["policy"], parts["value"], actions, **self._core_settings,
                                    state_value=parts.get("state_value"))

    def columns(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return shape of a row and type of each column that is remembered."""
        from .replay_buffer import transition_columns

        seen, done = self.inputs["observation"], self.inputs["action"]
        return transition_columns(seen.shape, done.shape, done.dtype, seen.dtype)  # type: ignore[arg-type]

    def reset(self, seed: int) -> None:
        """Forget every step; what was learned stays."""
        super().reset(seed)
        self.core.forget()
        self.buffer.forget()
        self._counted = 0  # steps heard of that have been looked at
        self._owed = 0  # of these, those since the last time of learning

    def keep(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "core": self.core.state_dict(), "owed": self._owed,
                "counted": self._counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.core.load_state_dict(state["core"])
        self._owed, self._counted = int(state["owed"]), int(state["counted"])
