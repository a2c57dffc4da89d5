"""Every check before a loop is built: what is wrong, where, and how to fix it; all problems told together."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from stimloop.components.basics.silence import Silence
from stimloop.components.parts.roles import Body
from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError, Problems
from stimloop.loops.graph import Graph, check
from stimloop.loops.port import Port
from stimloop.loops.status import status_output
from stimloop.loops.system import Part, Source, System

from .small import part


class Judge(Protocol):
    """Gives a value."""

    gain: float

    def value(self, observation: Any) -> Any:
        """Return it."""


def told(lanes: int = 1, problems: Problems | None = None, **parts: Part) -> list[tuple[str, str, str]]:
    """Return the problems of a system as (where, what, fix)."""
    with pytest.raises(AssemblyError) as error:
        check(System(parts, lanes, name="test.yaml"), problems)
    assert str(error.value).startswith("test.yaml: ")
    return [(p.where, p.what, p.fix) for p in error.value.problems]


def noticed(graph: Graph) -> list[str]:
    return [str(notice) for notice in graph.problems.notices]


def talker(key: str = "value", port: Port | None = None, **more: Any) -> Part:
    return part({}, {key: port or Port("a number", units="mV")}, None, 10, **more)


def ear(source: str | Source = "talker.value", port: Port | None = None, **more: Any) -> Part:
    more.setdefault("period", 10)
    return part({"value": port or Port("a number")}, {}, None, wired={"value": source}, **more)


# -- making ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_made_is_told_with_its_type_and_name() -> None:
    def fail() -> Any:
        raise ValueError("hidden is -3; it must be above 0")

    assert told(brain=Part(fail, type="brains.mlp"), talker=talker()) == [
        ("brain", "brains.mlp cannot be made: hidden is -3; it must be above 0", "")]


def test_a_component_without_ports_is_told() -> None:
    assert told(odd=Part(lambda: object())) == [  # type: ignore[arg-type, return-value]
        ("odd", "declares no ports", "Set self.inputs and self.outputs in __init__.")]


def test_problems_found_earlier_are_told_too() -> None:
    problems = Problems()
    problems.add("unknown type 'brains.mlpp'", "brain.type", 'Did you mean "brains.mlp"?')
    found = told(problems=problems, ear=ear("talker.valu"), talker=talker())
    assert [where for where, *_ in found] == ["brain.type", "ear.inputs.value"]


# -- wires -------------------------------------------------------------------------------------------------------------


def test_unknown_names_come_with_the_nearest() -> None:
    parts = {"talker": talker(), "ear": part({"value": Port("x")}, {}, None, 10, {"vallue": "talker.value"},
                                             type="a.ear")}
    assert told(**parts) == [
        ("ear.inputs.vallue", "a.ear has no input 'vallue'", 'Did you mean "value"?'),
        ("ear", "input 'value' (x) is not wired", "Write for example: ear: {inputs: [{value: component.port}]}")]
    assert told(talker=talker(), ear=ear("tolker.value")) == [
        ("ear.inputs.value", "there is no component 'tolker'", 'Did you mean "talker"?')]
    assert told(talker=talker(), ear=ear("talker.volue")) == [
        ("ear.inputs.value", "talker has no output 'volue'", 'Did you mean "value"?')]


def test_an_unknown_input_from_an_unknown_component_is_two_problems() -> None:
    found = told(talker=talker(), ear=part({}, {}, None, 10, {"valve": "tolker.value"}))
    assert [what for _, what, _ in found] == ["ear has no input 'valve'", "there is no component 'tolker'"]


def test_a_wire_from_something_that_could_not_be_made_is_not_a_second_problem() -> None:
    def fail() -> Any:
        raise ValueError("no")

    assert len(told(talker=Part(fail), ear=ear())) == 1


def test_optional_inputs_and_worlds_to_rehearse_in_may_stay_unwired() -> None:
    world = part({"value": Port("x")}, {}, None, 10, gain=1.0, value=None)
    user = part({}, {}, None, 10, uses={"judge": "world"}, wants={"judge": Use(Judge)})
    check(System({"world": world, "user": user, "lazy": part({"value": Port("x", optional=True)}, {}, None, 10)}))


# -- ports -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right", "what"), [
    (Port("x", (3,)), Port("x", (4,)), "shape (4,) is wired to talker.value of shape (3,)"),
    (Port("x", (3,)), Port("x"), "shape () is wired to talker.value of shape (3,)"),
    (Port("x", kind="event"), Port("x"), "talker.value carries events, the input takes signals"),
    (Port("x", kind="event", indices=3), Port("x", kind="event", indices=4),
     "shape (4,) is wired to talker.value of shape (3,)"),
    (Port("x", dtype="int64"), Port("x"), "talker.value carries int64, the input takes float32"),
    (Port("x", choices=3), Port("x", choices=4), "talker.value chooses among 3, the input among 4"),
    (Port("x", units="mV"), Port("x", units="uA"), "talker.value is in mV, the input wants uA"),
    (Port("x", low=-2, high=1), Port("x", low=-1, high=1), "talker.value lies in [-2, 1], the input takes [-1, 1]"),
    (Port("x", low=0, high=9), Port("x", low=0, high=5), "talker.value lies in [0, 9], the input takes [0, 5]"),
    (Port("x", per_lane=False), Port("x"),
     "talker.value publishes one value for all lanes, the input takes one value per lane"),
    (Port("x", dtype="int64"), Port("x", dtype="int64", reads="mean"), "the mean of a port of int64 has no meaning"),
    (Port("x", kind="event"), Port("x", kind="event", reads="hold"), "events cannot be read by 'hold'"),
    (Port("x", kind="event"), Port("x", kind="event", dtype="float32", reads="mean"),
     "events cannot be read by 'mean'")])
def test_ports_that_do_not_fit(left: Port, right: Port, what: str) -> None:
    found = told(talker=talker(port=left), ear=ear(port=right))
    assert [(where, text) for where, text, _ in found] == [("ear.inputs.value", what)]


@pytest.mark.parametrize(("left", "right"), [
    (Port("x", units="mV"), Port("x")), (Port("x"), Port("x", units="mV")), (Port("x"), Port("x", low=-1, high=1)),
    (Port("x", low=-1, high=1), Port("x", low=-1, high=1)), (Port("x", choices=3), Port("x", dtype="int64")),
    (Port("x", low=0), Port("x", low=-1)), (Port("x", dtype="int64"), Port("x", dtype="int64", reads="all"))])
def test_ports_that_fit(left: Port, right: Port) -> None:
    check(System({"talker": talker(port=left), "ear": ear(port=right)}))


def test_another_width_of_the_same_kind_of_number_is_a_notice() -> None:
    graph = check(System({"talker": talker(port=Port("x", dtype="float64")), "ear": ear()}))
    assert noticed(graph) == [
        "ear.inputs.value: talker.value carries float64, the input declares float32; nothing is converted"]


def test_an_input_reads_only_as_it_offers() -> None:
    found = told(talker=talker(), ear=ear(Source("talker", "value", 0, "mean"), Port("x", reads="hold", also=("now",))))
    assert found == [("ear.inputs.value", "this input cannot read 'mean'", "It offers hold, now.")]
    graph = check(System({"talker": talker(), "ear": ear(Source("talker", "value", 0, "now"),
                                                         Port("x", reads="hold", also=("now",)))}))
    assert [wire.reads for wire in graph.wires] == ["now"]


# -- references --------------------------------------------------------------------------------------------------------


def user(target: str = "judge", **more: Any) -> Part:
    return part({}, {}, None, 10, uses={"judge": target}, wants={"judge": Use(Judge)}, **more)


def judge(**more: Any) -> Part:
    return part({}, {}, None, 10, gain=1.0, value=None, **more)


def test_references_that_cannot_be() -> None:
    assert told(user=user("juge"), judge=judge()) == [
        ("user.uses.judge", "there is no component 'juge'", 'Did you mean "judge"?')]
    assert told(judge=judge(), user=part({}, {}, None, 10, uses={"jury": "judge"}, type="a.user",
                                         wants={"judge": Use(Judge, optional=True)})) == [
        ("user.uses.jury", "a.user has no reference 'jury'", "Known: judge.")]
    assert told(user=part({}, {}, None, 10, wants={"judge": Use(Judge)})) == [
        ("user", "needs a reference 'judge' to a Judge", "Write: user: {uses: {judge: component}}")]
    assert told(user=user("talker"), talker=talker()) == [
        ("user.uses.judge", "talker (Written) is no Judge: it lacks gain, value", "")]


def test_references_in_a_circle() -> None:
    parts = {name: part({}, {}, None, 10, uses={"judge": other}, wants={"judge": Use(Judge)}, gain=1.0, value=None)
             for name, other in (("a", "b"), ("b", "c"), ("c", "a"))}
    assert told(**parts) == [("a.uses", "references run in a circle", "Let one of them listen on a wire instead.")]


def test_a_world_to_rehearse_in_may_not_be_wired() -> None:
    world = part({}, {"value": Port("x")}, None, 10, state=None, set_state=None)
    found = told(world=world, ear=ear("world.value"),
                 learner=part({}, {}, None, 10, uses={"world": "world"}, wants={"world": Use(Body, changes=True)}))
    assert found == [("learner.uses.world", "world is used as a world to rehearse in, so it may not be wired",
                      "Add a second body to the assembly for rehearsal.")]


# -- lanes and stepping ------------------------------------------------------------------------------------------------


def test_lanes_that_a_component_cannot_serve() -> None:
    assert told(lanes=8, talker=talker(max_lanes=2)) == [
        ("talker", "serves at most 2 lanes, asked for 8", "Write `lanes: 2`, or run several loops.")]
    assert told(talker=talker(lanes=3)) == [
        ("talker.lanes", "only a component that is used and not wired may have lanes of its own", "")]
    graph = check(System({"user": user(), "judge": judge(lanes=5, max_lanes=5)}, lanes=2))
    assert (graph.lanes("user"), graph.lanes("judge")) == (2, 5)


def test_a_component_that_would_never_be_stepped() -> None:
    assert told(talker=talker(), ear=ear(period=None)) == [
        ("ear", "is never stepped: it has no period and nothing it listens to wakes it",
         "Give it a period, for example params: {period: 20 ms}.")]
    check(System({"talker": talker(), "ear": ear(period=None, port=Port("x", wakes=True)),
                  "own": ear(period=None, wake_at=lambda now: now + 1)}))
    check(System({"talker": talker(), "judge": ear(period=None, gain=1.0, value=None), "user": user()}))


# -- stimulation safety ------------------------------------------------------------------------------------------------

COMMAND, CURRENT = Port("command", (2,)), Port("current", (2,))


def chain(source: str = "limiter.command", current: str = "stimulator.current", **more: Part) -> dict[str, Part]:
    wakes = Port("in", (2,), wakes=True)
    return {
        "coprocessor": part({}, {"command": COMMAND}, None, 10),
        "limiter": part({"command": wakes}, {"command": COMMAND}, wired={"command": "coprocessor.command"}, guard=True),
        "stimulator": part({"command": Port("command", (2,), wakes=True, guarded=True)}, {"current": CURRENT},
                           wired={"command": source}),
        "brain": part({"current": Port("current", (2,), guarded=True)}, {}, None, 10, {"current": current}),
        "scale": part({"in": wakes}, {"out": COMMAND}, wired={"in": "limiter.command"}, transparent=True),
        **more}


def test_a_stimulator_hears_only_a_limiter() -> None:
    check(System(chain()))
    for source in ("coprocessor.command", "scale.out"):  # also not a gain behind the limiter: decision 0003
        found = told(**chain(source))
        assert [(where, what) for where, what, _ in found] == [
            ("stimulator.inputs.command", f"{source} would command a stimulator without a safety limiter")]
        assert "links.safety_limiter" in found[0][2]
        assert f"{{command: {source}}}" in found[0][2]


def test_a_brain_hears_only_current_of_a_guarded_stimulator() -> None:
    both = {"in0": Port("in", (2,), wakes=True), "in1": Port("in", (2,), wakes=True)}
    one_safe = part(both, {"out": CURRENT}, wired={"in0": "stimulator.current", "in1": "coprocessor.command"},
                    transparent=True)
    all_safe = part(both, {"out": CURRENT}, wired={"in0": "stimulator.current", "in1": "smooth.out"}, transparent=True)
    smooth = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "stimulator.current"},
                  transparent=True)
    check(System(chain(current="all_safe.out", all_safe=all_safe, smooth=smooth)))
    opaque = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "stimulator.current"})
    for current, more in (("coprocessor.command", {}), ("one_safe.out", {"one_safe": one_safe}),
                          ("opaque.out", {"opaque": opaque}), ("quiet.current", {"quiet": Part(Silence)})):
        found = told(**chain(current=current, **more))
        assert [(where, what) for where, what, _ in found] == [
            ("brain.inputs.current", f"{current} is not the current of a guarded stimulator")]


def test_a_ring_of_transparent_components_is_no_way_round() -> None:
    delayed = {"in": Source("ring_b", "out", 5)}
    ring_a = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired=delayed, transparent=True)
    ring_b = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "ring_a.out"}, transparent=True)
    found = told(**chain(current="ring_a.out", ring_a=ring_a, ring_b=ring_b))
    assert [where for where, *_ in found] == ["brain.inputs.current"]


# -- views -------------------------------------------------------------------------------------------------------------


def views(learner_source: Source, action_reads: Any = "hold") -> dict[str, Part]:
    action = Port("action", reads="hold", also=("now",))
    return {
        "body": part({"action": action}, {"observation": Port("o"), "status": status_output(), "reward": Port("r")},
                     None,
                     10, {"action": "brain.action"}),
        "brain": part({"observation": Port("o", wakes=True)}, {"action": Port("a")}, None,
                      wired={"observation": Source("body", "observation", 0)}, gain=1.0, value=None),
        "learner": part({"observation": Port("o", wakes=True), "action": action}, {}, None,
                        wired={"observation": learner_source, "action": Source("brain", "action", 0, action_reads)},
                        uses={"policy": "brain"}, wants={"policy": Use(Judge, changes=True)})}


def test_a_learner_sees_what_it_teaches_sees() -> None:
    check(System(views(Source("body", "observation"))))
    assert told(**views(Source("body", "observation", 7))) == [
        ("learner.inputs.observation",
         "learner changes brain but sees another 'observation': body.observation after 7 ns, not body.observation",
         "Write {observation: {like: brain.observation}}.")]


def test_a_learner_reads_the_action_as_the_body_does() -> None:
    found = told(**views(Source("body", "observation"), "now"))
    assert ("learner.inputs.action", "reads brain.action by 'now', but body acts on it by 'hold'",
            "Write {action: {from: brain.action, reads: hold}}.") in found


def test_a_view_of_a_component_that_could_not_be_made_is_not_looked_at() -> None:
    def fail() -> Any:
        raise ValueError("no")

    parts = views(Source("body", "observation"))
    parts["brain"] = Part(fail, parts["brain"].inputs)
    assert [where for where, *_ in told(**parts)] == ["brain"]


# -- loops -------------------------------------------------------------------------------------------------------------


def seat(key: str, source: str, output: str, reads: Any = "now", wakes: bool = True, **facts: Any) -> Part:
    return part({key: Port(key, reads=reads, wakes=wakes)}, {output: Port(output)}, wired={key: source}, **facts)


def copac(reads: Any = "now") -> dict[str, Part]:
    """The wiring of the page's example, with something that only listens to it."""
    return {"coprocessor": seat("rates", "brain.rates", "command", reads),
            "limiter": seat("command", "coprocessor.command", "command"),
            "stimulator": seat("command", "limiter.command", "current"),
            "brain": seat("current", "stimulator.current", "rates"),
            "a_listener": seat("command", "coprocessor.command", "out")}


def message(parts: dict[str, Part], name: str = "copac_elbow.yaml") -> str:
    with pytest.raises(AssemblyError) as error:
        check(System(parts, name=name))
    return str(error.value)


def test_a_loop_without_delay_is_told_as_on_the_page() -> None:
    assert message(copac()) == """\
copac_elbow.yaml: loop without delay
  coprocessor.command -> limiter.command      reads now
  limiter.command     -> stimulator.command   reads now
  stimulator.current  -> brain.current        reads now
  brain.rates         -> coprocessor.rates    reads now
Cut it: let one of these inputs hold, or give one wire a delay:
  coprocessor: {inputs: {rates: {from: brain.rates, delay: 1 ms}}}"""


def test_hold_that_wakes_in_a_loop_of_one_instant_is_told() -> None:
    assert "  brain.rates         -> coprocessor.rates    reads hold and wakes\n" in message(copac("hold"))


def test_every_wire_between_two_components_of_a_loop_is_shown() -> None:
    a = part({"x": Port("x", wakes=True), "y": Port("y", wakes=True)}, {"out": Port("o")},
             wired={"x": "b.one", "y": "b.two"})
    b = part({"in": Port("i", wakes=True)}, {"one": Port("o"), "two": Port("o")}, wired={"in": "a.out"})
    assert message({"a": a, "b": b}, "t") == """\
t: loop without delay
  b.one -> a.x    reads now
  b.two -> a.y    reads now
  a.out -> b.in   reads now
Cut it: let one of these inputs hold, or give one wire a delay:
  b: {inputs: {in: {from: a.out, delay: 1 ms}}}"""
    event = Port("e", (0,), kind="event")
    a = part({"x": Port("x", wakes=True), "y": Port("y", wakes=True)}, {"out": event},
             wired={"x": "b.one", "y": "b.two"})
    b = part({"in": event}, {"one": Port("o"), "two": Port("o")}, None, 10, {"in": "a.out"})
    assert message({"a": a, "b": b}, "t").endswith(
        "  a: {inputs: {x: {from: b.one, delay: 1 ms}, y: {from: b.two, delay: 1 ms}}}")


def test_a_loop_of_one_is_told() -> None:
    text = message({"a": seat("in", "a.out", "out")}, "t")
    assert text.startswith("t: loop without delay\n  a.out -> a.in   reads now\n")


def test_the_way_out_of_a_loop_prefers_a_signal_and_knows_events() -> None:
    spikes = Port("s", (0,), kind="event")
    a = part({"spikes": Port("s", (0,), kind="event")}, {"out": Port("o")}, None, 10, {"spikes": "b.spikes"})
    b = part({"in": Port("i")}, {"spikes": spikes}, None, 10, {"in": "a.out"})
    assert message({"a": a, "b": b}, "t").endswith("  b: {inputs: {in: {from: a.out, delay: 1 ms}}}")
    b = part({"in": spikes}, {"spikes": spikes}, None, 10, {"in": "a.out"})
    a = part({"spikes": spikes}, {"out": spikes}, None, 10, {"spikes": "b.spikes"})
    text = message({"a": a, "b": b}, "t")
    assert "Cut it: let one of these inputs read all, or give one wire a delay of its sender's period:" in text
    assert text.endswith("  b: {inputs: {in: {from: a.out, reads: all}}}")


def test_a_loop_is_told_together_with_everything_else() -> None:
    found = told(talker=talker(), lost=ear("talker.valu"), **copac(), user=user("nobody"))
    assert [where for where, *_ in found] == ["lost.inputs.value", "user.uses.judge", ""]
    assert found[-1][1].startswith("loop without delay\n")


def test_problems_come_in_the_order_of_the_checks() -> None:
    found = told(
        lanes=3, cyc_a=seat("in", "cyc_b.out", "out"), cyc_b=seat("in", "cyc_a.out", "out"),
        stimulator=part({"command": Port("c", guarded=True)}, {}, None, 10, {"command": "talker.value"}),
        talker=talker(), idle=ear(period=None), narrow=talker(max_lanes=1), user=user("talker"),
        units=ear(port=Port("x", units="uA")), missing=part({"x": Port("x")}, {}, None, 10), unknown=ear("talker.valu"))
    wheres = [where for where, *_ in found]
    assert wheres == ["missing", "unknown.inputs.value", "units.inputs.value", "user.uses.judge", "narrow", "idle",
                      "stimulator.inputs.command", ""]


# -- notices -----------------------------------------------------------------------------------------------------------


def test_outputs_that_nobody_hears_are_noticed() -> None:
    graph = check(System({"talker": part({}, {"value": Port("x"), "loss": Port("l", per_lane=False)}, None, 10)}))
    assert noticed(graph) == ["talker: nobody listens to talker.value"]


# -- open components and sizes -----------------------------------------------------------------------------------------


def test_silence_in_anybodys_place_is_one_line_and_closes_no_loop() -> None:
    """Its wires stay on paper, whatever they say of `reads`, and nothing is kept for it."""
    parts = copac("hold")
    parts["coprocessor"] = part({"rates": Port("rates", reads="hold", also=("now",))}, {"command": Port("command")},
                                None, 10,
                                {"rates": Source("brain", "rates", 0, "now")})
    assert "loop without delay" in message(parts)
    parts["coprocessor"] = Part(Silence, parts["coprocessor"].inputs)
    graph = check(System(parts))
    assert [str(wire) for wire in graph.wires if wire.receiver == "coprocessor"] == []
    assert "brain" in graph.order


def test_silence_may_stand_beside_silence_and_listen_to_itself() -> None:
    parts = {"a": Part(Silence, {"x": Source("b", "out"), "y": Source("a", "other")}),
             "b": Part(Silence, {"z": Source("a", "out")}), "ear": ear("b.value")}
    assert [str(wire) for wire in check(System(parts)).wires] == ["b.value -> ear.value"]


def test_a_typo_behind_silence_is_still_told() -> None:
    assert [what for _, what, _ in told(talker=talker(), quiet=Part(Silence, {"x": Source("talker", "valu")}))] == [
        "talker has no output 'valu'"]


def test_two_open_components_that_listen_cannot_say_what_passes() -> None:
    from stimloop.loops.external import External

    found = told(a=Part(External, {"x": Source("b", "out")}), b=Part(External))
    assert found == [("a.inputs.x", "nothing says what b.out carries: both ends take any port",
                      "Wire one of them to a component that declares its ports.")]
