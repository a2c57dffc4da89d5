"""Soft actor-critic against Stable-Baselines3's: updates per second, and steps until a pendulum stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from .common import check, interleave, ratio_check, timed

OBSERVATIONS, ACTIONS, HIDDEN, BATCH, ROWS = 17, 6, [256, 256], 256, 20_000
SEEDS, EVERY, EPISODES, GOAL, MOST = 5, 250, 10, -200.0, 15_000  # of the pendulum
RATE = 1e-3  # RL Zoo's for Pendulum-v1

ASSEMBLY = """
name: pendulum
until: {most} steps
record: none
components:
  body:    {{type: bodies.gymnasium_env, params: {{env: Pendulum-v1}}, inputs: [brain.action]}}
  brain:   {{type: brains.mlp, params: {{hidden: [256, 256], explore: true, random_steps: 100}},
            inputs: [body.observation, body.status]}}
  critic:  {{type: critics.q_ensemble, params: {{hidden: [256, 256]}}, inputs: [body.observation, brain.action]}}
  learner: {{type: learners.sac, params: {{learning_rate: {rate}}}, uses: {{policy: brain, value: critic}},
            inputs: [body.observation, body.reward, body.status, brain.action]}}
evaluate:
  test: {{every: {every} steps, episodes: {episodes}, seeds: 1000, without: [learner, critic],
         set: {{brain.params.explore: false}}}}
"""


# -- updates per second ------------------------------------------------------------------------------------------------


def _data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"observation": rng.standard_normal((ROWS, OBSERVATIONS), np.float32),
            "action": rng.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32),
            "reward": rng.standard_normal(ROWS, np.float32),
            "successor": rng.standard_normal((ROWS, OBSERVATIONS), np.float32),
            "terminated": (rng.random(ROWS) < 0.01).astype(np.float32)}


def _ours(data: dict[str, np.ndarray]) -> Any:
    """A function that makes some updates, on a policy and critics as a loop builds them."""
    import stimloop as sl
    from stimloop.loops.component import Component
    from stimloop.loops.port import Port
    from stimloop.loops.status import status_output

    class Source(Component):
        """A body of the size wanted, which nothing happens in."""

        period = 20_000_000

        def __init__(self) -> None:
            self.inputs = {"action": Port("ignored", (ACTIONS,), low=-1, high=1, reads="hold")}
            self.outputs = {"observation": Port("nothing", (OBSERVATIONS,)), "reward": Port("nothing"),
                            "status": status_output()}

    text = ASSEMBLY.format(most=1, rate=3e-4, every=1, episodes=1).partition("evaluate:")[0]
    a = sl.Assembly.from_yaml(text.replace("bodies.gymnasium_env, params: {env: Pendulum-v1}", "'bench:Source'"))
    learner = a.with_class("bench:Source", Source).set("learner.params.buffer_size", ROWS).build().components["learner"]
    learner.buffer.add(data)

    def work(updates: int) -> int:
        for _ in range(updates):
            learner.core.update(learner.buffer.sample(BATCH, learner._generator), learner._generator)
        return updates

    return work


def _peer(data: dict[str, np.ndarray]) -> Any:
    """The same by Stable-Baselines3: its own call for so many gradient steps."""
    import gymnasium as gym
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    class Nothing(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (ACTIONS,), np.float32)

    model = SAC("MlpPolicy", Nothing(), device="cpu", buffer_size=ROWS, policy_kwargs={"net_arch": HIDDEN})
    model.set_logger(configure(None, []))
    for i in range(ROWS):
        model.replay_buffer.add(data["observation"][i], data["successor"][i], data["action"][i], data["reward"][i],
                                data["terminated"][i], [{}])

    def work(updates: int) -> int:
        model.train(gradient_steps=updates, batch_size=BATCH)
        return updates

    return work


# -- steps until the pendulum stands -----------------------------------------------------------------------------------


def _our_steps(seed: int) -> int:
    """Steps at which the mean return of the test episodes first reaches the goal (MOST: never)."""
    import stimloop as sl

    a = sl.Assembly.from_yaml(ASSEMBLY.format(most=MOST, rate=RATE, every=EVERY, episodes=EPISODES)).set("seed", seed)
    with a.build() as loop:
        evaluation = loop.evaluations["test"]
        for steps in range(EVERY, MOST + 1, EVERY):
            loop.run(f"{steps} steps")
            if np.mean(evaluation.rows[-1]["return"]) >= GOAL:
                return steps
    return MOST


def _peer_steps(seed: int) -> int:
    import gymnasium as gym
    from stable_baselines3 import SAC

    model, test = SAC("MlpPolicy", "Pendulum-v1", learning_rate=RATE, seed=seed, device="cpu"), gym.make("Pendulum-v1")
    for steps in range(EVERY, MOST + 1, EVERY):
        model.learn(EVERY, reset_num_timesteps=steps == EVERY, log_interval=None)
        if np.mean([_episode(model, test, 1000 + i) for i in range(EPISODES)]) >= GOAL:
            return steps
    return MOST


def _episode(model: Any, env: Any, seed: int) -> float:
    observation, total, over = env.reset(seed=seed)[0], 0.0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(model.predict(observation, deterministic=True)[0])
        total, over = total + float(reward), terminated or truncated
    return total


def measure(updates: int = 40, rounds: int = 15, seeds: int = SEEDS) -> dict[str, Any]:
    """Updates per second and steps until solved, ours over Stable-Baselines3's, one thread each."""
    import torch

    torch.set_num_threads(1)
    data = _data()
    ours, peer = _ours(data), _peer(data)
    times = interleave({"ours": lambda: timed(lambda: ours(updates)), "peer": lambda: timed(lambda: peer(updates))},
                       rounds)
    solved = [(_our_steps(seed), _peer_steps(seed)) for seed in range(seeds)]  # both of a seed, one after the other
    mine, theirs = zip(*solved, strict=True)
    return {"name": "sac", "checks": [
        ratio_check("updates_vs_sb3", times["peer"], times["ours"], at_least=1.2),
        check("update_ms", np.multiply(times["ours"], 1e3).tolist(), "ms"),
        ratio_check("pendulum_steps_vs_sb3", mine, theirs, at_most=1.25, by_median=True),
        check("pendulum_steps", mine, "steps"),
        check("pendulum_steps_sb3", theirs, "steps"),
    ], "settings": {"observations": OBSERVATIONS, "actions": ACTIONS, "hidden": HIDDEN, "batch": BATCH,
                    "learning_rate_pendulum": RATE, "goal": GOAL, "episodes": EPISODES, "every": EVERY,
                    "steps_by_seed": solved, "updates": updates, "rounds": rounds}}
