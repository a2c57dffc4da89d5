"""Every check before a loop is built: what is wrong, where, and how to fix it; all problems told together."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from stimloop.components.parts.roles import Body
from stimloop.loops import checks
from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError, Problems
from stimloop.loops.graph import Graph, check
from stimloop.loops.port import Port
from stimloop.loops.shapes import Wire
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
        ("ear.inputs.vallue", "a.ear has no input 'vallue'", 'Did you mean "value"?')], "that it lacks one follows"
    parts["ear"] = part({"value": Port("x")}, {}, None, 10, {"loud": "talker.value"}, type="a.ear")
    assert told(**parts) == [
        ("ear.inputs.loud", "a.ear has no input 'loud'", "Known: value."),
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


def test_another_width_of_the_same_kind_of_number_is_told_at_build_not_at_the_first_value() -> None:
    assert told(talker=talker(port=Port("x", dtype="float64")), ear=ear()) == [
        ("ear.inputs.value", "talker.value carries float64, the input takes float32",
         "Nothing is converted silently: declare and publish float32 there, or take float64 here.")]


def test_a_sender_without_bounds_is_noticed_where_the_input_has_some_and_refused_where_it_is_guarded() -> None:
    bounded = Port("x", low=-1, high=1)
    assert noticed(check(System({"talker": talker(), "ear": ear(port=bounded)}))) == [
        "ear.inputs.value: talker.value declares no bounds, the input takes [-1, 1]: what lies outside is passed on as "
        "it is"]
    assert noticed(check(System({"talker": talker(port=Port("x", low=-1, high=1)), "ear": ear(port=bounded)}))) == []
    problems = Problems()
    guarded = Port("command", low=-5, high=5, guarded=True)
    checks._check_bounds(Wire("stimulator", "command", Source("limiter", "command"), "now"), Port("x"), guarded,
                         "stimulator.inputs.command", problems)
    assert [str(problem) for problem in problems.errors] == [
        "stimulator.inputs.command: limiter.command declares no bounds, the input takes [-5, 5]\n"
        "  Write peak in the limiter, for example peak: 5."]


def test_an_input_reads_only_as_it_offers() -> None:
    found = told(talker=talker(), ear=ear(Source("talker", "value", 0, "mean"), Port("x", reads="hold", also=("now",))))
    assert found == [("ear.inputs.value", "this input cannot read 'mean'", "It offers hold, now.")]
    graph = check(System({"talker": talker(), "ear": ear(Source("talker", "value", 0, "now"),
                                                         Port("x", reads="hold", also=("now",)))}))
    assert [wire.reads for wire in graph.wires] == ["now"]


def test_a_role_is_a_world_by_what_it_offers_whatever_its_name() -> None:
    class Arena(Protocol):
        def step(self, now: int, inputs: Any) -> dict[str, Any]: ...

    class Body(Protocol):
        def value(self, observation: Any) -> Any: ...

    assert Use(Arena).is_world
    assert not Use(Body).is_world


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
    way_out = "Let one of them listen on a wire instead."
    assert told(**parts) == [("a.uses", "references run in a circle: a -> b -> c -> a", way_out)]
    parts["self"] = part({}, {}, None, 10, uses={"judge": "self"}, wants={"judge": Use(Judge)}, gain=1.0, value=None)
    assert [what for _, what, _ in told(**parts)] == [
        "references run in a circle: a -> b -> c -> a", "references run in a circle: self -> self"]


def test_a_world_to_rehearse_in_may_not_be_wired() -> None:
    world = part({}, {"value": Port("x")}, None, 10, state=None, set_state=None)
    found = told(world=world, ear=ear("world.value"),
                 learner=part({}, {}, None, 10, uses={"world": "world"}, wants={"world": Use(Body, changes=True)}))
    assert found == [("learner.uses.world", "world is used as a world to rehearse in, so it may not be wired",
                      "Add a second body to the assembly for rehearsal.")]


@pytest.mark.parametrize(("theirs", "wrong"), [(3, False), (2, True)])
def test_what_is_used_has_to_be_as_wide_as_its_user_says(theirs: int, wrong: bool) -> None:
    """The user speaks of a vector of 3 with a judge that hears one of as many numbers, or of fewer."""
    judged = {"wired": {"heard": Source("talker", f"of_{theirs}")}}
    parts = {
        "talker": part({}, {f"of_{size}": Port("x", (size,)) for size in (2, 3)}, None, 10),
        "judge": part({"heard": Port("x", ("n",), optional=True)}, {}, None, 10, gain=1.0, value=None, **judged),
        "user": part({"said": Port("x", (3,))}, {}, None, 10, uses={"judge": "judge"},
                     wired={"said": Source("talker", "of_3")},
                     wants={"judge": Use(Judge, alike=(("heard", "said"), ("heard", "nothing")))})}
    if wrong:
        assert told(**parts) == [("user.uses.judge", "judge.heard has shape (2,), and user.said (3,): they speak of "
                                  "the same thing", "Wire both to the same source.")]
    else:
        check(System(parts))


def test_a_world_of_another_size_than_the_body_it_stands_for() -> None:
    parts = {
        "talker": part({}, {"of_3": Port("x", (3,))}, None, 10),
        "world": part({}, {"seen": Port("x", (2,))}, None, 10, state=None, set_state=None),
        "user": part({"said": Port("x", (3,))}, {}, None, 10, uses={"world": "world"},
                     wired={"said": Source("talker", "of_3")},
                     wants={"world": Use(Body, changes=True, alike=(("seen", "said"),))})}
    assert told(**parts) == [("user.uses.world", "world.seen has shape (2,), and user.said (3,): they speak of the "
                              "same thing", "Give it the parameters of the body that it stands for.")]


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
