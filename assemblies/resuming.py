"""A run taken up again: resumed exactly, or what it learned evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assemblies import fingerprint, going_on, identity, recording, settings
from ..components.parts.dynamics_ensemble import never_fitted
from ..loops.errors import Problems, RunError, nearest
from ..loops.evaluation import Evaluation
from ..loops.loop import Loop
from ..loops.storage import artifact, checkpoint
from ..loops.storage.damage import rows_kept
from ..loops.storage.recorder import Recorder
from ..loops.storage.runs import Run
from ..loops.time import say
from ..loops.until import Until
from .execute import build_loop, stop_of
from .loading import assembly_of
from .session import CHECKPOINTS, Outcome, Session, naming
from .settings import Settings

if TYPE_CHECKING:
    from .assembly import Assembly


def resume(path: Path, until: str | int | None = None, *, show: bool | None = None, allowed: Settings | None = None,
           prepare: Callable[[Loop], None] | None = None) -> Outcome:
    """Go on with a run from its newest whole checkpoint, exactly as if it had never stopped, at the pace it had.

    A damaged checkpoint counts as one that was never finished: the one before it is taken and a notice says so, as
    long as everything resumes exactly, so that what is cut is recorded again bit for bit. The disk is changed only
    when nothing stands in the way. Without `until` it goes on to the stop that it was last given; a run that is there
    goes on to the assembly's own `until`. A run that is at its stop already is left as it is; a stop before the end of
    what is recorded is refused, for the rows behind it would be lost.
    """
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    state, damaged = _newest_whole(path, attributes)
    assembly = assembly_of(attributes, allowed)
    if until is not None:
        assembly = assembly.set("until", until)
    stop = stop_of(assembly, until if until is not None else attributes.get("until"))
    before = Until.parse(attributes["until"]) if "until" in attributes else None
    rows = state.pop("recorder")
    loop = build_loop(assembly, allowed, attributes.get("speed"))
    try:
        streams = recording.streams(loop, attributes.get("recorded", assembly.get("record")), stop, Problems())
        loop.load(state)
        if until is None and assembly.until is not None and going_on.is_reached(loop, stop):
            stop = Until.parse(assembly.until)
        if _is_there(path, loop, rows, stop, before, until is not None):
            return Outcome(path, "already there", {"simulated_s": loop.now / 1e9})
        session = {**identity.session(assembly, loop), **({"passed_over": list(damaged.values())} if damaged else {})}
        changed = {"until": str(stop), "ended": "running", "sessions": [*attributes.get("sessions", ()), session]}
        recorder = Recorder(path, streams, changed, resume=True, rows=rows)
        _tell_other_code(loop, attributes, session["code"], assembly)
        for folder, why in damaged.items():  # only now: the recorder holds the lock of the run
            _pass_over(folder, why, loop)
        with naming(path):
            return Session(assembly, loop, recorder, stop, show, prepare, identity.origin(attributes)).execute()
    finally:
        loop.close()


def evaluate(path: Path, names: list[str] | None = None, *, changes: Mapping[str, Any] | None = None,
             allowed: Settings | None = None, how: Callable[[Evaluation], Any] = Evaluation.evaluate
             ) -> dict[str, dict[str, Any]]:
    """Evaluate what a run has learned by its newest checkpoint; returns one row for each evaluation. Writes nothing.

    `how` evaluates, and returns the row (filmed: `filming.Film.of`); `by_chance` of a row names models that somebody
    in it uses and that were never fitted.
    """
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    assembly = assembly_of(attributes, allowed)
    assembly = assembly.set(changes) if changes else assembly
    if not assembly.get("evaluate"):
        raise RunError(f"the assembly of {path} has no evaluation, so nothing says how many episodes. Say it, for "
                       "example with: --episodes 10 --no-explore")
    state = _newest(path, attributes)
    state.pop("recorder")
    loop = build_loop(_without_gpu(assembly, state), allowed)
    try:
        loop.load(state)
        for name in names or ():
            if name not in loop.evaluations:
                raise RunError(f"{path} has no evaluation {name!r}; it has {', '.join(loop.evaluations)}")
        rows = {name: how(evaluation) for name, evaluation in loop.evaluations.items() if not names or name in names}
        for name, row in rows.items():
            if unfitted := _acting_by_chance(loop, loop.evaluations[name]):
                row["by_chance"] = unfitted
        return rows
    finally:
        loop.close()


def _acting_by_chance(loop: Loop, evaluation: Evaluation) -> list[str]:
    used = dict.fromkeys(name for uses in evaluation.loop.graph.uses.values() for name in uses.values())
    return [name for name in used if name in loop.components
            and never_fitted(loop.components[name].state_dict().get("learned") or {})]


def export_weights(path: Path, component: str, target: Path, *, allowed: Settings | None = None) -> dict[str, Any]:
    """Write what a component had learned at a run's newest checkpoint as an artifact, for `weights:` of another."""
    path = Path(path)
    allowed = allowed or settings.read()
    attributes = identity.read_attributes(path)
    assembly = assembly_of(attributes, allowed)
    if component not in assembly.components:
        raise RunError(f"{path} has no component {component!r}. {nearest(component, assembly.components)}")
    if target.exists():
        raise RunError(f"{target} is there already; choose another name with --to")
    state = _newest(path, attributes)
    state.pop("recorder")
    loop = build_loop(_without_gpu(assembly, state), allowed)
    try:
        loop.load(state)
        if never_fitted(loop.components[component].state_dict().get("learned") or {}):
            raise RunError(f"{component} was never fitted at the newest checkpoint of {path} ({say(loop.now)}): what "
                           "it predicts is drawn by chance. Go on with the run until its first fit")
        digest = artifact.save(target, loop.components[component], assembly.get(f"{component}.type"),
                               f"{component} of {path.name} at {say(loop.now)}")
        return {"weights": str(target), "component": component, "at": say(loop.now), "hash": digest}
    finally:
        loop.close()


def _without_gpu(assembly: Assembly, state: dict[str, Any]) -> Assembly:
    """Return the assembly for looking at what was learned: where that was on a GPU, none need be here.

    What learned there has nothing to look at, and its state, which only a GPU can go on from, is left out.
    """
    away = [name for name in assembly.components if str(assembly.get(f"{name}.type")).startswith("learners.")
            and assembly.get(f"{name}.params.device") == "cuda"]
    state["components"] |= {name: {} for name in away}
    return assembly.set({f"{name}.params.device": "cpu" for name in away}) if away else assembly


def _is_there(path: Path, loop: Loop, rows: Mapping[str, Any], stop: Until, before: Until | None, asked: bool) -> bool:
    """Is a run at its stop already? Raises RunError when going on to it would lose what is recorded.

    A stop that was `asked` for is refused as well where the run is past it: it would not be what it is taken for.
    """
    recorded = Run(path)
    rows_kept(recorded.stored, rows)
    there, loss = going_on.is_reached(loop, stop), going_on.loss(recorded, stop, before, loop.now)
    if loss and (asked or not there):
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
    return _of_run(path, state, attributes), damaged


def _tell_other_code(loop: Loop, attributes: Mapping[str, Any], now: Mapping[str, str], assembly: Assembly) -> None:
    """Give notice of code that is not that of the process which wrote the run last."""
    before = [attributes, *attributes.get("sessions", ())][-1].get("code", {})
    types = {name: str(assembly.get(f"{name}.type")) for name in now}
    if other := fingerprint.other_code(before, now, types):
        loop.graph.problems.notice(f"goes on with other code than it was recorded with: {', '.join(other)}", "",
                                   "What is recorded from here on comes from the new code. Begin a new run to have "
                                   "all of it from one.")


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
    return _of_run(path, state, attributes)


def _of_run(path: Path, state: dict[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's state, if the run in `path` wrote it."""
    fingerprint.check(path, attributes)
    if "recorder" not in state:
        raise RunError(f"the newest checkpoint in {path} says nothing of recorded rows; it was not written by a run")
    theirs, mine = state.pop("origin", {}), identity.origin(attributes)
    if theirs != mine:
        what = "assembly" if theirs.get("assembly") != mine["assembly"] else "run"
        raise RunError(f"the newest checkpoint in {path / CHECKPOINTS} was written by another {what} "
                       f"({str(theirs.get(what))[:12]}, not {mine[what][:12]}); nothing was changed. Take it away, "
                       "or bring back this run's own")
    return state
