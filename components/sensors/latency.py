"""How late stimulation comes, measured where it is felt."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.status import idle, status_input
from ...loops.time import MILLISECOND


class Latency(Component):
    """Measures how old the command is that a brain feels when it acts: the effective latency of stimulation.

    Every command has the time at which its sender published it, which is that of the observation it answers where
    the sender answers within the instant, as a coprocessor without a period does. Each tick of the brain then says
    how much time has passed. So delays, waiting for the next tick, and ticks at which nothing new has come are all in
    it, and nothing is taken from the description of the loop.

    Wire `sent` to the sender, `delivered` like the input at which the late command arrives
    (`{delivered: {like: limiter.command}}` follows every variant and sweep), and `tick` to what the brain publishes at
    each of its ticks. Commands are told apart by their order, and by their content where some are lost on the way.
    Ticks in which every lane rests, and those before the first delivery, count for nothing; what is still on its way
    when an episode ends is felt in the next one, as old as it is.

    A command that was never sent, because something between the two changed it, has no age: it is counted as `strange`,
    and until the next one that was sent ticks count for nothing.
    """

    def __init__(self) -> None:
        self.inputs = {
            "sent": Port("command as its sender publishes it", ("channel",), axes=("electrode",), wakes=True),
            "delivered": Port("the same command where it arrives", ("channel",), axes=("electrode",), wakes=True),
            "tick": Port("what the brain publishes whenever it ticks", ("tick",), wakes=True),
            "status": status_input(optional=True),
        }
        number: dict[str, Any] = {"per_lane": False, "dtype": "float64", "low": 0, "units": "ms"}
        self.outputs = {
            "age": Port("age of the command that the brain feels at this tick", (), **number),
            "first": Port("age of a command at the first tick that feels it, mean so far", (), **number),
            "mean": Port("age of the command felt at a tick, mean of all ticks so far", (), **number),
            "strange": Port("commands so far that arrived and were never sent", (), per_lane=False, dtype="int64",
                            low=0),
            "ticks": Port("ticks so far at which a command was felt", (), per_lane=False, dtype="int64", low=0),
        }

    @classmethod
    def example(cls) -> Latency:
        return cls()

    def build(self, lanes: Lanes, seed: int) -> None:
        """Begin with nothing on its way."""
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget every command."""
        size = self.inputs["sent"].full_shape(self.lanes.count)
        self._times = np.zeros(0, np.int64)  # [commands on their way] when each was sent, in order
        self._commands = np.zeros((0, *size), np.float32)  # [commands on their way, lanes, channels]
        self._felt: int | None = None  # when the command in force was sent
        self._strange = 0
        self._fresh = False  # has no tick felt it yet?
        self._count, self._total, self._firsts, self._first_total = 0, 0, 0, 0  # ticks, ns, commands felt, ns

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Note what is sent and what arrives; at a tick of the brain say how old it is."""
        if "sent" in inputs.new:
            self._times = np.append(self._times, now)
            self._commands = np.concatenate([self._commands, inputs["sent"][None]])
        if "delivered" in inputs.new and not self._arrive(inputs["delivered"]):
            self._strange, self._felt = self._strange + 1, None
            return {"strange": np.int64(self._strange)}
        rests = "status" in inputs and bool(idle(inputs["status"]).all())
        if "tick" not in inputs.new or self._felt is None or rests:
            return {}
        return self._tell(now - self._felt)

    def _arrive(self, command: np.ndarray) -> bool:
        """Find when a command was sent: the oldest on its way with this content; those before it were lost."""
        alike = np.flatnonzero((self._commands == command).all(axis=(1, 2)))
        if not len(alike):
            return False
        self._felt, self._fresh = int(self._times[alike[0]]), True
        self._times, self._commands = self._times[alike[0] + 1:], self._commands[alike[0] + 1:]
        return True

    def _tell(self, age: int) -> dict[str, Any]:
        self._count, self._total = self._count + 1, self._total + age
        if self._fresh:
            self._firsts, self._first_total, self._fresh = self._firsts + 1, self._first_total + age, False
        return {"age": np.float64(age / MILLISECOND), "ticks": np.int64(self._count),
                "mean": np.float64(self._total / self._count / MILLISECOND),
                "first": np.float64(self._first_total / self._firsts / MILLISECOND)}

    def state_dict(self) -> dict[str, Any]:
        return {"times": self._times.copy(), "commands": self._commands.copy(), "felt": -1 if self._felt is None
                else self._felt, "fresh": self._fresh, "count": self._count, "total": self._total,
                "firsts": self._firsts, "first_total": self._first_total, "strange": self._strange}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "times" not in state:
            return
        self._times, self._commands = np.array(state["times"], np.int64), np.array(state["commands"], np.float32)
        self._felt, self._fresh = None if state["felt"] < 0 else int(state["felt"]), bool(state["fresh"])
        self._count, self._total = int(state["count"]), int(state["total"])
        self._firsts, self._first_total = int(state["firsts"]), int(state["first_total"])
        self._strange = int(state["strange"])
