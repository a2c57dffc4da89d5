"""Bounds flow along wires: what is known of a sender is known behind gains, in whatever order they were written."""

from __future__ import annotations

from itertools import permutations

import pytest

from stimloop.components.basics.constant import Constant
from stimloop.components.basics.gain import Gain
from stimloop.loops.graph import check
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

from .small import part

PARTS = {
    "source": part({}, {"value": Port("v", (2,), low=-1, high=1)}, None, 10),
    "one": Part(lambda: Gain(gain=5.0), {"input": Source("source", "value")}),
    "two": Part(lambda: Gain(gain=-2.0, offset=1.0), {"input": Source("one", "output")}),
    "ear": part({"x": Port("x", (2,), wakes=True)}, {}, None, None, {"x": Source("two", "output")}),
}


@pytest.mark.parametrize("order", list(permutations(PARTS)))
def test_bounds_pass_through_a_chain_in_every_order(order: tuple[str, ...]) -> None:
    graph = check(System({name: PARTS[name] for name in order}))
    assert [(port.low, port.high) for port in (graph.components["one"].outputs["output"],
                                               graph.components["two"].outputs["output"])] == [(-5, 5), (-9, 11)]
    assert graph.components["two"].peers_in["input"].high == 5


def test_a_ring_of_gains_is_left_without_bounds() -> None:
    ring = {"a": Part(lambda: Gain(gain=[0.9999, 1.0]), {"input": Source("b", "output", 5)}),
            "b": Part(lambda: Gain(gain=0.9999), {"input": Source("a", "output")})}
    assert check(System(ring)).components["a"].outputs["output"].high == float("inf")


def test_a_constant_says_what_it_will_always_say() -> None:
    system = System({"said": Part(lambda: Constant([2.0, -3.0])),
                     "gain": Part(lambda: Gain(gain=2.0), {"input": Source("said", "x")})})
    port = check(system).components["gain"].outputs["output"]
    assert (port.low, port.high) == (-6, 4)


def test_zero_before_the_first_message_is_within_the_bounds() -> None:
    loop = Loop(System({"said": Part(lambda: Constant([2.0, 3.0], period=10)),
                        "gain": Part(lambda: Gain(gain=2.0), {"input": Source("said", "x", 5)})}))
    loop.run(50)
    assert loop.peek("gain.output").tolist() == [[4.0, 6.0]]
