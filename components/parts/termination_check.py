"""Does a termination function agree with the environment it speaks of? Both are asked about the same transitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from . import environments, spaces
from .terminations import Termination, ended_watched, never

AGREEMENT = 0.9999  # of all transitions that a rule has to judge as the environment does
MISSED = 0.01  # of the ends that it may overlook: where ends are rare, agreement alone shows nothing
_SHOWN = 3  # disagreements that are kept to be looked at
_WAYS = 6  # of acting
_HELD = 40  # steps that a full push lasts on average
_HIDDEN = 16  # units of the networks that act by what they see

Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # observation, action, successor [n, ...], end [n] bool


@dataclass(frozen=True)
class Agreement:
    """How a termination function and an environment judged the same transitions."""

    env: str
    function: str
    transitions: int
    ends: int  # transitions with which the environment ended an episode
    missed: int  # of those, how many the function did not end
    invented: int  # transitions that the function ended and the environment did not
    examples: tuple[tuple[str, tuple[float, ...]], ...] = ()  # (missed or invented, successor) of the first few
    claims: bool = True  # does the function say that there are ends? `never` says that there is none

    @property
    def share(self) -> float:
        """Share of transitions judged alike."""
        return 1.0 - (self.missed + self.invented) / self.transitions

    @property
    def alike(self) -> bool:
        """Is that enough: 99.99 % of the transitions, and of the ends no more than 1 in 100 overlooked?"""
        return self.share >= AGREEMENT and self.missed <= MISSED * self.ends

    @property
    def tested(self) -> bool:
        """Was an end seen, which alone can show that a function knows ends when there are any?"""
        return self.ends > 0 or not self.claims

    @property
    def passed(self) -> bool:
        """Do both judge alike, where there was something to judge?"""
        return self.alike and self.tested

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "agreement": self.share, "tested": self.tested, "passed": self.passed}

    def text(self) -> str:
        """Say it in words."""
        verdict = "passed" if self.passed else "NOT TESTED" if self.alike else "FAILED"
        lines = [f"{self.env}: {self.function} agrees on {100 * self.share:.3f} % of {self.transitions} transitions, "
                 f"{self.ends} of them ends: {verdict}"]
        if self.missed or self.invented:
            lines.append(f"  overlooked {self.missed} ends, ended {self.invented} transitions of its own")
        for kind, successor in self.examples:
            lines.append(f"  {kind}: successor {np.array2string(np.array(successor), precision=4, threshold=12)}")
        if not self.tested:
            lines.append("  the environment ended no episode, so nothing is known about ends: compare more transitions "
                         "or another seed. If none ever ends early, the function is named never")
        return "\n".join(lines)


def compare(env: str, function: Termination, *, called: str = "", transitions: int = 100_000, seed: int = 0,
            params: Mapping[str, Any] | None = None) -> Agreement:
    """Play `transitions` steps of a Gymnasium environment and ask the function about all of them.

    Actions are, episode by episode, uniform, full pushes that last, small, none, smoothly wandering, and those of a
    network drawn at random that answers to what is observed, so that episodes end early, late, and far from where they
    began. The function is asked with float32 torch tensors of 1000 transitions, as learners do, or with NumPy arrays
    where torch is not installed.

    Raises ValueError where the environment is unknown, fails, or has no boxes for observations and actions, and where
    the function raises, answers with anything but one bool for each transition, or changes what it is given.
    """
    if transitions < 1:
        raise ValueError(f"transitions: {transitions} show nothing; write 1 or more")
    return judge(env, function, _batches(env, dict(params or {}), transitions, seed), called=called)


def judge(env: str, function: Termination, batches: Iterable[Batch], *, called: str = "") -> Agreement:
    """Ask a function about transitions whose ends are known, such as those that a policy made in a run.

    Raises ValueError where there is no transition, and where the function answers with anything but one bool for each.
    """
    asked = ends = missed = invented = 0
    examples: list[tuple[str, tuple[float, ...]]] = []
    for observation, action, successor, true in batches:
        said = _ask(function, observation, action, successor)
        asked, ends = asked + len(true), ends + int(true.sum())
        missed, invented = missed + int((true & ~said).sum()), invented + int((said & ~true).sum())
        for row in np.flatnonzero(said != true)[:_SHOWN - len(examples)]:
            examples.append(("overlooked" if true[row] else "invented", tuple(map(float, successor[row]))))
    if not asked:
        raise ValueError(f"there is no transition of {env} to ask about")
    name = called or f"{getattr(function, '__module__', '')}:{getattr(function, '__name__', function)}"
    return Agreement(env, name, asked, ends, missed, invented, tuple(examples), function is not never)


def _ask(function: Termination, *transition: np.ndarray) -> np.ndarray:
    """Return what a function says, bool [batch], asked as learners ask it."""
    try:
        import torch
    except ModuleNotFoundError:
        return np.asarray(ended_watched(function, *transition))
    return np.asarray(ended_watched(function, *map(torch.from_numpy, transition)))


def _batches(env: str, params: dict[str, Any], transitions: int, seed: int, size: int = 1000) -> Iterator[Batch]:
    """Play, and give observation, action in [-1, 1], successor (float32 [n, ...]) and end (bool [n]) in batches."""
    world = opened(env, params)
    try:
        door = spaces.ActionDoor(world.action_space)
        rows: list[tuple[Any, ...]] = []
        for row, number in zip(_play(env, world, door, seed), range(1, transitions + 1), strict=False):
            rows.append(row)
            if len(rows) == size or number == transitions:
                seen, actions, then, true = zip(*rows, strict=True)
                yield (*(np.array(part, np.float32) for part in (seen, actions, then)), np.array(true, bool))  # type: ignore[misc]
                rows.clear()
    finally:
        world.close()


def opened(env: str, params: dict[str, Any]) -> Any:
    """Make an environment; raises ValueError unless its observation and its action are vectors of numbers."""
    world = environments.make(env, params, None)
    for what in ("observation", "action"):
        space = getattr(world, f"{what}_space")
        if type(space).__name__ != "Box" or len(space.shape) != 1:
            world.close()
            raise ValueError(f"the {what} of {env} is {space}, no vector of numbers: a model of one transition, and a "
                             "termination function, cannot be asked about it")
    return world


def _play(env: str, world: Any, door: Any, seed: int) -> Iterator[tuple[Any, ...]]:
    """Play one episode after the other, without end; what the environment raises is told as its own fault."""
    random = np.random.default_rng(seed)

    def reset() -> Any:
        start = int(random.integers(2**31))
        return environments.answer(env, "reset", 2, lambda: world.reset(seed=start))[0]

    episode, seen = 0, reset()
    mind = _Mind(random, door.port.shape[0], episode)
    while True:
        action = mind.act(seen)
        done = door(action[None])[0]
        then, _, terminated, truncated, _ = environments.answer(env, "step", 5, partial(world.step, done))
        yield seen, action, then, terminated
        seen = then
        if terminated or truncated:
            episode += 1
            seen = reset()
            mind = _Mind(random, action.size, episode)


class _Mind:
    """Acts in one of six ways, which take turns from episode to episode."""

    def __init__(self, random: np.random.Generator, size: int, episode: int) -> None:
        self._random, self._size, self._way = random, size, episode % _WAYS
        self._drift, self._push = np.zeros(size), random.choice([-1.0, 1.0], size)
        self._first: np.ndarray | None = None  # weights of the network, as soon as it is known how much is seen

    def act(self, seen: np.ndarray) -> np.ndarray:
        """Return an action [size] float32 in [-1, 1].

        It is uniform, a full push, a tenth, none, a slow random walk, or what a network answers to what is seen [n].
        A push is held for some time, to one side or the other of each number: a car gets up a mountain by that.
        """
        if self._way == _WAYS - 1:
            return self._answer(np.asarray(seen, float))
        uniform = self._random.uniform(-1, 1, self._size)
        self._drift = np.clip(0.95 * self._drift + 0.3 * uniform, -1, 1)
        self._push = np.where(self._random.random(self._size) < 1 / _HELD, -self._push, self._push)
        return (uniform, self._push, 0.1 * uniform, np.zeros(self._size), self._drift)[self._way].astype(np.float32)

    def _answer(self, seen: np.ndarray) -> np.ndarray:
        """Return what a network of one hidden layer says, drawn anew for each episode."""
        if self._first is None:
            self._first = self._random.normal(0, seen.size**-0.5, (_HIDDEN, seen.size))
            self._last = self._random.normal(0, _HIDDEN**-0.5, (self._size, _HIDDEN))
        return np.tanh(self._last @ np.tanh(self._first @ seen)).astype(np.float32)
