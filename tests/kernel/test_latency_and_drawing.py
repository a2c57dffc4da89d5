"""Nominal and effective latency of closed chains, and the drawing of a wiring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol
from xml.etree import ElementTree

import pytest

from stimloop.loops import drawing
from stimloop.loops.component import Use
from stimloop.loops.graph import Graph, check
from stimloop.loops.latency import Chain, analyse, step_times
from stimloop.loops.port import Port
from stimloop.loops.status import status_output
from stimloop.loops.system import Part, Source, System
from stimloop.loops.time import Clock

from .small import MS, part


def moved(action: Source, reads: Any = "hold", wakes: bool = False, period: Any = 20 * MS) -> Part:
    return part({"action": Port("a", reads=reads, wakes=wakes)},
                {"observation": Port("o"), "reward": Port("r"), "status": status_output()}, None, period,
                {"action": action}, type="bodies.toy")


def answers(source: Source, period: Any = None, **more: Any) -> Part:
    return part({"observation": Port("o", wakes=period is None, **more)}, {"action": Port("a")}, None, period,
                {"observation": source})


def stimulated(delay: int = 2 * MS, brain_period: int | None = None, current_wakes: bool = False) -> Graph:
    wakes = brain_period is None
    return check(System({
        "body": moved(Source("brain", "action")),
        "coprocessor": part({"observation": Port("o", wakes=True)}, {"command": Port("c")}, None, None,
                            {"observation": Source("body", "observation", delay)}),
        "stimulator": part({"command": Port("c", wakes=True)}, {"current": Port("i")}, None, None,
                           {"command": "coprocessor.command"}),
        "brain": part({"observation": Port("o", wakes=wakes), "current": Port("i", wakes=current_wakes)},
                      {"action": Port("a")}, None, brain_period,
                      {"observation": "body.observation", "current": "stimulator.current"})}))


def chains(graph: Graph) -> dict[int, tuple[int, int, int]]:
    """Return (nominal, shortest, longest) in ns by number of wires of a chain."""
    return {len(chain.wires): (chain.nominal, chain.shortest, chain.longest) for chain in analyse(graph)}


def notices(graph: Graph) -> list[str]:
    return [str(notice) for notice in graph.problems.notices if "nobody listens" not in notice.what]


def test_a_delay_that_waits_for_the_brain_is_noticed_as_on_the_page() -> None:
    graph = stimulated()
    assert chains(graph) == {2: (0, 0, 0), 4: (2 * MS, 20 * MS, 20 * MS)}
    assert notices(graph) == [
        "coprocessor.observation: delay 2 ms acts like 20 ms: brain steps only with body.observation (every 20 ms)\n"
        "  Give brain a period, or let current wake it."]


def test_without_a_delay_nothing_waits() -> None:
    graph = stimulated(0)
    assert chains(graph)[4] == (0, 0, 0)
    assert notices(graph) == []


def test_the_body_itself_waits_for_its_next_tick_unless_it_is_woken() -> None:
    graph = stimulated(brain_period=MS)  # the brain answers at 2 ms, the body holds until 20 ms
    assert chains(graph)[4] == (2 * MS, 20 * MS, 20 * MS)
    assert any("body steps at its own period\n  Shorten the period of body" in text for text in notices(graph))
    graph = check(System({"body": moved(Source("brain", "action", 3 * MS), wakes=True),
                          "brain": answers(Source("body", "observation"))}))
    assert chains(graph) == {2: (3 * MS, 3 * MS, 3 * MS)}


@pytest.mark.parametrize(("reads", "longest"), [("hold", 20 * MS), ("mean", 3 * MS), ("all", 3 * MS)])
def test_mean_and_all_count_from_the_arrival(reads: str, longest: int) -> None:
    graph = check(System({"body": moved(Source("brain", "action", 3 * MS), reads),
                          "brain": answers(Source("body", "observation"))}))
    assert chains(graph) == {2: (3 * MS, longest, longest)}


def test_an_integrator_in_the_middle_speaks_a_step_later() -> None:
    graph = check(System({"body": moved(Source("brain", "action"), "now"),
                          "brain": answers(Source("body", "observation"), 20 * MS, reads="hold")}))
    assert chains(graph) == {2: (0, 20 * MS, 20 * MS)}
    graph = check(System({"body": moved(Source("brain", "action"), "now"),
                          "brain": answers(Source("body", "observation"), 20 * MS, reads="mean")}))
    assert chains(graph) == {2: (0, 20 * MS, 20 * MS)}


def test_clocks_out_of_step_give_a_range() -> None:
    graph = check(System({"body": moved(Source("brain", "action")), "brain": answers(Source("body", "observation", 1),
                                                                                    Clock(30))}))
    ((nominal, shortest, longest),) = chains(graph).values()
    assert nominal == 1
    assert 0 < shortest < longest <= 60 * MS
    assert " to " in str(analyse(graph)[0])


def test_chains_are_written_as_a_path() -> None:
    chain = analyse(stimulated())[0]
    assert str(chain) == "body.observation -> brain.action -> body: nominal 0, acts like 0"
    assert isinstance(chain, Chain)
    assert chain.path == "body.observation -> brain.action -> body"


def test_sub_sampling_is_noticed() -> None:
    graph = check(System({"body": moved(Source("brain", "action")), "brain": answers(Source("body", "observation"),
                                                                                     MS)}))
    analyse(graph)
    assert notices(graph) == ["body.action: sub-sampled 20:1, brain.action publishes more often than it is read\n"
                              "  Read mean or all to lose nothing."]
    graph = check(System({"body": moved(Source("brain", "action"), "mean"),
                          "brain": answers(Source("body", "observation"), MS)}))
    analyse(graph)
    assert notices(graph) == []


def test_steps_are_foreseen() -> None:
    graph = check(System({"body": moved(Source("brain", "action", 5 * MS), wakes=True),
                          "brain": answers(Source("body", "observation", 2 * MS))}))
    times = step_times(graph)
    assert times["brain"][:4] == [0, 2 * MS, 7 * MS, 9 * MS]
    still = check(System({"a": part({}, {"x": Port("x")}, wake_at=lambda now: None),
                          "b": part({"x": Port("x", wakes=True)}, {}, wired={"x": "a.x"})}))
    assert step_times(still) == {"a": [0], "b": [0]}
    assert analyse(still) == []


def test_where_nobody_can_foresee_the_steps_no_latency_is_claimed() -> None:
    graph = check(System({"body": part({"action": Port("a", reads="hold")}, {"observation": Port("o"),
                                        "reward": Port("r"), "status": status_output()}, None, None,
                                       {"action": Source("brain", "action", 2 * MS)}, wake_at=lambda now: None),
                          "brain": answers(Source("body", "observation"))}))
    (chain,) = analyse(graph)
    assert not chain.is_foreseen
    assert str(chain) == f"{chain.path}: nominal 2 ms, acts when its components choose to wake"
    assert notices(graph) == []
    assert all(found.is_foreseen for found in analyse(stimulated()))


def test_a_delay_that_waits_is_noticed_once_however_many_chains_lead_there() -> None:
    graph = check(System({
        "body": moved(Source("brain", "action")),
        "coprocessor": part({"observation": Port("o", wakes=True)}, {"command": Port("c"), "other": Port("c")}, None,
                            None, {"observation": Source("body", "observation", 2 * MS)}),
        "brain": part({"observation": Port("o", wakes=True), "one": Port("i"), "two": Port("i")},
                      {"action": Port("a")}, None, None, {"observation": "body.observation",
                                                          "one": "coprocessor.command", "two": "coprocessor.other"})}))
    assert len(analyse(graph)) == 3
    assert len([text for text in notices(graph) if "delay 2 ms acts like 20 ms" in text]) == 1


# -- the drawing -------------------------------------------------------------------------------------------------------


class Plain(Protocol):
    """A role that asks for nothing."""


def pictured() -> Graph:
    return check(System({
        "body": moved(Source("brain", "action", 3 * MS)),
        "brain": part({"observation": Port("o", wakes=True)}, {"action": Port("a"), "x_y": Port("odd")}, None, None,
                      {"observation": "body.observation"}, type='brains."<odd>"'),
        "world": part({}, {"place": Port("p")}, None, 10, type="bodies.world"),
        "learner": part({"reward": Port("r", wakes=True), "odd": Port("x", reads="hold")}, {}, None, None,
                        {"reward": "body.reward", "odd": Source("brain", "x_y")}, {"world": "world"},
                        wants={"world": Use(Plain)})}))


def test_the_wiring_as_text() -> None:
    assert drawing.text(pictured()).splitlines() == [
        "body  (bodies.toy)", "    action         <- brain.action  hold after 3 ms",
        'brain  (brains."<odd>")', "    observation    <- body.observation  now",
        "learner  (Written)", "    reward         <- body.reward  now", "    odd            <- brain.x_y  hold",
        "    world          .. world  (reference)", "world  (bodies.world, only used)"]


def test_the_wiring_as_a_picture_shows_every_box_and_escapes_names() -> None:
    picture = drawing.svg(pictured())
    root = ElementTree.fromstring(picture)
    words = "".join(root.itertext())
    for word in ("body", "brain", "learner", "world", 'brains."<odd>"', "x_y", "3 ms"):
        assert word in words
    assert "<script" not in picture
    assert "stroke-dasharray" in picture  # the reference
    boxes = [element for element in root.iter() if element.tag.endswith("rect")]
    assert len(boxes) >= 4


def long_names() -> Graph:
    """Names, types and labels longer than usual, in two rows."""
    return check(System({
        "body": replace(moved("brain.action"), type="bodies.a_body_whose_name_goes_on_and_on"),
        "the_brain_of_a_patient_number_twelve": part({"observation": Port("o", wakes=True)}, {}, None, None,
                                                     {"observation": "body.observation"}),
        "brain": part({"observation": Port("o", wakes=True), "reward": Port("r", reads="hold")}, {"action": Port("a")},
                      None, None, {"observation": "body.observation", "reward": Source("body", "reward", 1234567 * MS)},
                      type="brains.short")}))


def test_no_text_of_the_picture_is_cut_off_or_leaves_its_box() -> None:
    root = ElementTree.fromstring(drawing.svg(long_names()))
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height"))
             for box in root.iter() if box.tag.endswith("rect")]
    labels = []
    for text in (element for element in root.iter() if element.tag.endswith("text")):
        size = float(text.attrib["font-size"])
        half = 0.29 * size * len("".join(text.itertext()))  # sans-serif letters are about 0.58 of their size wide
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        assert left <= x - half <= x + half <= left + width
        assert top <= y - size <= y <= top + height
        inside = [box for box in boxes if box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]]
        for x0, _, wide, _ in inside:
            assert x0 <= x - half <= x + half <= x0 + wide, "".join(text.itertext())
        if not inside:
            labels.append((x - half, x + half, y))
            assert not any(x0 < x + half and x - half < x0 + wide and y0 < y <= y0 + high
                           for x0, y0, wide, high in boxes)
    assert len(labels) >= 3
    for i, (a, b, y) in enumerate(labels):
        assert not any(a < d and c < b and abs(y - z) < 10 for c, d, z in labels[:i])
