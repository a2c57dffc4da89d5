"""Which actions stimulation can bring about: the brain of a run is asked what it would do under many commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...components.parts import electrodes
from ...components.parts.roles import Policy
from ...loops.errors import RunError, StimloopError, reason
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.storage import checkpoint
from ...loops.storage.runs import Run
from ...loops.storage.zarr_files import read_document
from . import canvas
from .reading import said

if TYPE_CHECKING:
    from ..settings import Settings

_OBSERVATIONS = 8
_COMMANDS = 1000  # at most; of a brain with memory, which is asked for several ticks, a quarter
_LEVELS = 31  # of one electrode, at most
_HELD = 10  # ticks for which a brain with memory is given an observation and a command, from rest
_EDGE = 5.0  # reach of a command that nothing limits


def actions(run: Run, brain: str, stimulator: str, limiter: str, allowed: Settings | None) -> dict[str, Any]:
    """Return the range of each action over observations of the run and commands that the limiter allows.

    The brain of the newest checkpoint is asked, by its pure `respond`, and the same brain without its lesion. A brain
    with memory starts from rest. `missing` says why nothing can be told.
    """
    try:
        return _actions(run, brain, stimulator, limiter, allowed)
    except (StimloopError, ImportError, TypeError, ValueError, LookupError, OSError, RuntimeError) as error:
        return {"missing": reason(error)}  # a brain of one's own may fail, and files may have been altered


def _actions(run: Run, brain: str, stimulator: str, limiter: str, allowed: Settings | None) -> dict[str, Any]:
    seen = _observations(run, brain)  # [observations, size]
    names = [name for name in (brain, stimulator, limiter) if name]
    injured = _built_brain(run, brain, _made(run, names, allowed, {})[brain], seen.shape[1])
    others = _made(run, names, allowed, {f"{brain}.params.lesion": None})
    intact = _built_brain(run, brain, others[brain], seen.shape[1])
    commands, currents = np.zeros((1, 0)), None
    if stimulator:
        field = _field(run, stimulator, brain, injured.inputs["current"])
        remembers = injured.memory() is not None
        most = _amplitudes(others.get(limiter), others[stimulator], field.shape[1])
        commands = _commands(most, getattr(others.get(limiter), "sum_peak", None), _COMMANDS // (4 if remembers else 1))
        currents = electrodes.spread_out(field, commands.astype(np.float32))  # the first is that of no command
    said_by = {name: _answers(each, seen, currents) for name, each in (("injured", injured), ("intact", intact))}
    return {"observations": len(seen), "commands": len(commands), "held": _HELD if injured.memory() is not None else 1,
            **_distances(said_by), "each": _rows(canvas.names(run, f"{brain}.action"), said_by)}


def _observations(run: Run, brain: str) -> np.ndarray:
    """Return some observations that the brain was given, spread over the run and its lanes."""
    wire = said(run, "wires", {}).get(f"{brain}.observation")
    key = str(wire.get("from")) if isinstance(wire, dict) else ""
    for needed in (key, f"{brain}.action"):
        if needed not in run or not run.streams[needed].rows:
            raise RunError(f"{needed or 'what the brain observes'} was not recorded. Record it in the next run: "
                           f"record: [{key or 'body'}, {brain}.action]")
    column = run.columns(key)["value"]
    rows, lanes = column.shape[:2]
    return np.stack([column.read(row, row + 1)[0, i % lanes].ravel() for i, row in enumerate(
        np.unique(np.linspace(0, rows - 1, _OBSERVATIONS).astype(int)))])


def _made(run: Run, names: list[str], allowed: Settings | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return some components of a run, made anew from its assembly, without the others."""
    from .. import settings
    from ..loading import assembly_of

    allowed = allowed or settings.read()
    assembly = assembly_of(run.attributes, allowed).set({**changes, f"{names[0]}.params.weights": None})
    alone = {name: {**assembly.form["components"][name], "inputs": {}, "uses": {}} for name in names}
    made = assembly.derived({**assembly.form, "components": alone, "evaluate": {}}).system(settings=allowed)
    return {name: part.create() for name, part in made.parts.items() if part.create is not None}


def _built_brain(run: Run, name: str, brain: Any, size: int) -> Any:
    """Let a brain be as the newest checkpoint has it, in one lane."""
    if not isinstance(brain, Policy):
        raise RunError(f"{name} cannot be asked without acting: it has no respond")
    brain.inputs, brain.outputs = dict(brain.inputs), dict(brain.outputs)
    brain.inputs["observation"] = brain.inputs["observation"].sized((size,))
    shape = run.streams[f"{name}.action"].shape[1:]
    choices = read_document(run.path / "streams" / name / "action").get("attributes", {}).get("choices", 0)
    brain.peers = {"action": [Port("as recorded", shape, choices=int(choices))]}
    for _ in range(2):
        brain.infer()
        if not choices:
            brain.outputs["action"] = brain.outputs["action"].sized(shape)
    brain.build(Lanes.of(1), 0)
    brain.load_state_dict({"learned": _learned(run, name)})
    brain.reset(0)
    return brain


def _field(run: Run, name: str, brain: str, current: Port) -> np.ndarray:
    """Return the fields of the electrodes [neurons, electrodes]."""
    field = _learned(run, name).get("weights")
    if not isinstance(field, np.ndarray) or field.ndim != 2 or field.shape[:1] != current.shape:
        raise RunError(f"{name} has no electrodes over the neurons of {brain}, so what commands become there is not "
                       "known")
    return field.astype(np.float32)


def _learned(run: Run, name: str) -> dict[str, Any]:
    """Return what a component had learned by the newest whole checkpoint."""
    for _, state in checkpoint.parts(run.path / "checkpoints", name):
        return state.get("learned", {})
    raise RunError(f"no checkpoint holds {name}")


def _amplitudes(limiter: Any, stimulator: Any, channels: int) -> np.ndarray:
    """Return up to which amplitude each electrode may deliver [electrodes], commands that add up included."""
    most = np.broadcast_to(stimulator.inputs["command"].high / getattr(stimulator, "decay", 1.0), (channels,))
    peak = getattr(limiter, "peak", None)
    most = most if peak is None else np.minimum(most, peak)
    return np.where(np.isfinite(most), most, _EDGE).astype(float)


def _commands(most: np.ndarray, together: float | None, number: int) -> np.ndarray:
    """Return about so many commands [commands, electrodes], the first of nothing: a grid; drawn where that is coarse.

    What is more than `together` in all is scaled down, as a limiter does.
    """
    channels = len(most)
    levels = next((n for n in range(_LEVELS, 2, -2) if n**channels <= number), 0)
    if levels:
        steps = np.meshgrid(*[np.linspace(-1, 1, levels)] * channels, indexing="ij")
        shares = np.stack([step.ravel() for step in steps], axis=1)
    else:
        alone = np.concatenate([np.eye(channels), -np.eye(channels)])
        drawn = np.random.default_rng(0).uniform(-1, 1, (max(number - len(alone), 0), channels))
        shares = np.concatenate([alone, np.sign(drawn[:len(drawn) // 2]), drawn[len(drawn) // 2:]])
    commands = np.concatenate([np.zeros((1, channels)), shares * most])
    if together is not None:
        total = np.abs(commands).sum(axis=1, keepdims=True)
        commands = commands * np.minimum(1.0, together / np.maximum(total, np.finfo(float).tiny))
    return commands


def _answers(brain: Any, seen: np.ndarray, currents: np.ndarray | None) -> np.ndarray:
    """Return actions [observations, commands, actions] of a brain at rest."""
    number = 1 if currents is None else len(currents)
    found = []
    for observation in seen:
        inputs: dict[str, Any] = {"observation": np.repeat(observation[None], number, axis=0),
                                  "status": np.zeros(number, np.int64)}
        if currents is not None:
            inputs["current"] = currents
        rest = brain.memory()
        memory = _repeated(rest, number)
        for _ in range(1 if rest is None else _HELD):
            answer, memory = brain.respond(inputs, memory)
        found.append(np.asarray(answer["action"], float).reshape(number, -1))
    return np.stack(found)


def _repeated(memory: Any, number: int) -> Any:
    """Return the memory of one lane for so many rows."""
    if isinstance(memory, Mapping):
        return {key: _repeated(value, number) for key, value in memory.items()}
    if isinstance(memory, tuple | list):
        return type(memory)(_repeated(value, number) for value in memory)
    if isinstance(memory, np.ndarray):
        return np.repeat(memory, number, axis=0)
    return memory.repeat_interleave(number, dim=0) if hasattr(memory, "repeat_interleave") else memory


def _distances(answers: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far the injured brain is from what the intact one would do, alone and under the best of the commands."""
    away = np.linalg.norm(answers["injured"] - answers["intact"][:, :1], axis=2)  # [observations, commands]
    return {"distance_unstimulated": float(away[:, 0].mean()), "distance_best": float(away.min(axis=1).mean())}


def _rows(names: list[str], answers: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return for each action what each brain does unstimulated, and from where to where stimulation brings it."""
    rows = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {"action": name}
        for which, said_by in answers.items():
            values = said_by[:, :, i]  # [observations, commands]
            row[which] = {"unstimulated": float(values[:, 0].mean()), "least": float(values.min()),
                          "most": float(values.max()),
                          "width": float((values.max(axis=1) - values.min(axis=1)).mean())}
        rows.append(row)
    return rows
