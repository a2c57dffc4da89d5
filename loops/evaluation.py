"""Evaluation: a second loop of the same system, run between two instants with the learned arrays of the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import AssemblyError, Problem
from .events import Events
from .status import ended, is_step
from .stops import Counter, the_body
from .system import EvaluationPlan
from .time import SECOND, say

if TYPE_CHECKING:
    from .loop import Loop

COLUMNS = ("time", "steps", "episodes", "updates", "return", "length", "success", "wall")  # of each row
FOREVER = 2**62  # ns
Look = Callable[[int, int], None]  # told the number of an episode, and its lane
PATIENCE = 600 * SECOND  # of simulated time, for an episode of which nobody says how long it may be


class Episodes:
    """Adds up return, length and success of the first episode of each lane."""

    def __init__(self, loop: Loop, body: str, most_steps: int | None = None) -> None:
        lanes = loop.graph.lanes(body)
        self.returns = np.zeros(lanes, np.float64)
        self.lengths = np.zeros(lanes, np.int64)
        self.success = np.full(lanes, np.nan)
        self.done = np.zeros(lanes, bool)
        self._loop, self._body, self._most = loop, body, most_steps
        self._releases = [loop.tap(f"{body}.reward", self._reward), loop.tap(f"{body}.status", self._status)]
        self._solved: np.ndarray | None = None
        if f"{body}.solved" in loop.cells:
            self._releases.append(loop.tap(f"{body}.solved", self._note_solved))
        self._last_reward = np.zeros(lanes)
        self._last_status = np.zeros(lanes, np.int64)
        self._releases.append(loop.attend(self._add))
        self._new = False

    def _reward(self, now: int, value: np.ndarray) -> None:
        self._last_reward = value.astype(np.float64)

    def _status(self, now: int, value: np.ndarray) -> None:
        self._last_status = value
        self._new = True

    def _note_solved(self, now: int, value: np.ndarray) -> None:
        self._solved = value

    def _add(self, now: int) -> None:
        if not self._new:
            return
        self._new = False
        stepped = is_step(self._last_status) & ~self.done
        self.returns[stepped] += self._last_reward[stepped]
        self.lengths += stepped
        over = ended(self._last_status) & ~self.done
        if self._most is not None:
            over |= stepped & (self.lengths >= self._most)
        if self._solved is not None:
            self.success[over] = self._solved[over]
        self.done |= over

    def cut(self) -> None:
        """End what goes on still, as it stands."""
        if self._solved is not None:
            self.success[~self.done] = self._solved[~self.done]
        self.done[:] = True

    def close(self) -> None:
        """Stop listening."""
        for release in self._releases:
            release()
        self._releases.clear()  # they hold this object: it would wait for a full collection


class Evaluation:
    """One entry of `evaluate:`: fires when its counter passes a multiple, and keeps nothing between two calls."""

    def __init__(self, name: str, plan: EvaluationPlan, main: Loop, make: Callable[..., Loop]) -> None:
        self.name = name
        self.plan = plan
        self.main = main
        self.fired = 0  # multiples of `every` passed so far
        self.rows: MutableSequence[dict[str, Any]] = []  # of this process, or as many as whoever keeps them wants
        self.sinks: list[Callable[[str, dict[str, Any]], None]] = []
        self.started = False  # was the evaluation before the first instant made?
        self.seconds = 0.0  # wall time spent here, so that the loop's own speed can be told without it
        self.loop = make(plan.system, injected=("begin",))
        self.body = the_body(self.loop, "body" if "body" in self.loop.graph.bodies else None)
        if not self.loop.injected:
            raise AssemblyError([Problem("no body here can begin an episode on request", f"evaluate.{name}",
                                         "Give the body an optional event input `begin`.")])
        self._counter: Counter | None = None  # rows say steps and episodes, however `every` is counted
        if plan.every[1] != "ns" or self.body in main.graph.bodies:
            self._counter = main.counter(self.body if self.body in main.graph.bodies else None)

    def _passed(self, now: int) -> int:
        amount, unit = self.plan.every
        count = now if unit == "ns" else getattr(self._counter, unit)
        return count // amount

    def begin(self) -> None:
        """Evaluate before the first instant, once; or what was interrupted before the loop was saved."""
        if self.main.last >= 0:
            self.look(self.main.last)
        elif self.plan.at_start and not self.started:
            self.started = self.evaluate() is not None

    def look(self, now: int) -> None:
        """Evaluate if a multiple was passed in the instant that just ended."""
        passed = self._passed(now)
        if passed > self.fired and self.evaluate() is not None:
            self.fired = passed

    def evaluate(self, look: Look | None = None) -> dict[str, Any] | None:
        """Run the episodes; return (and keep) one row, or None when the second loop was halted before it was over.

        `look` is called after each instant, for one episode after the other. Each is the very one that it is without:
        it has the same lane, beside the same others. So there are as many rounds as episodes.
        """
        began = perf_counter()
        try:
            return self._evaluate(began, look)
        finally:
            self.seconds += perf_counter() - began

    def _evaluate(self, began: float, look: Look | None) -> dict[str, Any] | None:
        parts = []
        for first, episodes, asked in self._rounds(look is not None):
            seed = self.plan.seeds + first
            with self._named(seed + asked.start, len(asked)), self._shown(look, first, asked.start):
                part = self._round(episodes, seed, slice(asked.start, asked.stop))
            if part is None:
                return None
            parts.append(part)
        row: dict[str, Any] = {"time": self.main.now, **self._counts()}
        for key in ("return", "length", "success"):
            row[key] = np.concatenate([part[key] for part in parts])
        row["wall"] = perf_counter() - began  # seconds
        self.rows.append(row)
        for sink in self.sinks:
            sink(self.name, row)
        return row

    def _rounds(self, one_by_one: bool) -> Iterator[tuple[int, int, range]]:
        """Return of each round its first episode, how many it has, and which lanes are asked for."""
        for first in range(0, self.plan.episodes, self.plan.system.lanes):
            lanes = range(min(self.plan.system.lanes, self.plan.episodes - first))
            for asked in [lanes[i:i + 1] for i in lanes] if one_by_one else [lanes]:
                yield first, len(lanes), asked

    @contextmanager
    def _shown(self, look: Look | None, first: int, lane: int) -> Iterator[None]:
        """Let somebody look at one lane of a round after each of its instants."""
        release = None if look is None else self.loop.attend(lambda now: look(first + lane, lane))
        try:
            yield
        finally:
            if release is not None:
                release()

    @contextmanager
    def _named(self, seed: int, episodes: int) -> Iterator[None]:
        """Say of an error that it came in an evaluation, and in which of its episodes."""
        try:
            yield
        except Exception as error:
            seeds = f"seeds {seed} to {seed + episodes - 1}" if episodes > 1 else f"seed {seed}"
            error.add_note(f"in the evaluation `{self.name}`, episodes of {seeds}, made at {say(self.main.now)} of the "
                           "run")
            raise

    def _round(self, episodes: int, seed: int, asked: slice) -> dict[str, np.ndarray] | None:
        """Run an episode in each lane until those that are asked for are over; None: halted before."""
        loop = self.loop
        loop.reset()
        for name, component in loop.components.items():
            original = self.main.components.get(name)
            if type(original) is type(component):
                learned = original.state_dict().get("learned")
                if learned:
                    component.load_state_dict({"learned": learned})
        for address in loop.injected:
            lane = np.arange(episodes)
            loop.inject(address, Events.of(np.full(episodes, -1), lane, 0, np.arange(seed, seed + episodes), "int64"))
        tally = Episodes(loop, self.body, self.plan.most_steps)
        stop = loop.attend(lambda now: loop.halt() if tally.done[asked].all() else None)
        limit = self._limit()
        try:
            loop.run(limit)
        finally:
            stop()
            tally.close()
        following = loop.next_instant()
        if not tally.done[asked].all() and (following is None or following >= limit):
            self._overdue(asked.start + np.flatnonzero(~tally.done[asked]), following is None)
            tally.cut()
        if not tally.done[asked].all():
            return None
        return {"return": tally.returns[asked], "length": tally.lengths[asked], "success": tally.success[asked]}

    def _limit(self) -> int:
        """Return the instant at which what has not ended is cut off, or is an error; steps are counted by the tally."""
        if self.plan.longest is not None:
            return self.plan.longest
        return PATIENCE if self.plan.most_steps is None else FOREVER

    def _overdue(self, lanes: np.ndarray, still: bool) -> None:
        """Refuse an evaluation that does not end, unless it was said after what time an episode is cut off."""
        if self.plan.longest is not None and not still:
            return
        shown = ", ".join(map(str, lanes[:10])) + (", ..." if len(lanes) > 10 else "")
        when = f"nothing happens any more after {say(self.loop.now)}" if still else f"after {say(PATIENCE)}"
        raise AssemblyError([Problem(
            f"the episode of {self.body} has not ended in lane{'s' * (len(lanes) > 1)} {shown}: {when}",
            f"evaluate.{self.name}", "Let the body end its episodes (max_steps), or cut them off: write for example "
            f"longest: 60 s in evaluate.{self.name}.")])

    def _counts(self) -> dict[str, int]:
        counter = self._counter or next(iter(self.main.counters.values()), None)
        updates = sum(int(cell.value) for key, cell in self.main.cells.items()
                      if key.endswith(".updates") and cell.value is not None and not cell.port.per_lane)
        steps, episodes = (counter.steps, counter.episodes) if counter else (0, 0)
        return {"steps": steps, "episodes": episodes, "updates": updates}

    def state_dict(self) -> dict[str, Any]:
        return {"fired": self.fired, "started": self.started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fired, self.started = int(state["fired"]), bool(state["started"])

    def close(self) -> None:
        """Close the second loop."""
        self.loop.close()
