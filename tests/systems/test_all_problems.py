"""All problems are told together, in the order of the checks, and none that only follows from another."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stimloop as sl
from stimloop.assemblies.checking import check
from stimloop.assemblies.document import parse
from stimloop.assemblies.origin import Origin
from stimloop.assemblies.settings import read as read_settings
from stimloop.loops.component import Use
from stimloop.loops.errors import AssemblyError, Problem
from stimloop.loops.graph import check as check_graph
from stimloop.loops.system import Part, System

MANY = """\
name: many
untl: 3 s
components:
  body: {type: bodies.pointmass, inputs: [brain.action]}
  twin: {type: bodies.point_mass, params: {targt: 3}, inputs: [brain.action]}
  cart: {type: bodies.cartpole, inputs: [{action: brain.act}]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [{observation: sight.observation}, {current: zap.current}]}
  sight: {type: bodies.point_mass, inputs: [{action: brain.action}, {acton: brain.action}]}
  random: {type: coprocessors.random_stimulation, inputs: [{observation: sight.observation}]}
  zap: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [random.command]}
  volts: {type: 'test_all_problems:Sender', params: {units: mV}}
  amperes: {type: 'test_all_problems:Ear', params: {units: uA}, inputs: [volts.value]}
  one: {type: 'test_all_problems:Holder', uses: {friend: two}}
  two: {type: 'test_all_problems:Holder', uses: {friend: one}}
  alone: {type: basics.sample_hold}
  ping: {type: basics.add, inputs: {x: volts.value, y: pong.output}}
  pong: {type: basics.gain, inputs: [ping.output]}
  pang: {type: basics.add, inputs: {x: volts.value, y: pang.output}}
  late: {type: basics.gain, inputs: {input: {from: late.output, delay: 3 parsec}}}
  many: {type: 'test_all_problems:Single', lanes: 2, inputs: [volts.value]}
  tie: [1, 2]
evaluate: {test: {evry: 1 episode, episodes: 2, without: [nobody]}}
variants: {other: {brian.params.hidden: [4]}}
small: {brain.parms.hidden: [4]}
"""
TOLD = [  # address, words; in the order of the page
    ("untl", 'Did you mean "until"'), ("tie", "is not a component"),
    ("body.type", "bodies.point_mass"), ("twin.params.targt", "no parameter"),
    ("late.inputs.input.delay", "parsec"),
    ("cart.inputs.action", "no output 'act'"), ("sight.inputs.acton", 'Did you mean "action"'),
    ("alone", "'input' (what is sampled) is not wired"),
    ("amperes.inputs.value", "is in mV, the input wants uA"),
    ("one.uses", "references run in a circle: one -> two -> one"),
    ("many.lanes", "lanes of its own"),
    ("zap.inputs.command", "without a safety limiter"),
    ("", "loop without delay"), ("", "loop without delay"),
    ("evaluate.test.evry", 'Did you mean "every"'), ("evaluate.test.without", "no component 'nobody'"),
    ("small: brain.parms.hidden", 'Did you mean "params"'), ("variants.other: brian.params.hidden", '"brain"')]


class Sender(sl.Component):
    """Says a number in some unit."""

    def __init__(self, units: str = "mV") -> None:
        self.period = 10_000_000
        self.inputs, self.outputs = {}, {"value": sl.Port("two numbers", (2,), units=units)}

    @classmethod
    def example(cls) -> Sender:
        return cls()

    def step(self, now: int, inputs: sl.Inputs) -> dict[str, Any]:
        return {}


class Ear(Sender):
    """Hears a number in some unit."""

    def __init__(self, units: str = "mV") -> None:
        super().__init__()
        self.inputs, self.outputs = {"value": sl.Port("two numbers", (2,), units=units)}, {}


class Single(Ear):
    """Hears a number."""


class Friend:
    """Anything."""


class Holder(Sender):
    """Holds another by reference."""

    def __init__(self) -> None:
        super().__init__()
        self.uses = {"friend": Use(Friend)}


CLASSES = {f"test_all_problems:{cls.__name__}": cls for cls in (Sender, Ear, Single, Holder)}


def problems(text_or_value: Any) -> list[Problem]:
    """Return what is told of a document, whenever it is told."""
    value = parse(text_or_value)[0] if isinstance(text_or_value, str) else text_or_value
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly.of(value, Origin(classes=CLASSES)).build()
    return caught.value.problems


def test_everything_is_told_at_once_and_in_order() -> None:
    found = [(problem.where, str(problem)) for problem in problems(MANY)]
    text = "\n".join(f"{where} | {what}" for where, what in found)
    assert [where for where, _ in found] == [where for where, _ in TOLD], text
    for (where, words), (_, what) in zip(TOLD, found, strict=True):
        assert words in what, (where, words, what)


GOOD = """\
name: good
seed: 3
lanes: 1
until: 1 s
components:
  body: {type: bodies.point_mass, params: {period: 20 ms}, inputs: [brain.action]}
  brain:
    type: brains.mlp
    params: {hidden: [8]}
    inputs: [body.observation, body.status, {current: relay.output}]
  stimulation: {type: coprocessors.random_stimulation, inputs: [body.observation, body.status]}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [stimulation.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command, body.status]}
  relay: {type: basics.gain, inputs: [stimulator.current]}
  metrics: {type: learners.metrics, inputs: [body.reward, {status: {like: brain.status}}]}
  both: {type: basics.concat, inputs: {seen: body.observation, done: other_brain.action}}
  half: {type: basics.gain, params: {gain: 0.5}, inputs: {input: {from: both.output, delay: 1 ms}}}
  ring: {type: basics.add, inputs: {x: volts.value, y: {from: turn.output, delay: 1 ms}}}
  turn: {type: basics.gain, inputs: [ring.output]}
  volts: {type: 'test_all_problems:Sender', params: {units: mV}}
  ear: {type: 'test_all_problems:Ear', params: {units: mV}, inputs: [volts.value]}
  one: {type: 'test_all_problems:Holder', uses: {friend: two}}
  two: {type: 'test_all_problems:Holder', uses: {friend: volts}}
  other_brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [other_body.observation]}
  other_body: {type: bodies.point_mass, inputs: [other_brain.action]}
  other_ear: {type: 'test_all_problems:Ear', inputs: [volts.value]}
  sampler: {type: basics.sample_hold, inputs: [volts.value]}
evaluate: {test: {every: 10 steps, episodes: 2, without: [metrics], set: {brain.params.explore: false}}}
variants: {other: {brain.params.hidden: [4]}, still: {sampler: null}}
small: {until: 100 ms, half.inputs.input.delay: 2 ms}
"""


def put(*way: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a document: the last of `way` is put where the others lead."""
    def change(document: dict[str, Any]) -> None:
        *path, key, value = way
        for part in path:
            document = document[part]
        if value is None:
            del document[key]
        else:
            document[key] = value

    return change


C = "components"
FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {  # what is told -> the fault; each in another place
    "sed": put("sed", 4),
    "until": put("until", "soon"),
    "components.lanes": put(C, "lanes", {"type": "basics.silence"}),
    "body.type": put(C, "body", "type", "bodies.pointmass"),
    "brain.params.hiden": put(C, "brain", "params", {"hiden": [8]}),
    "other_brain.inputs.current": put(C, "other_brain", "inputs", {
        "observation": "other_body.observation", "current": "half.output"}),
    "stimulation.inputs.observation": put(C, "stimulation", "inputs", 0, {"observation": "bodi.observation"}),
    "limiter.inputs.command": put(C, "limiter", "inputs", 0, {"command": "stimulation.commnd"}),
    "stimulator.inputs.1": put(C, "stimulator", "inputs", 1, "body-status"),
    "relay.inptus": put(C, "relay", {"type": "basics.gain", "inptus": ["stimulator.current"]}),
    "metrics.inputs.status.like": put(C, "metrics", "inputs", 1, {"status": {"like": "brain.statu"}}),
    "both.inputs.seen.from": put(C, "both", "inputs", "seen", {"from": "body"}),
    "half.inputs.input.delay": put(C, "half", "inputs", "input", {"from": "both.output", "delay": "1 parsec"}),
    "": put(C, "ring", "inputs", "y", "turn.output"),
    "ear.params.units": put(C, "ear", "params", "units", 3),
    "other_ear.inputs.value": put(C, "other_ear", "inputs", [{"value": {"from": "volts.value", "reads": "all"}}]),
    "two.uses.friend": put(C, "two", "uses", {"friend": "volt"}),
    "one.uses.fiend": put(C, "one", "uses", {"fiend": "two"}),
    "sampler": put(C, "sampler", "inputs", None),
    "evaluate.test.every": put("evaluate", "test", "every", "often"),
    "evaluate.test.without": put("evaluate", "test", "without", ["metric"]),
    "evaluate.test.set: brian.params.explore": put("evaluate", "test", "set", {"brian.params.explore": True}),
    "variants.other: brain.parms.hidden": put("variants", "other", {"brain.parms.hidden": [4]}),
    "variants.still: brian": put("variants", "still", {"brian": None}),
    "small: untill": put("small", {"untill": "100 ms", "half.inputs.input.delay": "2 ms"}),
}


def document(text: str = GOOD) -> dict[str, Any]:
    return copy.deepcopy(parse(text)[0])


def test_the_good_one_is_good() -> None:
    made = sl.Assembly.of(document(), Origin(classes=CLASSES))
    assert check(made).errors == []
    for variant in made.variants:
        assert check(made.resolve(variant=variant, small=True)).errors == []


@pytest.mark.parametrize("where", FAULTS)
def test_one_fault_is_one_problem(where: str) -> None:
    broken = document()
    FAULTS[where](broken)
    assert [problem.where for problem in problems(broken)] == [where], [str(p) for p in problems(broken)]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.sampled_from(sorted(FAULTS)), min_size=2))
def test_so_many_faults_are_so_many_problems(chosen: set[str]) -> None:
    """Each is told at its address, whatever else is wrong, and nothing else is."""
    broken = document()
    for where in sorted(chosen):
        FAULTS[where](broken)
    found = problems(broken)
    assert sorted(problem.where for problem in found) == sorted(chosen), [str(problem) for problem in found]


UNREAD = """\
name: t
until: *soon
components:
  body: &here {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: !!int 8, hiden: 3}, inputs: [body.observation, *status]}
  brain: {type: brains.mpl}
  metrics: {type: learners.metrics, inputs: [body.status, {rewrd: half.output}]}
  half: {type: basics.gain, params: {gain: 1e999}, inputs: [body.observation]}
small: {until: 3 s, until: 4 s}
"""


def test_what_yaml_itself_cannot_say_is_told_with_the_rest(tmp_path) -> None:
    (tmp_path / "t.yaml").write_text(UNREAD)
    with pytest.raises(AssemblyError) as caught:
        sl.load(tmp_path / "t.yaml")
    assert [problem.where for problem in caught.value.problems] == [
        "until (t.yaml:2:8)", "body (t.yaml:4:9)", "brain.params.hidden (t.yaml:5:46)",
        "brain (t.yaml:6:3)", "half.params.gain (t.yaml:8:44)", "small.until (t.yaml:9:21)",
        "brain.inputs.1 (t.yaml:5:93)", "metrics.inputs.rewrd (t.yaml:7:37)"]
    assert str(caught.value).startswith("t.yaml: 8 problems\n")


def test_reading_stops_where_it_cannot_go_on_and_says_what_it_saw() -> None:
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly.from_yaml("a: *x\nb: 1\nb: 2\nc: [1", "t.yaml")
    assert [problem.where for problem in caught.value.problems] == ["a (t.yaml:1:4)", "b (t.yaml:3:1)", "t.yaml:5:1"]
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly.from_yaml("a: 1\n" * 100_000)
    assert len(caught.value.problems) == 21, "nobody reads a hundred thousand"


def test_a_misspelt_parameter_is_not_also_missing() -> None:
    found = problems({"components": {"body": {"type": "bodies.gymnasium_env", "params": {"emv": "Pendulum-v1"}}}})
    assert [problem.where for problem in found] == ["body.params.emv"]


def test_what_the_user_allows_counts_when_a_file_is_read() -> None:
    text = "components: {a: {type: 'test_all_problems:Sender', parms: {}}}"
    with pytest.raises(AssemblyError, match="not allowed"):
        sl.Assembly.from_yaml(text)
    allowed = replace(read_settings(), allow=("test_all_problems",), folder=Path(__file__).parent)
    with pytest.raises(AssemblyError) as caught:
        sl.Assembly.from_yaml(text, allowed=allowed)
    assert [problem.where for problem in caught.value.problems] == ["a.parms (line 1, column 52)"]


def test_nothing_that_could_not_be_read_is_passed_over_in_silence() -> None:
    """Whoever makes a system by hand and says `told already` has to have told it."""
    for part in (Part(None), Part(Sender, unread=frozenset({"inputs.value"}))):
        with pytest.raises(AssemblyError, match="a: its description could not be read"):
            check_graph(System({"a": part}))
