"""A brain for runs that are killed or run for long: memory, random numbers, spikes, a buffer, and faults to find."""

from __future__ import annotations

import mmap
import os
import threading
from typing import Any, Literal

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.status import status_input

NEURONS = 16
BUFFER = 20_000  # rows


class Brain(Component):
    """Follows its observation with noise, spikes, and keeps what it saw in a buffer that fills up and wraps.

    The file that TOLD names in the environment holds the instant of its last step, for whoever kills the process.

    Args:
        fault: what is wrong with it, so that a proof has something to notice.
    """

    random = True

    def __init__(self, fault: Literal["", "forgets", "leaks memory", "leaks files", "leaks threads"] = "") -> None:
        self.fault = fault
        self.leaked: list[Any] = []
        self.inputs = {"observation": Port("what is seen", (None,), wakes=True), "status": status_input(),
                       "current": Port("current", (NEURONS,), units="uA", guarded=True, reads="mean")}
        self.outputs = {"action": Port("push", (2,), low=-1.0, high=1.0),
                        "spikes": Port("spikes", (0,), kind="event", indices=NEURONS)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.weights = np.random.default_rng(seed).standard_normal((self.inputs["observation"].shape[0], 2))
        self.told: np.ndarray | None = None
        if "TOLD" in os.environ and lanes.count > 1:  # the loop itself, not the one that evaluates
            with open(os.environ["TOLD"], "r+b") as file:
                self.told = np.ndarray(1, np.int64, mmap.mmap(file.fileno(), 8))
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.draw = LaneRandom(seed, self.lanes)
        self.memory = np.zeros((self.lanes.count, 2))
        self.buffer = np.zeros((BUFFER, self.lanes.count, 2), np.float32)
        self.steps = 0

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        drive = inputs["observation"] @ self.weights + inputs["current"].sum(axis=1, keepdims=True)
        self.memory = 0.9 * self.memory + 0.1 * drive + 0.05 * self.draw.normal((2,))
        action = np.tanh(self.memory + self.buffer[self.steps * 7 % BUFFER]).astype(np.float32)
        self.buffer[self.steps % BUFFER] = action
        self.steps += 1
        if self.told is not None:
            self.told[0] = now
        if self.fault.startswith("leaks"):
            self.leak()
        lane, index = np.nonzero(self.draw.uniform((NEURONS,)) < 0.05)
        return {"action": action, "spikes": Events.of(np.full(lane.size, now), lane, index)}

    def leak(self) -> None:
        if self.fault == "leaks memory":
            self.leaked.append(bytes(10_000))
        elif self.steps % 200 == 0 and self.fault == "leaks files":
            self.leaked.append(os.open(os.devnull, os.O_RDONLY))
        elif self.steps % 200 == 0:
            self.leaked.append(threading.Thread(target=threading.Event().wait, daemon=True))
            self.leaked[-1].start()

    def state_dict(self) -> dict[str, Any]:
        buffer = np.zeros_like(self.buffer) if self.fault == "forgets" else self.buffer.copy()
        return {"draw": self.draw.state_dict(), "memory": self.memory.copy(), "buffer": buffer, "steps": self.steps,
                "learned": {"weights": self.weights.copy()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = np.array(state["learned"]["weights"])
        if "memory" in state:
            self.draw.load_state_dict(state["draw"])
            self.memory, self.buffer = np.array(state["memory"]), np.array(state["buffer"])
            self.steps = int(state["steps"])
