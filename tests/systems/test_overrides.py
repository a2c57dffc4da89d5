"""Addresses and overrides, on normal forms alone."""

import pytest

from stimloop.assemblies import normal
from stimloop.assemblies.overrides import apply, parse_set
from stimloop.loops.errors import Problems

FILE = {
    "name": "t", "until": "2 s",
    "components": {
        "body": {"type": "bodies.point_mass", "inputs": ["brain.action"]},
        "brain": {"type": "brains.mlp", "params": {"hidden": [64, 64], "lesion": {"fraction": 0.5}}, "seed": 3,
                  "inputs": ["body.observation", {"current": {"from": "stim.current", "delay": "2 ms"}}]},
        "stim": {"type": "stimulators.electrode_field", "inputs": {"command": "brain.action"}},
    },
    "evaluate": {"test": {"every": "1 episode", "episodes": 15, "without": ["stim"]}},
}


def base():
    problems = Problems()
    document = normal.document(FILE, problems)
    assert not problems.found
    return document


def change(changes, **options):
    problems = Problems()
    before = base()
    after = apply(before, changes, problems, **options)
    assert before == base(), "the document given was changed"
    return after, problems


def get(document, address):
    for part in address.split("."):
        document = document["components"][part] if part in document.get("components", {}) else document[part]
    return document


@pytest.mark.parametrize(("address", "value", "where", "expected"), [
    ("brain.params.lesion.fraction", 1.0, "brain.params", {"hidden": [64, 64], "lesion": {"fraction": 1.0}}),
    ("brain.params.lesion.kind", "neurons", "brain.params.lesion", {"fraction": 0.5, "kind": "neurons"}),
    ("brain.params.noise.sigma", 1, "brain.params.noise", {"sigma": 1}),
    ("brain.params.lesion", None, "brain.params", {"hidden": [64, 64]}),
    ("brain.params", None, "brain.params", {}),
    ("brain.params.hidden.1", 8, "brain.params.hidden", [64, 8]),
    ("brain.inputs.observation.delay", "40 ms", "brain.inputs.observation",
     {"from": "body.observation", "delay": "40 ms"}),
    ("brain.inputs.current.delay", None, "brain.inputs.current", {"from": "stim.current"}),
    ("brain.inputs.current.like", "stim.x", "brain.inputs.current", {"like": "stim.x", "delay": "2 ms"}),
    ("brain.inputs.current", "body.x", "brain.inputs.current", {"from": "body.x"}),
    ("brain.inputs.status", "body.status", "brain.inputs.status", {"from": "body.status"}),
    ("brain.inputs", ["body.status"], "brain.inputs", {"status": {"from": "body.status"}}),
    ("brain.uses.policy", "stim", "brain.uses", {"policy": "stim"}),
    ("brain.type", "brains.other", "brain.type", "brains.other"),
    ("brain.seed", 9, "brain.seed", 9),
    ("until", "3 episodes", "until", "3 episodes"),
    ("seed", 7, "seed", 7),
    ("lanes", None, "lanes", 1),
    ("evaluate.test.episodes", 3, "evaluate.test.episodes", 3),
    ("record", ["brain"], "record", ["brain"]),
])
def test_one_address(address, value, where, expected):
    after, problems = change({address: value})
    assert not problems.found
    assert get(after, where) == expected


def test_null_removes_wires_components_and_entries():
    after, problems = change({"brain.inputs.current": None, "stim": None, "evaluate.test": None, "until": None})
    assert not problems.found
    assert set(after["components"]["brain"]["inputs"]) == {"observation"}
    assert "stim" not in after["components"]
    assert "until" not in after
    assert after["evaluate"] == {}


def test_a_replacement_keeps_inputs_and_drops_what_the_new_type_lacks():
    after, problems = change({"brain": {"type": "basics.silence"}}, names=lambda kind: ["observation"])
    brain = after["components"]["brain"]
    assert brain["type"] == "basics.silence"
    assert brain["params"] == {}
    assert brain["seed"] == 3
    assert set(brain["inputs"]) == {"observation"}
    assert ["current" in problem.what for problem in problems.notices] == [True]
    after, problems = change({"brain": {"type": "basics.silence"}})
    assert set(after["components"]["brain"]["inputs"]) == {"observation", "current"}, "an open type keeps all"
    after, problems = change({"brain": {"type": "basics.silence", "inputs": ["body.status"]}})
    assert set(after["components"]["brain"]["inputs"]) == {"status"}


def test_order_of_addresses_does_not_matter():
    changes = {"brain.params.lesion.fraction": 1.0, "brain": {"type": "brains.mlp", "params": {"lesion": {}}}}
    first, _ = change(changes)
    second, _ = change(dict(reversed(list(changes.items()))))
    assert first == second
    assert first["components"]["brain"]["params"] == {"lesion": {"fraction": 1.0}}


@pytest.mark.parametrize(("address", "value", "word", "fix"), [
    ("brian.params.x", 1, "no component or entry", "brain"),
    ("brain.parms.x", 1, "unknown entry", "params"),
    ("brain.inputs.observatoin.delay", "1 ms", "not wired", "observation"),
    ("brain.inputs.observation.dely", "1 ms", "unknown entry", "delay"),
    ("brain.inputs.observation.delay", "1 parsec", "no unit", ""),
    ("brain.inputs.observation.from", "nowhere", "is not", ""),
    ("brain.params.hidden.x", 1, "nothing called", ""),
    ("brain.params.hidden.7", 1, "nothing called", ""),
    ("brain.type.x", 1, "nothing lies below", ""),
    ("brain", 3, "replaced by a mapping", "null removes"),
    ("brain", {"params": {}}, "replaced by a mapping", ""),
    ("lanes", 0, "whole number", ""),
    ("until", "soon", "not a stop", ""),
    ("newcomer", 3, "no component or entry", ""),
    ("", 1, "no component or entry", ""),
])
def test_wrong_addresses_say_what_was_meant(address, value, word, fix):
    _after, problems = change({address: value})
    assert len(problems.errors) == 1
    assert word in problems.errors[0].what
    assert fix in problems.errors[0].fix


def test_what_an_earlier_layer_removed_is_passed_over():
    _, problems = change({"budget.params.episodes": 2})
    assert problems.errors
    _, problems = change({"budget.params.episodes": 2}, removed=["budget"])
    assert not problems.errors
    assert problems.notices


def test_set_reads_yaml():
    problems = Problems()
    assert parse_set("a.b=1e-3", problems) == {"a.b": 1e-3}
    assert parse_set("a={type: x.y}", problems) == {"a": {"type": "x.y"}}
    assert parse_set("a=", problems) == {"a": None}
    assert parse_set("a=b=c", problems) == {"a": "b=c"}
    assert not problems.found
    assert parse_set("nonsense", problems) == {}
    assert problems.errors


@pytest.mark.parametrize("address", [5, None, ("brain", "seed")])
def test_an_address_is_text(address):
    after, problems = change({address: 1, "brain.seed": 9})
    assert [problem.what for problem in problems.errors] == [f"{address!r} is not an address"]
    assert get(after, "brain.seed") == 9
