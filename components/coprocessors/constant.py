"""A coprocessor that always commands the same: the first control of every stimulation experiment."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.files import Weights
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import calm, idle, status_input
from ...loops.storage import artifact
from ...loops.time import Period
from ..parts import flags


class Constant(Component):
    """Commands the same at every step, and nothing in lanes where nobody acts.

    Args:
        command: one number for all channels, one for each, or the artifact of a constant kept by a study.
        period: time between commands; left out, one per observation (or status) that arrives.
    """

    def __init__(self, *, command: float | list[float] | Weights = 0.0, period: Period | None = None) -> None:
        self.given, self.period = command, period
        if isinstance(command, str):
            self.given = _kept(command)
        size = len(self.given) if isinstance(self.given, list) else "channel"
        self.inputs = {
            "observation": Port("what happens; only its coming counts", ("observation",), wakes=period is None,
                                optional=True),
            "status": status_input(wakes=True, optional=True),
        }
        told = np.append(np.asarray(self.given, np.float32), np.float32(0))  # a lane where nobody acts gets zero
        self.outputs = {"command": Port("what each channel is to deliver", (size,), axes=("electrode",),
                                        low=float(told.min()), high=float(told.max()))}

    @classmethod
    def example(cls) -> Constant:
        return cls(command=[1.0, -1.0])

    def build(self, lanes: Lanes, seed: int) -> None:
        """Spread the command over the channels."""
        super().build(lanes, seed)
        channels = int(self.outputs["command"].shape[0])  # type: ignore[arg-type]
        self.command = np.broadcast_to(np.asarray(self.given, np.float32), (channels,)).copy()  # [channels]
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Command nothing yet."""
        self._spread()
        self._last = np.zeros((self.lanes.count, self.command.size), np.float32)  # what was commanded last

    def _spread(self) -> None:
        """Lay the command out over the lanes once: it is published as it is, tick after tick."""
        self._everywhere = np.repeat(self.command[None], self.lanes.count, axis=0)  # [lanes, channels]
        self._everywhere.setflags(write=False)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Command; between two commands only fall silent where an episode ended."""
        fresh = bool(inputs.new) or now == 0 if self.period is None else flags.due(self.period, now)
        command = self._everywhere if fresh else self._last  # [lanes, channels]
        status = inputs.get("status")
        if status is not None and not calm(status) and (rest := idle(status)).any():
            command = np.where(rest[:, None], np.float32(0), command)
        if not fresh and np.array_equal(command, self._last):
            return {}
        self._last = command
        return {"command": command}

    def state_dict(self) -> dict[str, Any]:
        return {"last": self._last.copy(), "learned": {"command": self.command.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "last" in state:
            self._last = np.array(state["last"], np.float32)
        if "learned" in state:
            artifact.check({"command": self.command}, state["learned"], "coprocessors.constant")
            self.command = np.array(state["learned"]["command"], np.float32)
            self._spread()


def _kept(path: str) -> list[float]:
    """Return the command that an artifact holds."""
    learned, meta = artifact.load(path)
    if "command" not in learned or learned["command"].ndim != 1:
        raise AssemblyError([Problem(f"holds no command (it was made by {meta.get('type')})", path,
                                     "Give numbers, or the artifact of a coprocessors.constant.")])
    return [float(value) for value in learned["command"]]
