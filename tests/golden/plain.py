"""What the plain loops share: one world and one brain a lane, written with nothing but Python and the toys' arithmetic.

Nothing here knows the kernel. A plain loop writes down what it would publish by `Book.say(now, address, value)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stimloop.loops.seeds import derive

from .toys import act, flag, lasts, move, remember, start, worth


class Book:
    """What was published: for each address, rows of (instant, value)."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, Any]]] = {}

    def say(self, now: int, address: str, value: Any, dtype: str = "float32") -> None:
        """Write down one value."""
        self.rows.setdefault(address, []).append((now, np.array(value, dtype)))

    def body(self, now: int, rows: list[tuple[np.ndarray, np.float32, int]], name: str = "body") -> None:
        """Write down one tick of a body: for each lane its place, reward and status."""
        self.say(now, f"{name}.observation", [x for x, _, _ in rows])
        self.say(now, f"{name}.reward", [r for _, r, _ in rows])
        self.say(now, f"{name}.status", [s for _, _, s in rows], "int64")
        self.say(now, f"{name}.solved", [bool(s & 2) for _, _, s in rows], "bool")


class World:
    """One lane of the toy body: `tick` returns place, reward and status, as the page words them."""

    def __init__(self, seed: int, lane: int, at_once: bool = False) -> None:
        self.seed, self.lane, self.at_once = seed, lane, at_once
        self.episode = 0
        self.running = False
        self.x = np.zeros(2, np.float32)

    def begin(self, seed: int | None = None) -> None:
        """Begin an episode (unless a seed is given, with one from seed, lane and number of the episode)."""
        if seed is None:
            seed = derive(self.seed, self.lane, self.episode)
        self.episode += 1
        self.running, self.own, self.steps, self.x = True, seed, 0, start(seed)

    def tick(self, push: np.ndarray, asked: int | None = None,
             waits: bool = False) -> tuple[np.ndarray, np.float32, int]:
        """One tick with the push that was in force; `waits`: this world begins only when `asked` with a seed."""
        if not self.running:
            if waits and asked is None:
                return self.x, np.float32(0), 8
            self.begin(asked)
            return self.x, np.float32(0), 1
        self.x = move(self.x, push)
        self.steps += 1
        reward, status = worth(self.x), 0
        if self.steps >= lasts(self.own):
            self.running, status = False, flag(self.own)
            if self.at_once:
                self.begin()
                status |= 1
        return self.x, reward, status


class Thinker:
    """One lane of the toy brain."""

    def __init__(self) -> None:
        self.memory = np.zeros(2, np.float32)
        self.taken = 0

    def answer(self, weights: np.ndarray, x: np.ndarray, status: int, current: Any = 0, noise: Any = 0) -> np.ndarray:
        """Push for what is seen; a lane that ended or waits gets no push and leaves the memory alone."""
        if status >= 2 and not status & 1:
            return np.zeros(2, np.float32)
        if status & 1:
            self.memory = np.zeros(2, np.float32)
        self.memory = remember(self.memory, x)
        self.taken += 1
        return act(weights, self.memory, current, noise)
