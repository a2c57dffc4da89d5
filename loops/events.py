"""Events: spikes, pulses and commands that each count, carried as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Events:
    """One batch of events, sorted by (time, lane, index); the columns are read-only.

    time [m] int64 ns, lane [m] int32, index [m] int32 (neuron, channel, electrode), value [m, *shape] (the payload).
    """

    time: np.ndarray
    lane: np.ndarray
    index: np.ndarray
    value: np.ndarray

    @staticmethod
    def of(time: object, lane: object, index: object, value: object = None, dtype: str = "float32") -> Events:
        """Make a batch from columns in any order; scalars are spread, no `value` means no payload."""
        time, lane, index = np.broadcast_arrays(np.atleast_1d(np.asarray(time, np.int64)),
                                                np.atleast_1d(np.asarray(lane, np.int32)),
                                                np.atleast_1d(np.asarray(index, np.int32)))
        payload = np.zeros((time.size, 0), dtype) if value is None else np.asarray(value, dtype)
        if payload.ndim == 0:
            payload = np.broadcast_to(payload, time.shape)
        order = np.lexsort((index, lane, time))
        return _frozen(time[order], lane[order], index[order], payload[order])

    @staticmethod
    def empty(shape: tuple[int, ...] = (0,), dtype: str = "float32") -> Events:
        """Return a batch without events whose payloads would have `shape`."""
        return _frozen(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32),
                       np.zeros((0, *shape), dtype))

    def __len__(self) -> int:
        return self.time.size

    def select(self, keep: np.ndarray) -> Events:
        """Return the events where `keep` [m] is true, in the same order."""
        return _frozen(self.time[keep], self.lane[keep], self.index[keep], self.value[keep])

    def later(self, delay: int) -> Events:
        """Return the same events `delay` nanoseconds later."""
        return _frozen(self.time + delay, self.lane, self.index, self.value) if delay else self

    @staticmethod
    def join(batches: list[Events]) -> Events:
        """Return several batches as one, sorted again."""
        if len(batches) == 1:
            return batches[0]
        time = np.concatenate([b.time for b in batches])
        lane = np.concatenate([b.lane for b in batches])
        index = np.concatenate([b.index for b in batches])
        order = np.lexsort((index, lane, time))
        value = np.concatenate([b.value for b in batches])
        return _frozen(time[order], lane[order], index[order], value[order])

    def is_sorted(self) -> bool:
        """Do the rows stand in the order (time, lane, index)?"""
        order = np.lexsort((self.index, self.lane, self.time))
        return bool((order == np.arange(order.size)).all())


def _frozen(time: np.ndarray, lane: np.ndarray, index: np.ndarray, value: np.ndarray) -> Events:
    for column in (time, lane, index, value):
        column.setflags(write=False)
    return Events(time, lane, index, value)
