"""From what a learner hears, tick after tick, to transitions: the one place where this step's off-by-one lives.

At an instant t a learner holds the observation, reward and status of t, and the action that was in force until t: what
the policy said about the observation before. So one observation is kept back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs
from ...loops.errors import PortError
from ...loops.lanes import Lanes
from ...loops.status import TERMINATED, TRUNCATED, begins, calm, ended, is_step

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

    def __len__(self) -> int:
        return len(self.lane)


class Transitions:
    """Makes transitions of what arrives; FIRST and WAITING make none.

    Reward and status may arrive before the observation they belong to (a delayed sensor): they are kept until it does.
    An episode that is truncated and begun anew within one instant (`restart: at_once`) has no successor: an error,
    unless `unfinished` says to drop that step.
    """

    def __init__(self, lanes: Lanes, unfinished: Unfinished = "error") -> None:
        self.lanes, self.unfinished = lanes, unfinished
        self._everyone = np.arange(lanes.count)
        self.forget()

    def forget(self) -> None:
        """Return to before the first observation."""
        count = self.lanes.count
        self._before: np.ndarray | None = None  # [lanes, ...] the observation kept back
        self._kept = np.zeros(count, bool)  # [lanes] is it one that a step may follow?
        self._all_kept = False
        self._reward = np.zeros(count, np.float32)  # [lanes] since that observation
        self._flags = np.zeros(count, np.int64)  # [lanes] of the latest status
        self._heard = False  # has a status come since that observation?

    def take(self, inputs: Inputs) -> Rows | None:
        """Take what arrived at one instant; return the steps that it completes, or None."""
        new = inputs.new
        if "reward" in new:
            self._reward = self._reward + inputs["reward"]
        if "status" in new:
            self._flags, self._heard = inputs["status"], True
        if "observation" not in new:
            return None
        rows = self._complete(inputs["observation"], inputs["action"]) if self._heard else None
        self._before, self._reward = inputs["observation"], np.zeros(self.lanes.count, np.float32)
        if self._heard:
            self._follow(self._flags)
        self._heard = False
        return rows

    def _complete(self, observation: np.ndarray, action: np.ndarray) -> Rows | None:
        flags, before = self._flags, self._before
        if before is None:
            return None
        if self._all_kept and calm(flags):  # the ordinary step
            no = np.zeros(self.lanes.count, bool)
            return Rows(self._everyone, before, action, self._reward, observation, no, no)
        made = self._kept & is_step(flags)
        lost = made & begins(flags) & ((flags & (TERMINATED | TRUNCATED)) == TRUNCATED)
        if lost.any():
            self._refuse(lost)
            made &= ~lost
        if not made.any():
            return None
        lane = np.flatnonzero(made)
        flags = flags[lane]
        return Rows(lane, before[lane], action[lane], self._reward[lane], observation[lane],
                    (flags & TERMINATED) != 0, ended(flags))

    def _refuse(self, lost: np.ndarray) -> None:
        if self.unfinished == "error":
            lane = int(self.lanes.numbers[int(np.flatnonzero(lost)[0])])
            raise PortError(f"lane {lane} was truncated and begun anew in one instant, so nobody saw what came after "
                            "its last step. Let the body restart at the next tick (restart: next_tick), or let the "
                            "learner leave such steps out (unfinished: drop)")

    def _follow(self, flags: np.ndarray) -> None:
        """Note where a step may follow the observation that just came."""
        if calm(flags):
            self._kept = self._kept.copy()  # what ran runs on
        else:
            self._kept = np.where(begins(flags), True, self._kept & is_step(flags) & ~ended(flags))
        self._all_kept = bool(self._kept.all())

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"kept": self._kept.copy(), "reward": self._reward.copy(), "flags": self._flags.copy(),
                                 "heard": self._heard}
        return state if self._before is None else {**state, "before": self._before.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept, self._reward = np.array(state["kept"], bool), np.array(state["reward"], np.float32)
        self._flags, self._heard = np.array(state["flags"], np.int64), bool(state["heard"])
        self._before = np.array(state["before"]) if "before" in state else None
        self._all_kept = bool(self._kept.all())
