"""The order of an instant: from wires without delay, and from who changes what others read."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Protocol

import pytest

from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.graph import Graph, check
from stimloop.loops.loop import Loop
from stimloop.loops.order import MOST_CYCLES, cycles, reach, sort
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock

from .small import part


class Thing(Protocol):
    """Anything that says hello."""

    def hello(self) -> None:
        """Say it."""


def graph(ears: str = "", **parts: Part) -> Graph:
    """Check these parts; some are listened to from afar, so that they are stepped although they are used."""
    for name in ears.split():
        parts[f"zz_ear_of_{name}"] = relay(f"{name}.out", reads="hold", wakes=False, period=5)
    return check(System(parts, name="test"))


def relay(*sources: str | Source, reads: Any = "now", wakes: bool = True, kind: Any = "signal", period: Any = None,
          uses: dict[str, str] | None = None, changes: bool = True, **facts: Any) -> Part:
    """Passes things on: one input for each source, one output `out`; whoever has references changes what it uses."""
    shape: tuple[int, ...] = (0,) if kind == "event" else ()
    wired = {str(source).replace(".", "_"): source for source in sources}
    ports = {name: Port("in", shape, kind=kind, reads=reads, wakes=wakes) for name in wired}
    return part(ports, {"out": Port("out", shape, kind=kind)}, None, period, wired, uses, hello=None,
                wants={role: Use(Thing, changes) for role in uses or {}}, **facts)


def before(found: Graph, first: str, second: str) -> bool:
    return found.order.index(first) < found.order.index(second)


def test_a_wire_without_delay_orders_whatever_the_names() -> None:
    for names in permutations("abc"):
        one, two, three = names
        parts = {one: relay(period=5), two: relay(f"{one}.out"), three: relay(f"{two}.out")}
        assert graph(**{name: parts[name] for name in sorted(parts)}).order == [one, two, three]


@pytest.mark.parametrize(("reads", "wakes", "delay", "ordered"), [
    ("now", False, 0, True), ("now", True, 0, True), ("hold", True, 0, True), ("all", True, 0, True),
    ("mean", True, 0, True), ("hold", False, 0, False), ("mean", False, 0, False), ("all", False, 0, False),
    ("now", True, 1, False), ("hold", True, 1, False)])
def test_which_signal_wires_make_a_same_instant_dependency(reads: str, wakes: bool, delay: int, ordered: bool) -> None:
    found = graph(b=relay(period=5), a=relay(Source("b", "out", delay), reads=reads, wakes=wakes, period=5))
    assert (("b", "a") in found.edges) == ordered
    assert found.order == (["b", "a"] if ordered else ["a", "b"])


THIRD = Clock(3)


@pytest.mark.parametrize(("period", "delay", "reads", "wakes", "ordered"), [
    (10, 0, "now", False, True), (10, 9, "now", False, True), (10, 10, "now", False, False),
    (10, 10, "now", True, False),
    (10, 9, "all", False, False), (10, 9, "all", True, True), (10, 0, "all", False, False),
    (None, 10**9, "now", False, True),
    (THIRD, THIRD.tick(1), "now", False, True), (THIRD, THIRD.tick(1) + 1, "now", False, False)])
def test_a_delay_cuts_an_event_wire_if_it_is_as_long_as_the_period(period: Any, delay: int, reads: str, wakes: bool,
                                                                  ordered: bool) -> None:
    sender = relay(period=period, kind="event") if period else relay("c.out", kind="event")
    found = graph(c=relay(period=10, kind="event"), b=sender,
                  a=relay(Source("b", "out", delay), reads=reads, wakes=wakes, kind="event", period=10))
    assert (("b", "a") in found.edges) == ordered


def test_a_sender_that_chooses_its_own_instants_may_skip_its_period() -> None:
    """Its events may then lie further back than a period, so that no delay keeps them out of this instant."""
    found = graph(b=relay(period=10, kind="event", wake_at=lambda now: now + 35),
                  a=relay(Source("b", "out", 20), kind="event", period=10))
    assert ("b", "a") in found.edges


def test_a_changer_without_wires_from_the_readers_steps_before_all() -> None:
    found = graph("b", b=relay(period=5), a_reader=relay(period=5, uses={"it": "b"}, changes=False),
                  z_changer=relay(period=5, uses={"it": "b"}))
    assert before(found, "z_changer", "b")
    assert before(found, "z_changer", "a_reader")


def test_a_changer_that_hears_object_or_reader_steps_after_all() -> None:
    for source in ("z_object.out", "y_reader.out"):
        found = graph("z_object", z_object=relay(period=5), y_reader=relay(period=5, uses={"it": "z_object"},
                                                                           changes=False),
                      a_changer=relay(source, uses={"it": "z_object"}))
        assert before(found, "z_object", "a_changer")
        assert before(found, "y_reader", "a_changer")


def test_wires_lead_over_whatever_components() -> None:
    found = graph(z_object=relay(period=5), y_reader=relay(period=5, uses={"it": "z_object"}, changes=False),
                  between=relay("z_object.out"), a_changer=relay("between.out", uses={"it": "z_object"}))
    assert before(found, "y_reader", "a_changer")
    delayed = graph(z_object=relay(period=5), between=relay(Source("z_object", "out", 1)),
                    a_changer=relay("between.out", uses={"it": "z_object"}))
    assert before(delayed, "a_changer", "z_object")


def test_who_uses_a_user_reads_too() -> None:
    """b reads the object through a: the changer comes before b as well."""
    found = graph("thing a", thing=relay(period=5), a=relay(period=5, uses={"it": "thing"}, changes=False),
                  b=relay(period=5, uses={"it": "a"}, changes=False), z=relay(period=5, uses={"it": "thing"}))
    assert all(before(found, "z", name) for name in ("thing", "a", "b"))


def test_two_changers_need_a_path_between_them() -> None:
    with pytest.raises(AssemblyError, match="x and y both change thing, and no wire orders them"):
        graph(thing=relay(period=5), x=relay(period=5, uses={"it": "thing"}), y=relay(period=5, uses={"it": "thing"}))
    wired = graph(thing=relay(period=5), x=relay("y.out", uses={"it": "thing"}),
                  y=relay(period=5, uses={"it": "thing"}))
    assert before(wired, "y", "x")
    around = graph(thing=relay(period=5), x=relay("thing.out", uses={"it": "thing"}),
                   y=relay(period=5, uses={"it": "thing"}))  # y before the object, x after it
    assert around.order == ["y", "thing", "x"]


def test_a_cycle_of_wires_and_references_is_an_error() -> None:
    """p changes a and so comes before it, q before b; but q hears a, and p hears b."""
    with pytest.raises(AssemblyError) as error:
        graph(a=relay(period=5), b=relay(period=5), p=relay("b.out", uses={"it": "a"}),
              q=relay("a.out", uses={"it": "b"}))
    text = str(error.value)
    assert text.startswith("test: loop without delay\n")
    for line in ("  a.out -> q.a_out   reads now\n", "  b.out -> p.b_out   reads now\n",
                 "  p -> a   by reference", "  q -> b   by reference"):
        assert line in text


def told(**parts: Part) -> list[str]:
    """The first line of each problem."""
    with pytest.raises(AssemblyError) as error:
        graph(**parts)
    return [problem.what.partition("\n")[0] for problem in error.value.problems]


def test_a_cycle_by_references_is_told_with_everything_else_but_not_if_a_broken_wire_may_mend_it() -> None:
    parts = {"a": relay(period=5), "b": relay(period=5), "q": relay("a.out", uses={"it": "b"})}
    p, elsewhere = relay("b.out", uses={"it": "a"}), relay("nobody.out")
    nobody, misspelt = "there is no component 'nobody'", "a has no output 'outt'"
    assert told(**parts, p=p, z=elsewhere) == [nobody, "loop without delay"]
    assert told(**parts, p=relay("b.out", "a.outt", uses={"it": "a"})) == [misspelt], "p may come after a"
    assert told(**parts, p=relay("b.out", "z.out", uses={"it": "a"}), z=elsewhere) == [nobody], "z may hear a"
    unmade = {"a_out": Source("a", "out"), "it": Source("b", "out")}
    assert told(**parts, p=relay("b.out", "u.out", uses={"it": "a"}), u=Part(fail, unmade)) == [
        "component cannot be made: no"], "u may pass on what a says"


def test_two_changers_that_a_broken_wire_may_order_are_not_told() -> None:
    thing, x = relay(period=5), relay(period=5, uses={"it": "thing"})
    assert told(thing=thing, x=x, y=relay("x.outt", uses={"it": "thing"})) == ["x has no output 'outt'"]
    assert told(thing=thing, x=x, y=relay(period=5, uses={"it": "thing"}), z=relay("x.outt")) == [
        "x has no output 'outt'", "x and y both change thing, and no wire orders them"]


def fail() -> Any:
    raise ValueError("no")


def test_loops_that_share_no_edge_are_told_each() -> None:
    ring = {"a": relay("c.out"), "b": relay("a.out"), "c": relay("b.out", "d.out"), "d": relay("c.out")}
    assert told(**ring, e=relay("f.out"), f=relay("e.out")) == ["loop without delay"] * 3
    assert cycles("abcd", {("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")}) == [["b", "a"], ["d", "c"]]
    by_reference = {("b", "a"), ("c", "a")}
    both = {("a", "b"), ("a", "c"), *by_reference}
    assert len(cycles("abc", both)) == 2
    assert len(cycles("abc", both, by_reference)) == 1, "another order of one reference may mend both"
    many = {pair for i in range(40) for pair in ((f"x{i}", f"y{i}"), (f"y{i}", f"x{i}"))}
    assert len(cycles({name for pair in many for name in pair}, many)) == MOST_CYCLES


def test_a_used_component_that_is_not_wired_is_never_scheduled_but_built_first() -> None:
    found = graph(a=relay(period=5, uses={"world": "z"}), z=relay(period=5))
    assert found.order == ["a"]
    assert found.build_order() == ["z", "a"]


def test_sorting_by_hand() -> None:
    assert sort("cab", {("c", "a")}) == (["b", "c", "a"], [])
    order, cycle = sort("abcd", {("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")})
    assert order == []
    assert cycle in (["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"])
    assert sort("ab", {("a", "a")})[1] == ["a"]
    direct = {"a": {"b"}, "b": {"c"}}
    assert [reach(direct, name) for name in "abc"] == [{"b", "c"}, {"c"}, set()]


def test_many_components_of_one_instant_step_in_their_order() -> None:
    """The ranks of an instant are gathered as a set, which does not keep them in order beyond a handful."""
    parts = {f"c{i:02}": relay(period=7) for i in range(20)}
    parts["c01"] = relay(period=10)
    parts["c08"] = relay("c01.out", period=10, wakes=False)
    order: list[str] = []
    loop = Loop(System(parts))
    for name, component in loop.components.items():
        component.say = lambda now, inputs, name=name: order.append(name) or {}  # type: ignore[attr-defined]
    loop.run(141)
    ranks = {name: rank for rank, name in enumerate(loop.graph.order)}
    steps = [(now, ranks[name]) for name, component in loop.components.items()
             for now, *_ in component.steps]  # type: ignore[attr-defined]
    assert [ranks[name] for name in order] == [rank for _, rank in sorted(steps)]
