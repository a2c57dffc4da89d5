"""What a run records: every port while it is small enough, otherwise what a result needs; metrics and guards always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..loops.errors import AssemblyError, Problem, Problems, nearest
from ..loops.latency import step_times
from ..loops.loop import Loop
from ..loops.storage.stream import Stream
from ..loops.until import Until

LIMIT = 1_000_000_000  # bytes
ESSENTIAL = ("reward", "status", "action", "solved", "command")
_EPISODE = 1000  # steps of an episode whose body does not say
_UNKNOWN = 100_000  # ticks of a run whose end nobody can know
_SPOKEN = 0.1  # part of its indices with which an event port is guessed to speak at each step


def streams(loop: Loop, record: Any, until: Until, problems: Problems) -> list[Stream]:
    """Return what is recorded of a built loop."""
    every = [_stream(loop, key) for key in loop.cells]
    if isinstance(record, list):  # what the loop itself publishes is recorded always
        record = [entry for entry in record if entry not in loop.published]
    if record in (None, "all", "none"):
        wanted = set() if record == "none" else {stream.key for stream in every}
    else:
        wanted = _listed(loop, record)
    if record is None:
        sizes = estimate(loop, until)
        if sum(sizes.values()) > LIMIT:
            wanted = {key for key in wanted if key.rpartition(".")[2] in ESSENTIAL}
            _tell(sizes, problems)
    own = [Stream(*key.split("."), port, 1, metric=True) for key, port in loop.published.items()]
    return [stream for stream in every if stream.key in wanted or stream.metric
            or loop.components[stream.key.partition(".")[0]].guard] + own  # guards: what was delivered, and why


def estimate(loop: Loop, until: Until) -> dict[str, int]:
    """Return about how many bytes each port would take."""
    seconds = _duration(loop, until)
    times = step_times(loop.graph)
    sizes = {}
    for key, cell in loop.cells.items():
        instants = times[key.partition(".")[0]]
        span = instants[-1] - instants[0] if len(instants) > 1 else 0
        rows = 1 + (seconds * (len(instants) - 1) / span if span else 0)
        port = cell.port
        width = np.dtype(port.dtype).itemsize * int(np.prod([int(s) for s in port.shape if isinstance(s, int)] or [1]))
        if port.kind == "event":
            width = (16 + width) * (port.indices if isinstance(port.indices, int) else 1) * _SPOKEN
        sizes[key] = int(rows * (8 + width * (cell.lanes if port.per_lane else 1)))
    return sizes


def _duration(loop: Loop, until: Until) -> float:
    """Return about how many nanoseconds a run will take."""
    if until.kind == "time":
        return until.amount
    bodies = loop.graph.bodies
    body = loop.components.get(until.component or (bodies[0] if bodies else ""))
    times = step_times(loop.graph)
    spans = [(t[-1] - t[0]) / (len(t) - 1) for t in times.values() if len(t) > 1]
    tick = min(spans, default=0.0)
    if until.kind == "port" or body is None:
        return _UNKNOWN * tick
    own = times.get(until.component or bodies[0], [0])
    tick = (own[-1] - own[0]) / (len(own) - 1) if len(own) > 1 else tick
    steps = until.amount if until.kind == "steps" else until.amount * (getattr(body, "max_steps", None) or _EPISODE)
    return steps / loop.system.lanes * tick


def _stream(loop: Loop, key: str) -> Stream:
    cell = loop.cells[key]
    name, _, port = key.partition(".")
    metric = cell.port.kind == "signal" and not cell.port.per_lane and cell.port.shape == ()
    return Stream(name, port, cell.port, cell.lanes, loop.components[name].labels(), metric)


def _listed(loop: Loop, record: list[str]) -> set[str]:
    if problems := missing(record, list(loop.cells)):
        raise AssemblyError(problems, loop.system.name)
    return {key for key in loop.cells if key in record or key.partition(".")[0] in record}


def missing(record: Any, outputs: Sequence[str]) -> list[Problem]:
    """Return a problem for each entry of a list to record that is no output and no component with any."""
    names = {key.partition(".")[0] for key in outputs}
    return [Problem(f"there is no output {entry!r} to record", "record", nearest(entry, [*outputs, *names]))
            for entry in (record if isinstance(record, list) else ())
            if entry not in outputs and entry not in names]


def _tell(sizes: dict[str, int], problems: Problems) -> None:
    largest = sorted(sizes, key=lambda key: -sizes[key])
    listed = "\n".join(f"{key}: about {sizes[key] / 1e6:.0f} MB" for key in largest[:10])
    problems.notice(f"recording every port would take about {sum(sizes.values()) / 1e9:.1f} GB; only "
                    f"{', '.join(ESSENTIAL)}, metrics and what guards say are recorded", "record",
                    f"{listed}\nTo choose, write for example record: [{', '.join(largest[:2])}], or record: all.")
