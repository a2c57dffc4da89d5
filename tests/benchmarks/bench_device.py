"""Learning on a GPU: updates, steps of a fit, a whole refresh, and what crosses between devices around them.

Every figure is of torch as it runs line by line (no compiler, no captured graph), and nothing has a bound: on the day
this was written no GPU was at hand. Where there is none it says so, and measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from .common import check
from .mopac_sides import ACTIONS, BATCH, OBSERVATIONS, ROWS, learner, rows_drawn

UPDATES, STARTS, LENGTH = 200, 10_000, 5
NO_GPU = ("nothing was measured: torch finds no GPU here ({why}). Run `python tests/benchmarks/run.py device` on a "
          "machine with one and a torch built for it.")
Work = Callable[[], int]  # does something and says how many pieces it did


def works(device: str, updates: int = UPDATES, starts: int = STARTS) -> dict[str, Work]:
    """Return what is timed, by name."""
    import torch

    rows = rows_drawn()
    mopac, sac = learner(rows, device=device), learner(rows, state_value=False, device=device)
    inputs = torch.cat([mopac.buffer.columns["observation"], mopac.buffer.columns["action"]], dim=1)
    targets = torch.cat([mopac.buffer.columns["reward"][:, None],
                         mopac.buffer.columns["successor"] - mopac.buffer.columns["observation"]], dim=1)
    drawn = mopac.fit._draw((mopac.world.model.members, ROWS), mopac._fitting)

    def update_sac() -> int:
        for _ in range(updates):
            told = sac.core.advance(sac.buffer.sample(BATCH, sac._generator), sac._generator)
        sac.core.told(told)
        return updates

    def update_mopac() -> int:
        mopac._update(updates)
        return updates

    def fit() -> int:
        mopac.fit._pass((inputs, targets), drawn, mopac._fitting)
        return -(-ROWS // BATCH)

    def refresh() -> int:
        mopac.imagined.resize(starts * LENGTH)
        for imagined, _ in mopac.imagine(mopac.buffer.sample(starts, mopac._imagining)["observation"], LENGTH):
            mopac.imagined.add(imagined)
        return 1

    def hand_over() -> int:
        with mopac.workplace.learning("policy", "value", "state_value"):
            return 1

    return {"sac_updates_per_s": update_sac, "mopac_updates_per_s": update_mopac, "fit_steps_per_s": fit,
            "refresh_s": refresh, "hand_over_ms": hand_over}


def measure(rounds: int = 7) -> dict[str, Any]:
    """Time each after one round that does not count, the GPU having finished before and after."""
    import torch

    if not torch.cuda.is_available():
        why = f"torch {torch.__version__}" + ("" if torch.backends.cuda.is_built() else " was built without CUDA")
        return {"name": "device", "checks": [check("gpus", [0], "")], "notes": [NO_GPU.format(why=why)]}
    checks = []
    for name, work in works("cuda").items():
        seconds = [_timed(work, torch.cuda.synchronize) for _ in range(rounds + 1)][1:]
        unit = name.rpartition("_")[2]
        checks.append(check(name, [1 / each for each in seconds], "1/s") if name.endswith("per_s") else
                      check(name, [each * (1e3 if unit == "ms" else 1) for each in seconds], unit))
    checks.append(check("most_memory_gb", [torch.cuda.max_memory_allocated() / 1e9], "GB"))
    return {"name": "device", "checks": checks, "settings": {
        "gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "mode": "eager",
        "observations": OBSERVATIONS, "actions": ACTIONS, "batch": BATCH, "rows": ROWS, "updates": UPDATES,
        "starts": STARTS, "length": LENGTH, "rounds": rounds}}


def _timed(work: Work, finish: Callable[[], None]) -> float:
    finish()
    began = perf_counter()
    pieces = work()
    finish()
    return (perf_counter() - began) / pieces
