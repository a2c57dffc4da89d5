"""A run's body brought to where it was: the recorded actions and the seeds of the episodes, played into it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..components.parts import rendering
from ..components.parts.episodes import episode_seed
from ..loops.component import Component, Inputs
from ..loops.errors import AssemblyError, RunError, StimloopError, doing, reason
from ..loops.events import Events
from ..loops.lanes import Lanes
from ..loops.port import Port
from ..loops.seeds import derive
from ..loops.status import ENDED, FIRST
from ..loops.storage.runs import Run
from ..loops.time import say
from .loading import assembly_of
from .settings import Settings


@dataclass(frozen=True)
class Episode:
    """One recorded episode of the lane that is played."""

    number: int
    begin: int  # rows of the body's status: its first and its last
    end: int
    over: bool = True  # False: the run stopped in the middle of it


@dataclass(frozen=True)
class Tick:
    """One tick of the body that is played."""

    episode: int
    now: int
    reward: float


class Replay:
    """Plays one lane of a run into a body of its own, episode after episode, and compares what it publishes.

    Each episode begins from its seed alone, as those of an evaluation do, so that any of them may be played first.
    """

    def __init__(self, run: Run, allowed: Settings, body: str | None = None, lane: int = 0) -> None:
        self.run, self.name, self.lane = run, run.body(body), lane
        status = run.columns(f"{self.name}.status")
        lanes = status["value"].shape[1]
        if not 0 <= lane < lanes:
            raise RunError(f"{run.path.name} has no lane {lane}; it has {lanes}, numbered from 0")
        self._wires = _wires(run, self.name)
        self._time, self._flags = status["time"].read(), status["value"].read()[:, lane]
        if not len(self._time):
            raise RunError(f"{run.path.name} holds no tick of {self.name}: it ended before the first, so there is "
                           "nothing to play")
        self.episodes = self._find_episodes()
        self.body, self._seed = make_body(run, self.name, allowed)
        self._sources = {key: self._source(key, wire) for key, wire in self._wires.items() if key != "begin"}
        self.difference = ""  # the first that was found between what is played and what was recorded
        with doing("building", self.name, self.body):
            self.body.build(Lanes.of(1, lane), self._seed)

    def _find_episodes(self) -> list[Episode]:
        table = self.run.episodes(self.name)
        own = table[table["lane"] == self.lane]
        rows = np.searchsorted(self._time, own["start"].to_numpy(np.int64))
        ends = np.searchsorted(self._time, own["end"].fillna(int(self._time[-1])).to_numpy(np.int64))
        numbers = own["episode"].to_numpy(np.int64)
        over = (own["how"] != "running").to_numpy()
        return [Episode(int(n), int(b), int(e), bool(o))
                for n, b, e, o in zip(numbers, rows, ends, over, strict=True)]

    @property
    def unfinished(self) -> Episode | None:
        """The episode in the middle of which the run stopped; None where it stopped at the end of one."""
        return self.episodes[-1] if self.episodes and not self.episodes[-1].over else None

    def episode(self, number: int) -> Episode:
        """Return one episode; -1 is the last that is over."""
        known = {episode.number: episode for episode in self.episodes}
        if number == -1 and known:
            return self._last()
        if number not in known:
            there = f"it has 0 to {max(known)}" if known else "none has begun"
            raise RunError(f"{self.run.path.name} has no episode {number} in lane {self.lane}: {there} (-1: the last "
                           "that is over)")
        return known[number]

    def _last(self) -> Episode:
        over = [episode for episode in self.episodes if episode.over]
        if not over:
            raise RunError(f"no episode of {self.run.path.name} is over in lane {self.lane}: the record ends in the "
                           "middle of its first. Show what there is of it with --episode 0, or let the run go on")
        return over[-1]

    def play(self, episode: Episode) -> Iterator[Tick]:
        """Bring the body through an episode, tick by tick."""
        self.body.reset(self._seed)
        recorded = self._recorded(episode)
        for row in range(episode.begin, episode.end + 1):
            now = int(self._time[row])
            out = self.body.step(now, self._inputs(row, episode))
            if not out:
                self._differs(episode, row, "is over there, but goes on in the record")
                return
            self._compare(episode, row, out, recorded)
            yield Tick(episode.number, now, float(np.asarray(out["reward"])[0]))

    def _inputs(self, row: int, episode: Episode) -> Inputs:
        """What the body was given at a tick; at the first it is told to begin, and acts on nothing."""
        now, first = int(self._time[row]), row == episode.begin
        previous = None if first else int(self._time[row - 1])
        values: dict[str, Any] = {key: source(now, previous) for key, source in self._sources.items()}
        begin = self.body.inputs["begin"]
        values["begin"] = (Events.of(now, 0, 0, self._seed_of(episode), begin.dtype) if first
                           else Events.empty((), begin.dtype))
        return Inputs(values, frozenset(values if first else self._sources), previous)

    def _seed_of(self, episode: Episode) -> int:
        wire = self._wires.get("begin")
        if wire is None:
            return episode_seed(self._seed, self.lane, episode.number)
        columns = self._columns(wire["from"], "the seeds of its episodes")
        arrived = columns["time"].read() + wire["delay_ns"] <= self._time[episode.begin]
        mine = np.flatnonzero(arrived & (columns["lane"].read() == self.lane))
        if not len(mine):
            raise RunError(f"{wire['from']} was recorded without the seed of episode {episode.number}")
        return int(columns["value"].read(mine[-1], mine[-1] + 1).reshape(-1)[0])

    def _columns(self, key: str, what: str) -> Mapping[str, Any]:
        if key not in self.run:
            raise RunError(f"{self.run.path.name} has not recorded {key}, {what}, so {self.name} cannot be played. "
                           f"Record it in the next run: record: [{key}, {self.name}]")
        return self.run.columns(key)

    def _source(self, key: str, wire: Mapping[str, Any]) -> Callable[[int, int | None], np.ndarray]:
        """Return what gives an input its value at an instant, as its wire did in the run."""
        columns, port = self._columns(wire["from"], f"its {key}"), self.body.inputs[key]
        if port.kind == "event" or wire["reads"] not in ("hold", "now"):
            raise RunError(f"{self.name} reads its {key} by {wire['reads']!r}"
                           f"{' as events' if port.kind == 'event' else ''}; only signals that are read by hold or now "
                           "can be played")
        arrival, held = columns["time"].read() + wire["delay_ns"], wire["reads"] == "hold"
        start = port.start(1)

        def value(now: int, previous: int | None) -> np.ndarray:
            when = previous if held else now
            row = -1 if when is None else int(np.searchsorted(arrival, when, "right")) - 1
            if row < 0:
                return start
            told = columns["value"].read(row, row + 1)  # [1, lanes, ...], or [1, ...] where all lanes have one value
            return told[:, self.lane] if port.per_lane else told[0]

        return value

    def _recorded(self, episode: Episode) -> dict[str, np.ndarray]:
        """What the body published during an episode, in this lane, as far as it was recorded: [rows, ...] by port."""
        found = {}
        for key, port in self.body.outputs.items():
            address = f"{self.name}.{key}"
            if port.kind == "signal" and port.per_lane and key != "status" and address in self.run:
                rows = self.run.columns(address)["value"].read(episode.begin, episode.end + 1)
                found[key] = rows[:, self.lane]
        return found

    def _compare(self, episode: Episode, row: int, out: Mapping[str, Any], recorded: Mapping[str, np.ndarray]) -> None:
        if self.difference:
            return
        begun_at_once = row == episode.begin and self._flags[row] & ENDED
        next_begun = row > episode.begin and self._flags[row] & FIRST
        for key, rows in recorded.items():
            of_next = key.startswith("observation")  # where two episodes share an instant; all else is the ended one's
            if key not in out or (next_begun if of_next else begun_at_once) or row - episode.begin >= len(rows):
                continue
            theirs, mine = rows[row - episode.begin], np.asarray(out[key])[0]
            if theirs.tobytes() != mine.tobytes():
                far = np.abs(theirs.astype(np.float64) - mine.astype(np.float64)).max()
                self._differs(episode, row, f"shows another {key} than was recorded, by up to {far:.3g}")
                return

    def _differs(self, episode: Episode, row: int, what: str) -> None:
        if not self.difference:
            self.difference = (f"{self.name} {what}, first at step {row - episode.begin} of episode {episode.number} "
                               f"({say(int(self._time[row]))}): a library or the machine is another one, or the body "
                               "depends on more than actions and seeds")

    def close(self) -> None:
        """Let go of the body."""
        self.body.close()


def make_body(run: Run, name: str, allowed: Settings) -> tuple[Component, int]:
    """Return the body of a run, made but not built, and its seed. Nothing else of the assembly is made."""
    assembly = assembly_of(run.attributes, allowed)
    entry = {**assembly.form["components"][name], "inputs": {}}
    alone = assembly.derived({**assembly.form, "components": {name: entry}, "evaluate": {}})
    part = alone.system(settings=allowed).parts[name]
    try:
        body = part.create()  # type: ignore[misc]
    except AssemblyError:
        raise
    except (StimloopError, ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError,
            AttributeError) as error:
        raise RunError(f"{name} ({part.type}) cannot be made again: {reason(error)}{rendering.doubt()}") from error
    if not _takes_seeds(body.inputs.get("begin")):
        raise RunError(f"{name} ({part.type}) has no input `begin`, so no episode of it can be begun from its seed")
    if unknown := [key for side in (body.inputs, body.outputs) for key, port in side.items() if not port.known]:
        raise RunError(f"{name} ({part.type}) does not know the size of its {unknown[0]} by itself and cannot be "
                       "played alone")
    return body, derive(assembly.seed, name) if part.seed is None else part.seed


def _takes_seeds(begin: Port | None) -> bool:
    return begin is not None and begin.kind == "event"


def _wires(run: Run, body: str) -> dict[str, dict[str, Any]]:
    """Where each wired input of the body got its values, how late, and how it read them."""
    told = run.attributes.get("wires")
    if told is None:
        raise RunError(f"{run.path.name} does not say how its wires read; it was written by an earlier stimloop")
    return {key.partition(".")[2]: wire for key, wire in told.items() if key.partition(".")[0] == body}
