"""Sizes flow along wires, in both directions and through components; what stays unknown is an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stimloop.components.basics.silence import Silence
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.external import External
from stimloop.loops.graph import Graph, check
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

from .small import loop_of, part, steps


def graph(**parts: Part) -> Graph:
    return check(System(parts, name="test"))


def sizes(found: Graph, address: str) -> tuple[Any, ...]:
    name, key = address.split(".")
    component = found.components[name]
    return (component.inputs.get(key) or component.outputs[key]).sizes


def link(source: str, left: tuple[Any, ...] = ("n",), right: tuple[Any, ...] = ("n",), **facts: Any) -> Part:
    return part({"in": Port("in", left, wakes=True)}, {"out": Port("out", right)}, wired={"in": source}, **facts)


def test_sizes_flow_forward_through_a_chain() -> None:
    found = graph(body=part({}, {"out": Port("o", (7,))}, None, 10), c=link("b.out"), b=link("body.out"),
                  ear=part({"in": Port("i", (None,))}, {}, None, 10, {"in": "c.out"}))
    assert sizes(found, "b.out") == sizes(found, "c.in") == sizes(found, "ear.in") == (7,)


def test_sizes_flow_backward_through_a_chain() -> None:
    found = graph(brain=part({}, {"out": Port("o", (None,))}, None, 10), b=link("brain.out"), c=link("b.out"),
                  body=part({"in": Port("i", (3,))}, {}, None, 10, {"in": "c.out"}))
    assert sizes(found, "brain.out") == sizes(found, "b.in") == (3,)


def test_the_same_name_is_the_same_size_on_every_port_of_a_component() -> None:
    middle = part({"x": Port("x", ("n", 2)), "y": Port("y", ("n",), optional=True)},
                  {"square": Port("s", ("n", "n")), "other": Port("o", ("m",))}, None, 10, {"x": "a.out"})
    found = graph(a=part({}, {"out": Port("o", (4, 2))}, None, 10), middle=middle,
                  ear=part({"in": Port("i", (9,))}, {}, None, 10, {"in": "middle.other"}))
    assert sizes(found, "middle.square") == (4, 4)
    assert sizes(found, "middle.y") == (4,)
    assert sizes(found, "middle.other") == (9,)


def test_two_sizes_for_one_name_disagree() -> None:
    middle = part({"x": Port("x", ("n",)), "y": Port("y", ("n",))}, {}, None, 10, {"x": "a.out", "y": "b.out"})
    with pytest.raises(AssemblyError,
                       match=r"middle.inputs.y: shape \(4,\) is wired to b.out of shape \(5,\)\n  Change"):
        graph(a=part({}, {"out": Port("o", (4,))}, None, 10), b=part({}, {"out": Port("o", (5,))}, None, 10),
              middle=middle)


def test_the_number_of_event_indices_flows_too() -> None:
    found = graph(brain=part({}, {"spikes": Port("s", (0,), kind="event", indices=80)}, None, 10),
                  decoder=part({"spikes": Port("s", (0,), kind="event", indices="n")}, {"rates": Port("r", ("n",))},
                               None,
                               10, {"spikes": "brain.spikes"}))
    assert sizes(found, "decoder.rates") == (80,)


def test_what_remains_unknown_is_an_error_that_names_the_port() -> None:
    with pytest.raises(AssemblyError) as error:
        graph(brain=part({"in": Port("i", ("n",), optional=True)}, {"out": Port("o", ("n",)),
                                                                    "rates": Port("r", (None,))},
                         None, 10), ear=part({"in": Port("i", (None,))}, {}, None, 10, {"in": "brain.out"}))
    assert str(error.value) == """\
test: brain: the size of brain.out, brain.rates, ear.in is not known
  Wire it to something of known size: an output to what hears it, such as a body, an input to what says it. Few \
components take their size as a parameter."""


def test_silence_hides_no_size_that_stays_unknown() -> None:
    """It keeps a wire without listening, so that nothing says how wide the sender is."""
    with pytest.raises(AssemblyError, match=r"brain: the size of brain.out is not known\n") as error:
        graph(brain=part({}, {"out": Port("o", (None,))}, None, 10), quiet=Part(Silence, {"x": Source("brain", "out")}))
    assert len(error.value.problems) == 1


def test_an_unknown_size_far_from_another_problem_is_told_with_it() -> None:
    body = part({}, {"out": Port("o", (3,))}, None, 10)
    lonely = part({"in": Port("i", (3,))}, {"out": Port("o", (None,))}, None, 10, {"in": "body.out"})
    clash = part({"in": Port("i", (4,))}, {"out": Port("o", (None,))}, None, 10, {"in": "body.out"})
    with pytest.raises(AssemblyError) as error:
        graph(body=body, lonely=lonely, clash=clash)
    assert [problem.where for problem in error.value.problems] == ["clash.inputs.in", "lonely"]


def test_unknown_sizes_in_messages_are_question_marks() -> None:
    with pytest.raises(AssemblyError, match=r"shape \(\?, 3\) is wired to a.out of shape \(4,\)"):
        graph(a=part({}, {"out": Port("o", (4,))}, None, 10),
              b=part({"in": Port("i", (None, 3))}, {}, None, 10, {"in": "a.out"}))


class Joiner(Component):
    """Sizes by arithmetic: as wide as all that is wired to it."""

    open_inputs = True

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"out": Port("joined", (None,))}

    def infer(self) -> None:
        widths = [port.shape[0] for port in self.inputs.values()]
        if widths and all(isinstance(width, int) for width in widths):
            self.outputs["out"] = replace(self.outputs["out"], shape=(sum(widths),))  # type: ignore[arg-type]

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        return {"out": np.concatenate(list(inputs.values()), 1)}


def test_infer_fills_sizes_by_arithmetic_while_they_flow() -> None:
    wired = {"one": "a.out", "two": "b.out"}
    found = graph(a=part({}, {"out": Port("o", (4,))}, None, 10), b=link("body.out"),
                  body=part({}, {"out": Port("o", (3,))}, None, 10),
                  joiner=Part(Joiner, part(wired=wired).inputs), after=link("joiner.out"))
    assert sizes(found, "after.out") == (7,)
    assert found.components["joiner"].peers["out"][0].about == "in"
    assert found.components["joiner"].peers_in["two"].about == "out"


def test_open_ports_are_the_other_ends_without_its_role() -> None:
    guarded = Port("command", ("n",), units="mA", low=-2, high=2, wakes=True, reads="hold", initial=1.0)
    found = graph(quiet=Part(Silence), stimulator=part({"command": guarded}, {"out": Port("o", ("n",))}, None, 10,
                                                       {"command": "quiet.command"}),
                  body=part({"in": Port("in", (2,))}, {}, None, 10, {"in": "stimulator.out"}))
    port = found.components["quiet"].outputs["command"]
    assert (port.shape, port.units, port.low, port.high) == ((2,), "mA", 0, 0)  # silence says nothing but 0
    assert (port.wakes, port.initial, port.guarded, port.reads) == (False, 0.0, False, "now")


def test_an_open_input_wakes_and_offers_every_way_of_reading() -> None:
    seat = Part(External, part(wired={"spikes": "brain.spikes", "rates": "brain.rates"}).inputs)
    found = graph(brain=part({}, {"spikes": Port("s", (0,), kind="event", indices=4), "rates": Port("r", (2,))}, None,
                             10),
                  seat=seat)
    inputs = found.components["seat"].inputs
    assert (inputs["spikes"].indices, inputs["spikes"].wakes, inputs["spikes"].also) == (4, True, ("all",))
    assert (inputs["rates"].shape, inputs["rates"].optional, inputs["rates"].also) == ((2,), True,
                                                                                       ("hold", "mean", "all"))


def test_silence_speaks_zero_and_holds_nothing() -> None:
    quiet = Part(Silence, part(wired={"spikes": "brain.spikes"}).inputs)
    loop = loop_of(lanes=2, brain=part({}, {"spikes": Port("s", (0,), kind="event")}, None, 10), quiet=quiet,
                   ear=part({"in": Port("i", (3,), initial=5.0)}, {}, None, 10, {"in": "quiet.out"}))
    loop.run(31)
    assert [value.tolist() for _, value in steps(loop, "ear", "in")] == [[[0, 0, 0], [0, 0, 0]]] * 4
    assert loop.nodes["quiet"].pipes == []


def test_a_declaration_shared_by_two_instances_is_not_changed() -> None:
    shared = {"in": Port("in", ("n",))}

    class Sharing(Component):
        inputs = shared
        outputs: dict[str, Port] = {}
        period = 10

    found = graph(a=part({}, {"out": Port("o", (4,))}, None, 10), one=Part(Sharing, part(wired={"in": "a.out"}).inputs))
    assert sizes(found, "one.in") == (4,)
    assert shared["in"].shape == ("n",)
