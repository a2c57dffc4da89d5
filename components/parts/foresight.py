"""Trying sequences of actions without doing them: in a learned model, or in a body that stands for the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ...loops.component import Inputs
from ...loops.errors import RunError
from ...loops.status import TERMINATED, TRUNCATED
from .imagination import ImaginedWorld

Act = Callable[[int, torch.Tensor, np.ndarray], torch.Tensor]  # time, observations [rows, ...], rows -> actions


@dataclass(frozen=True)
class Start:
    """Where sequences begin."""

    observation: torch.Tensor  # [states, observations]
    state: np.ndarray | None  # [states, numbers] physical states, where a body is to be put there
    seeds: np.ndarray  # [states] what a model draws from


class TrialWorld(Protocol):
    """What sequences are tried in; its rows are variants, those of one state after those of the other."""

    def parts(self, states: int, draws: int) -> Iterator[np.ndarray]:
        """Yield rows that are tried together, as numbers up to states * draws."""

    def begin(self, start: Start, which: np.ndarray) -> None:
        """Begin rows at the states `which` [rows]."""

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return successor [rows, observations], reward [rows] and whether the episode is over [rows] bool."""

    def end(self) -> None:
        """Leave nothing behind."""


class Imagined:
    """A learned model, asked for one state at a time: its draws and its last bits hang on nobody beside it.

    All variants of a state live in the world of one elite, drawn anew each time, so that they are compared fairly.
    """

    def __init__(self, world: ImaginedWorld) -> None:
        self._world = world

    def parts(self, states: int, draws: int) -> Iterator[np.ndarray]:
        yield from np.arange(states * draws).reshape(states, draws)

    def begin(self, start: Start, which: np.ndarray) -> None:
        self._world.generator.manual_seed(int(start.seeds[which[0]]))
        self._member = self._world.members(1).repeat(len(which))

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._world.step(observation, action, self._member)

    def end(self) -> None:
        """Nothing to leave: the next state brings its own seed."""


class Branched:
    """A learned model, asked for all states at once, each in the world of a member of its own [states]."""

    def __init__(self, world: ImaginedWorld, member: torch.Tensor) -> None:
        self._world, self._given = world, member

    def parts(self, states: int, draws: int) -> Iterator[np.ndarray]:
        yield np.arange(states * draws)

    def begin(self, start: Start, which: np.ndarray) -> None:
        self._member = self._given[which]

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._world.step(observation, action, self._member)

    def end(self) -> None:
        """Nothing to leave: members are drawn for each plan."""


class Simulated:
    """A used body (role Placeable) put at the real one's state; as many rows at a time as it has lanes."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def parts(self, states: int, draws: int) -> Iterator[np.ndarray]:
        for first in range(0, states * draws, self._body.lanes.count):
            yield np.arange(first, min(states * draws, first + self._body.lanes.count))

    def begin(self, start: Start, which: np.ndarray) -> None:
        if start.state is None:
            raise RunError("to plan in a body, the physical state must be given: inputs `state`")
        self._rows, self._now = len(which), 0
        self._body.place(self._padded(start.state[which]))

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        """Fill up to the body's lanes with the last row: what these do is not looked at."""
        missing = self._body.lanes.count - len(rows)
        return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self._now += 1
        given = self._padded(action.numpy().astype(np.float32))
        told = self._body.step(self._now, Inputs({"action": given}, frozenset({"action"}), self._now - 1))
        status = told["status"][:self._rows]
        if (status & TRUNCATED).any():
            own = getattr(self._body, "max_steps", None) == 0
            raise RunError(f"the world that plans are tried in cuts its episodes after {self._now} steps, within the "
                           "horizon; " + ("it counts them itself, whatever max_steps says: let its environment not "
                                          "truncate (max_episode_steps of gymnasium.register may, instead)" if own else
                                          "give it max_steps: 0"))
        return (torch.from_numpy(np.array(told["observation"][:self._rows], np.float32)),
                torch.from_numpy(np.array(told["reward"][:self._rows], np.float32)),
                torch.from_numpy((status & TERMINATED) != 0))

    def end(self) -> None:
        """Return the body to where it was built, whose state is what a checkpoint holds."""
        self._body.reset(self._body.seed)


@dataclass(frozen=True)
class Foresight:
    """Says what sequences of actions would gain, and what a policy would do.

    Args:
        world: what they are tried in.
        gamma: discount of a step.
        value: judges observations after the last action [rows]; None counts rewards alone.
        mask: after an episode is over nothing is gained, and nothing judged.
    """

    world: TrialWorld
    gamma: float
    value: Callable[[torch.Tensor], torch.Tensor] | None = None
    mask: bool = True

    def gains(self, start: Start, sequences: torch.Tensor) -> torch.Tensor:
        """Return what each of `sequences` [states, draws, time, actions] gains [states, draws]."""
        states, draws, horizon, actions = sequences.shape
        flat = sequences.reshape(states * draws, horizon, actions)
        return self.live(start, draws, horizon, lambda time, seen, rows: flat[rows, time])

    def follow(self, start: Start, draws: int, horizon: int, actions: int, policy: Act) -> torch.Tensor:
        """Return what a policy does, `draws` times from each state [states, draws, horizon, actions]."""
        done = start.observation.new_zeros((len(start.observation) * draws, horizon, actions))

        def act(time: int, seen: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
            done[rows, time] = policy(time, seen, rows).clamp(-1, 1)
            return done[rows, time]

        self.live(start, draws, horizon, act)
        return done.view(-1, draws, horizon, actions)

    def live(self, start: Start, draws: int, horizon: int, act: Act) -> torch.Tensor:
        """Return what is gained [states, draws] where `act` says what is done."""
        device = start.observation.device
        gained = torch.zeros(len(start.observation) * draws, device=device)
        for rows in self.world.parts(len(start.observation), draws):
            which = rows // draws
            self.world.begin(start, which)
            observation, going = start.observation[which], torch.ones(len(rows), dtype=torch.bool, device=device)
            sums = torch.zeros(len(rows), device=device)
            for time in range(horizon):
                observation, reward, over = self.world.step(observation, act(time, observation, rows))
                sums += self.gamma**time * torch.where(going, reward, 0.0)
                if self.mask:
                    going &= ~over
            if self.value is not None:
                sums += self.gamma**horizon * torch.where(going, self.value(observation), 0.0)
            gained[rows] = sums
        return gained.view(-1, draws)
