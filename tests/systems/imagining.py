"""A small MoPAC, the MBPO and the soft actor-critic that it comes to, and what they have learned, compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import stimloop as sl
from stimloop.components.parts.flat_parameters import flatten
from stimloop.loops.loop import Loop

TEXT = """
name: imagining
until: 120 steps
lanes: 1
components:
  body:    {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true, random_steps: 20},
            inputs: [body.observation, body.status]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  value:   {type: critics.value_mlp, params: {hidden: [8, 8], activation: relu}, inputs: [body.observation]}
  model:   {type: world_models.gaussian_ensemble, params: {members: 3, elites: 2, hidden: [8, 8]},
            inputs: [body.observation, brain.action, body.reward, body.status]}
  learner:
    type: learners.mopac
    params: {termination: never, batch_size: 16, learning_starts: 20, min_buffer: 20, epoch_length: 30,
             gradient_steps: 2, model_train_freq: 15, rollout_batch_size: 12, rollout_schedule: [0, 2, 2, 4],
             ratio_schedule: [0, 1, 0.25, 0.25], particles: 6}
    inputs: [body.observation, body.reward, body.status, brain.action]
    uses: {policy: brain, value: critic, state_value: value, model: model}
"""
COMPAT = {"proposal": "particles", "fresh_noise": False, "mask_terminated": False, "effective_noise": False,
          "last_action": "zero", "bound": 1.4, "scaling": "fixed", "insert": "episode_end"}
PRACTISED = TEXT[TEXT.index("  critic:"):]  # all but body and brain


def assembly(**params: Any) -> sl.Assembly:
    """Return MoPAC, with other parameters of its learner."""
    made = sl.Assembly.from_yaml(TEXT)
    return made.set({f"learner.params.{name}": value for name, value in params.items()}) if params else made


def without_plans(text: str) -> str:
    """Return MBPO where a text says MoPAC: no plans, and no value of states to judge them by."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("  value:")]
    return ("".join(lines).replace("learners.mopac", "learners.mbpo").replace(", particles: 6", "")
            .replace("state_value: value, ", ""))


def mbpo() -> sl.Assembly:
    """Return MBPO with the settings of MoPAC."""
    return sl.Assembly.from_yaml(without_plans(TEXT))


def sac() -> sl.Assembly:
    """Return soft actor-critic, which learns from real steps alone."""
    learner = """    type: learners.sac
    params: {batch_size: 16, learning_starts: 20, gradient_steps: 2}
    inputs: [body.observation, body.reward, body.status, brain.action]
    uses: {policy: brain, value: critic}
"""
    return sl.Assembly.from_yaml(TEXT[:TEXT.index("  value:")] + "  learner:\n" + learner)


def weights(loop: Loop, names: Sequence[str] = ("brain", "critic")) -> list[np.ndarray]:
    """Return what each component has learned, as one vector."""
    return [flatten(loop.components[name].state_dict()["learned"]) for name in names]


def same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    """Are vectors equal to the last bit?"""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
