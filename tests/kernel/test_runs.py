"""Reading runs: episodes, trials and transitions against plain loops over the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from stimloop.loops.errors import RunError
from stimloop.loops.events import Events
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING, status_output
from stimloop.loops.storage import runs as reading
from stimloop.loops.storage import trials as cutting
from stimloop.loops.storage.recorder import Recorder
from stimloop.loops.storage.stream import Stream

TICK = 20_000_000
END, CUT = TERMINATED, TRUNCATED


def body_streams(lanes: int) -> list[Stream]:
    return [Stream("body", "observation", Port("where", (2,), ("joint",), "rad"), lanes, {"joint": ["elbow", "wrist"]}),
            Stream("body", "reward", Port("reward"), lanes), Stream("body", "status", status_output(), lanes),
            Stream("body", "solved", Port("reached", dtype="bool"), lanes),
            Stream("brain", "action", Port("torque", (1,), ("muscle",), "N m"), lanes),
            Stream("brain", "spikes", Port("spikes", (0,), ("neuron",), kind="event", indices=4), lanes),
            Stream("learner", "loss", Port("loss", per_lane=False), lanes, metric=True),
            Stream("learner", "updates", Port("updates", dtype="int64", per_lane=False), lanes, metric=True)]


def observation(tick: int, lanes: int) -> np.ndarray:
    return (tick * 10 + np.arange(lanes)[:, None] + np.array([0, 0.5])).astype(np.float32)


def action(step: int, lanes: int) -> np.ndarray:
    return (step * 100 + np.arange(lanes)[:, None]).astype(np.float32)


def reward(tick: int, flags: np.ndarray) -> np.ndarray:
    counted = (flags != FIRST) & ((flags & WAITING) == 0)
    return np.where(counted, np.float32(0.1) * (tick + 1) + np.arange(len(flags)), 0).astype(np.float32)


def record(path: Path, status: np.ndarray, attributes: dict | None = None, brain_period: int = TICK) -> reading.Run:
    """Record a body whose status [ticks, lanes] is given, and a brain that acts on a period of its own."""
    ticks, lanes = status.shape
    recorder = Recorder(path, body_streams(lanes), attributes or {})
    tap = {key: recorder.tap(key) for key in recorder.streams}
    for tick, flags in enumerate(status):
        now = tick * TICK
        tap["body.observation"](now, observation(tick, lanes))
        tap["body.reward"](now, reward(tick, flags))
        tap["body.status"](now, flags)
        tap["body.solved"](now, (flags & TERMINATED) != 0)
    for step, now in enumerate(range(0, ticks * TICK, brain_period)):
        tap["brain.action"](now, action(step, lanes))
        tap["brain.spikes"](now, Events.of(now, step % lanes, step % 4))
    for step in range(3):
        tap["learner.loss"](step * 5 * TICK, np.float32(step))
        if step != 1:
            tap["learner.updates"](step * 5 * TICK, np.int64(step))
    recorder.close()
    return reading.open(path)


# three lanes: next tick; at once; waiting for a `begin`, then running to the end of the recording
STATUS = np.array([
    [FIRST, FIRST, WAITING],
    [0, 0, WAITING],
    [END, END | FIRST, FIRST],
    [FIRST, 0, 0],
    [CUT, END | FIRST, CUT],
    [FIRST, END | FIRST, WAITING],
    [0, 0, WAITING],
    [0, END, WAITING],
], np.int64)


def plain_episodes(status: np.ndarray) -> list[dict]:
    found = []
    for lane in range(status.shape[1]):
        running: dict | None = None
        number = 0
        for tick, flags in enumerate(status[:, lane]):
            if running is not None and flags != FIRST and not flags & WAITING:
                running["length"] += 1
                running["return"] += float(reward(tick, status[tick])[lane])
                if flags & (TERMINATED | TRUNCATED):
                    running |= {"end": tick * TICK, "how": "terminated" if flags & TERMINATED else "truncated",
                                "solved": bool(flags & TERMINATED)}
                    running = None
            if flags & FIRST:
                running = {"lane": lane, "episode": number, "start": tick * TICK, "end": -1, "length": 0, "return": 0.0,
                           "how": "running", "solved": None}
                number += 1
                found.append(running)
    return found


def check_episodes(run: reading.Run, status: np.ndarray) -> None:
    table, expected = run.episodes(), plain_episodes(status)
    assert len(table) == len(expected)
    for (_, row), plain in zip(table.iterrows(), expected, strict=True):
        for name in ("lane", "episode", "start", "length", "how"):
            assert row[name] == plain[name]
        assert row["return"] == pytest.approx(plain["return"], rel=1e-12)
        assert (row["end"] == plain["end"]) if plain["end"] >= 0 else str(row["end"]) == "<NA>"
        assert (row["solved"] == plain["solved"]) if plain["solved"] is not None else str(row["solved"]) == "<NA>"


def test_episodes_of_all_kinds_of_restart(runs):
    run = record(runs / "a.zarr", STATUS)
    check_episodes(run, STATUS)
    table = run.episodes()
    assert list(table[table["lane"] == 1]["length"]) == [2, 2, 1, 2]  # each end counts for the episode it ended
    assert table.columns.tolist() == ["lane", "episode", "start", "end", "length", "return", "how", "solved"]


@st.composite
def histories(draw) -> np.ndarray:
    """A status that some body could publish."""
    lanes, ticks = draw(st.integers(1, 3)), draw(st.integers(1, 30))
    status = np.zeros((ticks, lanes), np.int64)
    for lane in range(lanes):
        state = "out"
        for tick in range(ticks):
            choice = draw(st.integers(0, 9))
            if state == "out":
                status[tick, lane] = WAITING if choice < 3 else FIRST
                state = "out" if choice < 3 else "in"
            elif choice < 5:
                status[tick, lane] = 0
            else:
                status[tick, lane] = (END, CUT, END | FIRST, CUT | FIRST, END | CUT)[choice - 5]
                state = "in" if status[tick, lane] & FIRST else "out"
    return status


@given(histories())
def test_episodes_equal_a_plain_loop_whatever_the_blocks(tmp_path_factory, status):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(cutting, "_BLOCK", 7)
        check_episodes(record(tmp_path_factory.mktemp("episodes") / "a.zarr", status), status)


def plain_transitions(status: np.ndarray, answered: bool, delay: int, period: int, drop: bool) -> list[tuple]:
    lanes = status.shape[1]
    found = []
    for lane in range(lanes):
        for tick in range(1, len(status)):
            flags = status[tick, lane]
            if flags == FIRST or flags & WAITING:
                continue
            over = bool(flags & FIRST)
            if over and not flags & TERMINATED and drop:
                continue
            when = (tick if answered else tick - 1) * TICK - delay
            taken = action(when // period, lanes)[lane] if when >= 0 else np.zeros(1)
            found.append((observation(tick - 1, lanes)[lane], taken, reward(tick, status[tick])[lane],
                          observation(tick - over, lanes)[lane], bool(flags & TERMINATED), bool(flags & TRUNCATED),
                          lane, tick * TICK))
    return found


def check_transitions(found, expected) -> None:
    names = ("observation", "action", "reward", "next_observation", "terminated", "truncated", "lane", "time")
    assert found.sizes["transition"] == len(expected)
    for i, row in enumerate(expected):
        for name, number in zip(names, row, strict=True):
            assert_array_equal(found[name].values[i], number, err_msg=f"{name} of transition {i}")


@pytest.mark.parametrize(("reads", "delay", "period"), [
    ("hold", 0, TICK), ("now", 0, TICK), ("hold", TICK // 2, TICK // 4), ("now", 3 * TICK, TICK),
    ("hold", 1, 3 * TICK)])
def test_transitions_take_the_action_that_was_in_force(runs, reads, delay, period):
    run = record(runs / "a.zarr", STATUS, brain_period=period)
    found = run.transitions(reads=reads, delay=delay)
    check_transitions(found, plain_transitions(STATUS, reads == "now", delay, period, False))
    assert found["observation"].dims == ("transition", "observation_joint")


@given(histories())
def test_transitions_equal_a_plain_loop(tmp_path_factory, status):
    run = record(tmp_path_factory.mktemp("transitions") / "a.zarr", status)
    found = run.transitions(reads="hold", delay=0, drop_truncated=True)
    check_transitions(found, plain_transitions(status, False, 0, TICK, True))


def test_a_truncated_step_without_successor_is_an_error_until_dropped(runs):
    status = np.array([[FIRST], [CUT | FIRST], [END | FIRST], [0]])
    run = record(runs / "a.zarr", status)
    with pytest.raises(RunError, match="drop_truncated=True"):
        run.transitions(reads="hold", delay=0)
    found = run.transitions(reads="hold", delay=0, drop_truncated=True)
    assert found["time"].values.tolist() == [2 * TICK, 3 * TICK]
    assert_array_equal(found["next_observation"][0], found["observation"][0])  # nothing came after the end


def test_the_wire_of_the_action_is_taken_from_the_run(runs):
    wire = {"from": "brain.action", "delay_ns": TICK // 2, "reads": "now"}
    attributes = {"wires": {"body.action": wire}}
    run = record(runs / "a.zarr", STATUS, attributes, brain_period=TICK // 4)
    check_transitions(run.transitions(), plain_transitions(STATUS, True, TICK // 2, TICK // 4, False))
    wire["reads"] = "mean"
    with pytest.raises(RunError, match="no single action"):
        record(runs / "b.zarr", STATUS, attributes).transitions()


@pytest.mark.parametrize("given", [{}, {"reads": "hold"}, {"delay": 0}])
def test_how_an_action_was_read_is_never_guessed(runs, given):
    with pytest.raises(RunError, match="does not say how body reads its action"):
        record(runs / "a.zarr", STATUS).transitions(**given)


def test_trials_are_aligned_and_padded(runs):
    run = record(runs / "a.zarr", STATUS)
    done = [row for row in plain_episodes(STATUS) if row["end"] >= 0]
    cut = run.trials("body.observation")
    assert cut.dims == ("trial", "time", "joint")
    assert list(cut.coords["joint"].values) == ["elbow", "wrist"]
    assert cut.coords["time"].attrs["units"] == "ns"
    assert cut.sizes["trial"] == len(done)
    for trial, row in enumerate(done):
        for offset, values in zip(cut["time"].values, cut.values[trial], strict=True):
            tick = (row["start"] + offset) // TICK
            inside = row["start"] + offset <= row["end"]
            expected = observation(tick, 3)[row["lane"]] if inside else np.full(2, np.nan)
            assert_array_equal(values, expected)
        assert cut["return"].values[trial] == pytest.approx(row["return"])
    backwards = run.trials("body.observation", align="end")
    for trial, row in enumerate(done):
        assert_array_equal(backwards.sel(time=0).values[trial], observation(row["end"] // TICK, 3)[row["lane"]])
        first = backwards.isel(trial=trial).sel(time=slice(None, row["start"] - row["end"] - 1))
        assert np.isnan(first.values).all()


def test_trials_in_a_window_reach_beyond_the_episode(runs):
    run = record(runs / "a.zarr", STATUS)
    cut = run.trials("body.status", window=("-20 ms", "40 ms"))
    assert cut["time"].values.tolist() == [-TICK, 0, TICK, 2 * TICK]
    assert np.isnan(cut.values[0, 0])  # before the recording
    assert_array_equal(cut.values[0, 1:], STATUS[0:3, 0])
    loss = run.trials("learner.loss", window=(0, "20 ms"), every="10 ms")
    assert loss.dims == ("trial", "time")
    assert loss.sizes["time"] == 3
    with pytest.raises(RunError, match="start"):
        run.trials("body.reward", align="middle")
    with pytest.raises(RunError, match=r"run\.events"):
        run.trials("brain.spikes")


def test_a_trial_outside_the_recording_is_empty(runs):
    run = record(runs / "a.zarr", STATUS)
    cut = run.trials("body.reward", window=("-10 s", "-9 s"), every="100 ms")
    assert cut.sizes["trial"] == len([row for row in plain_episodes(STATUS) if row["end"] >= 0])
    assert np.isnan(cut.values).all()


def test_a_stream_of_one_row_has_no_rate(runs):
    run = record(runs / "a.zarr", STATUS, brain_period=TICK * 100)
    with pytest.raises(RunError, match="pass `every`"):
        run.trials("brain.action")
    assert run.trials("brain.action", every="20 ms").sizes["trial"]


def test_which_action_a_body_took_must_be_clear(runs):
    lanes, made = 1, []
    for name, brains in (("none", []), ("two", ["brain", "cortex"])):
        streams = [s for s in body_streams(lanes) if s.component == "body"]
        recorder = Recorder(runs / f"{name}.zarr", streams + [Stream(b, "action", Port("a", (1,)), lanes)
                                                              for b in brains], {})
        recorder.tap("body.status")(0, np.array([FIRST]))
        recorder.close()
        made.append(reading.open(runs / f"{name}.zarr"))
    with pytest.raises(RunError, match="recorded are none"):
        made[0].transitions()
    with pytest.raises(RunError, match=r"recorded are brain\.action, cortex\.action"):
        made[1].transitions()


def test_signals_are_lazy_and_carry_their_labels(runs, monkeypatch):
    run = record(runs / "a.zarr", STATUS)
    seen = []
    real = reading.StoredColumn.read
    monkeypatch.setattr(reading.StoredColumn, "read", lambda self, start=0, stop=None: (
        seen.append((self.column.name, start, stop)), real(self, start, stop))[1])
    values = run["body.observation"]
    assert [name for name, _, _ in seen] == ["time"]
    assert_array_equal(values.sel(lane=1, joint="wrist")[2:4].values, [observation(t, 3)[1, 1] for t in (2, 3)])
    assert ("value", 2, 4) in seen
    whole = np.stack([observation(t, 3) for t in range(8)])
    for key in [(slice(None, None, 3),), (slice(None, None, -2),), (5, 1), (slice(4, 4),), ([3, 0, 3], slice(None), 1),
                (slice(None), [2, 0])]:
        assert_array_equal(values[key].values, whole[key])
    assert values.attrs == {"long_name": "where", "units": "rad"}
    assert values.name == "body.observation"


def test_events_come_as_columns(runs):
    spikes = record(runs / "a.zarr", STATUS).events("brain.spikes")
    assert_array_equal(spikes["time"], np.arange(8) * TICK)
    assert_array_equal(spikes["lane"], np.arange(8) % 3)
    assert_array_equal(spikes["index"], np.arange(8) % 4)
    assert "value" not in spikes
    assert spikes.attrs["indices"] == 4


def test_what_is_not_there_is_told_with_the_nearest_name(runs):
    run = record(runs / "a.zarr", STATUS)
    with pytest.raises(KeyError, match=r'Did you mean "brain.action"'):
        run["brain.actoin"]
    with pytest.raises(RunError, match=r"run\.events"):
        run["brain.spikes"]
    with pytest.raises(RunError, match="of kind signal"):
        run.events("brain.action")
    with pytest.raises(KeyError, match="no evaluation"):
        run.evaluations("test")
    for read in (reading.open, reading.recover):
        with pytest.raises(RunError, match=r'b.zarr does not exist. Did you mean "a.zarr"'):
            read(runs / "b.zarr")
    assert "brain.action" in run
    assert run.streams["body.observation"].shape == (3, 2)
    assert run.streams["brain.spikes"].kind == "event"
    assert "finished, 8 streams" in repr(run)


@pytest.mark.parametrize("read", [reading.open, reading.recover])
def test_a_folder_that_is_no_run_is_told_with_what_lies_below_it(tmp_path, read):
    record(tmp_path / "runs" / "elbow" / "2024-01-01T000000_base_s0_12345678.zarr", STATUS)
    for above in (tmp_path, tmp_path / "runs", tmp_path / "runs" / "elbow"):
        with pytest.raises(RunError, match=rf"{above} is no run; one lies below it, such as .*runs/elbow/2024\S*zarr$"):
            read(above)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.zarr").write_text("")
    for odd in ("empty", "file.zarr"):
        with pytest.raises(RunError, match=rf"{odd} is no run: there is no journal.jsonl in it. `stimloop list runs`"):
            read(tmp_path / odd)
    with pytest.raises(RunError, match=r"nothing.zarr does not exist. `stimloop list runs` names"):
        read(tmp_path / "empty" / "nothing.zarr")


def test_metrics_are_columns_over_time(runs):
    table = record(runs / "a.zarr", STATUS).metrics()
    assert table.index.tolist() == [0, 5 * TICK, 10 * TICK]
    assert table["learner.loss"].tolist() == [0, 1, 2]
    assert table["learner.updates"].isna().tolist() == [False, True, False]


def test_evaluations_are_a_table(runs):
    recorder = Recorder(runs / "a.zarr", body_streams(1), {})
    for time, returns in ((0, [1.0, 3.0]), (10, [5.0, 7.0])):
        recorder.write_evaluation("test", {"time": time, "steps": np.int64(time * 2), "return": np.array(returns),
                                           "success": np.array([np.nan, 1.0]), "length": np.array([4, 6])})
    live = reading.open(runs / "a.zarr")
    recorder.commit()
    live.refresh()
    assert live.state == "running"
    recorder.close()
    for run in (live, reading.open(runs / "a.zarr")):
        table = run.evaluations("test")
        assert table["time"].tolist() == [0, 10]
        assert table["return"].tolist() == [2, 6]
        assert table["success"].tolist() == [1, 1]
        assert table["length"].tolist() == [5, 5]
        each = run.evaluations("test", each=True)
        assert each["return"].tolist() == [1, 3, 5, 7]
        assert each["evaluation"].tolist() == [0, 0, 1, 1]
        assert each["steps"].tolist() == [0, 0, 20, 20]
        assert run.evaluation_names == ["test"]


def test_two_bodies_need_a_name(runs):
    streams = [Stream(name, port, Port(port) if port == "reward" else status_output(), 1)
               for name in ("left", "right") for port in ("reward", "status")]
    recorder = Recorder(runs / "a.zarr", streams, {})
    recorder.close()
    run = reading.open(runs / "a.zarr")
    with pytest.raises(RunError, match='body="left"'):
        run.episodes()
    assert len(run.episodes(body="left")) == 0
    with pytest.raises(RunError, match="which body"):
        run.episodes(body="middle")
    Recorder(runs / "b.zarr", [], {}).close()
    with pytest.raises(RunError, match="no body"):
        reading.open(runs / "b.zarr").episodes()


def test_streams_of_different_instants_do_not_belong_together(runs):
    recorder = Recorder(runs / "a.zarr", body_streams(1), {})
    recorder.tap("body.reward")(1, np.zeros(1, np.float32))
    recorder.tap("body.status")(2, np.zeros(1, np.int64))
    recorder.tap("body.solved")(2, np.zeros(1, bool))
    recorder.close()
    with pytest.raises(RunError, match="not published at the same instants"):
        reading.open(runs / "a.zarr").episodes()


def test_run_directories_are_never_shared(runs):
    made = [reading.new_run_directory(runs, "copac", "base", 3, "1f3a9c02deadbeef") for _ in range(3)]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}_base_s3_1f3a9c02\.zarr", path.name) for path in made)
    assert made[0].parent == runs / "copac"
    assert reading.list_runs(runs) == []
    Recorder(made[1], [], {}).close()
    assert reading.list_runs(runs) == [made[1]] == reading.list_runs(runs / "copac")
    with pytest.raises(RunError, match="cannot be part"):
        reading.new_run_directory(runs, "../up", "base", 0, "00000000")


def test_hash_and_first_difference_see_every_row(runs):
    one = record(runs / "a.zarr", STATUS)
    same = record(runs / "b.zarr", STATUS, {"other": "attributes"})
    assert reading.log_hash(one) == reading.log_hash(same)
    assert reading.first_difference(one, same) is None
    changed = STATUS.copy()
    changed[5, 2] = FIRST
    other = record(runs / "c.zarr", changed)
    assert reading.log_hash(one) != reading.log_hash(other)
    assert reading.first_difference(one, other) == (5 * TICK, "body.status")
    assert reading.log_hash(one, without=["body"]) == reading.log_hash(other, without=["body"])
    shorter = record(runs / "d.zarr", STATUS[:4])
    assert reading.first_difference(one, shorter)[0] == 4 * TICK
    assert reading.first_difference(shorter, one)[0] == 4 * TICK


def test_renamed_components_are_compared_under_their_old_names(runs):
    made = []
    for name in ("brain", "cortex"):
        recorder = Recorder(runs / f"{name}.zarr", [Stream(name, "rates", Port("rate"), 1)], {})
        recorder.tap(f"{name}.rates")(0, np.ones(1, np.float32))
        recorder.write_evaluation("test", {"return": 1.0, "wall": float(len(name))})
        recorder.close()
        made.append(reading.open(runs / f"{name}.zarr"))
    assert reading.log_hash(made[0]) != reading.log_hash(made[1])
    assert reading.log_hash(made[0]) == reading.log_hash(made[1], rename={"cortex": "brain"})
    assert reading.first_difference(made[1], made[0], rename={"cortex": "brain"}) is None
    assert reading.first_difference(*made) == (0, "brain.rates")


def test_streams_of_another_shape_part_at_once(runs):
    made = []
    for width in (1, 2):
        recorder = Recorder(runs / f"{width}.zarr", [Stream("brain", "rates", Port("rate", (width,)), 1)], {})
        for now in (5, 10):
            recorder.tap("brain.rates")(now, np.ones((1, width), np.float32))
        recorder.close()
        made.append(reading.open(runs / f"{width}.zarr"))
    assert reading.first_difference(*made) == (0, "brain.rates")
    assert reading.log_hash(made[0]) != reading.log_hash(made[1])


def test_a_path_that_leads_out_of_the_run_is_refused(runs):
    run = record(runs / "a.zarr", STATUS)
    journal = run.path / "journal.jsonl"
    from stimloop.loops.storage.journal import encode_line

    entry = {"format": 1, "streams": [{"key": "a.b", "path": "../../secret", "kind": "signal", "chunk_rows": 1,
                                       "columns": [["time", "int64", [], ["time"]]]}]}
    sizeless = {"format": 1, "streams": [{**entry["streams"][0], "path": "streams/a/b", "chunk_rows": 0}]}
    for changed in (entry, sizeless, {"format": 2, "streams": []}, {"rows": 1}, {"format": 1, "streams": 3}):
        journal.write_bytes(encode_line(changed))
        with pytest.raises(RunError):
            reading.open(run.path)
