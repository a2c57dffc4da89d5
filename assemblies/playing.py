"""`stimloop play`: a run shown again as video."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..assemblies import filming, settings
from ..components.parts import rendering
from ..components.parts.roles import Rendered
from ..loops.errors import RunError
from ..loops.storage.runs import Run
from .replaying import Episode, Replay, Tick
from .reports.video import Video, pace, parse_size
from .settings import Settings


def play(path: Path, to: Path | None = None, *, episode: int | None = None, lane: int = 0, body: str | None = None,
         size: str = "640x480", speed: float = 1.0, allowed: Settings | None = None,
         show: bool | None = None) -> dict[str, Any]:
    """Write a video of what a run's body did, and return facts about it.

    The recorded actions and the seeds of the episodes are played into the body alone; whatever it publishes is
    compared with what was recorded. `differs` says where the two part first, and is empty where they do not;
    `passed_over` is the number of an episode in whose middle the run stopped, where another was taken for the last.

    Args:
        path: directory of the run.
        to: file to write (left out: beside the run, named by the run and by the episode, lane and body chosen).
        episode: only this one of the lane's episodes, from 0 on; -1 is the last that is over (left out: all of them).
        lane: which of the parallel worlds is shown.
        body: name of the body, where there are several.
        size: width and height of the video in pixels.
        speed: how much faster than life it is shown.
        allowed: what may be loaded (left out: what the nearest stimloop.toml says).
        show: draw progress, or not (left out: on a terminal only).
    """
    pixels, run = parse_size(size), Run(path)
    if run.bodies and body not in run.bodies and (body or len(run.bodies) > 1):
        raise RunError(f"say which body is meant: --body {' or --body '.join(run.bodies)}")
    rendering.choose()
    replay = Replay(run, allowed or settings.read(), body, lane)
    try:
        chosen = replay.episodes if episode is None else [replay.episode(episode)]
        if not chosen:
            raise RunError(f"{run.path.name} has no episode in lane {lane} that could be shown")
        seen = filming.rendered(replay.name, replay.body)
        stride, rate = pace(_tick(run, replay.name), speed)
        file = to or _beside(run, replay.name, lane, None if episode is None else chosen[0])
        with Video(file, pixels, rate) as video:
            _film(replay, seen, chosen, stride, video, _words(run, lane, replay.name), show)
    finally:
        replay.close()
    passed = replay.unfinished.number if episode == -1 and replay.unfinished else None
    return {**video.facts(), "lane": lane, "episodes": [each.number for each in chosen],
            "passed_over": passed, "differs": replay.difference}


def _beside(run: Run, body: str, lane: int, episode: Episode | None) -> Path:
    """Return the file beside a run that one choice of what is shown has to itself."""
    chosen = [body] if len(run.bodies) > 1 else []
    chosen += [f"lane_{lane}"] if lane else []
    chosen += [f"episode_{episode.number}"] if episode is not None else []
    return run.path.with_name(".".join([run.name, *chosen, "mp4"]))


def _film(replay: Replay, body: Rendered, chosen: list[Episode], stride: int, video: Video,
          words: Callable[[Tick], list[str]], show: bool | None) -> None:
    ticks = (tick for episode in chosen for tick in replay.play(episode))
    total = sum(episode.end - episode.begin + 1 for episode in chosen)
    for count, tick in enumerate(_followed(ticks, total, replay.run.name, show)):
        if count % stride == 0:
            told = [*words(tick), *(["differs from the record"] if replay.difference else [])]
            video.add(body.frame(0, *video.size), told)


def _followed(ticks: Iterator[Tick], total: int, name: str, show: bool | None) -> Iterator[Tick]:
    """Pass ticks on, and draw on a terminal how far they are."""
    if not (sys.stderr.isatty() if show is None else show):
        yield from ticks
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(bar_width=24),
               progress.MofNCompleteColumn(), progress.TextColumn("ticks, left"), progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(ticks, total=total, description=name)


def _tick(run: Run, body: str) -> float:
    """Usual distance of two ticks of the body in nanoseconds."""
    steps = np.diff(run.columns(f"{body}.status")["time"].read(0, 10_000))
    if not len(steps):
        raise RunError(f"{run.path.name} has a single tick, which makes no video; run it for longer")
    return float(np.median(steps))


def _words(run: Run, lane: int, body: str) -> Callable[[Tick], list[str]]:
    """Return what tells of a tick: episode, time, reward, and the strongest current where one was recorded."""
    current = filming.current(key for key, facts in run.streams.items()
                              if facts.kind == "signal" and facts.dimensions[1:2] == ("lane",))
    columns = run.columns(current) if current else {}
    times = columns["time"].read() if current else np.zeros(0, np.int64)
    unit = run.attributes.get("units", {}).get(current, "")

    def words(tick: Tick) -> list[str]:
        told = filming.words(f"{body}, episode {tick.episode}", tick.now, tick.reward)
        row = int(np.searchsorted(times, tick.now, "right")) - 1
        if row >= 0:
            told.append(filming.strongest(current, columns["value"].read(row, row + 1)[0, lane], unit))
        return told

    return words
