"""A component that speaks in events, and variations whose events are wrong."""

from __future__ import annotations

import numpy as np

from stimloop.loops.component import Component
from stimloop.loops.events import Events
from stimloop.loops.port import Port


class Spiker(Component):
    """Sends one spike a lane and step: sound."""

    period = 10_000_000

    def __init__(self) -> None:
        self.inputs = {}
        self.outputs = {"spikes": Port("spikes", (0,), kind="event", indices=3)}

    @classmethod
    def example(cls):
        return cls()

    def step(self, now, inputs):
        return {"spikes": self.spikes(now, np.arange(self.lanes.count))}

    def spikes(self, now, lane):
        return Events.of(now, lane, 1)


class SpikesTooEarly(Spiker):
    def spikes(self, now, lane):
        return Events.of(max(0, now - 10_000_000), lane, 1)


class SpikesElsewhere(Spiker):
    def spikes(self, now, lane):
        return Events.of(now, lane, 3)
