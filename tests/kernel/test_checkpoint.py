"""A state on disk: to the bit, whole or not at all, and no byte written twice that the checkpoint before holds."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stimloop.loops.errors import RunError
from stimloop.loops.storage import checkpoint, chunks
from stimloop.loops.storage.atomic import MANIFEST, atomic_directory

STATE = {
    "format": 1, "now": 40, "components": {
        "brain": {"word": "µ", "none": None, "yes": True, "big": 2**70, "f": 0.1, "nan": float("nan"), "empty": {},
                  "a/b": np.arange(3), "a": {"b": np.float64([[1, 2]]).T, "n": np.int64(3)}, "zero": np.zeros((0, 2)),
                  "scalar": np.array(2.5, np.float32), "bits": np.array([True]), "long": np.uint64([2**64 - 1])},
        "body": {}}, "nodes": {"brain": {"previous": None}}}


def same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, np.ndarray):
        return bool(isinstance(two, np.ndarray) and one.dtype == two.dtype and one.shape == two.shape
                    and one.tobytes() == two.tobytes())
    return repr(one) == repr(two) or one == two


def test_a_state_survives_the_disk_to_the_bit(tmp_path: Path) -> None:
    folder = checkpoint.write(STATE, tmp_path)
    found = checkpoint.read(folder)
    assert same(STATE["components"], found["components"])
    assert same({key: value for key, value in STATE.items() if key != "components"},
                {key: value for key, value in found.items() if key != "components"})


@pytest.mark.parametrize("bad", [[1, 2], (1,), object(), np.array(["text"]), {1, 2}])
def test_what_is_no_plain_state_is_refused_with_its_place(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(RunError, match=r"brain|deep/bad"):
        checkpoint.write({"now": 0, "components": {"brain": {"deep": {"bad": bad}}}}, tmp_path)
    assert checkpoint.newest(tmp_path) is None


def test_the_newest_whole_checkpoint_is_read_and_few_are_kept(tmp_path: Path) -> None:
    folders = [checkpoint.write({**STATE, "now": now}, tmp_path, keep=3) for now in (0, 10, 10, 20)]
    assert len({folder.name for folder in folders}) == 4
    assert [folder.exists() for folder in folders] == [False, True, True, True]
    assert checkpoint.newest(tmp_path)["now"] == 20  # type: ignore[index]
    file = folders[-1] / "component.brain.safetensors"
    assert file.stat().st_ino == (folders[-2] / file.name).stat().st_ino  # it did not change: linked, not written again
    file.unlink()
    file.write_bytes(b"no tensors")
    with pytest.raises(RunError, match=r"component\.brain\.safetensors"):
        checkpoint.read(folders[-1])
    with pytest.raises(RunError, match=r"damaged.*Delete"):  # an older one is not taken without a word
        checkpoint.newest(tmp_path)


def test_a_checkpoint_of_another_format_or_without_its_parts_is_refused(tmp_path: Path) -> None:
    other = checkpoint.write(STATE, tmp_path / "other")
    manifest = other / MANIFEST
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(RunError, match="has format 7; this version reads 1"):
        checkpoint.read(other)
    with atomic_directory(tmp_path / "empty") as folder:
        folder.facts.update(format=1, now=0)
    with pytest.raises(RunError, match="cannot be read"):
        checkpoint.read(tmp_path / "empty")


def test_before_a_damaged_checkpoint_the_next_is_written_whole(tmp_path: Path) -> None:
    first = checkpoint.write(STATE, tmp_path)
    (first / MANIFEST).write_text("no manifest")
    second = checkpoint.write({**STATE, "now": 50}, tmp_path)
    assert same(STATE["components"], checkpoint.read(second)["components"])


# -- large arrays in chunks --------------------------------------------------------------------------------------------

SIZE = 1000  # bytes of a chunk here


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 4 * SIZE)
    monkeypatch.setattr(chunks, "CHUNK", SIZE)


def state_of(buffer: np.ndarray, now: int = 0) -> dict[str, Any]:
    return {"format": 1, "now": now, "components": {"learner": {"replay": {"rows": buffer}, "filled": now}}}


def buffer_of(rows: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 5)).astype(np.float32)  # [transitions, numbers]


def written(folder: Path) -> int:
    """Bytes that only this checkpoint holds."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.stat().st_nlink == 1)


def chunks_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("chunk.*.safetensors"))


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("array", [
    buffer_of(), buffer_of().T, np.arange(5001, dtype=np.int8), np.arange(6000) % 7 == 0, np.zeros((3000, 1, 2)),
    np.arange(1000).astype(">f8"), np.float16(np.arange(9999)), buffer_of()[::2, ::-1].copy()[:900]])
def test_large_arrays_survive_in_chunks(tmp_path: Path, array: np.ndarray) -> None:
    folder = checkpoint.write(state_of(array), tmp_path)
    assert chunks_of(folder)
    found = checkpoint.read(folder)["components"]["learner"]
    assert found["replay"]["rows"].dtype == array.dtype
    assert np.array_equal(found["replay"]["rows"], array)
    assert found["filled"] == 0
    found["replay"]["rows"].reshape(-1)[0] = 1  # whoever loads it may write to it


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize(("first", "count", "chunks_hit"), [(0, 0, 0), (100, 10, 1), (0, 50, 1), (475, 100, 3),
                                                            (0, 1000, 20)])
def test_what_is_written_is_in_proportion_to_what_changed(tmp_path: Path, first: int, count: int, chunks_hit: int
                                                         ) -> None:
    buffer = buffer_of()  # 20 000 bytes: 20 chunks
    before = checkpoint.write(state_of(buffer), tmp_path)
    assert written(before) > buffer.nbytes
    buffer[first:first + count] += 1  # 20 bytes a row
    after = checkpoint.write(state_of(buffer, 1), tmp_path)
    ours = [file for file in chunks_of(after) if file.stat().st_nlink == 1]
    assert len(ours) == chunks_hit
    rest = sum(file.stat().st_size for file in after.iterdir() if not file.name.startswith("chunk."))
    assert written(after) <= rest + chunks_hit * (SIZE + 200)
    assert np.array_equal(checkpoint.read(after)["components"]["learner"]["replay"]["rows"], buffer)


@pytest.mark.usefixtures("_small_chunks")
def test_equal_chunks_are_kept_once(tmp_path: Path) -> None:
    folder = checkpoint.write(state_of(np.zeros((1000, 5), np.float32)), tmp_path)
    assert len(chunks_of(folder)) == 1
    assert written(folder) < 4 * SIZE


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("harm", ["unlink", "alter", "shorten", "symlink"])
def test_a_checkpoint_with_a_bad_chunk_counts_as_unfinished(tmp_path: Path, harm: str) -> None:
    buffer = buffer_of()
    older = checkpoint.write(state_of(buffer), tmp_path)
    buffer[:10] += 1
    newer = checkpoint.write(state_of(buffer, 1), tmp_path)
    mine = next(file for file in chunks_of(newer) if file.stat().st_nlink == 1)
    spoil(mine, harm)
    state, damaged = checkpoint.newest_whole(tmp_path)
    assert state is not None
    assert state["now"] == 0
    assert list(damaged) == [newer]
    assert mine.name in damaged[newer]
    with pytest.raises(RunError, match=mine.name):
        checkpoint.newest(tmp_path)
    shared = next(file for file in chunks_of(older) if file.stat().st_nlink == 2)
    content = bytearray(shared.read_bytes())
    content[-1] ^= 1
    shared.write_bytes(content)  # one file, two names: it is lost for both
    state, damaged = checkpoint.newest_whole(tmp_path)
    assert state is None
    assert set(damaged) == {older, newer}


def spoil(file: Path, harm: str) -> None:
    content = file.read_bytes()
    file.unlink()
    if harm == "alter":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "shorten":
        file.write_bytes(content[:-1])
    elif harm == "symlink":
        (file.parent / "other").write_bytes(content)
        file.symlink_to(file.parent / "other")


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("harm", ["unlink", "shorten", "symlink"])
def test_what_was_lost_is_written_again_not_linked(tmp_path: Path, harm: str) -> None:
    buffer = buffer_of()
    before = checkpoint.write(state_of(buffer), tmp_path)
    spoil(chunks_of(before)[3], harm)
    spoil(before / "loop.safetensors", harm)
    after = checkpoint.write(state_of(buffer, 1), tmp_path)
    assert np.array_equal(checkpoint.read(after)["components"]["learner"]["replay"]["rows"], buffer)


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("name", ["../../secret", "state.json", "chunk." + 64 * "0" + ".safetensors"])
def test_chunks_lie_in_their_checkpoint(tmp_path: Path, name: str) -> None:
    folder = checkpoint.write(state_of(buffer_of()), tmp_path)
    entry = {"dtype": "<f4", "shape": [5], "chunks": [name]}
    with pytest.raises(RunError, match="does not hold"):
        chunks.read_array(folder, entry, {"state.json"})
    with pytest.raises(RunError, match="does not hold"):
        chunks.read_array(folder, {**entry, "dtype": "O", "chunks": []}, {})


# -- what kills leave --------------------------------------------------------------------------------------------------


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".00000000000000000007.partial").mkdir(parents=True)
    (tmp_path / ".00000000000000000007.partial" / "loop.safetensors").write_bytes(b"half")
    folder = checkpoint.write(STATE, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_checkpoint_is_removed_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while an old one is removed leaves no directory that looks like a damaged checkpoint."""
    for now in (0, 1):
        checkpoint.write({**STATE, "now": now}, tmp_path, keep=2)

    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write({**STATE, "now": 2}, tmp_path, keep=2)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        f"{now:020d}" for now in (1, 2)]
    checkpoint.write({**STATE, "now": 3}, tmp_path, keep=2)
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_before_the_first_instant_is_the_oldest(tmp_path: Path) -> None:
    for now in (-1, 5, 10):
        checkpoint.write({**STATE, "now": now}, tmp_path, keep=1)
        assert checkpoint.newest(tmp_path)["now"] == now  # type: ignore[index]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_one_set_aside_is_no_checkpoint_any_more(tmp_path: Path) -> None:
    folders = [checkpoint.write({**STATE, "now": now}, tmp_path) for now in (0, 9)]
    (folders[1] / "state.json").unlink()
    aside = checkpoint.set_aside(folders[1])
    assert checkpoint.newest(tmp_path)["now"] == 0  # type: ignore[index]
    for now in (3, 6):
        checkpoint.write({**STATE, "now": now}, tmp_path, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [aside.name, f"{6:020d}"]


# -- a disk that fails -------------------------------------------------------------------------------------------------


class FailingDisk:
    """Counts what is asked of the disk; from call k on every one fails."""

    def __init__(self, patch: pytest.MonkeyPatch, k: int | None, code: int) -> None:
        self.k, self.code, self.calls = k, code, 0
        for name in ("writev", "fsync", "rename", "replace", "mkdir"):
            patch.setattr(os, name, self.failing(getattr(os, name)))

    def failing(self, call: Any) -> Any:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            if self.k is not None and self.calls > self.k:
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments, **more)

        return wrapped


@pytest.mark.usefixtures("_small_chunks")
def test_a_disk_that_fails_anywhere_in_a_checkpoint_is_told_and_harms_none_before(tmp_path: Path) -> None:
    def save(place: Path, k: int | None, code: int) -> FailingDisk:
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, k, code)
            checkpoint.write(state_of(buffer_of(800), 1), place, keep=1)
        return disk

    checkpoint.write(state_of(buffer_of(300), 0), tmp_path / "whole")
    whole = save(tmp_path / "whole", None, 0).calls
    assert whole > 20
    for k in range(whole):
        place, code = tmp_path / str(k), (errno.ENOSPC, errno.EIO)[k % 2]
        checkpoint.write(state_of(buffer_of(300), 0), place)
        with pytest.raises(RunError, match=os.strerror(code)) as caught:
            save(place, k, code)
        assert "intact" in str(caught.value)
        assert "then resume the run" in str(caught.value)
        assert checkpoint.newest(place)["now"] in (0, 1)  # type: ignore[index]
        checkpoint.write(state_of(buffer_of(800), 2), place, keep=1)
        assert [path.name for path in place.iterdir()] == [f"{2:020d}"]


def test_without_a_checkpoint_before_it_nothing_is_said_of_resuming(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        FailingDisk(patch, 0, errno.ENOSPC)
        with pytest.raises(RunError, match="make room or repair the disk, then begin a new run") as caught:
            checkpoint.write(STATE, tmp_path / "new")
    assert "resume" not in str(caught.value)


def test_one_component_is_read_from_each_the_newest_first(tmp_path: Path) -> None:
    for now in range(3):
        checkpoint.write({"now": now, "components": {"a": {"x": np.full(2, now), "of": {"y": now}},
                                                     "b": {"x": np.arange(now)}}}, tmp_path)
    newest, middle, oldest = sorted(tmp_path.iterdir(), reverse=True)
    (newest / "component.b.safetensors").unlink()  # nobody asks for it
    assert [(now, state["x"].tolist(), state["of"]) for now, state in checkpoint.parts(tmp_path, "a")] == [
        (2, [2, 2], {"y": 2}), (1, [1, 1], {"y": 1}), (0, [0, 0], {"y": 0})]
    (middle / "component.a.safetensors").write_bytes(b"x")
    (oldest / "state.json").unlink()
    damaged: dict[Path, str] = {}
    assert [now for now, _ in checkpoint.parts(tmp_path, "a", damaged)] == [2]
    assert list(damaged) == [middle, oldest]
    damaged.clear()
    assert list(checkpoint.parts(tmp_path, "c", damaged)) == []
    assert damaged == {}, "that they have no such component is no damage"
    assert list(checkpoint.parts(tmp_path / "nowhere", "a")) == []


def test_every_harmed_file_of_every_checkpoint_is_named_and_a_shared_one_in_each(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 64)
    array = np.arange(100.0)
    for now in range(3):
        checkpoint.write({"now": now, "components": {"a": {"x": array}, "b": {"y": now}}}, tmp_path)
    oldest, middle, newest = sorted(tmp_path.iterdir())
    assert checkpoint.harmed(tmp_path) == {oldest: [], middle: [], newest: []}
    assert [checkpoint.instant(folder) for folder in checkpoint.harmed(tmp_path)] == [0, 1, 2]
    (middle / "component.b.safetensors").unlink()
    (middle / "loop.safetensors").unlink()
    (middle / "loop.safetensors").symlink_to(newest / "loop.safetensors")  # the same bytes, but no plain file
    (chunk, *_) = sorted(newest.glob("chunk.*"))
    assert os.stat(chunk).st_nlink == 3
    chunk.write_bytes(b"x")
    harm = checkpoint.harmed(tmp_path)
    assert [[chunk.name in text for text in each].count(True) for each in harm.values()] == [1, 1, 1]
    assert [len(each) for each in harm.values()] == [1, 3, 1]
    assert checkpoint.harmed(tmp_path / "nowhere") == {}
    assert checkpoint.instant(Path("-0005-1")) == -5
    with pytest.raises(RunError, match="is no checkpoint"):
        checkpoint.instant(Path("five"))


def test_a_large_array_of_one_component_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 64)
    array = np.arange(100.0)
    checkpoint.write({"now": 5, "components": {"a": {"x": array}}}, tmp_path)
    (now, state), = checkpoint.parts(tmp_path, "a")
    assert now == 5
    np.testing.assert_array_equal(state["x"], array)


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("file", ["component.a.safetensors", "chunk.*.safetensors", "state.json", "chunks.json"])
def test_a_component_of_which_a_byte_was_altered_is_passed_over_and_told(tmp_path: Path, file: str) -> None:
    checkpoint.write({"now": 1, "components": {"a": {"x": np.arange(4.0), "large": buffer_of(300)}}}, tmp_path)
    folder, = tmp_path.iterdir()
    assert [now for now, _ in checkpoint.parts(tmp_path, "a")] == [1]
    altered = next(folder.glob(file))
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    damaged: dict[Path, str] = {}
    assert list(checkpoint.parts(tmp_path, "a", damaged)) == []
    assert altered.name in damaged[folder]
