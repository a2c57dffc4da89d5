"""Soft actor-critic: off-policy learning of a stochastic policy from everything that was lived through."""

from __future__ import annotations

from typing import Literal

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Inputs
from ...loops.lanes import Lanes
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.off_policy import OffPolicyLearner
from ..parts.transitions import Rows, Unfinished


class Sac(OffPolicyLearner):
    """Makes a policy better from a memory of all its steps, and as random as it can afford to be.

    It listens to the body and to the policy's own action, keeps every step in a replay buffer, and after each step
    updates critic and policy in place (`parts/soft_actor_critic.py` has the equations and their sources).
    Hyper-parameters have the names and defaults of Stable-Baselines3. Random first actions are the policy's own
    `random_steps`.

    Args:
        learning_rate: of policy, critic and entropy weight.
        buffer_size: number of steps that are remembered.
        learning_starts: steps before the first update.
        batch_size: steps of a minibatch.
        tau: share by which the target critic follows at each update of it.
        gamma: discount from one observation to the next.
        train_freq: steps (of all lanes together) between two times of learning.
        gradient_steps: updates each time.
        ent_coef: weight of the entropy; `auto` learns it.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        target_update_interval: updates between two of the target critic.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        cost: how long one time of learning takes before its weights are in force: 0, a duration, or `measured`.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it learns: `cpu`, or `cuda`, a GPU, where then lie replay buffer, optimiser and copies of the
            networks. The policy acts on the processor, with weights that are copied to it each time.
    """

    def __init__(self, *, learning_rate: Positive = 3e-4, buffer_size: Count = 1_000_000, learning_starts: Amount = 100,
                 batch_size: Count = 256, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 1, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", target_update_interval: Count = 1,
                 unfinished: Unfinished = "error", cost: Cost = 0, threads: Count = 1, device: Device = "cpu"
                 ) -> None:
        super().__init__(locals())
        self.learning_starts, self.train_freq, self.gradient_steps = learning_starts, train_freq, gradient_steps

    @classmethod
    def example(cls) -> Sac:
        return cls(buffer_size=100, learning_starts=4, batch_size=8)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what learns."""
        super().build(lanes, seed)
        self.reset(seed)

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        from ..parts.replay_buffer import as_columns

        self.buffer.add(as_columns(rows))

    def due(self) -> int:
        if self.steps > self.learning_starts:
            self._owed += self.steps - self._counted
        self._counted = self.steps
        if not len(self.buffer):  # a late sense has told nothing yet
            return 0
        times, self._owed = divmod(self._owed, self.train_freq)
        return times * self.gradient_steps

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        for _ in range(times):
            told = self.core.advance(self.buffer.sample(self.batch_size, self._generator), self._generator)
        return self.core.updates, self.core.told(told)
