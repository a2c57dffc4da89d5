"""Running an assembly into a run directory, resuming it exactly, evaluating what it learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..loops import checkpoint
from ..loops.damage import rows_kept
from ..loops.errors import AssemblyError, Problem, Problems, RunError
from ..loops.latency import analyse
from ..loops.loop import Loop
from ..loops.recorder import Recorder
from ..loops.run_directories import new_run_directory
from ..loops.until import Until
from . import going_on, identity, recording, settings
from .session import CHECKPOINTS, Outcome, Session
from .settings import Settings

if TYPE_CHECKING:
    from ..loops.runs import Run
    from .assembly import Assembly


def run(assembly: Assembly, until: str | int | None = None, **options: Any) -> Run:
    """Run an assembly, recorded, and return the run; options as for `start`.

    Ctrl-C saves the run (if it can be saved) and then raises KeyboardInterrupt, so that a script stops too.
    """
    from ..loops.runs import open as open_run

    outcome = start(assembly, until, **options)
    if outcome.reason == "interrupted":
        raise KeyboardInterrupt(outcome.way_on)
    return open_run(outcome.path)


def start(assembly: Assembly, until: str | int | None = None, *, folder: Path | None = None, show: bool | None = None,
          allowed: Settings | None = None, speed: float | None = None,
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
    stop = _stop(assembly, until)
    loop = _build(assembly, allowed, speed)
    try:
        problems = loop.graph.problems
        chains = analyse(loop.graph)
        streams = recording.streams(loop, assembly.get("record"), stop, problems)
        path = _directory(folder or allowed.runs, assembly)
        attributes = identity.attributes(assembly, loop, stop, [str(chain) for chain in chains],
                                 [stream.key for stream in streams])
        recorder = Recorder(path, streams, attributes)
        return Session(assembly, loop, recorder, stop, show, prepare).execute()
    finally:
        loop.close()


def resume(path: Path, until: str | int | None = None, *, show: bool | None = None, allowed: Settings | None = None,
           prepare: Callable[[Loop], None] | None = None) -> Outcome:
    """Go on with a run from its newest whole checkpoint, exactly as if it had never stopped, at the pace it had.

    A damaged checkpoint counts as one that was never finished: the one before it is taken and a notice says so, as
    long as everything resumes exactly, so that what is cut is recorded again bit for bit. The disk is changed only
    when nothing stands in the way. A run that is at the stop already is left as it is; a stop before the end of what
    is recorded is refused, for the rows behind it would be lost.
    """
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    state, damaged = _newest_whole(path, attributes)
    assembly = identity.assembly_of(attributes, allowed)
    if until is not None:
        assembly = assembly.set("until", until)
    stop = _stop(assembly, until if until is not None else attributes.get("until"))
    before = Until.parse(attributes["until"]) if "until" in attributes else None
    rows = state.pop("recorder")
    loop = _build(assembly, allowed, attributes.get("speed"))
    try:
        streams = recording.streams(loop, attributes.get("recorded", assembly.get("record")), stop, Problems())
        loop.load(state)
        if _is_there(path, loop, rows, stop, before):
            return Outcome(path, "already there", {"simulated_s": loop.now / 1e9})
        session = {**identity.session(loop), **({"passed_over": list(damaged.values())} if damaged else {})}
        changed = {"until": str(stop), "ended": "running", "sessions": [*attributes.get("sessions", ()), session]}
        recorder = Recorder(path, streams, changed, resume=True, rows=rows)
        for folder, why in damaged.items():  # only now: the recorder holds the lock of the run
            _pass_over(folder, why, loop)
        return Session(assembly, loop, recorder, stop, show, prepare).execute()
    finally:
        loop.close()


def evaluate(path: Path, names: list[str] | None = None, *, changes: Mapping[str, Any] | None = None,
             allowed: Settings | None = None) -> dict[str, dict[str, Any]]:
    """Evaluate what a run has learned by its newest checkpoint; returns one row for each evaluation. Writes nothing."""
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    assembly = identity.assembly_of(attributes, allowed)
    if not assembly.get("evaluate"):
        assembly = assembly.set("evaluate.test", {"every": "1 episode", "episodes": 10, "without": _learners(assembly)})
    assembly = assembly.set(changes) if changes else assembly
    state = _newest(path, attributes)
    state.pop("recorder")
    loop = _build(assembly, allowed, None)
    try:
        loop.load(state)
        for name in names or ():
            if name not in loop.evaluations:
                raise RunError(f"{path} has no evaluation {name!r}; it has {', '.join(loop.evaluations)}")
        return {name: evaluation.evaluate() for name, evaluation in loop.evaluations.items()
                if not names or name in names}
    finally:
        loop.close()


def _is_there(path: Path, loop: Loop, rows: Mapping[str, Any], stop: Until, before: Until | None) -> bool:
    """Is a run at its stop already? Raises RunError when going on would lose what is recorded."""
    from ..loops.runs import Run

    recorded = Run(path)
    rows_kept(recorded.stored, rows)
    there, loss = going_on.is_reached(loop, stop), going_on.loss(recorded, stop, before, loop.now)
    if loss and not there:
        raise RunError(f"{path} {loss}. Nothing was changed; go on without --until, give a later one, or begin a new "
                       "run")
    return there and bool(loss or recorded.state == "finished")


def _newest_whole(path: Path, attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Path, str]]:
    """Return the newest whole checkpoint, and what is wrong with those after it."""
    state, damaged = checkpoint.newest_whole(path / CHECKPOINTS)
    if state is None and len(damaged) > 1:
        raise RunError(f"every checkpoint of {path} is damaged; nothing was changed. Bring back a copy of one, or "
                       "begin a new run\n" + "\n".join(damaged.values()))
    if state is None or (damaged and attributes.get("resumes")):
        return _newest(path, attributes), {}  # refused: with other noise, what is cut could not be recorded again
    return _of_run(path, state), damaged


def _pass_over(folder: Path, why: str, loop: Loop) -> None:
    loop.graph.problems.notice(f"the checkpoint {folder.name} is damaged and was passed over for the one before it",
                               "checkpoints", f"{why}\nIt lies in {checkpoint.set_aside(folder)} now.")


def _newest(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the newest checkpoint: without one nothing may be cut, for what was recorded would be lost."""
    state = checkpoint.newest(path / CHECKPOINTS)
    if state is None:
        unsaved = [name for name, how in attributes.get("resumes", {}).items() if how == "no"]
        why = f" ({', '.join(unsaved)} cannot be resumed)" if unsaved else ""
        raise RunError(f"{path} has no whole checkpoint{why}: there is nothing to go on from. "
                       "What it recorded stays as it is; begin a new run")
    return _of_run(path, state)


def _of_run(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    if "recorder" not in state:
        raise RunError(f"the newest checkpoint in {path} says nothing of recorded rows; it was not written by a run")
    return state


def _learners(assembly: Assembly) -> list[str]:
    from ..catalogue.lookup import LookupFailed, find

    found = []
    for name in assembly.components:
        try:
            uses = find(assembly.get(f"{name}.type")).uses
        except LookupFailed:
            continue
        if any(use.changes for use in uses.values()):
            found.append(name)
    return found


def _build(assembly: Assembly, allowed: Settings, speed: float | None) -> Loop:
    from .wiring import build

    if speed is None:
        return build(assembly, allowed)
    from ..loops.realtime import RealtimeLoop

    return build(assembly, allowed, lambda system, problems: RealtimeLoop(system, speed, problems=problems))


def _stop(assembly: Assembly, until: str | int | None) -> Until:
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
