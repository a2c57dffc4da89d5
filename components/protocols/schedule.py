"""A timetable: values that change, and episodes that begin, at given simulated times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import AssemblyError, Problem
from ...loops.events import Events
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Duration, say


@dataclass(frozen=True)
class Entry:
    """One line of the timetable: at a time, set the value, or begin an episode in every lane.

    Args:
        at: time since the beginning of the run.
        value: the value from then on, one number or a list.
        begin: seed of the episode that begins in lane 0; lane i gets this + i.
    """

    at: Duration
    value: float | list[float] | None = None
    begin: int | None = None


class Schedule(Component):
    """Publishes values and episode beginnings at the times of its entries.

    `value` goes wherever a signal is wanted: an amplitude (through a limiter), the `injury` of a brain, a target.

    Args:
        entries: what happens when, for example `[{at: 0 s, value: 0}, {at: 10 min, value: 1}]`.
        repeat: begin the timetable anew after this time; None: once.
    """

    def __init__(self, *, entries: list[Entry], repeat: Duration | None = None) -> None:
        self.entries, self.repeat = sorted(entries, key=lambda entry: entry.at), repeat
        self._check()
        sizes = {len(entry.value) for entry in entries if isinstance(entry.value, list)}
        self.inputs: dict[str, Port] = {}
        self.outputs = {
            "value": Port("value of the timetable", (sizes.pop() if sizes else "value",)),
            "begin": Port("lanes whose episode is to begin, with its seed", (), kind="event", dtype="int64"),
        }
        self._is_number = not any(isinstance(entry.value, list) for entry in entries)

    @classmethod
    def example(cls) -> Schedule:
        return cls(entries=[Entry(0, [0.0]), Entry(20_000_000, [1.0])])

    def _check(self) -> None:
        times = [entry.at for entry in self.entries]
        sizes = {len(entry.value) for entry in self.entries if isinstance(entry.value, list)}
        if not times:
            raise AssemblyError([Problem("an empty timetable", "entries", "Write [{at: 1 s, value: 1}].")])
        if len(set(times)) < len(times):
            twice = next(time for time in times if times.count(time) > 1)
            raise AssemblyError([Problem(f"two entries at {say(twice)}", "entries", "Join them into one.")])
        if len(sizes) > 1:
            raise AssemblyError([Problem(f"values of {sorted(sizes)} numbers", "entries", "Give all the same length.")])
        if self.repeat is not None and times[-1] >= self.repeat:
            raise AssemblyError([Problem(f"an entry at {say(times[-1])} never comes: the timetable begins anew after "
                                         f"{say(self.repeat)}", "repeat", "Make `repeat` longer.")])

    def infer(self) -> None:
        """Speak in single numbers where the receiver wants one."""
        if self._is_number and any(port.shape == () for port in self.peers.get("value", ())):
            self.outputs["value"] = replace(self.outputs["value"], shape=())

    def build(self, lanes: Lanes, seed: int) -> None:
        """Begin before the first entry."""
        super().build(lanes, seed)
        shape = self.outputs["value"].full_shape(lanes.count)
        self._values = {entry.at: np.broadcast_to(np.asarray(entry.value, np.float32), shape)
                        for entry in self.entries if entry.value is not None}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Publish what the timetable says for this very instant."""
        place = now if self.repeat is None else now % self.repeat
        outputs: dict[str, Any] = {}
        if place in self._values:
            outputs["value"] = self._values[place].copy()
        for entry in self.entries:
            if entry.at == place and entry.begin is not None:
                lanes = np.arange(self.lanes.count)
                outputs["begin"] = Events.of(now, lanes, 0, entry.begin + self.lanes.numbers, "int64")
        return outputs

    def next_wake(self, now: int) -> int | None:
        """The time of the next entry."""
        start = 0 if self.repeat is None else now - now % self.repeat
        later = [start + entry.at for entry in self.entries if start + entry.at > now]
        if later:
            return later[0]
        return None if self.repeat is None else start + self.repeat + self.entries[0].at
