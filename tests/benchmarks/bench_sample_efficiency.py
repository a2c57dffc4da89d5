"""Real steps until a pole and a pendulum stand: MoPAC, MBPO and SAC of our studies beside Stable-Baselines3's SAC.

Ours are read from the folders of finished studies (`stimloop study mopac_sample_efficiency_pendulum`, hours each):
`studies/<name>`, or the folders that the environment variable SAMPLE_EFFICIENCY names, one or both, with a colon
between. Stable-Baselines3's runs lie in `studies/sb3_sac`, or the folder that SB3_SAC names; those that are missing are
made here. The bounds are on one update a step, its default; ten updates a step stand beside it without one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .common import check, ratio_check
from .sb3_arm import ENVIRONMENTS, arm, rule

SEEDS = (0, 1, 2)
ARMS = {"mopac": "base", "mbpo": "mbpo", "sac": "sac"}  # name here, variant in the study
BOUND = 0.7


def studies(folders: str | None) -> dict[str, Any]:
    """Return the studies in the folders, by environment."""
    from stimloop.assemblies import study

    wanted = {f"mopac_sample_efficiency_{environment}": environment for environment in ENVIRONMENTS}
    named = folders.split(os.pathsep) if folders else [f"studies/{name}" for name in wanted]
    found = {}
    for path in map(Path, named):
        read = study.find(path) if path.is_dir() else None
        if read is not None and read.description.name in wanted and not read.small:
            found[wanted[read.description.name]] = read
    return found


def ours(study: Any) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return steps and curves of each arm, in the order of SEEDS, and the cells that have not finished well."""
    from stimloop.assemblies.studying.cells import Place
    from stimloop.assemblies.studying.tables import Numbers
    from stimloop.loops.storage.runs import Run

    (stage,), numbers = study.description.stages, Numbers(study.description, study.run_of)
    lacking = [f"{row['cell']} ({row['state']})" for row in study.status() if row["state"] not in ("finished", "stale")]
    if lacking:
        return {}, lacking
    found: dict[str, dict[str, Any]] = {name: {"scores": [], "curves": []} for name in ARMS}
    for name, variant in ARMS.items():
        for seed in SEEDS:
            place = Place(stage, variant, (("seed", seed),))
            rows = Run(study.run_of(place)).stored.evaluations["test"]
            found[name]["scores"].append(numbers.measure(study.description.measures["steps"], place))
            found[name]["curves"].append({"steps": [int(row["steps"]) for row in rows],
                                          "means": [float(np.mean(row["return"])) for row in rows]})
    return found, []


def peers(environment: str, study: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the same of Stable-Baselines3's arms; runs that are missing are made."""
    found: dict[str, dict[str, Any]] = {}
    for name, updates in (("sb3", 1), ("sb3_10_updates", 10)):
        runs = [arm(environment, rule(study), updates, seed, folder, lambda line: sys.stderr.write(f"{line}\n"))
                for seed in SEEDS]
        found[name] = {"scores": [run["score"] for run in runs],
                       "curves": [{"steps": run["steps"], "means": run["means"]} for run in runs]}
    return found


def judged(environment: str, arms: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Judge the medians of one environment."""
    sb3 = arms["sb3"]["scores"]
    return [
        *(ratio_check(f"{environment}_{name}_vs_sb3", arms[name]["scores"], sb3, by_median=True,
                      at_most=BOUND if name in ("mopac", "mbpo") else None) for name in arms if name != "sb3"),
        *(check(f"{environment}_{name}_steps", arms[name]["scores"], "steps") for name in arms)]


def missing(environment: str) -> list[dict[str, Any]]:
    """Fail what could not be judged: that is no pass."""
    return [{"what": f"{environment}_{name}_vs_sb3", "value": 0.0, "unit": "x", "bound": BOUND, "ok": False,
             "spread": [0.0, 0.0], "better": "lower"} for name in ("mopac", "mbpo")]


def measure(folders: str | None = None, out: str | None = None) -> dict[str, Any]:
    """Steps of every arm in both environments, seeds 0 to 2."""
    found = studies(folders or os.environ.get("SAMPLE_EFFICIENCY"))
    folder = Path(out or os.environ.get("SB3_SAC") or Path("studies") / "sb3_sac")
    checks, notes, arms = [], [], {}
    for environment in ENVIRONMENTS:
        name = f"mopac_sample_efficiency_{environment}"
        mine, lacking = ours(found[environment]) if environment in found else ({}, ["all cells"])
        if lacking:
            notes.append(f"{environment} was not measured, so its lines fail. Of the study {name} there lacks: "
                         f"{', '.join(lacking)}. Run it to its end: stimloop study {name}")
            checks += missing(environment)
            continue
        arms[environment] = mine | peers(environment, found[environment], folder)
        checks += judged(environment, arms[environment])
    return {"name": "sample_efficiency", "checks": checks, "notes": notes,
            "settings": {"seeds": SEEDS, "arms": arms}}
