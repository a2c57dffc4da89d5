"""Does the ensemble know how sure it may be? `python tests/systems/calibration.py --json`; exit code 0 if all holds.

Known linear dynamics whose noise grows with the state, and the equations of Pendulum-v1. Bounds are those of the
specification (check 3), fixed before the first run; every seed is reported, and the worst one judges. Rows come and are
fitted to as they are in use, every 250 of them, each fit warm from the one before. One cold fit to all rows (`--every
5000`) does not keep the bounds: it stops when the error of the mean falls no more, and variances may need longer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stimloop.components.parts.dynamics_ensemble import DynamicsEnsemble
from stimloop.components.parts.ensemble_fit import EnsembleFit

SEEDS, ROWS, EVERY, HIDDEN, TESTS = (0, 1, 2), 5000, 250, (200,) * 4, 5000
MIXING = np.array([[-0.1, 0.2, 0.0], [0.0, -0.2, 0.1], [0.1, 0.0, -0.3]])  # state to change of state
PUSH = np.array([[0.3, 0.0], [0.0, 0.2], [0.1, 0.1]])  # action to change of state
WORTH = np.array([0.5, -0.3, 0.2, 0.1, -0.1])  # state and action to reward
NORMAL_90 = 1.6448536  # standard deviations on both sides that hold 90 % of a normal


def fitted(inputs: np.ndarray, targets: np.ndarray, seed: int, hidden: Sequence[int], every: int
           ) -> tuple[DynamicsEnsemble, dict[str, float]]:
    """Return an ensemble of seven fitted after every so many rows with the defaults, and what that took."""
    net, draws = DynamicsEnsemble(inputs.shape[1], targets.shape[1], hidden, 7, 5, seed), torch.Generator()
    fit, steps, seconds = EnsembleFit(net), 0, 0.0
    draws.manual_seed(seed)
    for known in range(every, len(inputs) + 1, every):
        report = fit.fit(inputs[:known], targets[:known], draws)
        steps, seconds = steps + report.steps, seconds + report.seconds
    return net, {"steps": steps, "seconds": round(seconds, 2)}


def said(net: DynamicsEnsemble, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the elites [elites, rows, outputs]."""
    with torch.no_grad():
        mean, variance = net.forward(torch.from_numpy(inputs.astype(np.float32)), net.elites)
    return mean.double().numpy(), variance.double().exp().numpy()


# -- linear dynamics with noise that depends on the state --------------------------------------------------------------


def linear(count: int, rng: np.random.Generator, reach: float = 1.0
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, what came (reward first), its expectation and its deviation; states and actions in [-1, 1].

    `reach` stretches that range. Every number has noise of deviation 0.05 + 0.1 |first state|.
    """
    inputs = rng.uniform(-reach, reach, (count, 5))
    expected = np.concatenate([inputs @ WORTH[:, None], inputs[:, :3] @ MIXING.T + inputs[:, 3:] @ PUSH.T], axis=1)
    deviation = np.broadcast_to((0.05 + 0.1 * np.abs(inputs[:, :1])), expected.shape)
    return inputs, expected + deviation * rng.standard_normal(expected.shape), expected, deviation


def _nll(came: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return 0.5 * ((came - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def judge_linear(seed: int, rows: int = ROWS, hidden: Sequence[int] = HIDDEN, every: int = EVERY) -> dict[str, float]:
    """Return the figures of one seed, on fresh rows of the same range."""
    rng = np.random.default_rng(seed)
    net, effort = fitted(*linear(rows, rng)[:2], seed, hidden, every)
    inputs, came, expected, deviation = linear(TESTS, rng)
    mean, variance = said(net, inputs)
    middle, whole = mean.mean(0), np.sqrt(variance.mean(0) + mean.var(0))  # of the elites' mixture
    own = np.sqrt(variance.mean(0))  # noise as the elites see it, without their disagreement
    mixture = -np.logaddexp.reduce(-_nll(came, mean, variance).sum(-1), axis=0) + np.log(len(mean))
    truth = _nll(came, expected, deviation ** 2).sum(-1)
    far = said(net, linear(TESTS, rng, reach=3.0)[0])[0].std(0).mean()
    return {"coverage": float((np.abs(came - middle) <= NORMAL_90 * whole).mean()),
            "sigma_error": float((np.abs(own - deviation) / deviation).mean()),
            "nll_gap": float((mixture - truth).mean() / came.shape[1]),
            "disagreement_ratio": float(far / mean.std(0).mean()), **effort}


# -- a pendulum --------------------------------------------------------------------------------------------------------


def swing(state: np.ndarray, push: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the state (angle, speed) [rows, 2] 50 ms later and the reward, by the equations of Pendulum-v1."""
    angle, speed = state.T
    torque = 2 * np.clip(push, -1, 1)
    reward = -(((angle + np.pi) % (2 * np.pi) - np.pi) ** 2 + 0.1 * speed ** 2 + 0.001 * torque ** 2)
    speed = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
    return np.stack([angle + speed * 0.05, speed], axis=1), reward


def seen(state: np.ndarray) -> np.ndarray:
    """Return what is seen of a state [rows, 3]."""
    return np.stack([np.cos(state[:, 0]), np.sin(state[:, 0]), state[:, 1]], axis=1)


def swings(episodes: int, rng: np.random.Generator, length: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations [length + 1, episodes, 3], actions [length, episodes] and rewards of random actions."""
    state = np.stack([rng.uniform(-np.pi, np.pi, episodes), rng.uniform(-1, 1, episodes)], axis=1)
    observations, rewards, actions = [seen(state)], [], rng.uniform(-1, 1, (length, episodes))
    for push in actions:
        state, reward = swing(state, push)
        observations.append(seen(state))
        rewards.append(reward)
    return np.stack(observations), actions, np.stack(rewards)


def judge_pendulum(seed: int, rows: int = ROWS, hidden: Sequence[int] = HIDDEN, every: int = EVERY
                   ) -> dict[str, float]:
    """Return errors of the elites' mean, by the worst number seen, as shares of its deviation, on fresh episodes."""
    rng = np.random.default_rng(seed)
    o, a, r = swings(rows // 200, rng)
    inputs, targets = (np.concatenate(parts, axis=2).swapaxes(0, 1).reshape(-1, 4) for parts in (
        (o[:-1], a[..., None]), (r[..., None], o[1:] - o[:-1])))  # one episode after another
    net, effort = fitted(inputs, targets, seed, hidden, every)
    o, a, r = swings(25, rng)
    deviation, found = o.reshape(-1, 3).std(0), {}
    now = o[:-5]  # every instant with five behind it is a start
    for step in range(1, 6):
        push = a[step - 1:len(a) - 5 + step]
        told = said(net, np.concatenate([now, push[..., None]], axis=2).reshape(-1, 4))[0].mean(0)
        now = now + told[:, 1:].reshape(now.shape)
        missed = np.sqrt(((now - o[step:len(o) - 5 + step]) ** 2).mean((0, 1))) / deviation
        if step in (1, 5):
            found[f"rmse_{step}_step"] = float(missed.max())
        if step == 1:
            found["rmse_reward"] = float(np.sqrt(((told[:, 0] - r[:len(push)].ravel()) ** 2).mean()) / r.std())
    return {**found, **effort}


# -- verdict -----------------------------------------------------------------------------------------------------------

BOUNDS = {"linear": {"coverage": (0.87, 0.93), "sigma_error": (0, 0.12), "nll_gap": (-np.inf, 0.05),
                     "disagreement_ratio": (3, np.inf)},
          "pendulum": {"rmse_1_step": (0, 0.02), "rmse_5_step": (0, 0.1)}}


def measure(seeds: Sequence[int] = SEEDS, every: int = EVERY) -> dict[str, Any]:
    """Return all figures by seed, and for every bound whether all seeds keep it."""
    by_seed = {"linear": [judge_linear(seed, every=every) for seed in seeds],
               "pendulum": [judge_pendulum(seed, every=every) for seed in seeds]}
    checks = [{"what": f"{part}.{name}", "values": (values := [found[name] for found in by_seed[part]]),
               "bound": [str(low), str(high)], "ok": all(low <= value <= high for value in values)}
              for part, bounds in BOUNDS.items() for name, (low, high) in bounds.items()]
    return {"checks": checks, "seeds": list(seeds), "rows": ROWS, "every": every, "hidden": list(HIDDEN),
            "by_seed": by_seed}


def main() -> int:
    """Measure with the full counts and print."""
    parser = argparse.ArgumentParser(description="Calibration of the dynamics ensemble, three seeds, 5 000 rows.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--every", type=int, default=EVERY, help="rows between two fits")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    answer = measure(every=chosen.every)
    lines = [f"{'ok  ' if check['ok'] else 'FAIL'} {check['what']:28} {check['values']}" for check in answer["checks"]]
    sys.stdout.write((json.dumps(answer) if chosen.json else "\n".join(lines)) + "\n")
    return 0 if all(check["ok"] for check in answer["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())
