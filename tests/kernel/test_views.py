"""A sender that publishes a view of its own buffer changes nothing afterwards; wrong forms are told at any time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import PortError
from stimloop.loops.loop import Loop
from stimloop.loops.node import own
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

TICK = 1_000_000


class Reuser(Component):
    """Writes each value into one buffer and publishes a view of it."""

    def __init__(self, odd: str = "") -> None:
        self.period, self.odd = TICK, odd
        self.inputs = {}
        self.outputs = {"value": Port("count", (2,))}
        self.buffer = np.zeros((1, 4), np.float32)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        self.buffer[:] = now / TICK
        late = now > 150 * TICK
        if late and self.odd == "shape":
            return {"value": np.zeros((1, 3), np.float32)}
        if late and self.odd == "dtype":
            return {"value": np.zeros((1, 2))}
        if late and self.odd == "list":
            return {"value": [[1.0, 2.0]]}
        return {"value": self.buffer[:, :2]}


class Ear(Component):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.inputs = {"value": Port("count", (2,), wakes=True)}
        self.outputs = {}
        self.heard: list[tuple[int, float]] = []

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        if "value" in inputs.new:
            self.heard.append((now // TICK, float(inputs["value"][0, 0])))
        return {}


def test_a_delayed_value_is_what_was_published_then() -> None:
    loop = Loop(System({"sender": Part(Reuser), "ear": Part(Ear, {"value": Source("sender", "value", 3 * TICK)})}))
    loop.run(200 * TICK)
    assert loop.components["ear"].heard == [(t, float(t - 3)) for t in range(3, 200)]


@pytest.mark.parametrize(("odd", "what"), [("shape", "shape"), ("dtype", "float64"), ("list", "list")])
def test_a_wrong_form_is_told_after_any_number_of_values(odd: str, what: str) -> None:
    loop = Loop(System({"sender": Part(lambda: Reuser(odd)), "ear": Part(Ear, {"value": Source("sender", "value")})}))
    with pytest.raises(PortError, match=what):
        loop.run(200 * TICK)


def test_a_view_of_a_frozen_array_is_passed_on_as_it_is() -> None:
    frozen = np.zeros((2, 3))
    frozen.setflags(write=False)
    view = frozen[:, :2]
    assert own(view) is view
    assert own(frozen) is frozen
    open_array = np.arange(6.0)
    assert not np.shares_memory(own(open_array[:3]), open_array)
    assert own(np.frombuffer(bytearray(8), np.float32)).base is None  # memory that is no array may change at any time
