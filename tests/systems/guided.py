"""Are guided sequences better than the policy's? `python tests/systems/guided.py --json`; exit code 0 if all holds.

Check 4 of the specification, in a pendulum whose equations are known: from 1000 states, sequences that path integrals
improved (`parts/guidance.py`, one iteration, 100 variants) must gain more than what the policy does by itself in at
least 90 % of them, and on average with 95 % confidence: for a policy drawn at random and for a half-trained one (SAC,
3000 real steps). Settings were fixed before the first run: seed 0, states uniform over all angles and speeds, five
steps as in `mopac_pendulum`. Reported beside it, and judged by nothing: a policy made by hand that pushes against angle
and speed as hard as it may, which within five steps can hardly be bettered; 15 steps; the settings of MoPAC's authors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import stimloop as sl
from stimloop.components.parts.guidance import AS_PUBLISHED, Guidance, Planner
from stimloop.components.parts.imagination import Actor, ImaginedWorld
from stimloop.components.parts.terminations import never

STATES, HORIZON, GAMMA, SEED, TRAINED = 1000, 5, 0.99, 0, 3000
BETTER = 0.9  # of the states
JUDGED = ("random", "half-trained")


class Pendulum:
    """Pendulum-v1 by the equations of Gymnasium's page, as a model of one certain member.

    theta'' = 3 g / (2 l) sin theta + 3 / (m l^2) u; g = 10, m = l = 1, |u| <= 2, steps of 0.05 s, speed cut at 8; the
    reward is -(theta^2 + 0.1 theta'^2 + 0.001 u^2) before the step.
    """

    elites = (0,)

    def predict(self, values: torch.Tensor, generator: Any = None, member: Any = None) -> torch.Tensor:
        """Return reward and change of observation [rows, 4] for (cosine, sine, speed, action / 2) [rows, 4]."""
        angle, speed, push = torch.atan2(values[:, 1], values[:, 0]), values[:, 2], 2 * values[:, 3].clamp(-1, 1)
        reward = -(angle.square() + 0.1 * speed.square() + 0.001 * push.square())
        after = (speed + (15 * torch.sin(angle) + 3 * push) * 0.05).clamp(-8, 8)
        angle = angle + 0.05 * after
        return torch.stack([reward, angle.cos() - values[:, 0], angle.sin() - values[:, 1], after - speed], dim=1)


class Pull:
    """A policy made by hand: it pushes against angle and speed, which holds a pendulum up and never swings it up."""

    def respond(self, inputs: Mapping[str, Any], memory: Any) -> tuple[dict[str, Any], Any]:
        """Return -(2 sine + 0.5 speed) of an observation, and exploration around it where it is asked for."""
        seen = inputs["observation"]
        push = (-2 * seen[:, 1:2] - 0.5 * seen[:, 2:3]).clamp(-1, 1)
        return {"action": push if "noise" not in inputs else (push + 0.3 * inputs["noise"]).clamp(-1, 1)}, memory


def states(count: int, seed: int) -> torch.Tensor:
    """Return observations [count, 3] of uniform angles and speeds."""
    rng = np.random.default_rng(seed)
    angle, speed = rng.uniform(-np.pi, np.pi, count), rng.uniform(-8, 8, count)
    return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle), speed], axis=1).astype(np.float32))


def compare(policy: Any, count: int, how: Guidance, horizon: int = HORIZON, seed: int = SEED) -> dict[str, float]:
    """Return how much more guided sequences gain than those of a policy, from `count` states."""
    draws = [torch.Generator().manual_seed(seed + i) for i in range(2)]
    world = ImaginedWorld(Pendulum(), never, draws[0])
    planner = Planner(how, world, Actor(policy, 1, draws[0]), GAMMA, None, draws[1])
    start = states(count, seed)
    with torch.no_grad():
        alone, planned = _policy_alone(planner, start, horizon), planner.improve(start, horizon).actions
        more = (_gained(start, planned) - _gained(start, alone)).numpy()
    means = np.random.default_rng(seed).choice(more, (2000, count)).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"better": float((more > 0).mean()), "worse": float((more < 0).mean()), "gain": float(more.mean()),
            "low": float(low), "high": float(high), "policy": float(_gained(start, alone).mean())}


def _policy_alone(planner: Planner, start: torch.Tensor, horizon: int) -> torch.Tensor:
    """Return what the policy does where it does not explore [starts, time, 1]."""
    seen, done = start, []
    for _ in range(horizon):
        done.append(planner.actor.mean(seen))
        seen = planner.world.step(seen, done[-1], planner.world.members(len(seen)))[0]
    return torch.stack(done, dim=1)


def _gained(start: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return the discounted reward [starts] of sequences [starts, time, 1] on the true dynamics."""
    seen, total = start, torch.zeros(len(start))
    for time in range(actions.shape[1]):
        said = Pendulum().predict(torch.cat([seen, actions[:, time]], dim=1))
        total, seen = total + GAMMA**time * said[:, 0], seen + said[:, 1:]
    return total


def policies(steps: int) -> dict[str, Any]:
    """Return policies: drawn at random, made by hand, and half-trained, by SAC for so many real steps."""
    assembly = sl.load("mopac_pendulum").resolve(variant="sac").set(
        {"learner.params.gradient_steps": 1, "evaluate": None, "seed": SEED})
    untrained, trained = assembly.build(), assembly.build()
    trained.run(f"{steps} steps")
    return {"random": untrained.components["brain"], "by hand": Pull(), "half-trained": trained.components["brain"]}


def holds(found: Mapping[str, float]) -> bool:
    """Is that enough?"""
    return found["better"] >= BETTER and found["low"] > 0


def main() -> int:
    """Judge every policy, and report the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="report as JSON")
    parser.add_argument("--states", type=int, default=STATES)
    parser.add_argument("--trained", type=int, default=TRAINED, help="real steps of the half-trained policy")
    asked = parser.parse_args()
    found, ok = {}, True
    for name, policy in policies(asked.trained).items():
        judged = compare(policy, asked.states, Guidance())
        ok &= holds(judged) or name not in JUDGED
        found[name] = {"5 steps": judged, "15 steps": compare(policy, asked.states, Guidance(), 15),
                       "as published": compare(policy, asked.states, AS_PUBLISHED)}
    report = {"states": asked.states, "horizon": HORIZON, "trained_steps": asked.trained, "passed": ok, "found": found}
    if asked.json:
        print(json.dumps(report, indent=2))
    else:
        for name, parts in found.items():
            for what, told in parts.items():
                print(f"{name}, {what}: better in {100 * told['better']:.1f} % of {asked.states} states, gain "
                      f"{told['gain']:.3f} [{told['low']:.3f}, {told['high']:.3f}]")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
