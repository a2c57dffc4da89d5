"""Soft actor-critic: off-policy learning of a stochastic policy from everything that was lived through."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Component, Inputs, Use
from ...loops.errors import AssemblyError, Diverged, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import derive
from ...loops.status import status_input
from ..parts.roles import Policy, Value
from ..parts.transitions import Transitions, Unfinished

MEASURES = {
    "q_loss": "half the mean squared error of the critics, summed over them",
    "policy_loss": "what the policy is to lessen: weighted log-probability minus promised reward",
    "ent_coef": "weight of the entropy",
    "entropy": "entropy of the policy in the minibatch",
    "q_mean": "mean promised reward of the actions in the minibatch",
    "grad_norm": "length of the policy's gradient",
}


class Sac(Component):
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
        gamma: discount of one step.
        train_freq: steps (of all lanes together) between two times of learning.
        gradient_steps: updates each time.
        ent_coef: weight of the entropy; `auto` learns it.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        target_update_interval: updates between two of the target critic.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        device: where torch calculates.
        threads: threads of torch; more than one is seldom worth it beside physics.
    """

    random = True
    uses = {"policy": Use(Policy, changes=True), "value": Use(Value, changes=True)}
    example_uses = {"policy": ("brains.mlp", {"hidden": [8, 8], "explore": True}),
                    "value": ("critics.q_ensemble", {"hidden": [8, 8]})}

    def __init__(self, *, learning_rate: Positive = 3e-4, buffer_size: Count = 1_000_000, learning_starts: Amount = 100,
                 batch_size: Count = 256, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 1, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", target_update_interval: Count = 1,
                 unfinished: Unfinished = "error", device: str = "cpu", threads: Count = 1) -> None:
        self.learning_rate, self.gamma, self.tau = learning_rate, gamma, tau
        self.buffer_size, self.batch_size, self.learning_starts = buffer_size, batch_size, learning_starts
        self.train_freq, self.gradient_steps = train_freq, gradient_steps
        self.ent_coef, self.target_entropy = ent_coef, target_entropy
        self.target_update_interval, self.unfinished = target_update_interval, unfinished
        self.device, self.threads = device, threads
        self.inputs = {
            "observation": Port("what the policy perceives", ("observation",), wakes=True),
            "reward": Port("reward of the step that just ended", (), wakes=True),
            "status": status_input(wakes=True),
            "action": Port("what the policy did", ("action",), low=-1, high=1, reads="hold", also=("now",)),
        }
        count = {"per_lane": False, "dtype": "int64", "low": 0}
        self.outputs = {
            "updates": Port("updates so far", (), **count),
            **{name: Port(about, (), per_lane=False, dtype="float64") for name, about in MEASURES.items()},
        }

    @classmethod
    def example(cls) -> Sac:
        return cls(buffer_size=100, learning_starts=4, batch_size=8)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make the replay buffer and the optimisers."""
        import torch

        from ..parts.replay_buffer import ReplayBuffer, transition_columns
        from ..parts.soft_actor_critic import SoftActorCritic

        super().build(lanes, seed)
        actions = self.inputs["action"].shape
        if len(actions) != 1:
            raise AssemblyError([Problem(f"learns policies whose action is a vector, not {actions}", "action",
                                         "Choices are learned by learners.ppo.")])
        torch.set_num_threads(self.threads)
        self._transitions = Transitions(lanes, self.unfinished)
        seen = self.inputs["observation"]
        self.buffer = ReplayBuffer(self.buffer_size, transition_columns(
            seen.shape, actions, self.inputs["action"].dtype, seen.dtype), self.device)  # type: ignore[arg-type]
        size = int(actions[0])  # type: ignore[arg-type]
        self.core = SoftActorCritic(
            self.used["policy"], self.used["value"], size, learning_rate=self.learning_rate, gamma=self.gamma,
            tau=self.tau, ent_coef=None if self.ent_coef == "auto" else float(self.ent_coef),
            target_entropy=-float(size) if self.target_entropy == "auto" else float(self.target_entropy),
            target_update_interval=self.target_update_interval)
        self._generator = torch.Generator(self.device)
        self._forget(seed)

    def reset(self, seed: int) -> None:
        """Forget every step and every moment of the optimisers; what was learned stays."""
        self.core.forget()
        self._forget(seed)

    def _forget(self, seed: int) -> None:
        self._transitions.forget()
        self.buffer.forget()
        self._generator.manual_seed(derive(seed, "minibatches"))
        self.steps = 0  # heard so far
        self._owed = 0  # steps since the last time of learning

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Remember what happened, and learn."""
        from ..parts.replay_buffer import as_columns

        rows = self._transitions.take(inputs)
        if rows is None:
            return {}
        self.buffer.add(as_columns(rows))
        self.steps += len(rows)
        if self.steps <= self.learning_starts:
            return {}
        self._owed += len(rows)
        times, self._owed = divmod(self._owed, self.train_freq)
        return self._learn(times * self.gradient_steps) if times else {}

    def _learn(self, updates: int) -> dict[str, Any]:
        for _ in range(updates):
            said = self.core.update(self.buffer.sample(self.batch_size, self._generator), self._generator)
        if not all(map(isfinite, said.values())):
            wrong = ", ".join(f"{name} {value}" for name, value in said.items() if not isfinite(value))
            raise Diverged(f"learning has diverged after {self.core.updates} updates: {wrong}. Lower learning_rate, or "
                           "look at rewards and observations of extreme scale (basics.gain brings them back)")
        return {"updates": np.asarray(self.core.updates, np.int64),
                **{name: np.asarray(value, np.float64) for name, value in said.items()}}

    def state_dict(self) -> dict[str, Any]:
        return {"transitions": self._transitions.state_dict(), "buffer": self.buffer.state_dict(),
                "core": self.core.state_dict(), "generator": self._generator.get_state().numpy().copy(),
                "steps": self.steps, "owed": self._owed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "core" not in state:
            return
        import torch

        self._transitions.load_state_dict(state["transitions"])
        self.buffer.load_state_dict(state["buffer"])
        self.core.load_state_dict(state["core"])
        self._generator.set_state(torch.from_numpy(np.array(state["generator"], np.uint8)))
        self.steps, self._owed = int(state["steps"]), int(state["owed"])
