"""The limiter's log: one event for each contact that a rule touched, and for each warning level newly passed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.events import Events
from .phase_meter import PhaseMeter
from .stimulation_limits import Rule

_LARGEST = float(np.finfo(np.float32).max)


class DecisionLog:
    """Remembers which rules and warnings hold at each contact, so that only what is new becomes an event.

    `amplitudes` and `charges` are warning levels (rule, level [channels]); `total` is one for the sum of a lane.
    """

    def __init__(self, lanes: int, channels: int, amplitudes: list[tuple[Rule, np.ndarray]],
                 charges: list[tuple[Rule, np.ndarray]], total: float | None) -> None:
        self.amplitudes, self.charges, self.total = amplitudes, charges, total
        self.codes = [rule for rule, _ in (*charges, *amplitudes)] + ([Rule.WARN_SUM_PEAK] if total is not None else [])
        self.rule = np.zeros((lanes, channels), np.int16)  # [lanes, channels] in force
        self.noted = np.zeros((len(self.codes), lanes, channels), bool)  # warning levels passed
        self.clean = True  # does no rule and no warning hold anywhere?
        self.empty = Events.empty((3,))
        self._rows: list[tuple[tuple[np.ndarray, ...], np.ndarray]] = []  # of this step: where, and which code

    def observe(self, meter: PhaseMeter) -> None:
        """Look at the charges delivered so far, before a new phase may begin."""
        for i, (rule, level) in enumerate(self.charges):
            self._note(i, _charge(meter, rule) > level)

    def decide(self, now: int, asked: np.ndarray, given: np.ndarray, rule: np.ndarray, new: bool,
               meter: PhaseMeter) -> Events:
        """Return the events of this step; `rule` [lanes, channels] says what changed `asked` into `given`."""
        told = rule != 0
        changed = bool(np.count_nonzero(told))
        if not new:
            told &= rule != self.rule
        self.rule = rule
        if np.count_nonzero(told):
            self._rows.append((np.nonzero(told), rule[told]))
        for i, (code, level) in enumerate(self.charges):
            self.noted[i] &= _charge(meter, code) > level  # a new phase may pass the level anew
        first = len(self.charges)
        for i, (_, level) in enumerate(self.amplitudes):
            self._note(first + i, np.abs(given) > level)
        if self.total is not None:
            over = np.abs(given).sum(axis=1, dtype=np.float64) > self.total  # [lanes]
            self._note(len(self.codes) - 1, over[:, None] & (given != 0))
        self.clean = not (changed or np.count_nonzero(self.noted))
        if not self._rows:
            return self.empty
        if len(self._rows) == 1:
            (lane, channel), codes = self._rows[0]
        else:
            lane, channel = (np.concatenate([where[axis] for where, _ in self._rows]) for axis in (0, 1))
            codes = np.concatenate([code for _, code in self._rows])
        self._rows = []
        value = np.empty((lane.size, 3), np.float32)
        value[:, 0] = np.clip(np.where(np.isnan(asked[lane, channel]), 0.0, asked[lane, channel]), -_LARGEST, _LARGEST)
        value[:, 1] = given[lane, channel]
        value[:, 2] = codes
        return Events.of(np.full(lane.size, now, np.int64), lane, channel, value)

    def _note(self, i: int, passed: np.ndarray) -> None:
        fresh = passed & ~self.noted[i]
        self.noted[i] = passed
        if np.count_nonzero(fresh):
            self._rows.append((np.nonzero(fresh), np.full(int(np.count_nonzero(fresh)), self.codes[i])))

    def state_dict(self) -> dict[str, Any]:
        return {"rule": self.rule.copy(), "noted": self.noted.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rule, self.noted = np.array(state["rule"], np.int16), np.array(state["noted"], bool)
        self.clean = not (self.rule.any() or self.noted.any())
        self._rows = []


def _charge(meter: PhaseMeter, rule: Rule) -> np.ndarray:
    return meter.phase_charge() if rule == Rule.WARN_CHARGE_PER_PHASE else np.abs(meter.net)
