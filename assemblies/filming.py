"""A film of an evaluation; and what it has in common with the film of a recorded run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..components.parts.roles import Rendered
from ..loops.errors import RunError
from ..loops.evaluation import Evaluation
from ..loops.latency import step_times
from ..loops.loop import Loop
from .reports.video import Video, pace, parse_size


@dataclass(frozen=True)
class Film:
    """How an evaluation is filmed."""

    to: Path
    size: str = "640x480"  # pixels
    speed: float = 1.0  # 1: as in life

    def of(self, evaluation: Evaluation) -> dict[str, Any] | None:
        """Run an evaluation and film its episodes one after another; return its row, with facts of the `video`."""
        loop, name = evaluation.loop, evaluation.body
        stride, rate = pace(_tick(loop, name), self.speed)
        body, size = rendered(name, loop.components[name]), parse_size(self.size)
        with Video(self.to, size, rate, "--video") as video:
            row = evaluation.evaluate(_Camera(evaluation, body, video, stride).look)
        return None if row is None else {**row, "video": video.facts()}


class _Camera:
    """Looks at the body of an evaluation at every `stride`-th of its ticks."""

    def __init__(self, evaluation: Evaluation, body: Rendered, video: Video, stride: int) -> None:
        self._loop, self._name, self._seeds = evaluation.loop, evaluation.body, evaluation.plan.seeds
        self._body, self._video, self._stride = body, video, stride
        self._ticks, self._last = 0, (-1, -1)
        cells = self._loop.cells
        self._current = current(key for key, cell in cells.items() if cell.port.kind == "signal" and cell.port.per_lane)
        self._unit = cells[self._current].port.units if self._current else ""

    def look(self, episode: int, lane: int) -> None:
        """Take a picture, if the body has ticked and it is its turn."""
        count = self._loop.cell(f"{self._name}.status").count
        if count and (episode, count) != self._last:
            self._last = episode, count
            if self._ticks % self._stride == 0:
                self._video.add(self._body.frame(lane, *self._video.size), self._words(episode, lane))
            self._ticks += 1

    def _peek(self, port: str, lane: int) -> Any:
        return self._loop.peek(f"{self._name}.{port}")[lane]

    def _words(self, episode: int, lane: int) -> list[str]:
        title = f"{self._name}, episode {episode} (seed {self._seeds + episode})"
        told = words(title, self._loop.now, float(self._peek("reward", lane)))
        flowing = self._loop.peek(self._current) if self._current else None
        return told if flowing is None else [*told, strongest(str(self._current), flowing[lane], self._unit)]


def rendered(name: str, body: Any) -> Rendered:
    """Return a body that can be looked at; raises RunError of one that cannot."""
    if not isinstance(body, Rendered):
        raise RunError(f"{name} ({type(body).__name__}) cannot be shown: it has no method "
                       "`frame(lane, width, height)`; docs/write_a_body.md says how to write one")
    return body


def current(signals: Iterable[str]) -> str | None:
    """Return which of some signals per lane is shown as the current, if there is one."""
    signals = list(signals)
    return next((key for ending in (".current", ".command") for key in signals if key.endswith(ending)), None)


def words(title: str, now: int, reward: float) -> list[str]:
    """Return what every picture tells: whose it is, when (ns), and what was earned."""
    return [f"{title}, {now / 1e9:.3f} s", f"reward {reward:.3g}"]


def strongest(name: str, values: np.ndarray, unit: str) -> str:
    """Tell the largest size among the currents of a lane."""
    return f"{name} up to {np.abs(values).max(initial=0):.3g} {unit}".rstrip()


def _tick(loop: Loop, body: str) -> float:
    """Usual distance of two ticks of the body in nanoseconds."""
    steps = np.diff(step_times(loop.graph)[body])
    if not len(steps):
        raise RunError(f"nothing says how often {body} ticks, so no video of it can keep its pace")
    return float(np.median(steps))
