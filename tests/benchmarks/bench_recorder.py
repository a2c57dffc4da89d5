"""The recorder: rows against zarr's own ways of writing them, what recording costs a loop, and whether memory grows."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 200_000  # written at a time
APPENDS = 40  # rows appended at a time: each takes milliseconds
CHUNK = 4096  # rows in a chunk of the peers, as in the recorder's own
ELBOW_TICKS = 101  # an episode of the elbow and the tick that begins the next
LANES = 8
GROWTH_TICKS = 1_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")


def values() -> list[np.ndarray]:
    """What the port says, row after row: noise, which hardly compresses."""
    return list(np.random.default_rng(0).standard_normal((997, 1, 64)).astype(np.float32))


def through_recorder(folder: Path, said: list[np.ndarray], rows: int) -> float:
    """Seconds per row through tap, tail and close."""
    from stimloop.loops.port import Port
    from stimloop.loops.storage.recorder import POLL_SECONDS, Recorder
    from stimloop.loops.storage.stream import Stream

    path = folder / "ours.zarr"
    recorder = Recorder(path, [Stream("brain", "rates", Port("rates", (64,), ("neuron",), "1/s"), 1)], {})
    tap: Any = recorder.tap("brain.rates")
    start = time.perf_counter()
    due = start
    for row in range(rows):
        tap(row * 1000, said[row % 997])
        if time.perf_counter() - due > POLL_SECONDS or row % 50_000 == 25_000:  # oftener than a loop would
            recorder.poll()
            due = time.perf_counter()
    recorder.close()
    seconds = time.perf_counter() - start
    shutil.rmtree(path)
    return seconds / rows


def by_append(folder: Path, said: list[np.ndarray], rows: int) -> float:
    """Seconds per row of `zarr.Array.append`, values alone."""
    import zarr

    array = zarr.create_array(folder / "append.zarr", shape=(0, 1, 64), chunks=(CHUNK, 1, 64), dtype="float32",
                              overwrite=True)
    start = time.perf_counter()
    for row in range(rows):
        array.append(said[row % 997][None])
    return (time.perf_counter() - start) / rows


def by_whole_chunks(folder: Path, said: list[np.ndarray], rows: int, times: bool = True) -> float:
    """Seconds per row of a writer by hand: buffers of one chunk, each assigned whole to an array of known length."""
    import zarr

    group = zarr.create_group(folder / "chunks.zarr", overwrite=True)
    array = group.create_array("value", shape=(rows, 1, 64), chunks=(CHUNK, 1, 64), dtype="float32")
    clock = group.create_array("time", shape=(rows,), chunks=(CHUNK,), dtype="int64")
    buffer, instants = np.empty((CHUNK, 1, 64), np.float32), np.empty(CHUNK, np.int64)
    start = time.perf_counter()
    at = filled = 0
    for row in range(rows):
        buffer[filled] = said[row % 997]
        if times:
            instants[filled] = row * 1000
        filled += 1
        if filled == CHUNK or row == rows - 1:
            array[at:at + filled] = buffer[:filled]
            if times:
                clock[at:at + filled] = instants[:filled]
            at, filled = at + filled, 0
    seconds = time.perf_counter() - start
    shutil.rmtree(folder / "chunks.zarr")
    return seconds / rows


class ElbowLoop:
    """The shipped elbow with eight lanes; the very same loop runs with and without its ports being recorded."""

    def __init__(self, folder: Path) -> None:
        from stimloop.assemblies import recording
        from stimloop.assemblies.loading import load
        from stimloop.loops.errors import Problems
        from stimloop.loops.storage.recorder import Recorder
        from stimloop.loops.until import Until

        assembly = load("elbow_stimulation").set({"lanes": LANES, "body.params.threads": 1})
        self.loop = assembly.set("evaluate", None).build()
        streams = recording.streams(self.loop, "all", Until.parse("1 s"), Problems())
        self.ports = len(streams)
        self.recorder = Recorder(folder / "elbow.zarr", streams, {})
        self.ticks = self._poll_at = 0.0

    def run(self, recorded: bool) -> float:
        """Seconds per tick of one more episode."""
        ends = self._record() if recorded else []
        start = time.perf_counter()
        self.ticks += ELBOW_TICKS
        self.loop.run(int(self.ticks) * 20_000_000)
        seconds = time.perf_counter() - start
        for end in ends:
            end()
        return seconds / ELBOW_TICKS

    def _record(self) -> list[Callable[[], None]]:
        taps = {key: tap for key in self.recorder.streams if (tap := self.recorder.tap(key)) is not None}
        return [*(self.loop.tap(key, tap) for key, tap in taps.items()), self.loop.attend(self._between)]

    def _between(self, now: int) -> None:
        if time.monotonic() >= self._poll_at:
            from stimloop.loops.storage.recorder import POLL_SECONDS

            self.recorder.poll()
            self._poll_at = time.monotonic() + POLL_SECONDS

    def close(self) -> None:
        self.recorder.close()
        self.loop.close()


def memory_growth(folder: Path, ticks: int) -> float:
    """MB by which the process grows over so many recorded ticks of a small loop, after the first hundredth of them."""
    from stimloop.loops.component import Component
    from stimloop.loops.loop import Loop
    from stimloop.loops.port import Port
    from stimloop.loops.storage.recorder import POLL_SECONDS, Recorder
    from stimloop.loops.storage.stream import Stream
    from stimloop.loops.system import Part, System

    said = values()

    class Sender(Component):
        def __init__(self) -> None:
            self.period = 1000
            self.inputs = {}
            self.outputs = {"rates": Port("rates", (64,)), "reward": Port("reward")}

        def step(self, now: int, inputs: Any) -> dict[str, Any]:
            return {"rates": said[now // 1000 % 997], "reward": said[now // 1000 % 997][:, 0]}

    loop = Loop(System({"brain": Part(Sender)}))
    streams = [Stream("brain", name, loop.cells[f"brain.{name}"].port, 1) for name in ("rates", "reward")]
    recorder = Recorder(folder / "growth.zarr", streams, {})
    for stream in streams:
        tap = recorder.tap(stream.key)
        assert tap is not None
        loop.tap(stream.key, tap)
    poll_at = 0.0

    def between(now: int) -> None:
        nonlocal poll_at
        if time.monotonic() >= poll_at:
            recorder.poll()
            poll_at = time.monotonic() + POLL_SECONDS

    loop.attend(between)
    loop.run(ticks // 100 * 1000)
    before = _resident()
    loop.run((ticks // 100 + ticks) * 1000)
    grown = _resident() - before
    recorder.close()
    loop.close()
    return grown


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def _counted(busy: dict[str, list[float]], name: str, measure: Callable[[], float]) -> float:
    """Measure, and note beside it the processor time of all threads, which a busy machine does not change."""
    start = time.process_time()
    seconds = measure()
    busy.setdefault(name, []).append(time.process_time() - start)
    return seconds


def measure(rows: int = ROWS, rounds: int = 15, elbow_rounds: int = 80, growth_ticks: int = GROWTH_TICKS
            ) -> dict[str, Any]:
    """Interleave the recorder with its peers; see `common.py` for how a ratio is judged."""
    from .common import check, interleave, ratio_check

    said = values()
    with tempfile.TemporaryDirectory(prefix="bench_recorder") as name:
        folder = Path(name)
        busy: dict[str, list[float]] = {}
        times = interleave({
            "ours": lambda: _counted(busy, "ours", lambda: through_recorder(folder, said, rows)),
            "append": lambda: by_append(folder, said, APPENDS),
            "chunks": lambda: _counted(busy, "chunks", lambda: by_whole_chunks(folder, said, rows)),
            "values": lambda: by_whole_chunks(folder, said, rows, times=False),
        }, rounds)
        elbow = ElbowLoop(folder)
        ticks = interleave({"recorded": lambda: _counted(busy, "recorded", lambda: elbow.run(True)),
                            "plain": lambda: _counted(busy, "plain", lambda: elbow.run(False))}, elbow_rounds)
        elbow.close()
        grown = memory_growth(folder, growth_ticks)
    slower, busier = ([with_it / without - 1 for with_it, without in zip(of["recorded"], of["plain"], strict=True)]
                      for of in (ticks, busy))
    return {"name": "recorder", "settings": {
        "port": "(64,) float32, one lane", "rows": rows, "peers": f"chunks of {CHUNK} rows, zarr's default codec",
        "elbow": f"{LANES} lanes, {elbow.ports} ports, one thread"}, "checks": [
        ratio_check("rows_vs_append", times["append"], times["ours"], at_least=500),
        ratio_check("rows_vs_whole_chunks", times["chunks"], times["ours"], at_least=0.8),
        ratio_check("rows_vs_whole_chunks_processor_time", busy["chunks"], busy["ours"]),
        ratio_check("rows_vs_whole_chunks_without_times", times["values"], times["ours"]),
        check("row_us", [seconds * 1e6 for seconds in times["ours"]], "us"),
        check("loop_slowdown", slower, "fraction", at_most=0.05),
        check("loop_slowdown_processor_time", busier, "fraction"),
        check("memory_growth_mb", [grown], "MB", at_most=50)]}
