"""Wires at run time: a pipe takes what the sender publishes and gives the receiver what its input reads."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .events import Events
from .port import Port

_PRUNE = 64  # entries a pipe may hold before it forgets what nobody can read any more


def time_average(rows: list[tuple[int, np.ndarray]], previous: int | None, now: int) -> np.ndarray:
    """Return the average over (previous, now) of rows (arrival, value) as `all` gives them, read-only.

    Summed in float64 and kept within the rows, so a constant comes back exactly; without a previous step, the last row.
    """
    if len(rows) == 1 or previous is None:
        return rows[-1][1]
    edges = [previous, *(arrival for arrival, _ in rows[1:]), now]
    low = high = rows[0][1]
    total = np.zeros(low.shape, np.float64)
    for (_, value), start, end in zip(rows, edges[:-1], edges[1:], strict=True):
        total += value.astype(np.float64) * (end - start)
        low, high = np.minimum(low, value), np.maximum(high, value)
    total /= now - previous
    mean = np.asarray(np.clip(total.astype(low.dtype), low, high))
    mean.setflags(write=False)
    return mean


class SignalPipe:
    """A signal wire that reads `hold`, `mean` or `all`, or `now` with a delay (a plain `now` needs no pipe).

    The queue holds (arrival, value) in order of arrival; `value` is what was in force at the last look.
    """

    def __init__(self, port: Port, reads: str, delay: int, lanes: int) -> None:
        self.delay = delay
        self.reads = reads
        self.floating = np.dtype(port.dtype).kind == "f"
        self.initial = port.start(lanes)
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before t = 0."""
        self.queue: deque[tuple[int, np.ndarray]] = deque()
        self.value = self.initial
        self.arrival = -1
        self.fresh = False  # is `value` one that the receiver was never given?
        self.looked = -1  # instant of the receiver's last step
        self.lost = False  # was a value passed over for good? (an error on status and reward wires)
        self.limit = _PRUNE

    def put(self, now: int, value: np.ndarray) -> int:
        """Take a published value; return the instant at which it arrives."""
        arrival = now + self.delay
        self.queue.append((arrival, value))
        if len(self.queue) > self.limit and self.reads in ("now", "hold"):
            self._prune(now)
        return arrival

    def take(self, now: int, previous: int | None) -> tuple[Any, bool]:
        """Return what the input reads at `now`, and whether any of it is new to the receiver."""
        reads = self.reads
        if reads == "now":
            queue, fresh = self.queue, False
            while queue and queue[0][0] <= now:
                self.lost |= fresh
                self.arrival, self.value = queue.popleft()
                fresh = True
            self.looked = now
            return self.value, fresh
        if previous is None:
            self.looked = now
            return (self.initial if reads != "all" else [(-1, self.initial)]), False
        self._advance(previous)
        self.looked = now
        fresh, self.fresh = self.fresh, False
        if reads == "hold":
            return self.value, fresh
        rows = [(self.arrival, self.value)]
        rows += [row for row in self.queue if row[0] < now]
        if len(rows) > 1:
            fresh = True
        if reads == "all":
            return rows, fresh
        return time_average(rows, previous, now), fresh

    def _advance(self, until: int) -> None:
        queue = self.queue
        single = self.reads == "hold"
        while queue and queue[0][0] <= until:
            self.lost |= single and self.fresh
            self.arrival, self.value = queue.popleft()
            # rows between two steps were handed over then; only `all` and `mean` look ahead of `previous`
            self.fresh = single or self.arrival >= self.looked

    def _prune(self, now: int) -> None:
        """Keep, of what has arrived, only the last value of each side of the receiver's last step."""
        kept: deque[tuple[int, np.ndarray]] = deque()
        edge = self.looked if self.reads == "hold" else now
        for row in self.queue:
            if kept and row[0] <= now and (row[0] <= edge or kept[-1][0] > edge):
                kept.pop()
                self.lost = True
            kept.append(row)
        self.queue = kept
        self.limit = max(_PRUNE, 2 * len(kept))

    def state_dict(self) -> dict[str, Any]:
        queue = {str(i): {"arrival": arrival, "value": value} for i, (arrival, value) in enumerate(self.queue)}
        return {"queue": queue, "value": self.value, "arrival": self.arrival, "fresh": self.fresh,
                "looked": self.looked, "lost": self.lost}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clear()
        rows = [state["queue"][str(i)] for i in range(len(state["queue"]))]
        self.queue = deque((int(row["arrival"]), frozen_copy(row["value"])) for row in rows)
        self.value = frozen_copy(state["value"])
        self.arrival, self.looked = int(state["arrival"]), int(state["looked"])
        self.fresh, self.lost = bool(state["fresh"]), bool(state["lost"])


class HoldPipe:
    """The commonest pipe, made quick: a signal without delay read by `hold` needs two values, not a queue."""

    def __init__(self, port: Port, lanes: int) -> None:
        self.delay = 0
        self.reads = "hold"
        self.initial = port.start(lanes)
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before t = 0."""
        self.value = self.initial  # in force after the instant of the receiver's last step
        self.fresh = False
        self.later: np.ndarray | None = None  # published since then
        self.later_at = -1
        self.looked = -1
        self.lost = False  # was a published value replaced before anyone could be given it?

    def put(self, now: int, value: np.ndarray) -> int:
        """Take a published value; return the instant at which it arrives."""
        if now == self.looked:  # the receiver stepped earlier in this instant
            self.lost |= self.fresh
            self.value = value
            self.fresh = True
        else:
            self.lost |= self.later is not None
            self.later = value
            self.later_at = now
        return now

    def take(self, now: int, previous: int | None) -> tuple[Any, bool]:
        """Return what was in force after the instant of the previous step, and whether it is new."""
        value, fresh = self.value, self.fresh
        self.fresh = False
        if self.later is not None:  # in force from now on
            self.value, self.later, self.fresh = self.later, None, True
        self.looked = now
        return value, fresh

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"value": self.value, "fresh": self.fresh, "looked": self.looked,
                                 "later_at": self.later_at, "lost": self.lost}
        if self.later is not None:
            state["later"] = self.later
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clear()
        self.value = frozen_copy(state["value"])
        self.fresh, self.lost = bool(state["fresh"]), bool(state["lost"])
        self.looked, self.later_at = int(state["looked"]), int(state["later_at"])
        self.later = frozen_copy(state["later"]) if "later" in state else None


class EventPipe:
    """An event wire: each event is handed over once, with all others that arrived since the last step."""

    def __init__(self, port: Port, reads: str, delay: int) -> None:
        self.delay = delay
        self.reads = reads
        self.nothing = Events.empty(tuple(int(size) for size in port.shape), port.dtype)  # type: ignore[arg-type]
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before t = 0."""
        self.batches: deque[tuple[int, Events]] = deque()  # (arrival of all its events, batch), by arrival

    def put(self, now: int, events: Events) -> list[int]:
        """Take a published batch; return the instants at which parts of it arrive (an empty one arrives too)."""
        if not self.delay:
            self.batches.append((now, events))
            return [now]
        delayed = events.later(self.delay)
        arrivals = np.maximum(delayed.time, now) if len(events) else np.array([now + self.delay])
        distinct = [int(t) for t in np.unique(arrivals)]
        for arrival in distinct:
            part = delayed.select(arrivals == arrival) if len(events) else delayed
            self.batches.append((arrival, part))
        if len(self.batches) > len(distinct):
            self.batches = deque(sorted(self.batches, key=lambda row: row[0]))
        return distinct

    def insert(self, arrival: int, events: Events) -> None:
        """Add events that were not published but given from outside, in any order."""
        self.batches = deque(sorted([*self.batches, (arrival, events)], key=lambda row: row[0]))

    def take(self, now: int, previous: int | None) -> tuple[Events, bool]:
        """Return one batch of what arrived (`now`: up to this instant, `all`: before it), and whether any did."""
        due = []
        last = now if self.reads == "now" else now - 1
        while self.batches and self.batches[0][0] <= last:
            due.append(self.batches.popleft()[1])
        return (Events.join(due), True) if due else (self.nothing, False)

    def state_dict(self) -> dict[str, Any]:
        return {str(i): {"arrival": arrival, "time": b.time, "lane": b.lane, "index": b.index, "value": b.value}
                for i, (arrival, b) in enumerate(self.batches)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clear()
        for i in range(len(state)):
            row = state[str(i)]
            columns = [frozen_copy(row[name]) for name in ("time", "lane", "index", "value")]
            self.batches.append((int(row["arrival"]), Events(*columns)))


def frozen_copy(value: Any) -> np.ndarray:
    value = np.array(value)
    value.setflags(write=False)
    return value
