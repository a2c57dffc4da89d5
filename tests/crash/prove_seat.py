"""Another library's learner, in one seat of a loop: does it learn to help the injured brain?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import stimloop as sl

EPISODES, FIRST_SEED = 10, 1000  # of the tests


def score(env: Any, act: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the mean return of test episodes."""
    returns = []
    for i in range(EPISODES):
        observation, total, over = env.reset(seed=FIRST_SEED + i)[0], 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


def prove_seat(seeds: int, steps: int, at_least: float) -> dict[str, Any]:
    """Train SAC of Stable-Baselines3 as the coprocessor of each patient; the patient has to reach `at_least`."""
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    found = []
    for seed in range(seeds):
        patient = sl.load("pendulum_first").set("seed", seed)
        env, test = patient.as_env("coprocessor"), patient.as_env("coprocessor")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SAC("MlpPolicy", env, learning_rate=1e-3, seed=seed, device="cpu",
                        policy_kwargs={"net_arch": [64, 64]})
            model.learn(steps, log_interval=None)
        nothing = np.zeros(env.action_space.shape, np.float32)
        found.append({"seed": seed, "no_stimulation": round(score(test, lambda _, nothing=nothing: nothing), 1),
                      "learned": round(score(test, lambda seen, model=model: model.predict(
                          seen, deterministic=True)[0]), 1)})
        env.close()
        test.close()
    return {"holds": all(row["learned"] >= at_least for row in found) and len(found) == seeds, "steps": steps,
            "patients": found}
