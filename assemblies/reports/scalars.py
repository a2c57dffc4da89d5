"""A run as scalars over steps: metrics, episodes and evaluations, each look giving what is new since the one before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...loops.errors import RunError
from ...loops.status import is_step
from ...loops.storage import trials
from ...loops.storage.runs import Run
from ...loops.storage.stored import episode_means, table_column
from ...loops.time import MILLISECOND
from .reading import said

_OF_AN_EPISODE = {"return": "return", "length": "length", "solved": "success"}


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a run: what it is, when it was said (ns), where it lies on the axis, and how much it is."""

    name: str  # such as learner/q_loss
    time: int
    at: int  # on the axis
    value: float


class Scalars:
    """Reads a run again and again, also while it is being written; every point comes once.

    Points lie over the steps of the run's body (of all lanes together). Where no status is recorded, or there are
    several bodies, they lie over whole milliseconds of simulated time.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rows: dict[str, int] = {}  # of metrics and evaluations, that were given
        self._episodes = {body: _Ended(body) for body in run.bodies}
        self._steps = Steps(run.bodies[0]) if len(run.bodies) == 1 else None
        self._sessions = len(said(run, "sessions", []))
        self.reached = 0  # ns

    @property
    def axis(self) -> str:
        """What points lie over, as one word: a name of the scalars' own axis."""
        return "steps" if self._steps else "simulated_ms"

    @property
    def axis_in_words(self) -> str:
        return f"steps of {self._steps.body}" if self._steps else "milliseconds of simulated time"

    def at(self, time: int) -> int:
        """Return where an instant lies on the axis."""
        return int(self._steps.until(np.array([time]))[0]) if self._steps else time // MILLISECOND

    def look(self, whole: bool) -> list[Point]:
        """Return what is new, in the order of time.

        `whole` says that nobody writes the run any more: metrics of instants whose status was never written count too.
        """
        run = self.run.refresh()
        if len(said(run, "sessions", [])) != self._sessions:
            raise RunError(f"{run.path} was resumed meanwhile, and what lay behind its checkpoint was recorded anew; "
                           "export it again, it is written from the start")
        if self._steps:
            self._steps.take(run)
        points = self._metrics(whole)
        for ended in self._episodes.values():
            points += [self._point(*found) for found in ended.take(run)]
        points += self._evaluations()
        self.reached = max([self.reached, *(point.time for point in points),
                            *([self._steps.last] if self._steps else [])])
        return sorted(points, key=lambda point: point.time)

    def _point(self, name: str, time: int, value: float) -> Point:
        return Point(name, time, self.at(time), value)

    def _metrics(self, whole: bool) -> list[Point]:
        points = []
        for key, facts in self.run.streams.items():
            if facts.kind != "metric":
                continue
            columns, first = self.run.columns(key), self._rows.get(key, 0)
            times = columns["time"].read(first)
            if self._steps and not whole:  # the steps until later ones are not all known yet
                times = times[:np.searchsorted(times, self._steps.last, side="right")]
            values = columns["value"].read(first, first + len(times)).astype(float)
            places = self._steps.until(times) if self._steps else times // MILLISECOND
            name = key.replace(".", "/")
            points += [Point(name, int(time), int(place), float(value))
                       for time, place, value in zip(times, places, values, strict=True)]
            self._rows[key] = first + len(times)
        return points

    def _evaluations(self) -> list[Point]:
        points = []
        for name, rows in self.run.stored.evaluations.items():
            path = f"evaluations/{name}"
            for row in rows[self._rows.get(path, 0):]:
                place = int(row["steps"]) if self._steps else int(row["time"]) // MILLISECOND
                for field, value in row.items():
                    mean = np.nan if isinstance(value, str) else episode_means(table_column([value]))[0]
                    if field not in ("time", "steps") and not np.isnan(mean):  # missing: nobody knows it
                        points.append(Point(f"{path}/{field}", int(row["time"]), place, float(mean)))
            self._rows[path] = len(rows)
        return points


class Steps:
    """How many steps a body had made up to each of its ticks (16 bytes a tick are kept)."""

    def __init__(self, body: str) -> None:
        self.body = body
        self._times, self._totals = np.zeros(0, np.int64), np.zeros(1, np.int64)  # [ticks], [ticks + 1]

    @property
    def last(self) -> int:
        return int(self._times[-1]) if len(self._times) else -1

    def take(self, run: Run) -> None:
        """Count what is new."""
        columns = run.columns(f"{self.body}.status")
        first = len(self._times)
        counted = is_step(columns["value"].read(first)).sum(axis=1)
        self._times = np.concatenate([self._times, columns["time"].read(first)])
        self._totals = np.concatenate([self._totals, self._totals[-1] + np.cumsum(counted)])

    def until(self, times: np.ndarray) -> np.ndarray:
        """Return the steps made up to and including these instants."""
        return self._totals[np.searchsorted(self._times, times, side="right")]


class _Ended:
    """The episodes of a body that have ended since the last look: their means, one for each instant."""

    def __init__(self, body: str) -> None:
        self._body = body
        self._first = 0  # the row at which the earliest running episode began
        self._last = -1  # the instant up to which episodes were told

    def take(self, run: Run) -> list[tuple[str, int, float]]:
        """Return (name, instant, mean over the lanes whose episode ended then)."""
        parts = [part for part in ("status", "reward", "solved") if f"{self._body}.{part}" in run]
        streams = {part: {name: trials.Since(column, self._first) for name, column in
                          run.columns(f"{self._body}.{part}").items()} for part in parts}
        rows = trials.same_ticks(streams)
        if not rows:
            return []
        times = streams["status"]["time"].read(0, rows)
        table = trials.episodes(**streams)
        running = table["how"] == "running"
        new = ~running & (table["end"] > self._last)
        self._last = int(times[-1])
        begun = table["start"][running]
        self._first += int(np.searchsorted(times, begun.min())) if len(begun) else rows
        ends, which = np.unique(table["end"][new], return_inverse=True)
        means = {name: np.bincount(which, table[field][new].astype(float)) / np.bincount(which)
                 for field, name in _OF_AN_EPISODE.items()}
        return [(f"episodes/{self._body}/{name}", int(end), float(mean)) for name, column in means.items()
                for end, mean in zip(ends, column, strict=True) if not np.isnan(mean)]  # a body may not know success
