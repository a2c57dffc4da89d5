"""Artifacts: what was learned comes back bit for bit, and nothing else is taken for it."""

import os

import numpy as np
import pytest

from stimloop.components.coprocessors.constant import Constant
from stimloop.components.parts import flat_parameters
from stimloop.loops.errors import AssemblyError, PortError
from stimloop.loops.lanes import Lanes
from stimloop.loops.storage import artifact

LEARNED = {"layer": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)},
           "mask": np.array([True, False]), "count": np.array([2**53], np.int64)}


def test_everything_comes_back(tmp_path):
    path = tmp_path / "deep" / "brain.safetensors"
    digest = artifact.write(path, LEARNED, "brains.mlp", {"inputs": {}}, note="by hand")
    learned, meta = artifact.load(path)
    assert meta["type"] == "brains.mlp"
    assert meta["note"] == "by hand"
    assert meta["hash"] == digest == artifact.content_hash(learned)
    assert meta["ports"] == {"inputs": {}}
    for name, value in artifact.flat(LEARNED).items():
        got = artifact.flat(learned)[name]
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)
    assert os.listdir(path.parent) == ["brain.safetensors"]  # nothing is left beside it


def test_single_numbers_come_back_as_single_numbers(tmp_path):
    learned = {"batches": np.array(7, np.int64), "gain": np.array(1.5, np.float32), "row": np.ones((2, 3)).T}
    artifact.write(tmp_path / "a.safetensors", learned, "brains.torch_module", {})
    again = artifact.load(tmp_path / "a.safetensors")[0]
    assert {name: value.shape for name, value in again.items()} == {"batches": (), "gain": (), "row": (3, 2)}
    artifact.check(learned, again, "brain")
    assert (again["batches"], again["gain"]) == (7, 1.5)


def test_a_file_that_contradicts_its_hash_says_both_ways_out(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    save_file({"gain": np.ones(1, np.float32)}, path, {"format": artifact.FORMAT, "hash": "0" * 64})
    with pytest.raises(AssemblyError, match="stimloop export RUN --weights COMPONENT") as caught:
        artifact.load(path)
    assert "Copy it again" in str(caught.value)


def test_the_hash_is_of_the_content_not_of_the_order(tmp_path):
    turned = dict(reversed(LEARNED.items()))
    assert artifact.content_hash(turned) == artifact.content_hash(LEARNED)
    other = {**LEARNED, "mask": np.array([True, True])}
    assert artifact.content_hash(other) != artifact.content_hash(LEARNED)
    reshaped = {**LEARNED, "mask": np.array([[True, False]])}
    assert artifact.content_hash(reshaped) != artifact.content_hash(LEARNED)


def test_missing_foreign_and_damaged_files_are_told_apart(tmp_path):
    with pytest.raises(AssemblyError, match="no such weights file"):
        artifact.load(tmp_path / "none.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not weights at all")
    with pytest.raises(AssemblyError, match="cannot be read"):
        artifact.load(foreign)
    path = tmp_path / "a.safetensors"
    artifact.write(path, LEARNED, "brains.mlp", {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssemblyError, match="damaged"):
        artifact.load(path)
    from safetensors.numpy import save_file
    save_file({"x": np.ones(1)}, foreign)
    with pytest.raises(AssemblyError, match="no stimloop artifact"):
        artifact.load(foreign)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    artifact.write(path, LEARNED, "brains.mlp", {})
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        artifact.write(path, {"x": np.zeros(3)}, "brains.mlp", {})
    assert path.read_bytes() == before


def test_sizes_name_both_sides():
    given = {"layer": {"weight": np.zeros((2, 5)), "bias": np.ones(2)}, "extra": np.zeros(1)}
    with pytest.raises(AssemblyError) as caught:
        artifact.check(LEARNED, given, "brain", {"type": "brains.other"})
    text = str(caught.value)
    assert "layer/weight is (2, 5) (made by brains.other), here it must be (2, 3)" in text
    assert "lacks mask (2,)" in text
    assert "holds extra (1,)" in text


def test_a_component_saves_what_it_learned(tmp_path):
    constant = Constant(command=[1.0, 2.0])
    constant.build(Lanes.of(3), 0)
    artifact.save(tmp_path / "best.safetensors", constant, "coprocessors.constant")
    again = Constant(command=str(tmp_path / "best.safetensors"))
    again.build(Lanes.of(1), 0)
    np.testing.assert_array_equal(again.command, [1.0, 2.0])


def test_vectors_carry_learned_arrays_in_name_order():
    learned = {"b": np.array([3.0], np.float32), "a": {"z": np.array([[1.0, 2.0]], np.float32)}}
    vector = flat_parameters.flatten(learned)
    np.testing.assert_array_equal(vector, np.array([1, 2, 3], np.float32))
    back = flat_parameters.unflatten(vector, learned)
    np.testing.assert_array_equal(back["a"]["z"], learned["a"]["z"])
    np.testing.assert_array_equal(back["b"], learned["b"])
    with pytest.raises(PortError, match="4 numbers"):
        flat_parameters.unflatten(np.zeros(4, np.float32), learned)


def test_who_learned_nothing_makes_no_artifact(tmp_path):
    class Empty(Constant):
        def state_dict(self):
            return {}

    with pytest.raises(AssemblyError, match="has learned nothing that could be saved"):
        artifact.save(tmp_path / "nothing.safetensors", Empty(command=[1.0]), "coprocessors.empty")
    assert not list(tmp_path.iterdir())
