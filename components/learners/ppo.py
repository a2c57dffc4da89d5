"""Proximal policy optimisation: learning from what the present policy has just lived through, in careful steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...loops.bounds import Count, NonNegative, Positive, Share
from ...loops.component import Inputs
from ...loops.errors import AssemblyError, PortError, Problem
from ...loops.lanes import Lanes
from ...loops.port import Port
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.policy_learner import PolicyLearner, check_teachable
from ..parts.returns import advantages
from ..parts.schedules import Ramp, Schedule
from ..parts.transitions import Rows, Unfinished


class Ppo(PolicyLearner):
    """Makes a policy better from its own last steps, never far at once.

    It gathers `n_steps` steps of every lane, judges them by generalised advantages (`parts/returns.py`), goes through
    them `n_epochs` times in minibatches (`parts/proximal_policy.py` has the equations and their sources), and forgets
    them. Hyper-parameters have the names and defaults of Stable-Baselines3. The learning rate and the clipping range
    may be schedules [first step, last step, value at the first, value at the last], in steps of all lanes together.

    Args:
        learning_rate: of policy and value.
        n_steps: steps of each lane between two rounds of learning; where observations come more seldom than steps, what
            lies between two of them counts as one.
        batch_size: steps of a minibatch.
        n_epochs: times that the steps are gone through.
        gamma: discount from one observation to the next.
        gae_lambda: how much later surprises count for earlier steps.
        clip_range: how far the probability of an action may move, as a share, before it counts no more.
        ent_coef: weight of the entropy.
        vf_coef: weight of the value's error.
        max_grad_norm: length to which the gradient is shortened.
        target_kl: a round ends early once the policy has moved further than 1.5 times this; left out, never.
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        cost: how long one time of learning takes before its weights are in force: 0, a duration, or `measured`.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it learns: `cpu`, or `cuda`, a GPU, where then lie the steps while it learns, optimiser and copies
            of the networks. The policy acts on the processor, with weights that are copied to it each time.
    """

    measures = {
        "policy_loss": "what the policy is to lessen: minus the clipped advantage",
        "value_loss": "mean squared error of the value",
        "entropy": "entropy of the policy",
        "clip_fraction": "share of actions whose probability moved as far as it may",
        "approx_kl": "how far the policy moved from the one that acted",
        "grad_norm": "length of the gradient, before it was shortened",
    }
    example_uses = {"policy": ("brains.mlp", {"hidden": [8, 8], "explore": True}),
                    "value": ("critics.value_mlp", {"hidden": [8, 8]})}

    def __init__(self, *, learning_rate: Schedule = 3e-4, n_steps: Count = 2048, batch_size: Count = 64,
                 n_epochs: Count = 10, gamma: Share = 0.99, gae_lambda: Share = 0.95, clip_range: Schedule = 0.2,
                 ent_coef: NonNegative = 0.0, vf_coef: NonNegative = 0.5, max_grad_norm: Positive = 0.5,
                 target_kl: Positive | None = None, unfinished: Unfinished = "error", cost: Cost = 0,
                 threads: Count = 1, device: Device = "cpu") -> None:
        super().__init__(unfinished, cost, threads, device)
        self.n_steps, self.batch_size, self.n_epochs = n_steps, batch_size, n_epochs
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.learning_rate, self.clip_range = Ramp(learning_rate, "learning_rate"), Ramp(clip_range, "clip_range")
        self._settings = {"learning_rate": self.learning_rate.at(0), "clip_range": self.clip_range.at(0),
                          "ent_coef": ent_coef, "vf_coef": vf_coef,
                          "max_grad_norm": max_grad_norm, "target_kl": target_kl}
        self.inputs["log_prob"] = Port("log-probability of what the policy did", (), reads="hold", also=("now",))

    @classmethod
    def example(cls) -> Ppo:
        return cls(n_steps=4, batch_size=4, n_epochs=2)

    def infer(self) -> None:
        """Take choices where the policy makes them."""
        super().infer()
        done, sender = self.inputs["action"], self.peers_in.get("action")
        if sender is not None and sender.choices and not done.choices:
            self.inputs["action"] = Port(done.about, (), choices=sender.choices, reads="hold", also=("now",))

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make room for the steps, and the optimiser."""
        from ..parts.proximal_policy import ProximalPolicy

        super().build(lanes, seed)
        if getattr(self.used["policy"], "explore", True) is False:
            raise AssemblyError([Problem("the policy draws no actions, so it never says with which probability it "
                                         "acted", "uses.policy", "Write explore: true in its params.")])
        check_teachable(self.used["policy"], self._judge_nothing())
        parts = self.workplace.parts
        self.core = ProximalPolicy(parts["policy"], parts["value"], **self._settings)  # type: ignore[arg-type]
        seen, done = self.inputs["observation"], self.inputs["action"]
        wide = (self.n_steps, lanes.count)
        self._steps = {"observation": np.zeros((*wide, *seen.shape), seen.dtype),  # type: ignore[arg-type]
                       "successor": np.zeros((*wide, *seen.shape), seen.dtype),  # type: ignore[arg-type]
                       "action": np.zeros((*wide, *done.shape), done.dtype),  # type: ignore[arg-type]
                       "log_prob": np.zeros(wide, np.float32), "reward": np.zeros(wide, np.float32),
                       **{name: np.zeros(wide, bool) for name in ("terminated", "follows", "made")}}
        self.reset(seed)

    def _judge_nothing(self) -> Any:
        """Return what the policy makes of two actions of 0 [2]."""
        import torch

        asked = (torch.zeros(2, *port.shape, dtype=getattr(torch, port.dtype))  # type: ignore[arg-type]
                 for port in (self.inputs["observation"], self.inputs["action"]))
        return self.used["policy"].evaluate({"observation": next(asked)}, next(asked))[0]

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self.core.forget()
        self._told_log_prob = False  # has the policy ever said its probability?
        self._clear()

    def _clear(self) -> None:
        self._filled = 0  # rows of `_steps` in use
        for column in self._steps.values():
            column[...] = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self._told_log_prob |= "log_prob" in inputs.new
        return super().step(now, inputs)

    def remember(self, rows: Rows, inputs: Inputs) -> None:
        """Keep the steps; those that come while there is no more room (learning takes time) are left out."""
        if not self._told_log_prob:
            raise PortError("the policy has not said with which probability it acted, and nothing can be learned from "
                            "its steps. Let it draw its actions: write explore: true in its params (in an evaluation: "
                            "leave the learner out, without: [learner])")
        if self._filled == self.n_steps:
            return
        at, steps = self._filled, self._steps
        for name in ("observation", "action", "reward", "successor", "terminated", "follows"):
            steps[name][at, rows.lane] = getattr(rows, name)
        steps["log_prob"][at, rows.lane] = inputs["log_prob"][rows.lane]
        steps["made"][at, rows.lane] = True
        self._filled += 1

    def due(self) -> int:
        return int(self._filled == self.n_steps)

    def learn(self, times: int) -> tuple[int, dict[str, float]]:
        self.core.clip_range = self.clip_range.at(self.steps)
        self.core.optimiser.learning_rate = self.learning_rate.at(self.steps)
        measured = self.core.round(self.batch(), self.n_epochs, self.batch_size, self._generator)
        self._clear()
        return self.core.updates, measured

    def batch(self) -> dict[str, Any]:
        """Return the steps that were made as tensors [rows, ...], with advantage and return of each."""
        import torch

        steps, made, device = self._steps, self._steps["made"], self.workplace.device
        seen = {name: torch.from_numpy(steps[name][made]).to(device) for name in ("observation", "successor")}
        with torch.no_grad():
            judged = {name: np.zeros(made.shape) for name in seen}
            for name, rows in seen.items():
                judged[name][made] = self.core.value.value(rows).cpu().numpy()
        advantage = advantages(steps["reward"], judged["observation"], judged["successor"], steps["terminated"],
                               steps["follows"], made, self.gamma, self.gae_lambda)
        columns = {"action": steps["action"], "log_prob": steps["log_prob"],
                   "advantage": advantage.astype(np.float32),
                   "return": (advantage + judged["observation"]).astype(np.float32)}
        return {"observation": seen["observation"],
                **{name: torch.from_numpy(column[made]).to(device) for name, column in columns.items()}}

    def keep(self) -> dict[str, Any]:
        return {"core": self.core.state_dict(), "steps": {name: column.copy() for name, column in self._steps.items()},
                "filled": self._filled, "told_log_prob": self._told_log_prob}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.core.load_state_dict(state["core"])
        for name, column in self._steps.items():
            column[...] = state["steps"][name]
        self._filled, self._told_log_prob = int(state["filled"]), bool(state["told_log_prob"])
