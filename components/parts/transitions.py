"""From what a learner hears, tick after tick, to transitions: the one place where this step's off-by-one lives.

At an instant t a learner holds the observation, reward and status of t, and the action that was in force until t: what
the policy said about the observation before. So one observation is kept back.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs
from ...loops.errors import PortError
from ...loops.lanes import Lanes
from ...loops.status import TERMINATED, TRUNCATED, begins, calm, count_steps, ended, is_step

Unfinished = Literal["error", "drop"]


@dataclass(frozen=True)
class Rows:
    """Transitions of the lanes that made a step, lane after lane."""

    lane: np.ndarray  # [rows] which lane each belongs to
    observation: np.ndarray  # [rows, ...] before the step
    action: np.ndarray  # [rows, ...] in force during it
    reward: np.ndarray  # [rows] float32
    successor: np.ndarray  # [rows, ...] observation after it; where it terminated, of no meaning
    terminated: np.ndarray  # [rows] bool: nothing comes after
    ended: np.ndarray  # [rows] bool: terminated or truncated
    reached: np.ndarray  # [rows] bool: is the successor of the same episode? Else it is the first of the next
    follows: np.ndarray  # [rows] bool: the lane's row before it led up to it, in the same episode, nothing left out

    def __len__(self) -> int:
        return len(self.lane)

    def of(self, rows: np.ndarray) -> Rows:
        """Return some of the rows: those of a mask [rows] bool, or of numbers."""
        return Rows(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def state_dict(self) -> dict[str, np.ndarray]:
        return {each.name: getattr(self, each.name).copy() for each in fields(self)}

    @staticmethod
    def from_state(state: dict[str, Any]) -> Rows:
        return Rows(**{each.name: np.array(state[each.name]) for each in fields(Rows)})


class Transitions:
    """Makes transitions of what arrives; FIRST and WAITING make none.

    Every observation is joined with the one before it, the reward heard in between, and the action in force: what the
    policy saw, did, got and saw. So an observation that is delayed alone is a late sense, and one that comes more
    seldom than rewards sums them up (decision 0015). Where it is late, the first steps of an episode hold what was
    still seen of the one before, as the policy saw it. An episode that was truncated and begun anew before the next
    observation has no successor: an error, unless `unfinished` says to drop that step. `steps` counts the steps heard
    of, whatever became of them.
    """

    def __init__(self, lanes: Lanes, unfinished: Unfinished = "error") -> None:
        self.lanes, self.unfinished = lanes, unfinished
        self._everyone, self._all = np.arange(lanes.count), np.ones(lanes.count, bool)
        self.forget()

    def forget(self) -> None:
        """Return to before the first observation."""
        count = self.lanes.count
        self._before: np.ndarray | None = None  # [lanes, ...] the observation kept back
        self._kept = np.zeros(count, bool)  # [lanes] is it one that a step may follow?
        self._all_kept = False
        self._reward = np.zeros(count, np.float32)  # [lanes] since that observation, in its own episode
        self._flags = np.zeros(count, np.int64)  # [lanes] of the latest status
        self._heard = False  # has a status come since that observation?
        self._unsteady = False  # was it more than ordinary steps?
        self._made = np.zeros(count, bool)  # [lanes] has a step been made since that observation?
        self._linked = np.zeros(count, bool)  # [lanes] did a row lead up to that observation?
        self.steps = 0  # heard of so far
        self._over = np.zeros(count, np.int64)  # [lanes] how its episode ended since
        self._begun = np.zeros(count, bool)  # [lanes] has an episode begun since that still runs?

    def take(self, inputs: Inputs) -> Rows | None:
        """Take what arrived at one instant; return the steps that it completes, or None."""
        new = inputs.new
        if "reward" in new:
            more = inputs["reward"]
            self._reward = self._reward + (np.where(self._over == 0, more, 0) if self._unsteady else more)
        if "status" in new:
            self._listen(inputs["status"])
        if "observation" not in new:
            return None
        rows = self._complete(inputs["observation"], inputs["action"]) if self._heard else None
        if self._heard and self._unsteady:
            self._follow()
        self._before, self._reward = inputs["observation"], np.zeros(self.lanes.count, np.float32)
        self._heard = False
        return rows

    def _listen(self, flags: np.ndarray) -> None:
        """Note what a status says of the time since the last observation."""
        steady = calm(flags)
        self.steps += count_steps(flags)
        if self._unsteady or not steady or not self._all_kept:
            if not (self._heard and self._unsteady):
                self._made, self._over = np.full(self.lanes.count, self._heard), np.zeros(self.lanes.count, np.int64)
                self._begun = np.zeros(self.lanes.count, bool)
            self._made = self._made | is_step(flags) & (self._over == 0)
            self._over = np.where(self._over == 0, flags & (TERMINATED | TRUNCATED), self._over)
            self._begun = begins(flags) | (self._begun & is_step(flags) & ~ended(flags))
            self._unsteady = True
        self._flags, self._heard = flags, True

    def _complete(self, observation: np.ndarray, action: np.ndarray) -> Rows | None:
        before, linked = self._before, self._linked
        if before is None:
            return None
        if self._all_kept and not self._unsteady:  # the ordinary step
            self._linked = self._all
            no = ~self._all
            return Rows(self._everyone, before, action, self._reward, observation, no, no, self._all, linked)
        made, over = self._kept & self._made, self._over
        seen = ended(self._flags) & ~begins(self._flags)  # [lanes] is this observation the last of its episode?
        lost = made & (over == TRUNCATED) & ~seen
        if lost.any():
            self._refuse(lost)
            made &= ~lost
        self._linked = made & (over == 0)
        if not made.any():
            return None
        lane = np.flatnonzero(made)
        return Rows(lane, before[lane], action[lane], self._reward[lane], observation[lane],
                    (over[lane] & TERMINATED) != 0, over[lane] != 0, (over == 0)[lane] | seen[lane], linked[lane])

    def _refuse(self, lost: np.ndarray) -> None:
        if self.unfinished == "error":
            lane = int(self.lanes.numbers[int(np.flatnonzero(lost)[0])])
            raise PortError(f"lane {lane} was truncated and begun anew before the next observation, so nobody saw what "
                            "came after its last step. Let the body restart at the next tick (restart: next_tick) and "
                            "observe every tick, or let the learner leave such steps out (unfinished: drop)")

    def _follow(self) -> None:
        """Note where a step may follow the observation that just came."""
        self._kept = self._begun | (self._kept & (self._over == 0) & is_step(self._flags))
        self._all_kept = bool(self._kept.all())
        self._unsteady = False

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"kept": self._kept.copy(), "reward": self._reward.copy(), "flags": self._flags.copy(),
                                 "heard": self._heard, "unsteady": self._unsteady, "made": self._made.copy(),
                                 "over": self._over.copy(), "begun": self._begun.copy(),
                                 "linked": self._linked.copy(), "steps": self.steps}
        return state if self._before is None else {**state, "before": self._before.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept, self._reward = np.array(state["kept"], bool), np.array(state["reward"], np.float32)
        self._flags, self._heard = np.array(state["flags"], np.int64), bool(state["heard"])
        self._unsteady, self._made = bool(state["unsteady"]), np.array(state["made"], bool)
        self._linked, self.steps = np.array(state["linked"], bool), int(state["steps"])
        self._over, self._begun = np.array(state["over"], np.int64), np.array(state["begun"], bool)
        self._before = np.array(state["before"]) if "before" in state else None
        self._all_kept = bool(self._kept.all())
