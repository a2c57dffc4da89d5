"""How long each contact has been at zero: which of them have rested, so that their phases are over."""

from __future__ import annotations

from typing import Any

import numpy as np


class Rests:
    """Adds up times at zero [lanes, channels], as far as they count for a rest of `rest` ns."""

    def __init__(self, shape: tuple[int, int], rest: int) -> None:
        self._rest = np.full(shape, float(max(rest, 1)))  # a pause of no time is none
        self._ones = np.ones(shape)
        self.time = self._rest.copy()  # ns at zero
        self.count = 0  # contacts that are at zero
        self._silent = self._ones  # [lanes, channels] 1.0: at zero
        self.over = False  # have all that are at zero rested, as has been told?

    def add(self, span: np.ndarray) -> np.ndarray | None:
        """Add a time [lanes, channels] in which no contact changed; return where it makes a rest, None for nowhere."""
        self.time += span
        self.time *= self._silent
        rested = self.time >= self._rest
        count = np.count_nonzero(rested)
        self.over = count == self.count
        return rested if count else None

    def turn(self, flows: np.ndarray) -> None:
        """Note which contacts are at zero from now on, where 1.0 [2, lanes, channels] flows."""
        count = self._ones.size - int(np.count_nonzero(flows))
        if count:
            up, down = flows
            silent = self._ones - up
            silent -= down
            if not self.count or silent.tobytes() != self._silent.tobytes():
                self._silent, self.over = silent, False
        elif self.count:
            self.over = False
            self.time.fill(0.0)
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        np.minimum(self.time, self._rest, out=self.time)  # whatever is longer is a rest
        return {"time": self.time.copy()}

    def load_state_dict(self, state: dict[str, Any], flows: np.ndarray) -> None:
        self.time, self.count, self.over = np.array(state["time"], np.float64), 0, False
        self.turn(flows)
