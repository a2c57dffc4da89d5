"""What is known of the learned models of a run, as plain values: for the report's page and its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...loops.errors import StimloopError
from ...loops.storage.runs import Run
from ...loops.time import say
from . import canvas, learning_curves
from .model_quality import ahead, coverage, deviation, doubt
from .model_record import Judged, judged, learner_of, models
from .reading import parameters

# measures of its learner: what they show of the model, and what is drawn beside
MEASURES = {"model_loss": ("error on steps held out", ()), "effective_size": ("variants of a plan that count", ()),
            "real_ratio": ("share of real rows in a minibatch", ()),
            "rollout_length": ("steps of an imagined life", ("mean_rollout_length",))}
_LEAST, _MOST = 5, 30  # steps ahead


def facts(run: Run) -> list[dict[str, Any]]:
    """Return what is known of each learned model of a run; `missing` says why it could not be judged.

    `meant` is true where that is no fault: nothing was to be fitted; `damaged` tells of checkpoints passed over.
    """
    return [_facts(run, name) for name in models(run)]


def _facts(run: Run, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"model": name, "learner": learner_of(run, name)}
    found["measures"] = {port: _measure(run, f"{found['learner']}.{port}") for port in measured(run, found["learner"])}
    found["meant"] = _from_real_alone(run, found["learner"])
    if found["meant"]:
        return {**found, "missing": "never fitted: this run learns from real steps alone"}
    damaged: dict[Path, str] = {}
    try:
        basis = judged(run, name, damaged)
        found |= {"missing": "", **_quality(run, basis, _horizon(run, found["learner"]))}
    except StimloopError as error:
        found["missing"] = str(error)
    return {**found, "damaged": list(damaged.values())}


def _measure(run: Run, key: str) -> dict[str, float | str]:
    """Return the last value and the mean of a measure, or why it cannot be read."""
    try:
        values = run.columns(key)["value"].read()
    except StimloopError as error:
        return {"missing": str(error)}
    return {"last": float(values[-1]), "mean": float(np.mean(values))}


def _from_real_alone(run: Run, learner: str | None) -> bool:
    """Did a learner fit no model because all its rows are real?"""
    if learner is None or run.streams[f"{learner}.model_loss"].rows:
        return False
    shares = parameters(run, learner).get("ratio_schedule")
    return isinstance(shares, list) and shares[2:] == [1, 1]


@np.errstate(all="ignore")  # a model that explodes has errors beyond numbers, and they are shown as such
def _quality(run: Run, basis: Judged, horizon: int) -> dict[str, Any]:
    scale, reward = deviation(basis.known.observation), float(deviation(basis.known.reward[:, None])[0])
    errors = ahead(basis.model, basis.steps, horizon, scale, reward)
    names, moves = canvas.names(run, basis.observation), np.isfinite(scale)
    found = {"steps": len(basis.steps), "on": _on(run, basis), "unseen": basis.unseen,
             "k": list(range(1, len(errors.starts) + 1)), "starts": errors.starts.tolist(),
             "reward_error": errors.reward.tolist(), "coverage": coverage(basis.model, basis.steps),
             "doubt": doubt(basis.model, basis.steps, scale, reward)}
    if not moves.any():
        return {**found, "error": [], "worst_error": [], "worst": [], "persistence": []}
    error, names = errors.error[:, moves], [name for name, kept in zip(names, moves, strict=True) if kept]
    return {**found, "error": error.mean(axis=1).tolist(), "worst_error": error.max(axis=1).tolist(),
            "worst": [names[i] for i in error.argmax(axis=1)] if len(error) else [],
            "persistence": errors.still[:, moves].mean(axis=1).tolist()}


def _on(run: Run, basis: Judged) -> str:
    """Say which steps the figures are of."""
    over = learning_curves.Axis(run)

    def when(instant: int) -> str:
        return f"step {over.at(np.array([instant]))[0]:.0f}" if over.label.endswith("steps") else say(instant)

    count = f"{len(basis.steps)} steps"
    if basis.fitted is None:
        return f"{count}; nothing in this run fitted the model, which is that of {when(basis.at)}"
    model = f"model fitted at {when(basis.fitted)}, in the checkpoint of {when(basis.at)}"
    return (f"{count} made after its last fit; {model}" if basis.unseen else
            f"{count}, most of which it was fitted to, so it does better here than on new ones: too few were recorded "
            f"after its last fit; {model}")


def _horizon(run: Run, learner: str | None) -> int:
    """How many steps ahead: as far as imagined lives went, 5 at least."""
    key = f"{learner}.rollout_length"
    lengths = run.columns(key)["value"].read() if key in run else np.zeros(0)
    return int(lengths[np.isfinite(lengths)].clip(_LEAST, _MOST).max(initial=_LEAST))


def measured(run: Run, learner: str | None) -> list[str]:
    """Return the measures of a learner that say something of its model, as far as there are any."""
    return [port for port in MEASURES if f"{learner}.{port}" in run and run.streams[f"{learner}.{port}"].rows]


def shown(run: Run) -> set[str]:
    """Return the measures that stand in this section, and so need not be shown among the others."""
    found = set()
    for learner in filter(None, (learner_of(run, name) for name in models(run))):
        found |= {f"{learner}.{each}" for port in measured(run, learner) for each in (port, *MEASURES[port][1])}
    return found
