"""From names to classes, and from constructors to schemas."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

import stimloop as sl
from stimloop.assemblies import editor_schema
from stimloop.catalogue import index, lookup, page
from stimloop.catalogue.meanings import meanings
from stimloop.catalogue.schema import json_schema, validate
from stimloop.loops.bounds import Amount, Bound, Count, Positive, Share
from stimloop.loops.component import Component
from stimloop.loops.errors import Problems
from stimloop.loops.time import Clock, Duration, Period


@dataclass(frozen=True)
class Patch:
    """A parameter object."""

    share: float = 0.5
    kind: Literal["square", "round"] = "square"
    onset: Duration = 0

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError(f"share {self.share} is outside [0, 1]")


class Wide(Component):
    """Has every kind of parameter."""

    def __init__(self, size: int, sizes: list[int] = [1], period: Period | None = None, patch: Patch | None = None,  # noqa: B006
                 patches: list[Patch] = [], gain: float = 1.0, flag: bool = False,  # noqa: B006
                 table: dict[str, float] | None = None, pair: tuple[float, float] = (0.0, 1.0),
                 either: float | list[float] = 1.0, copy: str = "a", anything: Any = None, untyped=3,
                 bare: dict | None = None, far: Annotated[float, Bound(finite=False)] = 1.0,
                 loose: Annotated[dict, Bound(finite=False)] | None = None, width: Positive = 1.0,
                 part: Share | None = None, count: Count = 1, counts: list[Amount] = []):  # noqa: B006
        self.given = {"size": size, "sizes": sizes, "period": period, "patch": patch, "patches": patches, "gain": gain,
                      "flag": flag, "table": table, "pair": pair, "either": either, "copy": copy,
                      "anything": anything, "untyped": untyped, "bare": bare, "far": far, "loose": loose,
                      "width": width, "part": part, "count": count, "counts": counts}


def checked(**params):
    problems = Problems()
    values = validate(Wide, params, problems, "c.params", "tests.wide")
    return values, [(problem.where, problem.what, problem.fix) for problem in problems.errors]


@pytest.mark.parametrize(("params", "key", "value"), [
    ({"size": 3}, "size", 3),
    ({"size": 1e6}, "size", 1_000_000),
    ({"size": 1, "period": "20 ms"}, "period", 20_000_000),
    ({"size": 1, "period": "30 Hz"}, "period", Clock(30)),
    ({"size": 1, "period": None}, "period", None),
    ({"size": 1, "period": 5}, "period", 5),
    ({"size": 1, "patch": {"share": 1, "onset": "3 s"}}, "patch", Patch(1.0, "square", 3_000_000_000)),
    ({"size": 1, "patch": Patch(0.25)}, "patch", Patch(0.25)),
    ({"size": 1, "patches": [{"kind": "round"}, {}]}, "patches", [Patch(kind="round"), Patch()]),
    ({"size": 1, "gain": 2}, "gain", 2.0),
    ({"size": 1, "pair": [3, 4]}, "pair", (3.0, 4.0)),
    ({"size": 1, "either": [1, 2.5]}, "either", [1.0, 2.5]),
    ({"size": 1, "table": {"a": 1}}, "table", {"a": 1.0}),
    ({"size": 1, "copy": "b"}, "copy", "b"),
    ({"size": 1, "anything": {"x": [1]}, "untyped": "y"}, "anything", {"x": [1]}),
    ({"size": 1, "far": float("inf")}, "far", float("inf")),
    ({"size": 1, "loose": {"range": [0.7, float("inf")]}}, "loose", {"range": [0.7, float("inf")]}),
    ({"size": 1, "count": 2.0, "counts": [0, 3.0]}, "counts", [0, 3]),
    ({"size": 1, "part": 1}, "part", 1.0),
])
def test_what_fits(params, key, value):
    values, problems = checked(**params)
    assert problems == []
    assert values[key] == value
    assert type(values[key]) is type(value)
    assert set(values) == set(params), "what was not given is left to the constructor"
    Wide(**values)


@pytest.mark.parametrize(("params", "where", "words"), [
    ({}, "c.params.size", "needs this parameter"),
    ({"size": "3"}, "c.params.size", "valid integer"),
    ({"size": True}, "c.params.size", "valid integer"),
    ({"size": 1.5}, "c.params.size", "valid integer"),
    ({"size": 1, "sizes": [1, "a"]}, "c.params.sizes.1", "valid integer"),
    ({"size": 1, "period": "1 parsec"}, "c.params.period", "no unit of time"),
    ({"size": 1, "patch": {"shere": 1}}, "c.params.patch.shere", "no parameter"),
    ({"size": 1, "patch": {"share": "x"}}, "c.params.patch.share", "valid number"),
    ({"size": 1, "patch": {"share": 2.0}}, "c.params.patch", "outside [0, 1]"),
    ({"size": 1, "patches": [{}, {"share": 2.0}]}, "c.params.patches.1", "outside [0, 1]"),
    ({"size": 1, "patches": [{"onset": "x"}]}, "c.params.patches.0.onset", "not a time"),
    ({"size": 1, "flag": 1}, "c.params.flag", "valid boolean"),
    ({"size": 1, "gain": "1e-3"}, "c.params.gain", "valid number"),
    ({"size": 1, "either": ["a"]}, "c.params.either.0", "valid number"),
    ({"size": 1, "either": "a"}, "c.params.either", "valid number"),
    ({"size": 1, "table": {"a": "b"}}, "c.params.table.a", "valid number"),
    ({"size": 1, "p0": 3}, "c.params.p0", "no parameter"),
    ({"size": 1, "gain": float("nan")}, "c.params.gain", "finite number"),
    ({"size": 1, "gain": float("inf")}, "c.params.gain", "finite number"),
    ({"size": 1, "pair": [0.0, -float("inf")]}, "c.params.pair.1", "finite number"),
    ({"size": 1, "either": [1.0, float("nan")]}, "c.params.either.1", "finite number"),
    ({"size": 1, "either": float("nan")}, "c.params.either", "finite number"),
    ({"size": 1, "table": {"a": float("nan")}}, "c.params.table.a", "finite number"),
    ({"size": 1, "patch": {"share": float("nan")}}, "c.params.patch.share", "finite number"),
    ({"size": 1, "anything": {"x": [float("nan")]}}, "c.params.anything", "finite number"),
    ({"size": 1, "untyped": float("inf")}, "c.params.untyped", "finite number"),
    ({"size": 1, "bare": {"x": float("inf")}}, "c.params.bare", "finite number"),
    ({"size": 1, "width": 0}, "c.params.width", "greater than 0"),
    ({"size": 1, "width": float("inf")}, "c.params.width", "finite number"),
    ({"size": 1, "part": 1.5}, "c.params.part", "less than or equal to 1"),
    ({"size": 1, "count": 0.0}, "c.params.count", "greater than or equal to 1"),
    ({"size": 1, "counts": [1, -1]}, "c.params.counts.1", "greater than or equal to 0"),
])
def test_what_does_not_fit_is_told_with_its_address(params, where, words):
    values, problems = checked(**params)
    assert values is None
    assert [problem[0] for problem in problems] == [where]
    assert words in problems[0][1]


def test_misspelt_parameters_find_their_name():
    assert checked(size=1, patch={"shere": 1})[1][0][2] == 'Did you mean "share"?'
    assert checked(siez=1, size=1)[1][0][2] == 'Did you mean "size"?'


def test_the_schema_is_json():
    schema = json.loads(json.dumps(json_schema(Wide)))
    assert schema["required"] == ["size"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["copy"] == {"default": "a", "type": "string"}
    assert schema["properties"]["width"] == {"default": 1.0, "exclusiveMinimum": 0, "type": "number"}
    assert schema["properties"]["counts"]["items"] == {"minimum": 0, "type": "integer"}


@pytest.mark.parametrize("name", lookup.shipped())
def test_every_shipped_name_is_its_class(name):
    cls = lookup.find(name)
    assert lookup.name_of(cls) == name
    assert issubclass(cls, Component)
    example = cls.example()
    entry = index.load()[name]
    assert list(example.inputs) == sorted(entry["inputs"], key=list(example.inputs).index)
    example.close()


@pytest.mark.parametrize(("name", "words"), [
    ("bodies.cartpol", 'Did you mean "bodies.cartpole"?'),
    ("cartpole", 'Did you mean "bodies.cartpole"?'),
    ("brain.mlp", 'Did you mean "brains.mlp"?'),
    ("os:system", "--allow os"),
    ("parts.roles", "no component"),
    ("", "no component"),
    (3, "no component 3"),
])
def test_unknown_names(name, words):
    with pytest.raises(lookup.LookupFailed) as caught:
        lookup.find(name)
    assert words in str(caught.value)


def test_allowed_modules_must_hold_components(tmp_path):
    (tmp_path / "lab_parts.py").write_text("x = 3\nclass Plain:\n    pass\n")
    for name, words in (("lab_parts:Plain", "is not a component"), ("lab_parts:Plane", "Plain"),
                        ("lab_parts.inner:X", "no module"), ("lab_nothing:X", "no module")):
        with pytest.raises(lookup.LookupFailed, match=words):
            lookup.find(name, ["lab_parts", "lab_nothing"], [tmp_path])
    assert lookup.allowed("lab.inner", ["lab"])
    assert not lookup.allowed("laboratory", ["lab"])
    assert not lookup.allowed("lab", ["lab.inner"])


def test_installed_entry_points_are_allowed(monkeypatch):
    class Point:
        value = "lab:Wide"

        def load(self):
            return Wide

    monkeypatch.setattr(lookup, "installed", lambda: {"lab.wide": Point()})
    assert lookup.find("lab.wide") is Wide
    assert sl.Assembly("t").add("x", "lab.wide", size=3).system().parts["x"].create().given["size"] == 3


def test_a_class_is_named_by_its_module_outside_the_catalogue():
    assert lookup.name_of(Wide) == f"{__name__}:Wide"
    assert lookup.class_name("gymnasium_env") == "GymnasiumEnv"


def test_the_page_has_every_component():
    text = page.render(index.load())
    for name, entry in index.load().items():
        assert f"### `{name}`" in text
        for port in entry["inputs"]:
            assert f"| `{port}` |" in text


def described(entry):
    """Every parameter of an entry, those of parameter objects as `Lesion.kind`, with what it means."""
    told, schema = entry.get("meanings", {}), entry["parameters"]
    yield from ((key, told.get(key, "")) for key in schema.get("properties", {}))
    for name, nested in schema.get("$defs", {}).items():
        yield from ((f"{name}.{key}", told.get(f"{name}.{key}", told.get(key, ""))) for key in nested["properties"])


@pytest.mark.parametrize("name", index.load())
def test_every_parameter_says_what_it_means(name):
    entry = index.load()[name]
    silent = [key for key, meaning in described(entry) if len(meaning) < 8]
    assert not silent, f"write what they mean into the docstring's `Args:` of {name}"
    stray = {key.rpartition(".")[2] for key in entry.get("meanings", {})} - {
        key.rpartition(".")[2] for key, _ in described(entry)}
    assert not stray, "the docstring speaks of parameters that are not there"
    text = page.component(name, entry)
    for key, meaning in described(entry):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{key.rpartition('.')[2]}` |"))
        assert row.replace("\\|", "").count("|") == 5, "type, default and meaning"
        assert meaning.replace("|", "\\|") in text


def test_meanings_are_read_from_the_docstring():
    assert meanings(Explained) == {"low": "the bounds, both of them on more than one line.",
                                   "high": "the bounds, both of them on more than one line.", "size": "how many: 3."}
    assert meanings(Wide) == {}


class Explained:
    """Explains.

    Args:
        low, high: the bounds, both of them
            on more than one line.
        size: how many: 3.

    Notes:
        other: is no parameter.
    """


def test_the_page_shows_times_as_people_write_them():
    text = page.component("bodies.cartpole", index.load()["bodies.cartpole"])
    assert "| `period` | period | `20 ms` | time between ticks in the loop. |" in text
    assert "| `period` | period | `120 Hz` |" in page.component("bodies.hand_gait", index.load()["bodies.hand_gait"])
    lesion = page.component("brains.mlp", index.load()["brains.mlp"])
    assert "| entry of Lesion | type | default | meaning |" in lesion


def test_the_editors_schema_says_what_parameters_mean():
    properties = editor_schema.make()["$defs"]["basics.gain"]["properties"]
    assert properties["gain"]["description"] == "one factor for all elements, or one for each."


def test_the_editors_schema_knows_every_type():
    schema = editor_schema.make()
    assert set(schema["$defs"]) == set(index.load())
    json.dumps(schema)
