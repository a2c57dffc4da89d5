"""Checks of a whole wiring before it is built: stimulation safety, views, loops without delay, open components."""

from __future__ import annotations

from typing import Any

import pytest

from stimloop.assemblies.assembly import Assembly
from stimloop.components.basics.silence import Silence
from stimloop.loops import checks
from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError
from stimloop.loops.external import External
from stimloop.loops.graph import check
from stimloop.loops.port import Port
from stimloop.loops.status import status_output
from stimloop.loops.system import Part, Source, System

from .small import part
from .test_graph_messages import Judge, ear, noticed, talker, told, user

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


@pytest.fixture
def toys_may_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the toys of these tests stand for the real limiter and links."""
    monkeypatch.setattr(checks, "is_guard", lambda component: component.guard)
    monkeypatch.setattr(checks, "is_transparent", lambda component: component.transparent)


def test_saying_guard_does_not_make_a_limiter() -> None:
    with pytest.raises(AssemblyError, match="would command a stimulator without a safety limiter"):
        check(System(chain()))


@pytest.mark.usefixtures("toys_may_guard")
def test_a_stimulator_hears_only_a_limiter() -> None:
    check(System(chain()))
    for source in ("coprocessor.command", "scale.out"):  # also not a gain behind the limiter: decision 0003
        found = told(**chain(source))
        assert [(where, what) for where, what, _ in found] == [
            ("stimulator.inputs.command", f"{source} would command a stimulator without a safety limiter")]
        assert "links.safety_limiter" in found[0][2]
        assert f"{{command: {source}}}" in found[0][2]


@pytest.mark.usefixtures("toys_may_guard")
def test_a_brain_hears_only_current_of_a_guarded_stimulator() -> None:
    both = {"in0": Port("in", (2,), wakes=True), "in1": Port("in", (2,), wakes=True)}
    parts = chain()
    second = {"limiter_b": parts["limiter"], "stimulator_b": part(
        {"command": Port("command", (2,), wakes=True, guarded=True)}, {"current": CURRENT},
        wired={"command": "limiter_b.command"})}
    one_safe = part(both, {"out": CURRENT}, wired={"in0": "stimulator.current", "in1": "coprocessor.command"},
                    transparent=True)
    all_safe = part(both, {"out": CURRENT}, wired={"in0": "stimulator.current", "in1": "smooth.out"}, transparent=True)
    smooth = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "stimulator_b.current"},
                  transparent=True)
    check(System(chain(current="all_safe.out", all_safe=all_safe, smooth=smooth, **second)))
    opaque = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "stimulator.current"})
    twice = part(both, {"out": CURRENT}, wired={"in0": "stimulator.current", "in1": "stimulator.current"},
                 transparent=True)
    for current, more, why in (
            ("coprocessor.command", {}, ""), ("one_safe.out", {"one_safe": one_safe}, ""),
            ("opaque.out", {"opaque": opaque},
             ": opaque may add up a current, strengthen it or keep it longer than the limiter allowed"),
            ("twice.out", {"twice": twice}, ": what stimulator gives would reach the brain twice"),
            ("quiet.current", {"quiet": Part(Silence)}, "")):
        found = told(**chain(current=current, **more))
        assert [(where, what) for where, what, _ in found] == [
            ("brain.inputs.current", f"{current} is not the current of a guarded stimulator{why}")]


LIMITED = """name: t
until: 30 steps
components:
  body: {{type: bodies.point_mass, params: {{max_steps: 10}}, inputs: [brain.action]}}
  world: {{type: bodies.point_mass, params: {{max_steps: 10}}, inputs: [other.action]}}
  brain:
    type: brains.mlp
    params: {{hidden: [2]}}
    inputs: [body.observation, body.status, {{current: between.output}}]
  other: {{type: brains.mlp, params: {{hidden: [2]}}, inputs: [world.observation, world.status, stimulator.current]}}
  coprocessor: {{type: coprocessors.constant, params: {{command: [9.0, 9.0]}}, inputs: [body.observation, body.status]}}
  limiter: {{type: links.safety_limiter, params: {{peak: 1}}, inputs: [coprocessor.command, body.status]}}
  stimulator: {{type: stimulators.pulse_train, params: {{channels: 2, units: uA}}, inputs: [limiter.command]}}
  between: {{type: {type}, params: {params}, inputs: [{{input: stimulator.current}}{more}]}}
"""


@pytest.mark.parametrize(("type", "params", "more"), [
    ("basics.add", "{}", ", {b: {from: stimulator.current, delay: 1 ms}}"), ("basics.add", "{}", ""),
    ("basics.sample_hold", "{period: 20 ms}", ""), ("links.loss", "{probability: 0.9}", ""),
    ("links.jitter", "{latency: 1 ms, spread: 30 ms}", ""), ("links.busy_processor", "{service: 14 ms}", ""),
    ("basics.gain", "{gain: 1.01}", ""), ("basics.gain", "{offset: 0.1}", ""),
    ("basics.select", "{indices: [0, 0]}", ""),
    ("basics.concat", "{}", ", {b: {from: stimulator.current, delay: 1 ms}}")])
def test_what_could_raise_or_keep_a_limited_current_may_not_stand_behind_the_stimulator(
        type: str, params: str, more: str) -> None:
    with pytest.raises(AssemblyError, match=r"brain\.inputs.*: between\.output is not the current of a guarded"):
        Assembly.from_yaml(LIMITED.format(type=type, params=params, more=more)).build()


@pytest.mark.parametrize(("type", "params"), [
    ("basics.gain", "{gain: -1}"), ("basics.select", "{indices: [1, 0]}"), ("basics.concat", "{}")])
def test_what_only_weakens_or_sorts_a_current_may_stand_behind_the_stimulator(type: str, params: str) -> None:
    Assembly.from_yaml(LIMITED.format(type=type, params=params, more="")).build().close()


@pytest.mark.usefixtures("toys_may_guard")
def test_a_stimulator_played_from_outside_guards_nothing() -> None:
    parts = chain()
    guarded = {"command": Port("command", (2,), wakes=True, guarded=True)}
    parts["stimulator"] = Part(lambda: External(guarded, {"current": CURRENT}), parts["stimulator"].inputs)
    assert [(where, what) for where, what, _ in told(**parts)] == [
        ("brain.inputs.current", "stimulator.current is not the current of a guarded stimulator")]


@pytest.mark.parametrize("name", ["../evil", "a.b", "", 5, "a b"])
def test_a_name_that_no_port_can_have_is_told(name: Any) -> None:
    assert [(where, what) for where, what, _ in told(a=part({}, {name: Port("x")}, None, 1))] == [
        ("a", f"{name!r} cannot name a port")]


@pytest.mark.parametrize("period", [0, -1, 2.5, "20 ms"])
def test_a_period_that_is_none_is_told(period: Any) -> None:
    assert [(where, what) for where, what, _ in told(a=part({}, {"x": Port("x")}, None, period))] == [
        ("a", f"its period is {period!r}")]


@pytest.mark.usefixtures("toys_may_guard")
def test_a_ring_of_transparent_components_is_no_way_round() -> None:
    delayed = {"in": Source("ring_b", "out", 5)}
    ring_a = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired=delayed, transparent=True)
    ring_b = part({"in": Port("in", (2,), wakes=True)}, {"out": CURRENT}, wired={"in": "ring_a.out"}, transparent=True)
    found = told(**chain(current="ring_a.out", ring_a=ring_a, ring_b=ring_b))
    assert [where for where, *_ in found] == ["brain.inputs.current"]


def injecting(*injected: Any) -> list[str]:
    with pytest.raises(AssemblyError) as found:
        check(System(chain(), name="t"), injected=injected)
    return [problem.what for problem in found.value.problems if problem.where == "injected"]


@pytest.mark.usefixtures("toys_may_guard")
def test_only_event_inputs_that_nothing_guards_can_be_injected() -> None:
    assert injecting("stimulator.command") == [
        "stimulator.command is guarded: nothing reaches it past the safety limiter"]
    assert injecting("current") == ["brain.current is guarded: nothing reaches it past the safety limiter"]
    assert injecting("limiter.command") == ["limiter.command takes signals, and only events can be injected"]
    assert injecting("limiter.comand", "nobody.begin", 5) == [
        "there is no input 'limiter.comand'", "there is no input 'nobody.begin'", "5 is no address"]


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
    parts = views(Source("body", "observation"), "now")  # also where it uses only a critic, as a coprocessor's learner
    critic = part({}, {"worth": Port("w")}, None, 10, gain=1.0, value=None)
    learner = part({"action": Port("action", reads="hold", also=("now",), wakes=True)}, {}, None,
                   wired={"action": Source("brain", "action", 0, "now")}, uses={"critic": "critic"},
                   wants={"critic": Use(Judge, changes=True)})
    assert ("learner.inputs.action", "reads brain.action by 'now', but body acts on it by 'hold'",
            "Write {action: {from: brain.action, reads: hold}}.") in told(**{**parts, "critic": critic,
                                                                              "learner": learner})


def test_the_mean_of_rewards_is_refused() -> None:
    parts = views(Source("body", "observation"))
    parts["slow"] = part({"reward": Port("r", reads="all", also=("mean",))}, {}, None, 50,
                         {"reward": Source("body", "reward", 0, "mean")})
    assert told(**parts) == [("slow.inputs.reward", "the mean over time of rewards does not count them",
                              "Read all: each one counts once.")]


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
    found = told(a=Part(External, {"x": Source("b", "out")}), b=Part(External))
    assert found == [("a.inputs.x", "nothing says what b.out carries: both ends take any port",
                      "Wire one of them to a component that declares its ports.")]
