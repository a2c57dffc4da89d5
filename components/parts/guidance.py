"""Imagined steps that are better than the policy's: each start is planned from, and the plan is then lived in a model.

Morgan et al. 2021 (MoPAC, arXiv:2103.13842) let one step of path integral control (`parts/path_integral.py`) improve
what the policy would do, judged by the model's rewards and a value at the horizon. Every field of `Guidance` is one
difference between the code of its authors (`AS_PUBLISHED`) and path integrals as they are derived (the defaults), or
takes from other planners: a sequence is searched for as `brains.mppi` does it (`parts/sequence_search.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from ...loops.errors import Diverged
from .foresight import Branched, Foresight, Start
from .imagination import Actor, Columns, ImaginedWorld, as_columns
from .path_integral import Weighing, average, effective_size
from .sequence_search import SequenceSearch

_CHUNK = 32_768  # particles imagined at a time: memory stays small; part of the result, as each part draws in turn


@dataclass(frozen=True)
class Guidance:
    """How a sequence of actions is improved.

    Args:
        particles: noisy variants of each sequence.
        noise: standard deviation of what is added to an action.
        bound: actions are cut at plus and minus this.
        weighing: how a variant's return becomes its weight.
        iterations: how often the sequence is improved.
        proposal: where it begins: what the policy does on average (`mean`), one draw of it (`sample`), or a draw of
            its own for each variant in each of its states (`particles`).
        fresh_noise: draw noise anew for every refresh; else once an epoch.
        mask_terminated: nothing is gained, and nothing is stored, after an episode is over.
        effective_noise: weigh what was really added to an action after cutting, not what was drawn.
        last_action: where a value judges the horizon, nothing has judged the last action: `policy` asks the policy for
            it, `zero` takes what noise left of it.
        closed_loop: while the plan is lived, what was added goes on top of what the policy does in the state reached.
        pessimism: how many standard deviations, over the elites, are taken off a variant's return; what the elites draw
            is common to them, so that it is their disagreement that is feared, not the world's noise.
        method: weigh all variants (`mppi`), or go by the elites and narrow (`cem`); of proposals that are sequences.
        elites: cem: how many variants count.
        elite_weights: cem: alike, or by what they gain.
        min_noise: cem: least standard deviation of later draws.
        policy_sequences: draws of the policy that are tried beside the variants.
    """

    particles: int = 100
    noise: float = 0.5
    bound: float = 1.0
    weighing: Weighing = field(default_factory=Weighing)
    iterations: int = 1
    proposal: Literal["mean", "sample", "particles"] = "mean"
    fresh_noise: bool = True
    mask_terminated: bool = True
    effective_noise: bool = True
    last_action: Literal["policy", "zero"] = "policy"
    closed_loop: bool = False
    pessimism: float = 0.0
    method: Literal["mppi", "cem"] = "mppi"
    elites: int = 10
    elite_weights: Literal["equal", "weighed"] = "equal"
    min_noise: float = 0.05
    policy_sequences: int = 0

    def __post_init__(self) -> None:
        _ = self.search  # refuses what cannot be searched with

    @cached_property
    def search(self) -> SequenceSearch:
        """Return what improves a sequence."""
        return SequenceSearch(self.method, self.particles, self.iterations, self.noise, self.weighing, self.elites,
                              self.elite_weights, min_noise=min(self.min_noise, self.noise), bound=self.bound,
                              weighed="added" if self.effective_noise else "noise")


AS_PUBLISHED = Guidance(bound=1.4, weighing=Weighing("fixed", 1.0), proposal="particles", fresh_noise=False,
                        mask_terminated=False, effective_noise=False, last_action="zero")


@dataclass(frozen=True)
class Plan:
    """A sequence of actions for each start, and what is known of how it was found."""

    actions: torch.Tensor  # [starts, time, actions]
    change: torch.Tensor  # [starts, time, actions] what was added to the proposal
    returns: torch.Tensor  # [starts, variants] what each would gain
    size: torch.Tensor  # [starts] effective number of variants
    cut: torch.Tensor  # [] share of numbers of actions that were cut at the bound


@dataclass(frozen=True)
class Planner:
    """Improves what a policy would do in an imagined world, and lives it there.

    Args:
        guidance: how.
        world: what is imagined.
        actor: the policy.
        gamma: discount of a step.
        value: judges observations at the horizon [rows]; None counts rewards alone.
        noise: generator of the noise on actions.
    """

    guidance: Guidance
    world: ImaginedWorld
    actor: Actor
    gamma: float
    value: Callable[[torch.Tensor], torch.Tensor] | None
    noise: torch.Generator

    def refresh(self, start: torch.Tensor, horizon: int) -> Iterator[tuple[Plan, Columns]]:
        """Plan from each start [rows, observations] and live the plans; yield plans and their steps, part by part."""
        for part in start.split(max(1, _CHUNK // self.guidance.particles)):
            with torch.no_grad():  # not around the yield: who takes a part may well want gradients
                plan = self.improve(part, horizon)
                steps = self._joined(list(self.live(part, plan)))
            yield plan, steps

    @staticmethod
    def _joined(steps: list[Columns]) -> Columns:
        return {name: torch.cat([step[name] for step in steps]) for name in steps[0]}

    def improve(self, start: torch.Tensor, horizon: int) -> Plan:
        """Return a better sequence for each start [rows, observations]."""
        member = self.world.members(len(start))
        judged = horizon - (self.value is not None)  # steps whose rewards count
        plan = self._of_particles if self.guidance.proposal == "particles" else self._of_sequences
        return plan(start, member, horizon, judged)

    def _of_sequences(self, start: torch.Tensor, member: torch.Tensor, horizon: int, judged: int) -> Plan:
        """Improve one sequence for each start; each variant does as it is told, whatever comes of it."""
        how, proposal = self.guidance, self._proposal(start, member, horizon, judged)
        found = how.search.find(proposal, self._policy_does(start, member, horizon, judged),
                                lambda shape: self._normal((len(start), *shape), start.device),
                                lambda tried: self._gains(start, member, tried[:, :, :judged]))
        actions = found.mean
        if how.last_action == "policy":
            actions[:, judged:] = 0  # which is to be asked where it is lived
        return Plan(actions, actions - proposal, found.gains, found.size, self._cut(found.tried, judged))

    def _of_particles(self, start: torch.Tensor, member: torch.Tensor, horizon: int, judged: int) -> Plan:
        """Follow the policy, and noise, in every variant; change what the first of them does.

        The authors' code stops when all variants of all starts have come to an end at one step, of a million of them.
        Where ends are masked, nothing is gained after them anyway; where they are not, that is the one case in which
        going on differs, and it is left out: it would hang on how many starts are planned at once.
        """
        how, particles = self.guidance, self.guidance.particles
        noise = how.noise * self._normal((len(start), particles, horizon, self.actor.actions), start.device)
        taken = torch.zeros_like(noise)
        each_noise, each_taken = noise.flatten(0, 1), taken.view(-1, *taken.shape[2:])

        def act(time: int, seen: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
            each_taken[rows, time] = (self.actor.sample(seen) + each_noise[rows, time]).clamp(-how.bound, how.bound)
            return each_taken[rows, time]

        returns = self._foresight(member).live(_start(start), particles, judged, act)
        weights = how.weighing.weights(returns)
        change = average(noise, weights)
        actions = (taken[:, 0] + change).clamp(-how.bound, how.bound)
        if not torch.isfinite(actions).all():
            raise Diverged("planning has diverged: a plan holds numbers that are not finite. The model predicts too "
                           "far from what it has seen; shorten rollout_schedule, or fit it on more steps")
        return Plan(actions, change, returns, effective_size(weights), self._cut(taken, judged))

    def _cut(self, taken: torch.Tensor, judged: int) -> torch.Tensor:
        """Return the share of actions [starts, variants, time, actions] that stand at the bound."""
        return ((taken[:, :, :judged].abs() >= self.guidance.bound).float().mean() if judged
                else taken.new_zeros(()))

    def _normal(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        return torch.randn(shape, generator=self.noise, device=device)

    def _proposal(self, start: torch.Tensor, member: torch.Tensor, horizon: int, judged: int) -> torch.Tensor:
        """Return what the policy would do [starts, time, actions]; where nothing judges an action, 0."""
        found = torch.zeros((len(start), horizon, self.actor.actions), device=start.device)
        observation = start
        for time in range(judged):
            found[:, time] = self._act(observation)
            if time + 1 < judged:
                observation = self.world.step(observation, found[:, time], member)[0]
        return found

    def _policy_does(self, start: torch.Tensor, member: torch.Tensor, horizon: int, judged: int) -> torch.Tensor:
        """Return draws of what the policy would do [starts, draws, time, actions], as `_proposal`."""
        how, actions = self.guidance, self.actor.actions
        found = torch.zeros((len(start), how.policy_sequences, horizon, actions), device=start.device)
        if how.policy_sequences and judged:
            found[:, :, :judged] = self._foresight(member).follow(
                _start(start), how.policy_sequences, judged, actions, lambda time, seen, rows: self.actor.sample(seen))
        return found.clamp(-how.bound, how.bound)

    def _act(self, observation: torch.Tensor) -> torch.Tensor:
        return self.actor.mean(observation) if self.guidance.proposal == "mean" else self.actor.sample(observation)

    def _foresight(self, member: torch.Tensor) -> Foresight:
        """Return what lives each start's variants in the world of one member [starts].

        Of a sequence as long as what is judged, a value stands for all that follows: gamma^(H-1) V(o_(H-1)).
        """
        return Foresight(Branched(self.world, member), self.gamma, self.value, self.guidance.mask_terminated)

    def _gains(self, start: torch.Tensor, member: torch.Tensor, sequences: torch.Tensor) -> torch.Tensor:
        """Return what sequences [starts, variants, time, actions] gain [starts, variants]."""
        if not self.guidance.pessimism:
            return self._foresight(member).gains(_start(start), sequences)
        drawing, rolls = self.world.generator.get_state(), []
        for elite in self.world.model.elites:
            self.world.generator.set_state(drawing)  # the same draws for all: what is left apart is disagreement
            rolls.append(self._foresight(torch.full_like(member, int(elite))).gains(_start(start), sequences))
        returns = torch.stack(rolls)
        return returns.mean(dim=0) - self.guidance.pessimism * returns.std(dim=0, correction=0)

    def live(self, start: torch.Tensor, plan: Plan) -> Iterator[Columns]:
        """Do as planned from each start, each with an elite of its own; yield the steps of each time."""
        how, horizon = self.guidance, plan.actions.shape[1]
        observation, member = start, self.world.members(len(start))
        actions, change = plan.actions, plan.change
        for time in range(horizon):
            if self.value is not None and time == horizon - 1 and how.last_action == "policy":
                action = self.actor.sample(observation)
            elif how.closed_loop:
                action = (self._act(observation) + change[:, time]).clamp(-how.bound, how.bound)
            else:
                action = actions[:, time]
            successor, reward, over = self.world.step(observation, action, member)
            yield as_columns(observation, action, reward, successor, over)
            if how.mask_terminated and bool(over.any()):
                going = ~over
                successor, member, actions, change = (each[going] for each in (successor, member, actions, change))
            observation = successor
            if not len(observation):
                return


def _start(observation: torch.Tensor) -> Start:
    return Start(observation, None, np.zeros(0, np.int64))  # draws come from the world's own generator
