"""Episodes, trials and transitions cut out of recorded streams, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import RunError
from ..status import FIRST, TERMINATED, TRUNCATED, begins, ended, is_step
from ..time import parse_duration
from .stored import StoredColumn

_BLOCK = 1 << 21  # numbers of `status` looked at together

Columns = Mapping[str, "StoredColumn | Since"]  # of one stream: time and value


class Since:
    """A stored column from one of its rows on."""

    def __init__(self, column: StoredColumn, first: int) -> None:
        self._column, self._first = column, first
        self.shape = (len(column) - first, *column.shape[1:])
        self.dtype = column.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows [start, stop)."""
        stop = len(self) if stop is None else min(stop, len(self))
        return self._column.read(self._first + start, self._first + stop)


def same_ticks(streams: dict[str, Columns]) -> int:
    """Return how many rows all streams of a body have; a crash may have cut some of them shorter.

    Raises RunError when they were not published at the same instants.
    """
    rows = min(len(columns["time"]) for columns in streams.values())
    times = {name: columns["time"].read(0, rows) for name, columns in streams.items()}
    (first, reference), *others = times.items()
    for name, time in others:
        if not np.array_equal(time, reference):
            raise RunError(f"{name} and {first} were not published at the same instants, so their rows do not belong "
                           "together; a body publishes observation, reward and status at every tick")
    return rows


def episodes(status: Columns, reward: Columns, solved: Columns | None = None) -> dict[str, np.ndarray]:
    """Return one row an episode, by lane and number: start, end, length, return, how it ended, solved.

    The tick on which an episode ended and the next began (TERMINATED|FIRST) counts for the one that ended. A running
    episode has end -1 and how "running"; `solved` is that of the last tick (NaN where unknown).
    """
    rows = same_ticks({"status": status, "reward": reward, **({"solved": solved} if solved else {})})
    lanes = status["value"].shape[1]
    lane = np.arange(lanes)
    begun = np.zeros(lanes, np.int64)  # [lanes] episodes begun before this block
    starts, ends, sums = [], [], []
    block = max(1, _BLOCK // max(lanes, 1))
    for at in range(0, rows, block):
        time, flags = status["time"].read(at, min(at + block, rows)), status["value"].read(at, min(at + block, rows))
        rewards = reward["value"].read(at, at + len(time)).astype(np.float64)
        first = begins(flags)
        upto = begun + np.cumsum(first, axis=0)  # [rows, lanes] episodes begun up to this tick
        number = upto - first - 1  # the episode that a step on this tick belongs to; -1: none
        code = number * lanes + lane
        low = (begun.min() - 1) * lanes
        counted = is_step(flags) & (number >= 0)
        local = code[counted] - low
        sums.append((low, np.bincount(local), np.bincount(local, rewards[counted])))
        tick, which = np.nonzero(first)
        starts.append(np.stack([(upto[tick, which] - 1) * lanes + which, time[tick]]))
        tick, which = np.nonzero(ended(flags) & (number >= 0))
        good = np.full(len(tick), np.nan) if solved is None else solved["value"].read(at, at + len(time))[tick, which]
        ends.append((code[tick, which], time[tick], flags[tick, which], good))
        begun = upto[-1]
    return _table(lanes, starts, ends, sums)


def _table(lanes: int, starts: list, ends: list, sums: list) -> dict[str, np.ndarray]:
    codes, start = np.concatenate(starts, axis=1) if starts else np.zeros((2, 0), np.int64)
    order = np.lexsort((codes // lanes, codes % lanes))
    codes, start = codes[order], start[order]
    by_code = np.argsort(codes)
    size = len(codes)
    length, total = np.zeros(size, np.int64), np.zeros(size)
    end, how, good = np.full(size, -1, np.int64), np.full(size, "running", object), np.full(size, np.nan)
    for low, counts, rewards in sums:
        local = np.flatnonzero(counts)
        row = by_code[np.searchsorted(codes, local + low, sorter=by_code)]
        length[row] += counts[local]
        total[row] += rewards[local]
    for code, time, flags, solved in ends:
        row = by_code[np.searchsorted(codes, code, sorter=by_code)]
        end[row], good[row] = time, solved
        how[row] = np.where(flags & TERMINATED, "terminated", "truncated")
    return {"lane": codes % lanes, "episode": codes // lanes, "start": start, "end": end, "length": length,
            "return": total, "how": how, "solved": good}


def transitions(observation: Columns, action: Columns, reward: Columns, status: Columns, *, answered: bool,
                delay: int, drop_truncated: bool) -> dict[str, np.ndarray]:
    """Return what a learner would be taught, one row a step, lane after lane in the order of time.

    The action of a step is the one in force from the tick before (`answered`: at the tick itself, for a body that
    reads its action `now`), after `delay` ns on the wire. A step that ended as the next episode began has no
    successor: its `next_observation` repeats `observation`, which is harmless when it is terminal; when it was
    truncated it is an error, or left out with `drop_truncated`.
    """
    rows = same_ticks({"observation": observation, "reward": reward, "status": status})
    time, flags = status["time"].read(0, rows), status["value"].read(0, rows)
    stepped = is_step(flags)
    stepped[:1] = False  # the first tick has nothing before it
    lost = stepped & ((flags & (FIRST | TRUNCATED | TERMINATED)) == (FIRST | TRUNCATED))
    if lost.any() and not drop_truncated:
        raise RunError(f"{np.count_nonzero(lost)} truncated steps have no next observation, because the body restarts "
                       "at once. Pass drop_truncated=True to leave them out, or let the body restart: next_tick")
    lane, tick = np.nonzero((stepped & ~lost).T)
    seen = observation["value"].read(0, rows)
    before, after = seen[tick - 1, lane], seen[tick, lane]
    over = (flags[tick, lane] & FIRST) != 0
    after[over] = before[over]
    when = (time[tick] if answered else time[tick - 1]) - delay
    row = np.searchsorted(action["time"].read(), when, "right") - 1
    taken = action["value"].read()
    acted = taken[np.maximum(row, 0), lane] if len(taken) else np.zeros((len(row), *taken.shape[2:]), taken.dtype)
    acted[row < 0] = 0  # before the first action the body reads zeros
    ending = flags[tick, lane]
    return {"observation": before, "action": acted, "reward": reward["value"].read(0, rows)[tick, lane],
            "next_observation": after, "terminated": (ending & TERMINATED) != 0, "truncated": (ending & TRUNCATED) != 0,
            "lane": lane, "time": time[tick]}


def signed(duration: str | int) -> int:
    """Read a duration that may lie before: `-100 ms`."""
    if isinstance(duration, str) and duration.strip().startswith("-"):
        return -parse_duration(duration.strip()[1:])
    return duration if isinstance(duration, int) else parse_duration(duration)


def trials(columns: Columns, table: dict[str, np.ndarray], per_lane: bool, align: str,
           window: tuple[str | int, str | int] | None, every: str | int | None) -> dict[str, Any]:
    """Cut a stream into trials [trial, time, ...], one for each episode that ended, aligned at its start or end.

    A time holds the latest row at or before it; what lies outside the recording (without `window`: outside the
    episode) is NaN.
    """
    if align not in ("start", "end"):
        raise RunError(f'trials are aligned at "start" or "end", not {align!r}')
    over = table["end"] >= 0
    chosen = {name: column[over] for name, column in table.items()}
    anchor = chosen[align]
    time = columns["time"].read()
    step = signed(every) if every is not None else _usual_step(time)
    if window is None:
        longest = int((chosen["end"] - chosen["start"]).max(initial=0))
        offsets = np.arange(0, longest + 1, step) if align == "start" else np.arange(-(longest // step) * step, 1, step)
    else:
        offsets = np.arange(signed(window[0]), signed(window[1]) + 1, step)
    value = columns["value"]
    shape = value.shape[2:] if per_lane else value.shape[1:]
    kind = value.dtype if value.dtype.kind == "f" else np.result_type(value.dtype, np.float32)
    cut = np.full((len(anchor), len(offsets), *shape), np.nan, kind)
    for trial, (zero, start, end) in enumerate(zip(anchor, chosen["start"], chosen["end"], strict=True)):
        when = zero + offsets
        row = np.searchsorted(time, when, "right") - 1
        there = (row >= 0) & (when <= time[-1]) & ((window is not None) | ((when >= start) & (when <= end)))
        if there.any():
            row = row[there]
            rows = value.read(row[0], row[-1] + 1)[row - row[0]]
            cut[trial, there] = rows[:, chosen["lane"][trial]] if per_lane else rows
    return {"values": cut, "offsets": offsets, "episodes": chosen}


def _usual_step(time: np.ndarray) -> int:
    steps = np.diff(time[:10_000])
    if not len(steps):
        raise RunError("a stream of fewer than two rows has no rate; pass `every`, for example every='20 ms'")
    return max(1, int(np.median(steps)))
