"""Running an assembly into a run directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..assemblies import identity, recording, settings
from ..loops.errors import AssemblyError, Problem, RunError
from ..loops.loop import Loop
from ..loops.stops import impossible
from ..loops.storage.recorder import Recorder
from ..loops.storage.run_directories import new_run_directory
from ..loops.until import Until
from .checking import build
from .session import Outcome, Session, naming
from .settings import Settings

if TYPE_CHECKING:
    from ..loops.storage.runs import Run
    from .assembly import Assembly


def run(assembly: Assembly, until: str | int | None = None, *, folder: str | Path | None = None,
        show: bool | None = None, speed: float | None = None, allowed: Settings | None = None,
        prepare: Callable[[Loop], None] | None = None) -> Run:
    """Run an assembly, recorded, and return the run: `Assembly.run` says what the options mean."""
    from ..loops.storage.runs import open as open_run

    outcome = start(assembly, until, folder=folder, show=show, speed=speed, allowed=allowed, prepare=prepare)
    if outcome.reason == "interrupted":
        raise KeyboardInterrupt(outcome.way_on)
    return open_run(outcome.path)


def start(assembly: Assembly, until: str | int | None = None, *, folder: str | Path | None = None,
          show: bool | None = None, allowed: Settings | None = None, speed: float | None = None,
          prepare: Callable[[Loop], None] | None = None) -> Outcome:
    """Build an assembly and run it into a new directory below `folder` (default: runs/).

    `show` draws progress (default: on a terminal), `speed` keeps pace with the wall clock (1: real time), `prepare`
    is called with the loop before it runs.
    """
    allowed = allowed or settings.read()
    assembly = assembly.resolve()
    if not assembly.components:
        raise AssemblyError([Problem("there are no components to run", "components", "Write at least one, for example "
                                     "body: {type: bodies.point_mass}.")], assembly.name)
    stop = stop_of(assembly, until)
    loop = build_loop(assembly, allowed, speed)
    try:
        if problem := impossible(stop, loop.graph.bodies, {key: cell.port for key, cell in loop.cells.items()}):
            raise AssemblyError([problem], assembly.name)
        problems = loop.graph.problems
        chains = loop.graph.chains
        streams = recording.streams(loop, assembly.get("record"), stop, problems)
        path = _directory(Path(folder or allowed.runs), assembly)
        attributes = identity.attributes(assembly, loop, stop, [str(chain) for chain in chains],
                                 [stream.key for stream in streams])
        recorder = Recorder(path, streams, attributes)
        with naming(path):
            return Session(assembly, loop, recorder, stop, show, prepare, identity.origin(attributes)).execute()
    finally:
        loop.close()


def build_loop(assembly: Assembly, allowed: Settings, speed: float | None = None) -> Loop:
    """Build a loop that goes as fast as it can, or at `speed` times the pace of the wall clock."""
    if speed is None:
        return build(assembly, allowed)
    from ..loops.realtime import RealtimeLoop

    return build(assembly, allowed, lambda system, problems: RealtimeLoop(system, speed, problems=problems))


def stop_of(assembly: Assembly, until: str | int | None) -> Until:
    """Return where to stop: as asked, else as the assembly says."""
    until = until if until is not None else assembly.until
    if until is None:
        raise AssemblyError([Problem("nothing says when to stop", "until", "Write until: 10 s, 30000 steps or 10 "
                                     "episodes in the file, or give --until.")], assembly.name)
    return Until.parse(until)


def _directory(folder: Path, assembly: Assembly) -> Path:
    """Make the run's own directory; nobody else can have it."""
    variant = assembly.origin.variant + ("_small" if assembly.origin.is_small else "")
    try:
        return new_run_directory(folder, assembly.name, variant, assembly.seed, assembly.hash)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error}. Choose another folder with --out") from error
