"""What is known of the patients of a run: lesion, electrodes, reachable actions, and what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...components.parts import electrodes
from ...loops.errors import RunError
from ...loops.storage import checkpoint
from ...loops.storage.runs import Run
from . import charge, reachable
from .reading import entry, said

if TYPE_CHECKING:
    from ..settings import Settings

_CHECKPOINTS = "checkpoints"
_NO_CHECKPOINT = "there is no checkpoint that holds it"


def facts(run: Run, allowed: Settings | None = None) -> list[dict[str, Any]]:
    """Return what is known of each brain that has a lesion or is stimulated, as plain values.

    What cannot be told says why under `missing`. `allowed` are the settings by which a brain of one's own is loaded.
    """
    return [_facts(run, brain, allowed) for brain in patients(run)]


def patients(run: Run) -> list[str]:
    """Return the names of the brains that have a lesion or that something stimulates."""
    components = said(run, "assembly", {}).get("components")
    return [name for name in (components if isinstance(components, dict) else {})
            if source(run, name, "current") or _described(run, name)]


def source(run: Run, component: str, port: str) -> str:
    """Return the port that is wired to an input; empty where none is."""
    wire = said(run, "wires", {}).get(f"{component}.{port}")
    return str(wire.get("from", "")) if isinstance(wire, dict) else ""


def stimulator_of(run: Run, brain: str) -> str:
    """Return the component whose current a brain takes; empty where none stimulates it."""
    return source(run, brain, "current").partition(".")[0]


def array(run: Run, component: str, path: str) -> np.ndarray | None:
    """Return what a component had learned under a name, by the newest checkpoint; None where it has nothing there."""
    return checkpoint.newest_array(run.path / _CHECKPOINTS, component, f"learned/{path}") if component else None


def _described(run: Run, brain: str) -> dict[str, Any]:
    """Return how the assembly describes the lesion of a component; empty where it has none."""
    params = entry(run, brain).get("params")
    found = params.get("lesion") if isinstance(params, dict) else None
    return {"kind": "weights", **found} if isinstance(found, dict) else {}


def _facts(run: Run, brain: str, allowed: Settings | None) -> dict[str, Any]:
    stimulator = stimulator_of(run, brain)
    limiter = source(run, stimulator, "command").partition(".")[0] if stimulator else ""
    living, known = living_neurons(run, brain), regions(run, f"{brain}.rates")
    sensors = [target.partition(".")[0] for target, wire in said(run, "wires", {}).items()
               if target.endswith(".rates") and isinstance(wire, dict) and wire.get("from") == f"{brain}.rates"]
    return {"brain": brain, "lesion": _lesion(run, brain, known), "stimulator": stimulator or None,
            "limiter": limiter or None, "electrodes": _array(run, stimulator, living, known),
            "sensors": {name: told for name in sensors if "all" in (told := _array(run, name, living, known) or {})},
            "delivered": _delivered(run, f"{limiter}.command") if limiter else None,
            "actions": reachable.actions(run, brain, stimulator, limiter, allowed)}


def living_neurons(run: Run, brain: str) -> np.ndarray | None:
    """Return which neurons live [neurons] bool; None where the lesion silences none of them, or nobody knows."""
    mask = array(run, brain, "lesion/mask")
    return mask != 0 if mask is not None and mask.ndim == 1 else None


def regions(run: Run, key: str) -> np.ndarray | None:
    """Return the region of each neuron of a recorded port; None where it names none."""
    if key not in run or run.streams[key].kind != "signal":
        return None
    try:
        named = run[key].coords.get("region")
    except RunError:  # damaged, which is told elsewhere
        return None
    return None if named is None else np.asarray(named).astype(str)


def _lesion(run: Run, brain: str, known: np.ndarray | None) -> dict[str, Any] | None:
    """Say what a lesion silenced; None of a healthy brain."""
    described = _described(run, brain)
    mask = array(run, brain, "lesion/mask")
    if not described and mask is None:
        return None
    found: dict[str, Any] = {"kind": described.get("kind"), "described": described}
    if mask is None:
        return {**found, "missing": _NO_CHECKPOINT}
    dead = mask == 0
    found |= {"of": "neurons" if mask.ndim == 1 else "connections", "silenced": int(dead.sum()), "all": int(dead.size)}
    if mask.ndim == 1:
        found["neurons"] = np.flatnonzero(dead).tolist()
        if known is not None and known.shape == dead.shape:
            found["regions"] = {name: {"silenced": int(dead[known == name].sum()), "all": int((known == name).sum())}
                                for name in dict.fromkeys(known.tolist())}
    return found


def _array(run: Run, name: str, living: np.ndarray | None, known: np.ndarray | None) -> dict[str, Any] | None:
    """Say of each electrode of a component where it is, and which share of what it reaches lives."""
    if not name:
        return None
    weights = array(run, name, "weights")
    if weights is None or weights.ndim != 2:
        return {"missing": f"{name} has none of its own, and what it passes on is not judged"
                if checkpoint.has_any(run.path / _CHECKPOINTS) else _NO_CHECKPOINT}
    if living is not None and living.shape != weights.shape[:1]:
        return {"missing": f"{name} reaches {len(weights)} places, and the lesion is in {living.size} neurons"}
    alive = np.ones(len(weights), bool) if living is None else living
    shares, dead, nearest = electrodes.shares(weights, alive), electrodes.dead(weights, alive), weights.argmax(axis=0)
    each = [{"electrode": i, "neuron": int(neuron), "share": float(share), "lives": not lost,
             **({"region": str(known[neuron])} if known is not None and len(known) == len(weights) else {})}
            for i, (neuron, share, lost) in enumerate(zip(nearest, shares, dead.tolist(), strict=True))]
    return {"live": int((~dead).sum()), "all": len(dead), "each": each}


def _delivered(run: Run, key: str) -> dict[str, Any]:
    """Say what a limiter let through: the largest command, and the charge of each episode."""
    if key not in run or not run.streams[key].rows:
        return {"missing": f"{key} was not recorded"}
    try:
        values = run.columns(key)["value"].read().astype(float)  # [rows, lanes, electrodes]
        times = run.columns(key)["time"].read().astype(np.int64)
    except RunError as error:
        return {"missing": str(error)}
    unit = str(said(run, "units", {}).get(key, ""))
    largest = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    found = {"command": key, "unit": unit or charge.ARBITRARY, "charge_unit": charge.unit(unit),
             "largest": float(values[largest]), "electrode": int(largest[-1])}
    try:
        return {**found, "episodes": _by_episode(run, times, values)}
    except (RunError, KeyError) as error:
        return {**found, "missing": f"the charge of each episode: {error}"}


def _by_episode(run: Run, times: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
    """Return the charge of each episode of each lane, of all electrodes together; a running one up to the end."""
    until, found = charge.end(run), []
    totals = [charge.running(times, values[:, lane], until) for lane in range(values.shape[1])]
    for row in run.episodes().itertuples():
        begin, stop = int(row.start), until if row.how == "running" else int(row.end)
        before, after = np.interp([begin, stop], np.append(times, until), totals[int(row.lane)])
        found.append({"lane": int(row.lane), "episode": int(row.episode), "charge": float(after - before)})
    return found

