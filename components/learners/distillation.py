"""Distillation: a brain learns to do what an expert would do where the brain itself gets to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive
from ...loops.component import Inputs, Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ..parts import sequences, single_numbers
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.policy_learner import PolicyLearner, check_teachable
from ..parts.roles import Policy
from ..parts.transitions import Rows, Unfinished
from ..parts.unfolding import Unfolding

_NEAR = 0.1  # of the range [-1, 1]: an action as good as the expert's


class Distillation(PolicyLearner):
    """Teaches a brain, with or without memory, to act as an expert would have acted in its place.

    DAgger (Ross, Gordon and Bagnell 2011, AISTATS, algorithm 3.1): the brain acts, an expert says what it would have
    done about every observation that came of that, and the brain is fitted to this by back-propagation through time
    over whole episodes, out of a memory of all of them (`parts/imitation.py` has the equations). What the body hears is
    the brain's own word, or, through `protocols.handover`, now and then the expert's. The expert is a second
    policy, `uses: {policy: brain, expert: expert}`, which nothing has to be wired to.

    Args:
        learning_rate: of Adam.
        buffer_size: episodes that are remembered.
        learning_starts: episodes that are lived before the first update.
        batch_size: episodes of a minibatch.
        train_freq: episodes (of all lanes together) between two times of learning.
        gradient_steps: updates each time.
        truncate: gradients reach back over so many ticks and no further; 0: over the whole episode.
        rate_penalty: weight of the mean square of the brain's firing rates in what is lessened.
        weight_penalty: weight of half the sum of its squared weights.
        max_grad_norm: length to which the gradient is shortened; null: it is not.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        cost: how long one time of learning takes before its weights are in force: 0, a duration, or `measured`.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it learns: `cpu`, or `cuda`, a GPU, to which each minibatch is sent. The brain acts, and the
            expert is asked, on the processor.
    """

    recurrent = True
    uses = {"policy": Use(Policy, changes=True),
            "expert": Use(Policy, alike=(("observation", "observation"), ("action", "action")))}
    sizes = "batch_size, truncate, or device: cpu"
    measures = {
        "loss": "mean squared difference from what the expert would have done, in the last minibatch",
        "grad_norm": "length of the gradient, before it was shortened",
        "error": "the same difference in the episodes lived since the last time, which were not learned from yet",
        "agreement": f"share of the numbers of their actions that are within {_NEAR:g} of the expert's",
    }
    example_uses = {"policy": ("brains.modular_rnn", {"sizes": [6, 5, 4], "density": 0.5, "summary": 8, "hidden": [8]}),
                    "expert": ("brains.mlp", {"hidden": [8]})}

    def __init__(self, *, learning_rate: Positive = 1e-3, buffer_size: Count = 1000, learning_starts: Amount = 1,
                 batch_size: Count = 10, train_freq: Count = 1, gradient_steps: Count = 20, truncate: Amount = 0,
                 rate_penalty: NonNegative = 0.0, weight_penalty: NonNegative = 0.0,
                 max_grad_norm: Positive | None = 1.0, unfinished: Unfinished = "error", cost: Cost = 0,
                 threads: Count = 1, device: Device = "cpu") -> None:
        single_numbers.check(locals())
        super().__init__(unfinished, cost, threads, device)
        del self.inputs["reward"]
        self.buffer_size, self.learning_starts, self.batch_size = buffer_size, learning_starts, batch_size
        self.train_freq, self.gradient_steps, self.rate_penalty = train_freq, gradient_steps, rate_penalty
        self._settings: dict[str, Any] = {
            "learning_rate": learning_rate, "truncate": truncate, "rate_penalty": rate_penalty,
            "weight_penalty": weight_penalty, "max_grad_norm": max_grad_norm}

    @classmethod
    def example(cls) -> Distillation:
        return cls(batch_size=2, gradient_steps=2, learning_starts=0)

    def infer(self) -> None:
        """Refuse choices, before sizes are compared that cannot fit."""
        super().infer()
        self.refuse_choices()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what remembers and what learns."""
        from ..parts.episode_memory import EpisodeMemory
        from ..parts.imitation import Imitation

        super().build(lanes, seed)
        for name in ("policy", "expert"):
            sequences.check(self.used[name], f"uses.{name}")
        self._check()
        self._unfolding = Unfolding(lanes.count)
        self.memory = EpisodeMemory(self.buffer_size, by_length=False, device=self.workplace.device)
        self.core = Imitation(self.workplace.parts["policy"], **self._settings)
        self.reset(seed)

    def _check(self) -> None:
        """Refuse a student from whose answers no gradient comes, or no rates; and a student for its own expert."""
        import torch

        if self.used["policy"] is self.used["expert"]:
            raise AssemblyError([Problem("the brain is its own expert: there is nothing to learn", "uses.expert",
                                         "Name another component, for example a brains.mlp with weights.")])
        seen = torch.zeros(1, 4, *self.inputs["observation"].shape)  # type: ignore[arg-type]
        said = sequences.answer(self.used["policy"], {"observation": seen})
        check_teachable(self.used["policy"], said["action"])
        if self.rate_penalty and "rates" not in said:
            raise AssemblyError([Problem("the brain publishes no rates to keep low", "params.rate_penalty",
                                         "Write 0, or let it publish them (brains.torch_module: layer).")])

    def reset(self, seed: int) -> None:
        """Forget every episode and every moment of the optimiser; what was learned stays."""
        super().reset(seed)
        self._unfolding.forget()
        self.memory.forget()
        self.core.forget()
        self._lived = self._owed = 0  # episodes so far; of these, those since the last time of learning
        self._missed, self._near, self._numbers = 0.0, 0, 0  # sums over these, and numbers that were summed

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        for episode in self._unfolding.add(rows):
            expert = self._asked(episode["observation"])
            missed = (episode["action"] - expert).astype(np.float64)
            self._missed += float(np.square(missed).sum())
            self._near += int((np.abs(missed) <= _NEAR).sum())
            self._numbers += missed.size
            self.memory.keep({"observation": episode["observation"], "expert": expert})
            self._lived += 1
            self._owed += 1

    def _asked(self, seen: np.ndarray) -> np.ndarray:
        """Return what the expert would have done about each observation but the last [steps, actions]."""
        told = sequences.answer(self.used["expert"], {"observation": seen[None, :-1]})
        return np.ascontiguousarray(np.asarray(told["action"], np.float32)[0])

    def due(self) -> int:
        if not len(self.memory) or self._lived < self.learning_starts:
            return 0
        times, self._owed = divmod(self._owed, self.train_freq)
        return times * self.gradient_steps

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        for _ in range(times):
            told = self.core.advance(self.memory.sample(self.batch_size, self._generator))
        lived = {"error": self._missed / self._numbers, "agreement": self._near / self._numbers}
        self._missed, self._near, self._numbers = 0.0, 0, 0
        return self.core.updates, {**self.core.told(told), **lived}

    def keep(self) -> dict[str, Any]:
        return {"unfolding": self._unfolding.state_dict(), "memory": self.memory.state_dict(),
                "core": self.core.state_dict(), "lived": self._lived, "owed": self._owed, "missed": self._missed,
                "near": self._near, "numbers": self._numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._unfolding.load_state_dict(state["unfolding"])
        self.memory.load_state_dict(state["memory"])
        self.core.load_state_dict(state["core"])
        self._lived, self._owed = int(state["lived"]), int(state["owed"])
        self._missed, self._near, self._numbers = float(state["missed"]), int(state["near"]), int(state["numbers"])
