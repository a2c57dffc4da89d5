"""How much a policy practises in a learned model, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Practice:
    """When a model is fitted, how much is imagined in it, and how much of that is learned from.

    Each is the parameter of that name of the learner that practises; `learners.mbpo` says what it means.
    """

    learning_starts: int
    min_buffer: int
    epoch_length: int
    gradient_steps: int
    train_freq: int
    batch_size: int
    model_train_freq: int
    model_train_end_epoch: int | None
    max_model_t: float | None
    rollout_batch_size: int
    rollout_schedule: list[float]
    ratio_schedule: list[float]
    model_retain_epochs: int
    insert: Literal["step", "episode_end"]

    @classmethod
    def among(cls, given: Mapping[str, Any]) -> Practice:
        """Pick these out of all parameters of a learner."""
        return cls(**{field.name: given[field.name] for field in fields(cls)})

    def room(self, length: int) -> int:
        """Return how many imagined steps are remembered where a life has `length`: those of one refresh at least."""
        once = length * self.rollout_batch_size
        return max(once, self.model_retain_epochs * (once * self.epoch_length // self.model_train_freq))
