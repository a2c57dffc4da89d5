"""Proximal policy optimisation against Stable-Baselines3's: steps per second, and steps until a pole is balanced."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .common import check, interleave, ratio_check, timed

ENV, LANES, N_STEPS, BATCH, EPOCHS = "HalfCheetah-v5", 16, 128, 64, 10  # SB3's defaults: 2048 steps in all, 64, 10
HIDDEN = [64, 64]
SEEDS, GOAL, MOST, EVERY, EPISODES = 3, 475.0, 100_000, 10_000, 20  # of the pole

CHEETAH = f"""
name: cheetah
until: 1 step
lanes: {LANES}
record: none
components:
  body:    {{type: bodies.gymnasium_env, params: {{env: {ENV}}}, inputs: [brain.action]}}
  brain:   {{type: brains.mlp, params: {{hidden: {HIDDEN}, activation: tanh, explore: true}},
            inputs: [body.observation, body.status]}}
  critic:  {{type: critics.value_mlp, params: {{hidden: {HIDDEN}, activation: tanh}}, inputs: [body.observation]}}
  learner: {{type: learners.ppo, params: {{n_steps: {N_STEPS}, batch_size: {BATCH}, n_epochs: {EPOCHS}}},
            uses: {{policy: brain, value: critic}},
            inputs: [body.observation, body.reward, body.status, brain.action, brain.log_prob]}}
"""

# RL Zoo's settings for CartPole-v1: both rates fall to 0 over the whole of learning
POLE = f"""
name: pole
until: {MOST} steps
lanes: 8
record: none
components:
  body:    {{type: bodies.gymnasium_env, params: {{env: CartPole-v1}}, inputs: [brain.action]}}
  brain:   {{type: brains.mlp, params: {{hidden: [64, 64], activation: tanh, explore: true}},
            inputs: [body.observation, body.status]}}
  critic:  {{type: critics.value_mlp, params: {{hidden: [64, 64], activation: tanh}}, inputs: [body.observation]}}
  learner:
    type: learners.ppo
    params: {{n_steps: 32, batch_size: 256, n_epochs: 20, gamma: 0.98, gae_lambda: 0.8,
             learning_rate: [0, {MOST}, 1e-3, 0], clip_range: [0, {MOST}, 0.2, 0]}}
    uses: {{policy: brain, value: critic}}
    inputs: [body.observation, body.reward, body.status, brain.action, brain.log_prob]
evaluate:
  test: {{every: {EVERY} steps, episodes: {EPISODES}, seeds: 1000, without: [learner, critic],
         set: {{brain.params.explore: false}}}}
"""


# -- steps per second: so many rounds of gathering and learning --------------------------------------------------------


def _ours() -> Any:
    import stimloop as sl

    loop = sl.Assembly.from_yaml(CHEETAH).build()
    made = [0]

    def work() -> int:
        made[0] += LANES * N_STEPS
        loop.run(f"{made[0]} steps")
        return LANES * N_STEPS

    return work


def _peer(kind: str) -> Any:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    envs = make_vec_env(ENV, LANES, seed=0, vec_env_cls={"dummy": DummyVecEnv, "processes": SubprocVecEnv}[kind])
    model = PPO("MlpPolicy", envs, n_steps=N_STEPS, batch_size=BATCH, n_epochs=EPOCHS, seed=0, device="cpu",
                policy_kwargs={"net_arch": HIDDEN})

    def work() -> int:
        model.learn(LANES * N_STEPS, reset_num_timesteps=False, log_interval=None)
        return LANES * N_STEPS

    return work


# -- steps until the pole is balanced ----------------------------------------------------------------------------------


def _our_steps(seed: int) -> int:
    """Steps at which the mean return of the test episodes first reaches the goal (2 * MOST: never)."""
    import stimloop as sl

    with sl.Assembly.from_yaml(POLE).set("seed", seed).build() as loop:
        evaluation = loop.evaluations["test"]
        for steps in range(EVERY, MOST + 1, EVERY):
            loop.run(f"{steps} steps")
            if np.mean(evaluation.rows[-1]["return"]) >= GOAL:
                return steps
    return 2 * MOST


def _peer_steps(seed: int) -> int:
    import gymnasium as gym
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    solved = [2 * MOST]
    test = gym.make("CartPole-v1")

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % EVERY < 8 and self.num_timesteps >= EVERY:
                for i in range(EPISODES):
                    test.reset(seed=1000 + i)
                returns, _ = evaluate_policy(self.model, test, EPISODES, warn=False)
                if float(np.mean(returns)) >= GOAL:
                    solved[0] = self.num_timesteps // EVERY * EVERY
                    return False
            return True

    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 8, seed=seed), n_steps=32, batch_size=256, n_epochs=20,
                gamma=0.98, gae_lambda=0.8, ent_coef=0.0, learning_rate=lambda left: 1e-3 * left,
                clip_range=lambda left: 0.2 * left, seed=seed, device="cpu")
    model.learn(MOST, callback=Look())
    return solved[0]


def measure(rounds: int = 8, seeds: int = SEEDS) -> dict[str, Any]:
    """Steps per second, ours over the faster of Stable-Baselines3's two, one thread of torch each."""
    import torch

    logging.getLogger("stable_baselines3").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    works = {"ours": _ours(), "dummy": _peer("dummy"), "processes": _peer("processes")}
    times = interleave({name: lambda work=work: timed(work) for name, work in works.items()}, rounds)
    faster = min(("dummy", "processes"), key=lambda name: float(np.median(times[name])))
    solved = [(_our_steps(seed), _peer_steps(seed)) for seed in range(seeds)]
    mine, theirs = zip(*solved, strict=True)
    return {"name": "ppo", "checks": [
        ratio_check("steps_vs_sb3", times[faster], times["ours"], at_least=1.5),
        check("step_us", np.multiply(times["ours"], 1e6).tolist(), "us"),
        check("cartpole_steps", [max(mine)], "steps", at_most=MOST),
        check("cartpole_steps_sb3", [max(theirs)], "steps", at_most=MOST),
    ], "settings": {"env": ENV, "lanes": LANES, "n_steps": N_STEPS, "batch_size": BATCH, "n_epochs": EPOCHS,
                    "hidden": HIDDEN, "faster_peer": faster, "step_us": {name: float(np.median(times[name])) * 1e6
                                                                          for name in works},
                    "goal": GOAL, "cartpole_by_seed": solved, "rounds": rounds}}
