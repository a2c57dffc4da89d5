"""Stable-Baselines3's arm of the studies of sample efficiency: SAC at its default settings, by our rule.

    python tests/benchmarks/sb3_arm.py --env inverted_pendulum --gradient-steps 1 --seed 0 --out studies/sb3_sac

What a study says (environment, first update, evaluations and their seeds, goal) is read from the study, so that both
sides are measured alike; only the limit is longer here. Each run leaves one file, and is not made again where it is
there; one that was interrupted begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ENVIRONMENTS = ("inverted_pendulum", "pendulum")  # their study is mopac_sample_efficiency_<name>
LIMIT = 10_000  # steps of this arm


@dataclass(frozen=True)
class Rule:
    """What decides a run and its score."""

    env: str  # Gymnasium's name
    learning_starts: int
    every: int  # steps between evaluations; the first comes before any step
    episodes: int
    seeds: int  # of the first episode of each evaluation
    goal: float  # mean return
    held: int  # evaluations in a row
    at_least: int  # steps of each run: as many as the study's own arms make
    limit: int  # steps, where the goal is never held

    def score(self, steps: list[int], means: list[float]) -> float:
        """Return the steps until the goal is held, counted by the study's own function."""
        from stimloop.assemblies.studying.measures import Until

        return Until(">=", self.goal, self.held, self.limit).of(steps, means)

    def over(self, steps: list[int], means: list[float]) -> bool:
        """Is there nothing more to learn from going on?"""
        held = replace(self, limit=-1).score(steps, means) >= 0
        return steps[-1] >= (self.at_least if held else self.limit)


def rule(study: Any, limit: int = LIMIT) -> Rule:
    """Read the rule from a study of sample efficiency."""
    steps, (stage,) = study.description.measures["steps"], study.description.stages.values()
    assembly = study.cells(stage).cells[0].assembly
    test, until = assembly.get("evaluate.test"), steps.curve
    return Rule(assembly.get("body.params.env"), assembly.get("learner.params.learning_starts"),
                int(test["every"].removesuffix(" steps")), test["episodes"], test["seeds"], until.bound, until.held,
                int(until.limit), limit)


def returns(act: Callable[[np.ndarray], np.ndarray], envs: list[Any], first_seed: int) -> list[float]:
    """Return what each environment gives in one episode, begun with seeds from `first_seed` on.

    `act` gets the observations of those that are not over, [running, ...], and answers with one action each.
    """
    observations = {i: env.reset(seed=first_seed + i)[0] for i, env in enumerate(envs)}
    totals = [0.0] * len(envs)
    while observations:
        actions = act(np.stack(list(observations.values())))
        for i, action in zip(list(observations), actions, strict=True):
            observations[i], reward, terminated, truncated, _ = envs[i].step(action)
            totals[i] += float(reward)
            if terminated or truncated:
                del observations[i]
    return totals


def train(told: Rule, gradient_steps: int, seed: int, say: Callable[[str], object]) -> dict[str, Any]:
    """Make one run; return its score and the returns of all episodes of its evaluations."""
    import gymnasium as gym
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    model = SAC("MlpPolicy", told.env, learning_starts=told.learning_starts, gradient_steps=gradient_steps, seed=seed,
                device="cpu")
    tests = [gym.make(told.env) for _ in range(told.episodes)]
    steps: list[int] = []
    found: list[list[float]] = []
    while not steps or not told.over(steps, [float(np.mean(each)) for each in found]):
        if steps:
            model.learn(told.every, reset_num_timesteps=len(steps) == 1, log_interval=None)
        steps.append(model.num_timesteps)
        found.append(returns(lambda rows: model.predict(rows, deterministic=True)[0], tests, told.seeds))
        say(f"{told.env} gradient_steps={gradient_steps} seed={seed}: {np.mean(found[-1]):.1f} after {steps[-1]} steps")
    means = [float(np.mean(each)) for each in found]
    return {"score": told.score(steps, means), "steps": steps, "means": means, "returns": found,
            "updates": model._n_updates}


def arm(environment: str, told: Rule, gradient_steps: int, seed: int, folder: Path,
        say: Callable[[str], object] = lambda line: None) -> dict[str, Any]:
    """Return a run from its file in `folder`, made now where there is none. Raises ValueError for another rule's."""
    from stimloop.loops.storage.atomic import replace_shared

    from .run import versions

    file, wanted = folder / f"{environment}_g{gradient_steps}_s{seed}.json", asdict(told)
    if file.is_file():
        kept = json.loads(file.read_text())
        if kept["rule"] != wanted:
            raise ValueError(f"{file} was measured by another rule, {kept['rule']}, than now, {wanted}: move it away, "
                             "or choose another folder")
        return kept
    found = {"environment": environment, "gradient_steps": gradient_steps, "seed": seed, "rule": wanted,
             **train(told, gradient_steps, seed, say), "versions": versions()}
    folder.mkdir(parents=True, exist_ok=True)
    replace_shared(file, json.dumps(found).encode())
    return found


def main(arguments: list[str] | None = None) -> int:
    """Make the run that the command line names, unless its file is there."""
    from stimloop.assemblies import study

    parser = argparse.ArgumentParser(description="Makes one run of Stable-Baselines3's SAC by the rule of our study.")
    parser.add_argument("--env", choices=ENVIRONMENTS, required=True)
    parser.add_argument("--gradient-steps", type=int, default=1, help="updates after each step (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for its file")
    chosen = parser.parse_args(arguments)
    told = rule(study.load(f"mopac_sample_efficiency_{chosen.env}"))
    found = arm(chosen.env, told, chosen.gradient_steps, chosen.seed, chosen.out,
                lambda line: print(line, flush=True))
    sys.stdout.write(f"{found['score']:g} steps\n")
    return 0


if __name__ == "__main__":
    for thread in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(thread, "1")  # before torch is loaded
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from benchmarks.sb3_arm import main as of_the_package  # relative imports need the package

    sys.exit(of_the_package())
