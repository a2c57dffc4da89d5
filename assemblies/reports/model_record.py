"""What a run recorded of a learned model: the steps it is judged on, and the model as a checkpoint left it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import RunError, reason
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.storage import checkpoint, trials
from ...loops.storage.runs import Run
from ...loops.time import say
from .model_quality import Say, Steps
from .reading import entry, said

KIND = "world_models.gaussian_ensemble"
_MOST = 20_000  # steps that are looked at, the newest
_FEWEST = 50  # steps behind a fit that are worth judging by
_CHECKPOINTS = "checkpoints"
_HEARD = ("observation", "action", "reward", "status")


@dataclass(frozen=True)
class Judged:
    """A model, and the steps that it is judged on."""

    model: Say
    steps: Steps
    known: Steps  # the newest steps of the run, of which deviations are taken
    observation: str  # the port that was seen
    at: int  # ns: the instant of the checkpoint
    fitted: int | None  # ns: its last fit; None: none is recorded
    unseen: bool  # do all steps come after that?


def models(run: Run) -> list[str]:
    """Return the names of the learned models of a run."""
    components = said(run, "assembly", {}).get("components")
    return [name for name in (components if isinstance(components, dict) else {})
            if entry(run, name).get("type") == KIND]


def learner_of(run: Run, model: str) -> str | None:
    """Return the component that fits a model, if there is one."""
    for key in run.streams:
        name, _, port = key.partition(".")
        uses = entry(run, name).get("uses")
        if port == "model_loss" and isinstance(uses, dict) and model in uses.values():
            return name
    return None


def judged(run: Run, model: str, damaged: dict[Path, str] | None = None) -> Judged:
    """Return the model of the newest checkpoint that leaves steps which it was not fitted to, and those steps.

    Where no checkpoint does, it is the newest, with all steps. Damaged ones are passed over, and put into `damaged`
    with what is wrong. Raises RunError that says what is missing.
    """
    learner = learner_of(run, model)
    wires = _wires(run, model, learner or model)
    observation = str(wires["observation"]["from"])
    known = _steps(run, wires, -1)
    if not len(known):
        raise RunError("no step was recorded")
    fits = run.columns(f"{learner}.model_loss")["time"].read() if learner else np.zeros(0, np.int64)
    newest: Judged | None = None
    damaged = {} if damaged is None else damaged
    for at, state in checkpoint.parts(run.path / _CHECKPOINTS, model, damaged):
        before = fits[fits <= at]
        if learner and not len(before):
            break  # not fitted yet
        fitted = int(before[-1]) if len(before) else None
        steps = known if fitted is None else _steps(run, wires, fitted)
        if fitted is None or len(steps) >= _FEWEST:
            return Judged(_loaded(run, model, state, known), steps, known, observation, at, fitted, True)
        newest = newest or Judged(_loaded(run, model, state, known), known, known, observation, at, fitted, False)
    if newest is None and damaged:
        raise RunError("each checkpoint that it could be judged by is damaged")
    if newest is None:
        raise RunError("it has no checkpoint of a fitted model" if checkpoint.has_any(run.path / _CHECKPOINTS)
                       else "it has no checkpoint")
    return newest


def _wires(run: Run, model: str, hearer: str) -> dict[str, Mapping[str, Any]]:
    """Where what the model is told comes from: as its learner hears it, or it itself."""
    known = said(run, "wires", {})
    found = {}
    for port in _HEARD:
        wire = known.get(f"{hearer}.{port}") or known.get(f"{model}.{port}")
        if not isinstance(wire, dict):
            raise RunError(f"nothing is wired to the {port} of {hearer}")
        if port != "action" and wire.get("delay_ns"):
            raise RunError(f"{hearer} hears its {port} {say(int(wire['delay_ns']))} late, and steps put together from "
                           "late parts are not judged")
        if str(wire.get("from")) not in run:
            raise RunError(f"{wire.get('from')} was not recorded. Record it in the next run: "
                           f"record: [{', '.join(_sources(known, hearer, model))}]")
        found[port] = wire
    return found


def _sources(known: Mapping[str, Any], hearer: str, model: str) -> list[str]:
    wires = [known.get(f"{hearer}.{port}") or known.get(f"{model}.{port}") for port in _HEARD]
    return [str(wire.get("from")) for wire in wires if isinstance(wire, dict)]


def _steps(run: Run, wires: Mapping[str, Mapping[str, Any]], since: int) -> Steps:
    """Return the newest recorded steps that were made after an instant."""
    streams: dict[str, Any] = {port: run.columns(str(wire["from"])) for port, wire in wires.items()}
    time = streams["status"]["time"].read()
    lanes = streams["status"]["value"].shape[1]
    first = max(0, int(np.searchsorted(time, since)), len(time) - 1 - _MOST // lanes)
    late = {port: {name: trials.Since(column, first) for name, column in columns.items()}
            for port, columns in streams.items() if port != "action"}
    wire = wires["action"]
    return Steps.of(trials.transitions(
        late["observation"], streams["action"], late["reward"], late["status"], answered=wire.get("reads") == "now",
        delay=int(wire.get("delay_ns", 0)), drop_truncated=True))


def _loaded(run: Run, model: str, state: Mapping[str, Any], steps: Steps) -> Say:
    """Return what the model of a checkpoint says."""
    try:
        import torch

        from ...components.world_models.gaussian_ensemble import GaussianEnsemble
    except ImportError as error:
        raise RunError(f'it needs {error.name}: pip install "stimloop[torch]"') from error
    try:
        made = GaussianEnsemble(**{**entry(run, model).get("params", {}), "weights": None})
        for port, values in (("observation", steps.observation), ("action", steps.action)):
            made.inputs[port] = Port("as recorded", (values.shape[1],))
        made.build(Lanes.of(1), 0)
        made.load_state_dict({"learned": state["learned"]})
    except (TypeError, ValueError, LookupError) as error:  # the attributes of a run may have been altered
        raise RunError(f"it cannot be made again as the run describes it: {reason(error)}") from error

    def said_of(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            mean, variance = made.network.forward(torch.from_numpy(inputs.astype(np.float32)), made.elites)
        return mean.double().numpy(), variance.double().exp().numpy()

    return said_of
