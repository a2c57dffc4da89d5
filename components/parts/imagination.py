"""Life in a learned model: steps that nobody lives through, branched from steps that somebody did.

A model predicts reward and change of observation (reward first); whether an episode is over is never learned but
worked out from what was predicted (`parts/terminations.py`). Janner et al. 2019 (arXiv:1906.08253, algorithm 2) let
the policy act; `parts/guidance.py` lets it be improved first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

from ...loops.errors import AssemblyError, Problem
from . import imagined_ends
from .assignment import at_random
from .roles import Ensemble

Terminated = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Columns = dict[str, torch.Tensor]  # of imagined steps [rows, ...], named as those of a replay buffer


@dataclass(frozen=True)
class ImaginedWorld:
    """A world that a model imagines: it takes what is done and says what comes of it.

    Args:
        model: what predicts, once it is built; its elites are the members that may imagine.
        terminated: says of (observation, action, successor) whether the episode is over [rows] bool; its answer is
            checked each time (`parts/imagined_ends.py`).
        generator: where every draw comes from.
        assign: how rows fall to elites, as `parts/assignment.py` can.

    Raises AssemblyError for a model that cannot be asked for what one of its members says.
    """

    model: Ensemble
    terminated: Terminated
    generator: torch.Generator
    assign: Callable[[int, Any, torch.Generator], torch.Tensor] = at_random

    def __post_init__(self) -> None:
        lacks = [] if hasattr(self.model, "elites") else ["has no elites"]
        if "member" not in signature(self.model.predict).parameters:
            lacks.append("takes no `member` in predict(input, generator, member)")
        if lacks:
            raise AssemblyError([Problem(f"nobody can live in what {type(self.model).__name__} predicts: it "
                                         f"{' and '.join(lacks)}", "uses.model",
                                         "Use a world_models.gaussian_ensemble, or write what the role Ensemble of "
                                         "parts/roles.py asks for.")])

    def members(self, count: int) -> torch.Tensor:
        """Draw one of the elites for each of so many rows [count]."""
        return self.assign(count, self.model.elites, self.generator)

    def step(self, observation: torch.Tensor, action: torch.Tensor, member: torch.Tensor
             ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return successor [rows, observations], reward [rows] and whether that was the end [rows]."""
        said = self.model.predict(torch.cat([observation, action], dim=1), self.generator, member)
        successor = observation + said[:, 1:]
        return successor, said[:, 0], imagined_ends.over(self.terminated, observation, action, successor)


@dataclass(frozen=True)
class Actor:
    """A policy that is asked about many situations at once, without gradients."""

    policy: Any
    actions: int
    generator: torch.Generator

    def sample(self, observation: torch.Tensor) -> torch.Tensor:
        """Draw an action for each observation [rows, actions]."""
        noise = torch.randn((len(observation), self.actions), generator=self.generator, device=self.generator.device)
        return self._ask({"observation": observation, "noise": noise})

    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        """Return the action the policy takes where it does not explore [rows, actions]."""
        return self._ask({"observation": observation})

    def _ask(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.policy.respond(inputs, None)[0]["action"]


def branch(world: ImaginedWorld, actor: Actor, start: torch.Tensor, horizon: int) -> Iterator[Columns]:
    """Let the policy act for up to `horizon` steps from each start [rows, observations]; yield the steps as they come.

    Every step of every row asks another elite; a row whose episode is over goes no further.
    """
    observation = start
    for _ in range(horizon):
        with torch.no_grad():
            action = actor.sample(observation)
            successor, reward, over = world.step(observation, action, world.members(len(observation)))
        yield as_columns(observation, action, reward, successor, over)
        observation = successor[~over]
        if not len(observation):
            return


def as_columns(observation: torch.Tensor, action: torch.Tensor, reward: torch.Tensor, successor: torch.Tensor,
               over: torch.Tensor) -> Columns:
    """Name the parts of imagined steps as the columns of a replay buffer are."""
    return {"observation": observation, "action": action, "reward": reward, "successor": successor,
            "terminated": over.to(reward.dtype)}
