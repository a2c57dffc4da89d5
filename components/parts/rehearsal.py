"""Rehearsing in a world without the patient, and what a critic learns from it.

Pan et al. 2024 (arXiv:2406.06714): in a simulator of the world whole episodes are lived with the actions that the
stimulated brain is expected to make, a = f(o, s) with s as the coprocessor would choose it, and the critic is fitted to
r + gamma min Q'(o', f(o', s')): the value of the best that can be reached through this brain. The published code left
out that nothing comes after a terminal state (`mask_terminated`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...loops.component import Inputs
from ...loops.seeds import derive
from ...loops.status import TERMINATED, ended
from .repeated_passes import RepeatedPasses

# observations [lanes, ...] and what is remembered (None at first) -> actions [lanes, actions], and what is remembered
Act = Callable[[np.ndarray, Any], tuple[np.ndarray, Any]]
Rows = dict[str, torch.Tensor]  # observation, action, reward, successor, next_action, terminated; [rows, ...]


class Rehearsal:
    """Lives whole episodes in a used body, each from a start state of its own.

    Args:
        world: the body; as many episodes at a time as it has lanes.
        act: what the stimulated brain is expected to do.
        seed: of the start states.
    """

    def __init__(self, world: Any, act: Act, seed: int) -> None:
        self._world, self._act, self._seed = world, act, seed
        self.begun = 0  # times that all lanes began

    def episodes(self, heard: Callable[[Rows], None]) -> list[float]:
        """Live one episode a lane; hand on the rows of each tick; return what each episode gained."""
        world, count = self._world, self._world.lanes.count
        world.reset(derive(self._seed, "rehearsal", self.begun))
        self.begun += 1
        still = np.zeros((count, *world.inputs["action"].shape), np.float32)
        seen = world.step(0, Inputs({"action": still}))["observation"]
        now, alive, gained = 0, np.ones(count, bool), np.zeros(count)
        action, memory = self._act(seen, None)
        while alive.any():
            now += 1
            told = world.step(now, Inputs({"action": action}, frozenset({"action"}), now - 1))
            after = told["observation"]
            following, memory = self._act(after, memory)
            gained += np.where(alive, told["reward"], 0)
            heard(_rows(alive, observation=seen, action=action, reward=told["reward"], successor=after,
                        next_action=following, terminated=(told["status"] & TERMINATED) != 0))
            alive &= ~ended(told["status"])
            seen, action = after, following
        world.reset(world.seed)  # nothing stays: where it was built is what a checkpoint holds
        return gained.tolist()


def _rows(alive: np.ndarray, **columns: np.ndarray) -> Rows:
    return {name: torch.from_numpy(np.array(column[alive], np.float32)) for name, column in columns.items()}


@dataclass
class CriticFit:
    """Fits a critic to what was rehearsed, against a slow copy of itself.

    Args:
        critic: the critic (role Value), changed in place.
        gamma: discount of a step.
        tau: share by which the slow copy follows at each step of fitting.
        mask_terminated: nothing comes after a terminal state.
        passes: how it is fitted.
    """

    critic: Any
    gamma: float
    tau: float
    mask_terminated: bool
    passes: RepeatedPasses

    def __post_init__(self) -> None:
        self.target = deepcopy(self.critic)
        self._mine = list(self.critic.parameters())
        self._slow = [parameter.detach() for parameter in self.target.parameters()]
        self.forget()

    def forget(self) -> None:
        """Let the slow copy be what the critic is, and keep no row."""
        with torch.no_grad():
            for slow, mine in zip(self._slow, self._mine, strict=True):
                slow.copy_(mine)
        self.rows: Rows = {}

    def add(self, rows: Rows) -> None:
        """Keep rows to learn from."""
        self.rows = rows if not self.rows else {name: torch.cat([self.rows[name], part])
                                                for name, part in rows.items()}

    def __len__(self) -> int:
        return len(self.rows["reward"]) if self.rows else 0

    def fit(self, generator: torch.Generator) -> tuple[float, int]:
        """Fit the critic to all rows kept; return the loss of the last pass, and the steps made."""
        kept = dict(self.rows)

        def loss(chosen: torch.Tensor) -> torch.Tensor:
            rows = {name: column[chosen] for name, column in kept.items()}
            with torch.no_grad():
                wanted = rows["reward"] + self.gamma * self._goes_on(rows) * _least(
                    self.target.value(rows["successor"], rows["next_action"]))
            told = self.critic.value(rows["observation"], rows["action"])
            return torch.square(told - wanted).reshape(-1, len(chosen)).sum(0)

        return self.passes.fit(self._mine, loss, len(self), generator, "the critic", self._follow)

    def _goes_on(self, rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return 1 - rows["terminated"] if self.mask_terminated else torch.ones_like(rows["terminated"])

    def _follow(self) -> None:
        torch._foreach_lerp_(self._slow, [mine.detach() for mine in self._mine], self.tau)

    def state_dict(self) -> dict[str, Any]:
        return {"target": {str(i): slow.numpy().copy() for i, slow in enumerate(self._slow)},
                "rows": {name: column.numpy().copy() for name, column in self.rows.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for i, slow in enumerate(self._slow):
            slow.copy_(torch.from_numpy(np.array(state["target"][str(i)])))
        self.rows = {name: torch.from_numpy(np.array(column)) for name, column in state.get("rows", {}).items()}


def _least(values: torch.Tensor) -> torch.Tensor:
    """Return the least of what the members of a critic promise [batch]."""
    return values.amin(0) if values.ndim == 2 else values
