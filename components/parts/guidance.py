"""Imagined steps that are better than the policy's: each start is planned from, and the plan is then lived in a model.

Morgan et al. 2021 (MoPAC, arXiv:2103.13842) let one step of path integral control (`parts/path_integral.py`) improve
what the policy would do, judged by the model's rewards and a value at the horizon. Every field of `Guidance` is one
difference between the code of its authors (`AS_PUBLISHED`) and path integrals as they are derived (the defaults).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch

from ...loops.errors import Diverged
from .imagination import Actor, Columns, ImaginedWorld, as_columns
from .path_integral import Weighing, average, effective_size

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


AS_PUBLISHED = Guidance(bound=1.4, weighing=Weighing("fixed", 1.0), proposal="particles", fresh_noise=False,
                        mask_terminated=False, effective_noise=False, last_action="zero")


@dataclass(frozen=True)
class Plan:
    """A sequence of actions for each start, and what is known of how it was found."""

    actions: torch.Tensor  # [starts, time, actions]
    change: torch.Tensor  # [starts, time, actions] what was added to the proposal
    returns: torch.Tensor  # [starts, particles] what each variant would gain
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
        how, member = self.guidance, self.world.members(len(start))
        judged = horizon - (self.value is not None)  # steps whose rewards count
        proposal = None if how.proposal == "particles" else self._proposal(start, member, horizon, judged)
        kept, moved = proposal, torch.zeros((len(start), horizon, self.actor.actions), device=start.device)
        for _ in range(how.iterations):
            noise = self._noise(len(start), horizon, start.device)
            if kept is not None:
                noise[:, 0] = 0  # one variant is the sequence as it stands
            returns, taken = self._returns(start, member, noise, kept, judged)
            weights = how.weighing.weights(returns)
            added = taken - kept[:, None] if how.effective_noise and kept is not None else noise
            change = average(added, weights)
            kept = ((taken[:, 0] if kept is None else kept) + change).clamp(-how.bound, how.bound)
            moved = moved + change
        if not torch.isfinite(kept).all():  # type: ignore[arg-type]
            raise Diverged("planning has diverged: a plan holds numbers that are not finite. The model predicts too "
                           "far from what it has seen; shorten rollout_schedule, or fit it on more steps")
        cut = (taken[:, :, :judged].abs() >= how.bound).float().mean() if judged else returns.new_zeros(())
        return Plan(kept, moved, returns, effective_size(weights), cut)  # type: ignore[arg-type]

    def _noise(self, starts: int, horizon: int, device: torch.device) -> torch.Tensor:
        shape = (starts, self.guidance.particles, horizon, self.actor.actions)
        return self.guidance.noise * torch.randn(shape, generator=self.noise, device=device)

    def _proposal(self, start: torch.Tensor, member: torch.Tensor, horizon: int, judged: int) -> torch.Tensor:
        """Return what the policy would do [starts, time, actions]; where nothing judges an action, 0."""
        found = torch.zeros((len(start), horizon, self.actor.actions), device=start.device)
        observation = start
        for time in range(judged):
            found[:, time] = self._act(observation)
            if time + 1 < judged:
                observation = self.world.step(observation, found[:, time], member)[0]
        return found

    def _act(self, observation: torch.Tensor) -> torch.Tensor:
        return self.actor.mean(observation) if self.guidance.proposal == "mean" else self.actor.sample(observation)

    def _returns(self, start: torch.Tensor, member: torch.Tensor, noise: torch.Tensor, proposal: torch.Tensor | None,
                 judged: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what each variant gains [starts, particles], and what it does [starts, particles, time, actions]."""
        if not self.guidance.pessimism:
            return self._roll(start, member, noise, proposal, judged)
        drawing, rolls = self.world.generator.get_state(), []
        for elite in self.world.model.elites:
            self.world.generator.set_state(drawing)  # the same draws for all: what is left apart is disagreement
            rolls.append(self._roll(start, torch.full_like(member, int(elite)), noise, proposal, judged))
        returns = torch.stack([returns for returns, _ in rolls])
        return returns.mean(dim=0) - self.guidance.pessimism * returns.std(dim=0, correction=0), rolls[0][1]

    def _roll(self, start: torch.Tensor, member: torch.Tensor, noise: torch.Tensor, proposal: torch.Tensor | None,
              judged: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Let every variant run in the world of one member."""
        how, (starts, particles, horizon, actions) = self.guidance, noise.shape
        observation, member = (each.repeat_interleave(particles, dim=0) for each in (start, member))
        gained, going = noise.new_zeros(starts * particles), torch.ones_like(member, dtype=torch.bool)
        taken = torch.zeros_like(noise)
        if proposal is not None and how.last_action == "zero":  # noise there too, though nothing judges it
            taken[:, :, judged:] = (proposal[:, None, judged:] + noise[:, :, judged:]).clamp(-how.bound, how.bound)
        for time in range(judged):
            asked = (self.actor.sample(observation) if proposal is None
                     else proposal[:, time].repeat_interleave(particles, dim=0))
            action = (asked + noise[:, :, time].reshape(-1, actions)).clamp(-how.bound, how.bound)
            taken[:, :, time] = action.view(starts, particles, actions)
            observation, reward, over = self.world.step(observation, action, member)
            gained += self.gamma**time * torch.where(going, reward, 0.0)
            if how.mask_terminated:
                going &= ~over
        if self.value is not None:
            gained += self.gamma**(horizon - 1) * torch.where(going, self.value(observation), 0.0)
        return gained.view(starts, particles), taken

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
