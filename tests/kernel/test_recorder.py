"""The recorder: what is tapped is what is read back, by us, by zarr-python and by xarray, through any interruption."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st

from stimloop.loops.errors import RunError
from stimloop.loops.port import Port
from stimloop.loops.storage import runs as reading
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stored import JOURNAL, TAIL, read_stored, recover_stored
from stimloop.loops.storage.stream import Stream
from stimloop.loops.storage.zarr_files import Compressor, units_text

from .recording import LANES, MILLISECOND, STREAMS, Truth, content, same, small_chunks, value


def abandon(recorder: Recorder) -> None:
    """Leave a recorder as a kill would: nothing further is written, the lock is gone."""
    recorder._writer.wait()
    recorder._writer.stop()
    recorder._tail.close()
    recorder._journal.close()


def record(path: Path, rows: int, **options) -> tuple[Recorder, Truth]:
    recorder = Recorder(path, STREAMS, {"name": "test"}, **options)
    truth = Truth(recorder)
    for _ in range(rows):
        truth.say()
    return recorder, truth


def test_metrics_of_a_long_run_take_little_memory(runs):
    """One number an episode fills a buffer for hours, and every page of it that is written first is memory more."""
    names = ("loss", "return", "length", "entropy")
    streams = [Stream("learner", name, Port(name, per_lane=False), LANES, metric=True) for name in names]
    recorder = Recorder(runs / "a.zarr", streams, {"name": "test"})
    for now in range(20_000):
        for name in names:
            recorder.tap(f"learner.{name}")(now, np.float32(now))
    recorder._writer.wait()
    held = [columns for buffer in recorder._buffers.values() for columns in [buffer._look()[1]]]
    held += [columns for spare in recorder._writer.spare for columns in spare]
    assert sum(column.nbytes for columns in held for column in columns) < 1_000_000  # with 32 768 rows at least 1.6 MB
    recorder.close()
    read = reading.open(runs / "a.zarr")
    np.testing.assert_array_equal(read["learner.loss"], np.arange(20_000, dtype=np.float32))


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 50])
def test_closed_run_holds_every_row(runs, monkeypatch, rows):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", rows)
    recorder.close()
    stored = read_stored(runs / "a.zarr")
    assert stored.closed == "finished"
    assert stored.rows[0] == rows
    same(stored, truth)
    assert not (runs / "a.zarr" / TAIL).exists()


def test_zarr_python_reads_the_same_rows(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", 21)
    recorder.close()
    root = zarr.open_group(runs / "a.zarr", mode="r")
    for stream in STREAMS:
        group = root[stream.layout().path]
        for name, expected in zip([c.name for c in stream.layout().columns], truth.rows(stream.key), strict=True):
            np.testing.assert_array_equal(group[name][:], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_documents_are_those_that_zarr_python_writes(runs, dtype):
    recorder = Recorder(runs / "a.zarr", [Stream("body", "value", Port("x", (3,), ("joint",), "rad", dtype), 2)], {})
    recorder.tap("body.value")(0, np.ones((2, 3), dtype))
    recorder.close()
    ours = json.loads((runs / "a.zarr/streams/body/value/value/zarr.json").read_text())
    theirs = zarr.create_array(
        runs / "theirs", shape=(1, 2, 3), chunks=ours["chunk_grid"]["configuration"]["chunk_shape"], dtype=dtype,
        dimension_names=["time", "lane", "joint"], attributes={"long_name": "x", "units": "rad"},
        compressors=zarr.codecs.ZstdCodec(level=0, checksum=True), fill_value=np.nan if "float" in dtype else 0,
        chunk_key_encoding={"name": "default", "separator": "."})
    assert ours == json.loads((runs / "theirs/zarr.json").read_text())
    theirs[:] = 1
    chunk = "c.0.0.0"
    np.testing.assert_array_equal(zarr.open_array(runs / "a.zarr/streams/body/value/value")[:], theirs[:])
    assert (runs / "theirs" / chunk).exists()


@pytest.mark.filterwarnings("error")
def test_xarray_opens_it_untouched_and_without_a_warning(runs):
    recorder, truth = record(runs / "a.zarr", 5)
    recorder.write_evaluation("test", {"time": 0, "return": np.array([1.0, 2.0]), "note": "first"})
    recorder.close()
    path = runs / "a.zarr"
    warnings.simplefilter("error")
    rates = xarray.open_zarr(path, group="streams/brain/rates")
    assert rates["value"].dims == ("time", "lane", "neuron")
    assert rates["value"].attrs["units"] == "1/s"
    assert rates["time"].dtype == np.int64
    assert rates["time"].attrs["units"] == "ns"
    assert list(rates.coords["region"].values) == ["M1", "S1", "µ"]
    np.testing.assert_array_equal(rates["value"].values, truth.rows("brain.rates")[1])
    directly = xarray.open_zarr(path / "events" / "brain" / "spikes")
    assert list(directly["neuron"].values) == ["a", "b", "c"]
    assert xarray.open_zarr(path, group="evaluations/test")["return"].dims == ("evaluation", "episode")
    tree = xarray.open_datatree(path, engine="zarr")
    assert tree["metrics/learner/loss/value"].shape == (5,)
    assert tree.attrs["name"] == "test"


def test_units_that_xarray_would_decode_are_written_short():
    assert units_text("seconds") == "s"
    assert units_text("1/s") == "1/s"
    assert " since " not in units_text("days since 2000-01-01")


def test_xarray_and_run_agree_for_awkward_ports(runs):
    streams = [Stream("a", "seconds", Port("t", (2, 2), ("time", "value"), "seconds", "float64"), 3),
               Stream("a", "twice", Port("matrix", (2, 2), ("n", "n")), 1, {"n": {"value": ["x", "y"]}}),
               Stream("a", "nothing", Port("no numbers", (0,)), 2)]
    recorder = Recorder(runs / "a.zarr", streams, {})
    for row in range(3):
        for stream in streams:
            recorder.tap(stream.key)(row, value(stream, row))
    recorder.close()
    run = reading.open(runs / "a.zarr")
    for stream in streams:
        plain = xarray.open_zarr(runs / "a.zarr", group=f"streams/a/{stream.port_name}")["value"]
        np.testing.assert_array_equal(plain.values, run[stream.key].values)
        assert plain.dims == run[stream.key].dims
    assert run["a.twice"].dims == ("time", "lane", "n", "n_2")
    assert "value_label" in run["a.twice"].coords


def test_tail_holds_what_was_polled(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", 13)
    recorder.poll()
    truth_before = Truth(recorder, {key: list(rows) for key, rows in truth.columns.items()})
    recorder._writer.wait()
    same(read_stored(runs / "a.zarr"), truth_before)  # while it is being written
    truth.say()
    abandon(recorder)
    stored = read_stored(runs / "a.zarr")
    assert stored.closed is None
    assert stored.rows[0] == 13  # the row after the poll is gone
    same(stored, truth_before)


def test_recovery_folds_the_tail_and_a_second_one_changes_nothing(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", 13)
    recorder.poll()
    abandon(recorder)
    path = runs / "a.zarr"
    run = reading.recover(path)
    assert run.state == "recovered"
    same(run.stored, truth)
    assert xarray.open_zarr(path, group="streams/brain/rates").sizes["time"] == 13
    first = content(path)
    reading.recover(path)
    assert content(path) == first


def test_resume_continues_exactly(runs, monkeypatch):
    small_chunks(monkeypatch)
    whole, truth = record(runs / "whole.zarr", 40)
    whole.write_evaluation("test", {"time": 1, "return": 2.0})
    whole.close()
    recorder, _ = record(runs / "a.zarr", 11)
    recorder.write_evaluation("test", {"time": 1, "return": 2.0})
    counts = json.loads(json.dumps(recorder.commit()))
    late = Truth(recorder, row=11)
    for _ in range(20):
        late.say()
    recorder.write_evaluation("test", {"time": 9, "return": 3.0})
    recorder.poll()
    abandon(recorder)
    resumed = Recorder(runs / "a.zarr", STREAMS, {"name": "again"}, resume=True, rows=counts)
    assert resumed.row_counts() == counts
    rest = Truth(resumed, row=11)
    for _ in range(29):
        rest.say()
    resumed.close()
    same(read_stored(runs / "a.zarr"), truth)
    assert reading.log_hash(reading.open(runs / "a.zarr")) == reading.log_hash(reading.open(runs / "whole.zarr"))
    assert reading.open(runs / "a.zarr").attributes["name"] == "again"
    assert len(xarray.open_zarr(runs / "a.zarr", group="evaluations/test")["return"]) == 1


def test_resume_of_a_closed_run_goes_on_at_its_end(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", 11)
    recorder.close()
    for more in (0, 3, 9):
        truth.recorder = Recorder(runs / "a.zarr", STREAMS, {}, resume=True)
        for _ in range(more):
            truth.say()
        truth.recorder.poll()
        abandon(truth.recorder)
        same(read_stored(runs / "a.zarr"), truth)
        recover_stored(runs / "a.zarr")
        same(read_stored(runs / "a.zarr"), truth)


def test_a_kill_right_after_resuming_loses_nothing(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, truth = record(runs / "a.zarr", 11)
    recorder.poll()
    abandon(recorder)
    for _ in range(2):
        abandon(Recorder(runs / "a.zarr", STREAMS, {}, resume=True))
        same(read_stored(runs / "a.zarr"), truth)


def test_behind_the_last_row_a_chunk_holds_only_fill(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, _ = record(runs / "a.zarr", 27)  # buffers that held other rows before
    recorder.close()
    raw = Compressor().decompress(runs / "a.zarr/streams/brain/rates/value/c.3.0.0", 8 * 2 * 3 * 4)
    rows = raw.view(np.float32).reshape(8, -1)
    assert np.isfinite(rows[:3]).all()
    assert np.isnan(rows[3:]).all()


def test_resume_refuses_what_does_not_belong_together(runs):
    recorder, _ = record(runs / "a.zarr", 3)
    counts = recorder.commit()
    with pytest.raises(RunError, match="being written by another process"):
        Recorder(runs / "a.zarr", STREAMS, {}, resume=True)
    with pytest.raises(RunError, match="being written by another process"):
        reading.recover(runs / "a.zarr")
    recorder.close()
    with pytest.raises(RunError, match="holds a run already"):
        Recorder(runs / "a.zarr", STREAMS, {})
    with pytest.raises(RunError, match="also records"):
        Recorder(runs / "a.zarr", STREAMS[:-1], {}, resume=True)
    with pytest.raises(RunError, match="does not record"):
        Recorder(runs / "a.zarr", [*STREAMS, Stream("x", "y", Port("z"), 1)], {}, resume=True)
    with pytest.raises(RunError, match="the ports it began with"):
        Recorder(runs / "a.zarr", [Stream("brain", "rates", Port("r", (4,)), LANES), *STREAMS[1:]], {}, resume=True)
    counts["streams"]["brain.rates"] = 99
    with pytest.raises(RunError, match="do not belong together"):
        Recorder(runs / "a.zarr", STREAMS, {}, resume=True, rows=counts)
    with pytest.raises(RunError, match="nothing can be resumed"):
        Recorder(runs / "b.zarr", STREAMS, {}, resume=True, rows=counts)


@pytest.mark.parametrize(("stream", "message"), [
    (Stream("../x", "y", Port("z"), 1), "cannot name a stream"),
    (Stream("x", "y", Port("z", (None,)), 1), "not known yet"),
    (Stream("x", "y", Port("z", (2,), ("n",)), 1, {"n": ["one"]}), "names along 'n'"),
])
def test_streams_that_cannot_be_recorded_are_named(runs, stream, message):
    with pytest.raises(RunError, match=message):
        Recorder(runs / "a.zarr", [stream], {})


def test_attributes_can_be_added_at_the_end(runs):
    recorder, _ = record(runs / "a.zarr", 1)
    recorder.annotate({"wall": 1.5, "host": {"cpu": np.int64(2)}})
    recorder.close("stopped")
    recorder.close("twice")
    run = reading.open(runs / "a.zarr")
    assert run.state == "stopped"
    assert run.attributes == {"name": "test", "wall": 1.5, "host": {"cpu": 2}}


def test_a_port_that_is_not_recorded_has_no_tap(runs):
    recorder, _ = record(runs / "a.zarr", 0)
    assert recorder.tap("brain.action") is None
    recorder.close()


def test_the_tail_is_cut_while_the_run_goes_on(runs):
    stream = Stream("a", "wide", Port("wide", (4096,)), 4)  # 64 kB a row
    recorder = Recorder(runs / "a.zarr", [stream], {})
    for row in range(600):
        recorder.tap("a.wide")(row, value(stream, row))
        recorder.poll()
    recorder._writer.wait()
    assert (runs / "a.zarr" / TAIL).stat().st_size < 8 << 20  # of 39 MB that went through it
    abandon(recorder)
    assert read_stored(runs / "a.zarr").rows == [600]
    np.testing.assert_array_equal(read_stored(runs / "a.zarr").columns(0)["value"].read(599), value(stream, 599)[None])


def test_an_altered_chunk_is_an_error_and_never_a_wrong_number(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, _ = record(runs / "a.zarr", 8)
    recorder.close()
    chunk = runs / "a.zarr/streams/brain/rates/value/c.0.0.0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    chunk.write_bytes(raw)
    with pytest.raises(RunError, match="cannot be read back"):
        reading.open(runs / "a.zarr")["brain.rates"].values  # noqa: B018 (reading is what fails)


def test_a_failing_disk_is_told_in_the_loops_thread_and_leaves_what_was_committed(runs, monkeypatch):
    small_chunks(monkeypatch)
    broken = False

    def hook(path, parts):
        if broken:
            raise OSError(28, "No space left on device")

    recorder, truth = record(runs / "a.zarr", 16, store_hook=hook)
    recorder.commit()
    kept = Truth(recorder, {key: list(rows) for key, rows in truth.columns.items()})
    broken = True

    def go_on():
        for _ in range(1000):
            truth.say()
            recorder.poll()

    with pytest.raises(RunError, match="No space left"):
        go_on()
    recorder.annotate({"ended": "failed"})
    recorder.close()  # it has been told
    broken = False
    same(reading.recover(runs / "a.zarr").stored, kept)


def test_a_disk_that_fails_at_the_very_end_is_told_by_close(runs):
    def hook(path, parts):
        if recorder_is_closing:
            raise OSError(5, "Input/output error")

    recorder_is_closing = False
    recorder, truth = record(runs / "a.zarr", 5, store_hook=hook)
    recorder.commit()
    recorder_is_closing = True
    with pytest.raises(RunError, match="Input/output error"):
        recorder.close()
    same(reading.recover(runs / "a.zarr").stored, truth)


def test_begin_on_a_full_disk_is_told(runs):
    def hook(path, parts):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left"):
        Recorder(runs / "a.zarr", STREAMS, {}, store_hook=hook)
    Recorder(runs / "a.zarr", STREAMS, {}).close()  # the lock is free and nothing stands in the way


def test_a_slow_disk_holds_the_loop_up_and_loses_nothing(runs, monkeypatch):
    small_chunks(monkeypatch)
    monkeypatch.setattr("stimloop.loops.storage.stream_writer._MOST_OWED", 4000)
    recorder, truth = record(runs / "a.zarr", 0, store_hook=lambda path, parts: time.sleep(0.0005))
    for _ in range(100):
        truth.say()
        assert recorder._writer._owed <= 4000 + 8 * max(stream.layout().row_bytes for stream in STREAMS)
    recorder.close()
    same(read_stored(runs / "a.zarr"), truth)


def test_a_run_read_while_it_is_written_never_shrinks_and_never_invents(runs, monkeypatch):
    small_chunks(monkeypatch, 16)
    recorder, truth = record(runs / "a.zarr", 0)
    rates, seen = STREAMS[0], 0
    for row in range(300):
        truth.say()
        if row % 7 == 0:
            recorder.poll()
        stored = read_stored(runs / "a.zarr")
        assert stored.rows[0] >= seen
        if stored.rows[0] > seen:
            last = stored.rows[0] - 1
            np.testing.assert_array_equal(stored.columns(0)["value"].read(last)[0], value(rates, last))
        seen = stored.rows[0]
    recorder.commit()  # how far a reader sees before that depends on how fast the writer thread is
    assert read_stored(runs / "a.zarr").rows[0] == 300
    recorder.close()


def test_plain_zarr_shows_no_phantom_rows_of_an_interrupted_run(runs, monkeypatch):
    small_chunks(monkeypatch)
    recorder, _ = record(runs / "a.zarr", 20)
    recorder.poll()
    abandon(recorder)
    assert zarr.open_array(runs / "a.zarr/streams/brain/rates/value", mode="r").shape[0] == 0
    reading.recover(runs / "a.zarr")
    assert zarr.open_array(runs / "a.zarr/streams/brain/rates/value", mode="r").shape[0] == 20
    abandon(Recorder(runs / "a.zarr", STREAMS, {}, resume=True))
    assert zarr.open_array(runs / "a.zarr/streams/brain/rates/value", mode="r").shape[0] == 0


def test_a_run_killed_before_its_first_row_opens_empty(runs):
    (runs / "a.zarr").mkdir()
    (runs / "a.zarr" / JOURNAL).write_bytes(b'{"format":1,"streams":[{"ke')
    run = reading.open(runs / "a.zarr")
    assert run.streams == {}
    assert run.attributes == {}
    assert reading.recover(runs / "a.zarr").state == "interrupted"
    Recorder(runs / "a.zarr", STREAMS, {}, resume=True, rows={"streams": {}, "evaluations": {}}).close()


ACTIONS = st.lists(st.one_of(
    st.tuples(st.just("say"), st.integers(1, 12)),
    st.tuples(st.sampled_from(["poll", "commit", "kill", "close", "recover", "back", "evaluate"]), st.just(0))),
    min_size=3, max_size=25)


@given(ACTIONS)
def test_any_history_of_kills_and_resumes_is_the_truth(tmp_path_factory, actions):
    """A plain list beside the recorder says what must be there; `back` returns to the last commit."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_chunks(monkeypatch, 5)
        path = tmp_path_factory.mktemp("history") / "a.zarr"
        said = durable = 0  # rows of each stream
        rows_of_tests = 0
        mark: dict | None = None
        marked = (0, 0)
        recorder = Recorder(path, STREAMS[:4], {})
        for action, count in actions:
            if action == "say":
                truth = Truth(recorder, row=said)
                for _ in range(count):
                    truth.say()
                said += count
            elif action == "poll":
                recorder.poll()
                durable = said
            elif action == "commit":
                mark, marked = recorder.commit(), (said, rows_of_tests)
                durable = said
            elif action == "evaluate":
                recorder.write_evaluation("test", {"time": said})
                rows_of_tests += 1
            else:
                if action == "close":
                    recorder.close()
                    durable = said
                else:
                    abandon(recorder)
                    said = durable = max(durable, said // 5 * 5)
                if action == "recover":
                    recover_stored(path)
                rows = mark if action == "back" else None
                recorder = Recorder(path, STREAMS[:4], {}, resume=True, rows=rows)
                if rows is not None:
                    said = durable = marked[0]
                    rows_of_tests = marked[1]
        recorder.close()
        stored = read_stored(path)
        assert stored.rows == [said] * 4
        assert len(stored.evaluations.get("test", [])) == rows_of_tests
        for i, stream in enumerate(STREAMS[:4]):
            wanted = np.array([value(stream, row) for row in range(said)]).reshape(-1, *value(stream, 0).shape)
            np.testing.assert_array_equal(stored.columns(i)["value"].read(), wanted)
            np.testing.assert_array_equal(stored.columns(i)["time"].read(), np.arange(said) * MILLISECOND)
