"""The tail, the journal and atomic directories: whatever is torn off, what remains is a true beginning."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from stimloop.loops.errors import RunError
from stimloop.loops.port import Port
from stimloop.loops.storage.atomic import (
    MANIFEST,
    atomic_directory,
    read_manifest,
    replace_file,
    write_all,
)
from stimloop.loops.storage.journal import Journal, decode_line, encode_line, is_locked, read_journal
from stimloop.loops.storage.stream import Stream
from stimloop.loops.storage.tail import MAGIC, Rows, Tail, frame, is_damaged, join_rows, read_tail, tail_content

LAYOUTS = [Stream("a", "x", Port("x", (2,)), 1).layout(), Stream("a", "e", Port("e", (0,), kind="event"), 1).layout()]


def rows(stream: int, first: int, count: int) -> Rows:
    numbers = np.arange(first, first + count)
    layout = LAYOUTS[stream]
    return Rows(stream, first, count, tuple(
        np.broadcast_to(numbers.reshape(-1, *[1] * len(column.shape)), (count, *column.shape)).astype(column.numpy)
        for column in layout.columns))


def joined(content: bytes, stream: int, start: int = 0) -> list[int]:
    return join_rows(read_tail(content, LAYOUTS), stream, start, LAYOUTS[stream])[0].tolist()


def test_rows_come_back_in_order(tmp_path):
    tail = Tail(tmp_path / "tail.bin")
    tail.begin()
    tail.append([rows(0, 0, 3), rows(1, 0, 2)])
    tail.append([rows(0, 0, 7)])  # four of them are new
    tail.append([rows(0, 0, 7), rows(1, 0, 2)])  # nothing is
    tail.close()
    content = tail_content(tmp_path / "tail.bin")
    assert joined(content, 0) == list(range(7))
    assert joined(content, 1) == [0, 1]
    assert joined(content, 0, 5) == [5, 6]
    assert joined(content, 0, 7) == []
    values = join_rows(read_tail(content, LAYOUTS), 0, 2, LAYOUTS[0])[1]
    np.testing.assert_array_equal(values[:, 0, 1], [2, 3, 4, 5, 6])
    assert content.count(b"ROWS") == 2


def test_every_torn_tail_is_a_beginning_of_the_whole():
    content = b"".join(bytes(part) for part in [MAGIC, *frame([rows(0, 0, 3)]), *frame([rows(0, 3, 2), rows(1, 0, 1)])])
    whole = [joined(content, 0), joined(content, 1)]
    assert whole == [[0, 1, 2, 3, 4], [0]]
    seen = set()
    for size in range(len(content) + 1):
        there = joined(content[:size], 0)
        assert there == whole[0][:len(there)]
        seen.add(len(there))
    assert seen == {0, 3, 5}


def test_an_altered_frame_ends_the_reading():
    content = b"".join(bytes(part) for part in [MAGIC, *frame([rows(0, 0, 3)]), *frame([rows(0, 3, 2)])])
    second = content.rindex(b"ROWS")
    for place in range(len(MAGIC), len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        assert joined(bytes(altered), 0) == (list(range(3)) if place >= second else [])


def test_an_altered_size_is_damage_and_a_torn_end_is_none():
    content = b"".join(bytes(part) for part in [MAGIC, *frame([rows(0, 0, 3)]), *frame([rows(0, 3, 2)]),
                                                *frame([rows(0, 5, 2)])])
    second = content.index(b"ROWS", len(MAGIC) + 4)
    altered = bytearray(content)
    altered[second + 15] = 1  # the frame now claims more bytes than there are, as one that was torn off does
    assert joined(bytes(altered), 0) == [0, 1, 2]
    assert is_damaged(bytes(altered))  # but a whole frame stands behind it
    assert not any(is_damaged(content[:end]) for end in range(len(MAGIC), len(content) + 1))
    torn = bytearray(altered[:content.rindex(b"ROWS")])
    torn[-8:-4] = b"ROWS"  # the word alone is no frame
    assert not is_damaged(bytes(torn))


def test_rows_behind_a_gap_do_not_count():
    content = b"".join(bytes(part) for part in [MAGIC, *frame([rows(0, 0, 2)]), *frame([rows(0, 3, 2)])])
    assert joined(content, 0) == [0, 1]
    assert joined(content, 0, 3) == [3, 4]


def test_a_tail_of_another_run_is_an_error():
    content = b"".join(bytes(part) for part in [MAGIC, *frame([rows(1, 0, 2)])])
    with pytest.raises(RunError, match="does not belong to the journal"):
        read_tail(content, LAYOUTS[:1])


def test_the_tail_is_cut_when_chunks_hold_its_rows(tmp_path):
    tail = Tail(tmp_path / "tail.bin")
    tail.begin()
    tail.append([rows(0, 0, 300_000), rows(1, 0, 5)])
    assert tail.size > 4 << 20
    tail.committed(0)
    assert tail.size < 1000
    assert joined(tail_content(tmp_path / "tail.bin"), 1) == [0, 1, 2, 3, 4]
    tail.append([rows(0, 300_000, 2), rows(1, 0, 6)])
    tail.sync()
    tail.close()
    content = tail_content(tmp_path / "tail.bin")
    assert joined(content, 1) == [0, 1, 2, 3, 4, 5]
    assert joined(content, 0, 300_000) == [300_000, 300_001]


def test_a_long_tail_is_kept_while_most_of_it_lives(tmp_path):
    tail = Tail(tmp_path / "tail.bin")
    tail.begin()
    tail.append([rows(0, 0, 300_000), rows(1, 0, 5)])
    size = tail.size
    tail.committed(1)
    assert tail.size == size > 4 << 20
    tail.close()
    assert joined(tail_content(tmp_path / "tail.bin"), 0) == list(range(300_000))


# -- journal -----------------------------------------------------------------------------------------------------------


def test_journal_lines_are_json_and_know_when_they_are_altered():
    line = encode_line({"stream": 1, "rows": 4096, "text": 'a"}b', "value": [0.1, float("nan")]})
    assert json.loads(line)["rows"] == 4096
    for place in range(len(line) - 1):
        altered = bytearray(line[:-1])
        altered[place] ^= 1
        assert decode_line(bytes(altered)) is None
    assert decode_line(b"") is None
    assert decode_line(line[:-1])["text"] == 'a"}b'


def test_a_torn_journal_line_was_never_committed(tmp_path):
    path = tmp_path / "journal.jsonl"
    whole = encode_line({"rows": 1}) + encode_line({"rows": 2})
    for size in range(len(encode_line({"rows": 1})), len(whole)):
        path.write_bytes(whole[:size])
        assert read_journal(path)[0] == [{"rows": 1}]
    journal = Journal(path)
    journal.append({"rows": 3})
    journal.close()
    journal.close()
    assert [entry["rows"] for entry in read_journal(path)[0]] == [1, 3]


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "run" / "journal.jsonl"
    path.parent.mkdir()
    assert not is_locked(path)  # there is none
    journal = Journal(path)
    assert is_locked(path)
    with pytest.raises(RunError, match="being written by another process"):
        Journal(path)
    journal.close()
    assert not is_locked(path)


# -- files and directories ---------------------------------------------------------------------------------------------


def test_write_all_goes_on_after_short_writes(tmp_path, monkeypatch):
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda descriptor, parts: real(descriptor, [parts[0][:3]]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert write_all(descriptor, [b"abcdefg", np.zeros((0, 3)), np.arange(3, dtype=np.uint8), b""]) == 10
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"abcdefg\0\1\2"


def test_a_file_that_takes_no_more_bytes_is_an_error_and_no_endless_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "writev", lambda descriptor, parts: 0)
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="takes no more bytes"):
        write_all(descriptor, [b"abc"])
    os.close(descriptor)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    replace_file(path, [b"old"])

    def hook(target, parts):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, [b"new"], hook=hook)
    assert path.read_bytes() == b"old"
    replace_file(path, [b"ne", b"w"], sync=True)
    assert path.read_bytes() == b"new"


def make(parent, name: str, content: bytes = b"weights", **facts):
    with atomic_directory(parent / name) as writer:
        writer.facts.update(facts)
        writer.write("brain.safetensors", content)
    return parent / name


def test_a_directory_appears_whole_with_its_hashes(tmp_path):
    made = make(tmp_path / "checkpoints", "100", time=100)
    manifest = read_manifest(made)
    assert manifest["time"] == 100
    assert manifest["files"]["brain.safetensors"]["size"] == 7
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["100"]
    with pytest.raises(RunError, match="exists already"), atomic_directory(made):
        pass


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def fail() -> None:
        with atomic_directory(tmp_path / "100") as writer:
            writer.write("a", b"x")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_earlier_directory_can_be_linked(tmp_path):
    first = make(tmp_path, "100", [b"a", np.arange(3)])
    with atomic_directory(tmp_path / "200") as writer:
        writer.link("buffer", first / "brain.safetensors", read_manifest(first)["files"]["brain.safetensors"])
    assert read_manifest(tmp_path / "200")["files"]["buffer"]["size"] == 25
    assert (tmp_path / "200" / "buffer").stat().st_ino == (first / "brain.safetensors").stat().st_ino


def test_where_there_are_no_links_the_file_is_copied(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(95, "Operation not supported")

    first = make(tmp_path, "100", [b"a", np.arange(3)])
    monkeypatch.setattr(os, "link", refuse)
    with atomic_directory(tmp_path / "200") as writer:
        writer.link("buffer", first / "brain.safetensors", read_manifest(first)["files"]["brain.safetensors"])
    assert (tmp_path / "200" / "buffer").read_bytes() == (first / "brain.safetensors").read_bytes()
    assert (tmp_path / "200" / "buffer").stat().st_ino != (first / "brain.safetensors").stat().st_ino
    assert read_manifest(tmp_path / "200")["files"]["buffer"]["size"] == 25  # its hashes hold


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", MANIFEST, "twice"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with atomic_directory(tmp_path / "100") as writer:
        writer.write("twice", b"")
        with pytest.raises(RunError, match="plain name"):
            writer.write(name, b"")


def test_a_manifest_that_is_none_was_never_finished(tmp_path):
    made = make(tmp_path, "9")
    (made / MANIFEST).write_text('{"files": {"../x": {}}}')
    with pytest.raises(RunError, match="plain file"):
        read_manifest(made)
    (made / MANIFEST).write_text("[")
    with pytest.raises(RunError, match="never finished"):
        read_manifest(made)
