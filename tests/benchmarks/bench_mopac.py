"""MoPAC's three costs beside its peers': updates, steps of fitting the model, imagined steps; and a whole refresh.

Peers: Stable-Baselines3's SAC, and mbrl-lib 0.2.0 (its ensemble under its own trainer, its SAC) in an environment of
its own, which `make bench-peers` makes; each side has one thread and the same rows. A plain loop in torch stands beside
the fit for orientation and is no peer. SAC of both peers learns no value of states; MBPO's update is ours without it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from .common import Seconds, check, interleave, ratio_check, timed
from .mopac_sides import ACTIONS, BATCH, OBSERVATIONS, ROWS, learner, rows_drawn
from .peers import HERE, Worker, interpreter

UPDATES, STEPS, IMAGINED = 20, 79, 10_000  # pieces of one round; so many steps are one pass through 20 000 rows
STARTS, LENGTH = 10_000, 5  # of a refresh
Measure = Callable[[], Seconds]


def _ours(made: Any) -> dict[str, Measure]:
    """Steps of a fit, and imagined steps by one or all members."""
    import torch

    from stimloop.components.parts.imagination import ImaginedWorld, branch

    inputs = torch.cat([made.buffer.columns["observation"], made.buffer.columns["action"]], dim=1)
    targets = torch.cat([made.buffer.columns["reward"][:, None],
                         made.buffer.columns["successor"] - made.buffer.columns["observation"]], dim=1)
    drawn = torch.randint(ROWS, (made.world.model.members, STEPS * BATCH), generator=made._fitting)
    start = made.buffer.sample(IMAGINED, made._imagining)["observation"]
    wasteful = copy(made.world.model)  # the same networks: every member answers for every row, and one answer is kept
    wasteful.ask = "all"
    worlds = {"assigned": made.world,
              "all members": ImaginedWorld(wasteful, made.world.terminated, made._imagining)}

    def fit() -> int:
        made.fit._pass((inputs, targets), drawn, made._fitting)
        return STEPS

    def imagine(world: Any) -> int:
        return sum(len(rows["reward"]) for rows in branch(world, made.actor, start, 1))

    return {"fit": lambda: timed(fit), "plain fit": _plain(inputs, targets, drawn),
            **{name: lambda world=world: timed(lambda: imagine(world)) for name, world in worlds.items()}}


def _updates(made: Any) -> Measure:
    """Updates as the learner makes them: each draws its minibatch from both buffers."""
    def update() -> int:
        made._update(UPDATES)
        return UPDATES

    return lambda: timed(update)


def _plain(inputs: Any, targets: Any, drawn: Any) -> Measure:
    from stimloop.components.parts.ensemble_fit import DECAYS

    from .plain_ensemble import PlainEnsemble

    plain = PlainEnsemble(inputs.shape[1], targets.shape[1], [200] * 4, len(drawn), DECAYS)

    def fit() -> int:
        for chosen in drawn.split(BATCH, 1):
            plain.learn(inputs[chosen], targets[chosen])
        return STEPS

    return lambda: timed(fit)


def _sb3(rows: dict[str, np.ndarray]) -> Measure:
    from .bench_sac import _peer

    work = _peer(rows)
    return lambda: timed(lambda: work(UPDATES))


def _refresh() -> dict[str, float]:
    """Measure a whole refresh in a process of its own, where nothing else has used memory before."""
    code = ("import json, torch; torch.set_num_threads(1); from benchmarks.mopac_sides import refresh; "
            f"print(json.dumps(refresh({STARTS}, {LENGTH})))")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=HERE.parent)
    return json.loads(done.stdout)


def _against(what: str, times: dict[str, list[float]], peer: str, ours: str, bound: float | None
             ) -> list[dict[str, Any]]:
    """Judge by the wall, and tell the same by the processor."""
    if peer not in times:  # the peer is missing: that is no pass
        return [{"what": what, "value": 0.0, "unit": "x", "bound": bound, "ok": False, "spread": [0.0, 0.0],
                 "better": "higher"}]
    return [ratio_check(what, times[peer], times[ours], at_least=bound),
            ratio_check(f"{what}_processor_time", times[f"{peer} busy"], times[f"{ours} busy"])]


def measure(rounds: int = 12, update_rounds: int = 40) -> dict[str, Any]:
    """Seconds of the peers over ours, measured in turn, one thread of torch each."""
    import torch

    torch.set_num_threads(1)
    rows, python = rows_drawn(), interpreter("mbrl")
    made = learner(rows)
    updates, others = {"update": _updates(made), "MBPO's update": _updates(learner(rows, state_value=False)),
                       "sb3 update": _sb3(rows)}, _ours(made)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, **rows)
        worker = None if python is None else Worker(python, HERE / "peers" / "mbrl" / "bench.py", file)
        if worker is not None:
            updates["mbrl update"] = lambda: Seconds(*worker.ask("update", UPDATES))
            others["mbrl fit"] = lambda: Seconds(*worker.ask("fit", STEPS))
        times = interleave(updates, update_rounds) | interleave(others, rounds)
        if worker is not None:
            worker.close()
    whole = _refresh()
    notes = [] if worker else ["mbrl-lib was not measured, so its lines fail: its environment .venv-peers/mbrl is "
                               "missing. Make it with `make bench-peers`, and run this again."]
    return {"name": "mopac", "checks": [
        *_against("updates_vs_sb3", times, "sb3 update", "update", 1.2),
        *_against("updates_vs_mbrl", times, "mbrl update", "update", 1.5),
        *_against("mbpo_updates_vs_sb3", times, "sb3 update", "MBPO's update", None),
        *_against("mbpo_updates_vs_mbrl", times, "mbrl update", "MBPO's update", None),
        check("update_ms", np.multiply(times["update"], 1e3).tolist(), "ms"),
        *_against("fit_vs_mbrl", times, "mbrl fit", "fit", 2.0),
        *_against("fit_vs_plain_torch", times, "plain fit", "fit", None),
        check("fit_step_ms", np.multiply(times["fit"], 1e3).tolist(), "ms"),
        *_against("imagine_vs_all_members", times, "all members", "assigned", 3.0),
        check("imagined_row_us", np.multiply(times["assigned"], 1e6).tolist(), "us"),
        check("refresh_memory_gb", [whole["gigabytes"]], "GB", at_most=2.0),
        check("refresh_s", [whole["seconds"]], "s"),
    ], "notes": notes, "settings": {
        "observations": OBSERVATIONS, "actions": ACTIONS, "batch": BATCH, "rows": ROWS, "updates": UPDATES,
        "fit_steps": STEPS, "imagined": IMAGINED, "rounds": rounds, "update_rounds": update_rounds,
        "refresh": whole,
        "processor_ms": {name.removesuffix(" busy"): float(np.median(found)) * 1e3 for name, found in times.items()
                         if name.endswith("busy")}}}
