"""Currents in both directions: of each contact with the sign of its command, and against it."""

from __future__ import annotations

import numpy as np


class Flow:
    """Amplitudes in both directions [2, lanes, channels]: `flow`, and `flows`, 1.0 where it is above zero."""

    __slots__ = ("_down", "_up", "_zeros", "flow", "flows", "pattern")

    def __init__(self, flow: np.ndarray) -> None:
        self.flow = flow
        self._up, self._down = flow
        self._zeros = np.zeros(flow.shape)
        self.look()

    def take(self, wanted: np.ndarray) -> float:
        """Become these amplitudes [lanes, channels]; return the largest (NaN where any is)."""
        self._up[...] = wanted
        np.negative(self._up, out=self._down)
        self.flows = np.heaviside(self.flow, self._zeros)
        self.pattern = self.flows.tobytes()
        return self.flow.item(self.flow.argmax())

    def look(self) -> None:
        """Find out anew what flows; `pattern` is that for comparing."""
        self.flows = np.heaviside(self.flow, self._zeros)
        self.pattern = self.flows.tobytes()


def most(values: np.ndarray) -> float:
    """The largest value, or NaN where there is any (quicker than the method max)."""
    return values.item(values.argmax())


def is_full(used: np.ndarray, flow: np.ndarray, cap: np.ndarray) -> np.ndarray:
    """Would one more nanosecond be too much? (An amplitude that vanishes beside `used` must not go on for ever.)"""
    return (used + flow > cap) | (used >= cap)


def time_to(cap: np.ndarray, used: np.ndarray, flow: np.ndarray, work: np.ndarray) -> float:
    """Whole nanoseconds for which everything that flows may go on: `used + flow * time` stays within `cap`.

    All are [2, lanes, channels]; `work` is overwritten. Infinite where nothing flows.
    """
    work.fill(np.inf)
    np.divide(cap - used, flow, out=work, where=flow > 0)
    first = work.argmin()
    least = work.item(first) // 1 if work.item(first) < np.inf else np.inf
    if least < np.inf and used.item(first) + flow.item(first) * least > cap.item(first):  # it was rounded up
        least -= 1.0
    return least
