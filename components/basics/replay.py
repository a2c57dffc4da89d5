"""A recording played back in anybody's place."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.events import Events
from ...loops.files import File
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.storage.recorder import Recorder
from ...loops.storage.stream import Stream
from ..parts.passing import frozen, unheard
from ..parts.recorded import Recorded, open_recording


class Replay(Component):
    """Plays back what a component published in an earlier run, at the very instants of the recording.

    Every port that is asked of it gets the recorded stream of its own name. It keeps the wires of the component it
    replaces but does not listen to them. Lane n plays recorded lane n modulo the number of recorded lanes; after the
    end of the recording the last values hold.

    Args:
        run: path of a run, `<name>.zarr`.
        component: name of the recorded component.
        port: recorded port to play on every output, where it is not the output's own name.
    """

    open_inputs = True
    open_outputs = True

    def __init__(self, run: File, component: str, port: str | None = None) -> None:
        self.run, self.component, self.port = run, component, port
        self.inputs: dict[str, Port] = {}
        self.outputs: dict[str, Port] = {}
        self._streams: dict[str, Recorded] = {}

    @classmethod
    def example(cls) -> Replay:
        path = Path(tempfile.mkdtemp()) / "example.zarr"
        recorder = Recorder(path, [Stream("brain", "action", Port("what was done", (3,)), 1)], {})
        for tick in range(3):
            recorder.tap("brain.action")(tick * 20_000_000, np.full((1, 3), tick / 4, np.float32))
        recorder.close()
        example = cls(run=str(path), component="brain", port="action")
        weakref.finalize(example, shutil.rmtree, path.parent, True)
        return example

    def adopt(self, name: str, port: Port) -> Port:
        """Take an input without listening to it."""
        return unheard(port)

    def infer(self) -> None:
        for name, port in self.outputs.items():
            recorded = self._stream(name, port)
            sizes = tuple(size if isinstance(size, int) else known
                          for size, known in zip(port.sizes, recorded.sizes(port), strict=False))
            if len(sizes) == len(port.sizes):
                self.outputs[name] = port.sized(sizes)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        for name, port in self.outputs.items():
            recorded = self._stream(name, port).sizes(port)
            if recorded != tuple(port.sizes):
                raise AssemblyError([Problem(f"{self.component}.{self.port or name} was recorded with shape "
                                             f"{recorded}, the receiver takes {tuple(port.sizes)}", name)])

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        said: dict[str, Any] = {}
        after = -1 if inputs.previous is None else inputs.previous
        for name, port in self.outputs.items():
            stream = self._stream(name, port)
            rows = stream.rows(after, now)
            if len(rows):
                said[name] = self._play(stream, rows, port)
        return said

    def next_wake(self, now: int) -> int | None:
        later = [stream.next_time(now) for stream in self._streams.values()]
        return min((time for time in later if time is not None), default=None)

    def close(self) -> None:
        self._streams.clear()

    def _stream(self, name: str, port: Port) -> Recorded:
        if name not in self._streams:
            self._streams[name] = open_recording(self.run, self.component, self.port or name, port.kind)
        return self._streams[name]

    def _play(self, stream: Recorded, rows: range, port: Port) -> np.ndarray | Events:
        if port.kind == "signal":
            value = stream.value(rows[-1])
            if port.per_lane:
                value = value[self.lanes.numbers % stream.lanes] if stream.per_lane else np.tile(
                    value, (self.lanes.count, *(1 for _ in value.shape)))
            return frozen(value.astype(port.dtype))
        recorded = stream.events(rows)
        copies = [np.flatnonzero(recorded.lane == number % stream.lanes) for number in self.lanes.numbers]
        which = np.concatenate(copies)  # one pass per lane: events are ragged
        lane = np.repeat(np.arange(self.lanes.count), [copy.size for copy in copies])
        return Events.of(recorded.time[which], lane, recorded.index[which], recorded.value[which], port.dtype)
