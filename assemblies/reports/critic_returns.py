"""What a critic promised of what was done, against the discounted rewards that followed in the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...loops.errors import RunError, StimloopError
from ...loops.status import FIRST, TERMINATED, TRUNCATED, idle
from ...loops.storage.runs import Run
from . import learning_curves
from .reading import entry, parameters, said

KIND = "critics.q_ensemble"
_MOST = 100_000  # ticks that are looked at, the newest
_OWN = 0.25  # share of its own later judgement in a return up to which that counts as one
_FEWEST = 10  # steps of a part of the run that is told
_PARTS = 4  # of a run
BINS = 50  # of the curves


@dataclass(frozen=True)
class Judgements:
    """What a critic said at steps that were really made, and what followed; by time."""

    tick: np.ndarray  # [steps] row of the body's status
    value: np.ndarray  # [steps] what it said
    came: np.ndarray  # [steps] what followed, discounted
    own: np.ndarray  # [steps] with which weight what it said later stands in that

    def __len__(self) -> int:
        return len(self.tick)


def followed(flags: np.ndarray, reward: np.ndarray, value: np.ndarray, gamma: float) -> Judgements:
    """Hold values against what followed within each episode, all of them [ticks, lanes].

    A terminated episode has its whole return. Where one was truncated, or the record ends, what the critic said there
    stands for the rest (an n-step return); where the next episode began at once, nobody saw that, and it is left out.
    """
    over, cut = (flags & TERMINATED) != 0, (flags & TRUNCATED) != 0
    cut[-1] |= ~over[-1]
    later = reward[1:] + gamma * np.where(cut[1:], value[1:], 0.0)  # of a step: what it brought, and its end
    on = np.where(over | cut, 0.0, gamma)[1:]  # with which weight the next step follows it
    came = _discounted(later.astype(np.float64), on)
    end = _next((over | cut)[1:])  # [ticks - 1, lanes] at which the episode of each ended
    own = np.where(np.take_along_axis(over, end, 0), 0.0, gamma ** (end - np.arange(len(end))[:, None]).astype(float))
    unseen = np.take_along_axis(cut & ((flags & FIRST) != 0), end, 0)
    tick, lane = np.nonzero(~idle(flags[:-1]) & ~unseen & (own <= _OWN))
    return Judgements(tick, value[tick, lane].astype(np.float64), came[tick, lane], own[tick, lane])


def _discounted(sums: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Return x with x[i] = sums[i] + on[i] x[i + 1], of which nothing stands behind the end: twice as far each time."""
    reach = 1
    while reach < len(sums):
        sums[:-reach] += on[:-reach] * sums[reach:]
        on = np.concatenate([on[:-reach] * on[reach:], np.zeros_like(on[:reach])])
        reach *= 2
    return sums


def _next(there: np.ndarray) -> np.ndarray:
    """Return of each row the number (from 1 on) of the first row from there on that holds, which the last one does."""
    rows = np.where(there, np.arange(1, len(there) + 1)[:, None], len(there))
    return np.minimum.accumulate(rows[::-1], axis=0)[::-1]


def facts(run: Run) -> list[dict[str, Any]]:
    """Return what is known of each action value of a run; `missing` says why it could not be judged."""
    components = said(run, "assembly", {}).get("components")
    return [_facts(run, name) for name in (components if isinstance(components, dict) else {})
            if entry(run, name).get("type") == KIND]


def _facts(run: Run, critic: str) -> dict[str, Any]:
    try:
        return {"critic": critic, "missing": "", **_judged(run, critic)}
    except StimloopError as error:
        return {"critic": critic, "missing": str(error)}


def _judged(run: Run, critic: str) -> dict[str, Any]:
    learner, gamma, scale = _learner(run, critic)
    body = _body(run, critic)
    streams = {port: run.columns(f"{body}.{port}") for port in ("status", "reward")}
    rows = min(len(columns["time"]) for columns in streams.values())
    first = max(0, rows - _MOST)
    time = streams["status"]["time"].read(first, rows)
    said_at = run.columns(f"{critic}.value")
    at = np.searchsorted(times := said_at["time"].read(), time)
    there = int(np.argmin(np.append((at < len(times)) & (times[np.minimum(at, len(times) - 1)] == time), False))
                if len(times) else 0)  # ticks from the first on of which it spoke
    if there < 2:
        raise RunError(f"{critic} did not speak at the ticks of {body}")
    values = said_at["value"].read(int(at[0]), int(at[there - 1]) + 1)[at[:there] - at[0]]
    found = followed(streams["status"]["value"].read(first, first + there),
                     streams["reward"]["value"].read(first, first + there).astype(np.float64), values / scale, gamma)
    if len(found) < _FEWEST:
        raise RunError(f"only {len(found)} steps are followed by enough others to be judged: until an episode "
                       f"terminates, or until what lies behind counts at most {_OWN:g} times (discount {gamma:g})")
    over = learning_curves.Axis(run)
    parts = [part for part in np.array_split(np.arange(len(found)), _PARTS) if len(part) >= _FEWEST]
    bins = np.array_split(np.arange(len(found)), min(BINS, len(found)))
    return {"learner": learner, "body": body, "gamma": gamma, "steps": len(found), "own": float(found.own.mean()),
            **_compared(found, np.arange(len(found))), "axis": over.label,
            "parts": [{"from": float(over.at(time[found.tick[part[:1]]])[0]),
                       "to": float(over.at(time[found.tick[part[-1:]]])[0]), **_compared(found, part)}
                      for part in parts],
            "curve": {"at": over.at(time[[found.tick[each].max() for each in bins]]).tolist(),
                      "value": [float(found.value[each].mean()) for each in bins],
                      "came": [float(found.came[each].mean()) for each in bins]}}


def _compared(found: Judgements, part: np.ndarray) -> dict[str, float]:
    """Return means, bias (mean of what it said less what came), spread of that, and how both go together."""
    value, came = found.value[part], found.came[part]
    apart, spread = value - came, came.std()
    together = float(np.corrcoef(value, came)[0, 1]) if spread > 0 and value.std() > 0 else float("nan")
    return {"value": float(value.mean()), "came": float(came.mean()), "deviation": float(spread),
            "bias": float(apart.mean()), "spread": float(apart.std()), "correlation": together}


def _learner(run: Run, critic: str) -> tuple[str, float, float]:
    """Return who teaches a critic, its discount, and how many times it counts rewards."""
    for name in said(run, "assembly", {}).get("components", {}):
        uses, params = entry(run, name).get("uses"), parameters(run, name)
        if isinstance(uses, dict) and critic in uses.values() and isinstance(params.get("gamma"), int | float):
            scale = params.get("reward_scale", 1.0)
            return name, float(params["gamma"]), float(scale) if isinstance(scale, int | float) and scale > 0 else 1.0
    raise RunError("no learner of this run teaches it, so that nothing says how it discounts")


def _body(run: Run, critic: str) -> str:
    """Return the body whose observation and action a critic judges, as they are there."""
    if f"{critic}.value" not in run:
        raise RunError(f"{critic}.value was not recorded. Record it in the next run: record: [{critic}]")
    wires = said(run, "wires", {})
    own = {port: _wire(wires, f"{critic}.{port}") for port in ("observation", "action")}
    for body in run.bodies:
        acted = _wire(wires, f"{body}.action")
        if own["observation"].get("from") == f"{body}.observation" and acted.get("from") == own["action"].get("from"):
            if any(wire.get("delay_ns") for wire in (*own.values(), acted)) or acted.get("reads") != "hold":
                break
            return body
    raise RunError("it does not hear a body's own observation, and the action that follows, without delay")


def _wire(wires: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    wire = wires.get(address)
    return wire if isinstance(wire, dict) else {}
