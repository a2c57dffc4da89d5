"""Reading YAML: numbers as in YAML 1.2, nothing constructed, every error with its place."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stimloop.assemblies.document import MAX_DEPTH, parse, read, scalar, write
from stimloop.loops.errors import AssemblyError


@pytest.mark.parametrize(("text", "value"), [
    ("1e-3", 1e-3), ("5e3", 5000.0), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-2", -2), ("+3", 3), ("0x1f", 31),
    ("0o17", 15), ("0", 0), ("true", True), ("False", False), ("null", None), ("~", None), ("-.inf", -math.inf),
    ("1:30", "1:30"), ("012", "012"), ("2026-11-20", "2026-11-20"), ("on", "on"), ("yes", "yes"), ("off", "off"),
    ("1_000", "1_000"), ("0b11", "0b11"), ("1e", "1e"), ("20 ms", "20 ms"), ("-", "-"), (".", "."), ("012.5", "012.5"),
])
def test_plain_scalars(text, value):
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_and_quotes():
    assert math.isnan(scalar(".nan"))
    assert parse("{a: '1', b: \"true\", c: 1}")[0] == {"a": "1", "b": "true", "c": 1}


def test_marks_tell_line_and_column():
    _, marks = parse("a:\n  b: [1,\n    2]\n")
    assert marks[("a",)] == (1, 1)
    assert marks[("a", "b")] == (2, 3)
    assert marks[("a", "b", 1)] == (3, 5)


@pytest.mark.parametrize(("text", "place", "word"), [
    ("a: 1\nb: 2\na: 3", "x.yaml:3:1", "twice"),
    ("a: {b: 1,\n b: 2}", "x.yaml:2:2", "twice"),
    ("a: &x 1\nb: *x", "x.yaml:1:4", "anchors"),
    ("a: *x", "x.yaml:1:4", "anchors"),
    ("a: !!python/object/apply:os.system [echo]", "x.yaml:1:4", "tags"),
    ("a: !!int '3'", "x.yaml:1:4", "tags"),
    ("a: [1", "x.yaml:2:1", "not valid YAML"),
    ("? [1]\n: 2", "x.yaml:1:3", "key"),
    ("<<: {a: 1}", "x.yaml:1:1", "merge"),
    ("a: 1\n---\nb: 2", "x.yaml:2:1", "second document"),
    ("a: 1e999", "x.yaml:1:4", "too large"),
    ("a: " + "9" * 5000, "x.yaml:1:4", "too long"),
    ("", "x.yaml", "empty"),
    ("a: \x00", "x.yaml", "not valid YAML"),
    ("a: \ud800", "x.yaml", "UTF-8"),
])
def test_refusals_name_the_place(text, place, word):
    with pytest.raises(AssemblyError) as caught:
        parse(text, "x.yaml")
    assert place in str(caught.value)
    assert word in str(caught.value)


def test_depth_is_limited_and_bombs_are_quick():
    inside = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    parse(f"a: {inside}")
    start = time.process_time()  # on a busy machine wall time counts other people's work
    for text in ("[" * 500_000, "{a: " * 100_000, "a: " + "[" * 300_000,
                 "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(30)),
                 "[" + "1," * 400_000 + "1]"):
        with pytest.raises(AssemblyError):
            parse(text)
    assert time.process_time() - start < 2


def test_files(tmp_path):
    path = tmp_path / "x.yaml"
    with pytest.raises(AssemblyError, match=r"cannot be read.*"):
        read(path)
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(AssemblyError, match="UTF-8"):
        read(path)
    path.write_bytes(b"#" + b"x" * 3_000_000)
    with pytest.raises(AssemblyError, match="larger"):
        read(path)
    path.write_text("a: 5e3\n")
    assert read(path)[0] == {"a": 5000.0}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-10**30, 10**30) | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["1e-3", "on", "012", "1:30", "", "null", "~", "0x1f", "a\x85b", "\u2028", "- a", "a: b", "'"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8).filter(lambda t: t != "<<"),
                                                                inner, max_size=4), max_leaves=20)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_what_is_written_is_read_back(value):
    assert parse(write(value))[0] == value
