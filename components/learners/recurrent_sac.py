"""Recurrent soft actor-critic: a brain that remembers learns from whole episodes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Inputs, Use
from ...loops.lanes import Lanes
from ..parts import sequences, single_numbers
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.off_policy import OffPolicyLearner
from ..parts.policy_learner import PolicyLearner, check_teachable
from ..parts.roles import Policy, SequenceValue
from ..parts.transitions import Rows, Unfinished
from ..parts.unfolding import Unfolding


class RecurrentSac(PolicyLearner):
    """Makes a policy with memory better from a memory of its episodes, and as random as it can afford to be.

    As `learners.sac`, but episodes are remembered whole, and whole ones make a minibatch: the brain and the memories of
    its critics live through each of them once more, from its first observation on, and gradients go back through time
    (`parts/recurrent_actor_critic.py` has the equations and their sources). An episode of n steps is drawn n times as
    often as one of a single step. Nothing is learned of an episode before it is over. The defaults are those with which
    Pan et al. 2024 (arXiv:2406.06714) trained their brain, but that time that runs out is no end here: what its last
    observation promises counts. Random first actions are the policy's own `random_steps`.

    Args:
        learning_rate: of policy, critic and entropy weight.
        buffer_size: episodes that are remembered.
        learning_starts: steps before the first update.
        batch_size: episodes of a minibatch.
        tau: share by which the target critic follows at each update.
        gamma: discount from one observation to the next.
        train_freq: steps (of all lanes together) between two times of learning.
        gradient_steps: updates each time.
        ent_coef: weight of the entropy; `auto` learns it.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        truncate: gradients reach back over so many ticks and no further; 0: over the whole episode.
        max_grad_norm: length to which the gradients of policy and critic are shortened; null: they are not.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        cost: how long one time of learning takes before its weights are in force: 0, a duration, or `measured`.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it learns: `cpu`, or `cuda`, a GPU, to which each minibatch is sent. The policy acts on the
            processor, with weights that are copied to it each time.
    """

    recurrent = True
    uses = {"policy": Use(Policy, changes=True), "value": Use(SequenceValue, changes=True)}
    sizes = "batch_size, truncate, or device: cpu"
    measures = {**OffPolicyLearner.measures, "remembered": "episodes that are remembered"}
    example_uses = {"policy": ("brains.modular_rnn", {"sizes": [6, 5, 4], "density": 0.5, "summary": 8, "hidden": [8],
                                                      "explore": True}),
                    "value": ("critics.recurrent_q", {"units": 6, "hidden": [8]})}

    def __init__(self, *, learning_rate: Positive = 3e-4, buffer_size: Count = 5000, learning_starts: Amount = 10_000,
                 batch_size: Count = 10, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 1, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", truncate: Amount = 0,
                 max_grad_norm: Positive | None = None, unfinished: Unfinished = "error", cost: Cost = 0,
                 threads: Count = 1, device: Device = "cpu") -> None:
        single_numbers.check(locals())
        super().__init__(unfinished, cost, threads, device)
        self.buffer_size, self.learning_starts, self.batch_size = buffer_size, learning_starts, batch_size
        self.train_freq, self.gradient_steps = train_freq, gradient_steps
        self._settings: dict[str, Any] = {
            "learning_rate": learning_rate, "gamma": gamma, "tau": tau, "ent_coef": ent_coef,
            "target_entropy": target_entropy, "truncate": truncate, "max_grad_norm": max_grad_norm}

    @classmethod
    def example(cls) -> RecurrentSac:
        return cls(learning_starts=4, batch_size=2)

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        super().infer()
        self.refuse_choices()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what learns."""
        import torch

        from ..parts.episode_memory import EpisodeMemory
        from ..parts.recurrent_actor_critic import RecurrentActorCritic
        from ..parts.soft_actor_critic import check_action, check_partners

        super().build(lanes, seed)
        sequences.check(self.used["policy"], "uses.policy")
        actions = check_action(self.inputs["action"].shape)
        self.warnings = [*self.warnings, *check_partners(self.used["policy"], self.used["value"])]
        seen = torch.zeros(1, 4, *self.inputs["observation"].shape)  # type: ignore[arg-type]
        drawn = sequences.answer(self.used["policy"], {"observation": seen, "noise": torch.zeros(1, 4, actions)})
        check_teachable(self.used["policy"], drawn["action"])
        self._unfolding = Unfolding(lanes.count)
        self.memory = EpisodeMemory(self.buffer_size, by_length=True, device=self.workplace.device)
        parts = self.workplace.parts
        self.core = RecurrentActorCritic(parts["policy"], parts["value"], actions, **self._settings)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every episode; what was learned stays."""
        super().reset(seed)
        self._unfolding.forget()
        self.memory.forget()
        self.core.forget()
        self._counted = 0  # steps heard of that have been looked at
        self._owed = 0  # of these, those since the last time of learning

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        for episode in self._unfolding.add(rows):
            self.memory.keep(episode)

    def due(self) -> int:
        if self.steps > self.learning_starts:
            self._owed += self.steps - self._counted
        self._counted = self.steps
        if not len(self.memory):  # the first episode still runs
            self._owed = 0
            return 0
        times, self._owed = divmod(self._owed, self.train_freq)
        return times * self.gradient_steps

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        from ..parts.soft_actor_critic import MEASURES

        for _ in range(times):
            told = self.core.advance(self.memory.sample(self.batch_size, self._generator), self._generator)
        return self.core.updates, {**dict(zip(MEASURES, told.tolist(), strict=True)),
                                   "remembered": float(len(self.memory))}

    def keep(self) -> dict[str, Any]:
        return {"unfolding": self._unfolding.state_dict(), "memory": self.memory.state_dict(),
                "core": self.core.state_dict(), "owed": self._owed, "counted": self._counted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._unfolding.load_state_dict(state["unfolding"])
        self.memory.load_state_dict(state["memory"])
        self.core.load_state_dict(state["core"])
        self._owed, self._counted = int(state["owed"]), int(state["counted"])
