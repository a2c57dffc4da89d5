"""Soft actor-critic: off-policy learning of a stochastic policy from everything that was lived through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Inputs
from ...loops.lanes import Lanes
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.policy_learner import PolicyLearner
from ..parts.transitions import Rows, Unfinished


class Sac(PolicyLearner):
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

    def __init__(self, *, learning_rate: Positive = 3e-4, buffer_size: Count = 1_000_000, learning_starts: Amount = 100,
                 batch_size: Count = 256, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 1, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", target_update_interval: Count = 1,
                 unfinished: Unfinished = "error", cost: Cost = 0, threads: Count = 1, device: Device = "cpu"
                 ) -> None:
        super().__init__(unfinished, cost, threads, device)
        self.buffer_size, self.batch_size, self.learning_starts = buffer_size, batch_size, learning_starts
        self.train_freq, self.gradient_steps = train_freq, gradient_steps
        self._settings = {"learning_rate": learning_rate, "gamma": gamma, "tau": tau, "ent_coef": ent_coef,
                          "target_entropy": target_entropy, "target_update_interval": target_update_interval}

    @classmethod
    def example(cls) -> Sac:
        return cls(buffer_size=100, learning_starts=4, batch_size=8)

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        super().infer()
        self.refuse_choices()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the replay buffer and the optimisers."""
        from ..parts.replay_buffer import ReplayBuffer, transition_columns
        from ..parts.soft_actor_critic import SoftActorCritic, check_action, check_partners

        super().build(lanes, seed)
        seen, done = self.inputs["observation"], self.inputs["action"]
        actions = check_action(done.shape)
        self.warnings = [*self.warnings, *check_partners(self.used["policy"], self.used["value"])]
        self.buffer = ReplayBuffer(self.buffer_size, transition_columns(
            seen.shape, done.shape, done.dtype, seen.dtype), self.workplace.device)  # type: ignore[arg-type]
        self.check_sampled(actions)
        parts = self.workplace.parts
        self.core = SoftActorCritic(parts["policy"], parts["value"], actions, **self._settings)  # type: ignore[arg-type]
        self.reset(seed)

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self.core.forget()
        self.buffer.forget()
        self._counted = 0  # steps heard of that have been looked at
        self._owed = 0  # of these, those since the last time of learning

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

    def keep(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "core": self.core.state_dict(), "owed": self._owed,
                "counted": self._counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.core.load_state_dict(state["core"])
        self._owed, self._counted = int(state["owed"]), int(state["counted"])
