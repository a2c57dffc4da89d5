"""Toy parts of the spaces assembly: a body with a Dict space, and receivers that learn every size from the wires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stimloop.loops.component import Component, Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom
from stimloop.loops.status import idle, status_input

from .toys import MS, ToyBody

HEIGHT, WIDTH, COLOURS, MODES = 4, 5, 3, 4
GRID = np.arange(HEIGHT * WIDTH * COLOURS).reshape(HEIGHT, WIDTH, COLOURS)
FILM = 50 * MS


def photograph(x: np.ndarray) -> np.ndarray:
    """An image of a place."""  # [lanes, 2] -> [lanes, height, width, colours]
    return ((np.floor(x[:, 0] * 64).astype(np.int64)[:, None, None, None] + 7 * GRID) % 256).astype(np.uint8)


def mode(x: np.ndarray) -> np.ndarray:
    """In which of four quarters a place lies."""  # [lanes, 2] -> [lanes]
    return (x[:, 0] > 0).astype(np.int64) + 2 * (x[:, 1] > 0)


def flat(x: np.ndarray, wind: np.ndarray) -> np.ndarray:
    """All but the image in one vector, as a flattened Dict space."""  # [lanes, 2 + 1 + 4]
    return np.concatenate([x, wind[:, :1], np.eye(MODES, dtype=np.float32)[mode(x)]], axis=1)


class SpacesBody(Component):
    """A toy body seen through a Dict space: one port per key beside the flat observation."""

    def __init__(self) -> None:
        self.world = ToyBody(choices=3)
        self.period = self.world.period
        self.inputs = {**self.world.inputs, "wind": Port("wind", (2,), reads="hold", optional=True)}
        low, high = np.array([-4, -8], np.float32), np.array([4, 8], np.float32)
        self.outputs = {**self.world.outputs, "observation": Port("all but the image", (3 + MODES,)),
                        "observation_arm": Port("place", (2,), low=low, high=high),
                        "observation_goal_wind": Port("wind felt", (1,)),
                        "observation_mode": Port("quarter", choices=MODES),
                        "observation_camera": Port("image", (HEIGHT, WIDTH, COLOURS), ("height", "width", "colour"),
                                                   dtype="uint8", low=0, high=255)}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.world.build(lanes, seed)

    def reset(self, seed: int) -> None:
        self.world.reset(seed)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        out = self.world.step(now, inputs)
        if not out:
            return {}
        x, wind = out["observation"], inputs.get("wind", np.zeros((self.lanes.count, 2), np.float32))
        return {**out, "observation": flat(x, wind), "observation_arm": x, "observation_goal_wind": wind[:, :1].copy(),
                "observation_mode": mode(x), "observation_camera": photograph(x)}

    def state_dict(self) -> dict[str, Any]:
        return self.world.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.world.load_state_dict(state)


class Wind(Component):
    """Noise of whatever width its receiver has."""

    random = True

    def __init__(self) -> None:
        self.period = 30 * MS
        self.inputs = {}
        self.outputs = {"output": Port("wind", (None,))}

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.draws = LaneRandom(seed, self.lanes)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"output": self.draws.normal(self.outputs["output"].shape).astype(np.float32)}

    def state_dict(self) -> dict[str, Any]:
        return {"draws": self.draws.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.draws.load_state_dict(state["draws"])


class Half(Component):
    """Passes on half of what it gets, whatever its width."""

    def __init__(self) -> None:
        self.inputs = {"input": Port("anything", ("n",), wakes=True)}
        self.outputs = {"output": Port("half of it", ("n",))}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"output": np.float32(0.5) * inputs["input"]} if "input" in inputs.new else {}


class Eye(Component):
    """Pools an image of any size: one number a colour."""

    def __init__(self) -> None:
        self.inputs = {"camera": Port("image", ("height", "width", "colours"), dtype="uint8", low=0, high=255,
                                      wakes=True)}
        self.outputs = {"pooled": Port("mean of each colour", ("colours",), low=0, high=1)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "camera" not in inputs.new:
            return {}
        total = inputs["camera"].sum(axis=(1, 2), dtype=np.int64)
        pixels = self.inputs["camera"].shape[0] * self.inputs["camera"].shape[1]
        return {"pooled": (total / (255 * pixels)).astype(np.float32)}


class Chooser(Component):
    """Chooses among as many actions as the body has, from everything it is shown."""

    def __init__(self) -> None:
        self.inputs = {"observation": Port("vector", (None,), wakes=True), "arm": Port("place", (None,)),
                       "mode": Port("quarter", dtype="int64"), "pooled": Port("colours", (None,)),
                       "status": status_input()}
        self.outputs = {"action": Port("choice", dtype="int64"), "width": Port("numbers seen", dtype="int64")}

    def infer(self) -> None:
        choices = min((port.choices for port in self.peers.get("action", [])), default=0)
        self.outputs["action"] = Port("choice", choices=choices) if choices else self.outputs["action"]
        if "mode" in self.peers_in:
            self.inputs["mode"] = replace(self.inputs["mode"], choices=self.peers_in["mode"].choices)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "observation" not in inputs.new:
            return {}
        seen = [inputs["observation"], inputs["arm"], inputs["pooled"]]
        total = sum(value[:, i] for value in seen for i in range(value.shape[1]))
        choice = (np.floor(total * 16).astype(np.int64) + inputs["mode"]) % self.outputs["action"].choices
        width = np.full(len(choice), sum(value.shape[1] for value in seen) + self.inputs["mode"].choices)
        return {"action": np.where(idle(inputs["status"]), 0, choice), "width": width}


class Film(Component):
    """Looks at every image of a faster camera, and at the quarter that was held."""

    def __init__(self) -> None:
        self.period = FILM
        self.inputs = {"camera": Port("image", (None, None, None), dtype="uint8", reads="all", also=("hold", "mean")),
                       "mode": Port("quarter", choices=MODES, reads="hold")}
        self.outputs = {"light": Port("light since the previous step", dtype="int64"),
                        "frames": Port("images", dtype="int64"), "mode": Port("quarter", choices=MODES)}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        rows = inputs["camera"]
        edges = [inputs.previous or 0, *(arrival for arrival, _ in rows[1:]), now]
        light = sum((end - begin) * image.sum(axis=(1, 2, 3), dtype=np.int64)
                    for (_, image), begin, end in zip(rows, edges[:-1], edges[1:], strict=True))
        return {"light": light, "frames": np.full(len(light), len(rows)), "mode": inputs["mode"]}


class Bounds(Component):
    """Takes over, element by element, the bounds of what it is wired to, and says them anew each time it is asked."""

    def __init__(self) -> None:
        self.inputs = {"input": Port("anything", ("n",), wakes=True)}
        self.outputs = {"output": Port("the same", ("n",))}

    def infer(self) -> None:
        sender = self.peers_in["input"]
        self.outputs["output"] = replace(self.outputs["output"], low=np.array(sender.low), high=np.array(sender.high))

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"output": inputs["input"]}
