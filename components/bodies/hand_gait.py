"""A hand of four tendon-driven fingers turns a loose object in its grasp: a new benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, Share
from ...loops.port import Port
from ...loops.time import Period
from ..parts import hand_model, terminations
from ..parts.episodes import Restart
from ..parts.hand_body import CONTROL, HAND, HandBody


class HandGait(HandBody):
    """Four fingers pulled by tendons turn an apple that they hold in the air, by grasping it anew without dropping it.

    A new benchmark on a model of our own (`parts/hand_model.py`), no reproduction of an experiment. Observed are the
    nine joints of the hand (rad), the object's position (m), its orientation (unit quaternion, w first) and its
    angular velocity in the world (rad/s), whose vertical component is the reward. An episode begins in a grasp that
    half of the tendons' force, action 0, holds. It terminates when the object is lower than any that does not lie on
    the floor (`parts/terminations.hand_gait`); a tick is a 120th of a second.

    Delays of action and observation are written on wires, noise of the senses is added on them (docs/hands.md).

    Args:
        randomise: friction, masses and elastic bands of each episode are drawn within this share of the model's.
        max_steps: steps after which an episode is truncated; 0 means never.
        period: time between ticks in the loop; the world advances by a 120th of a second at each.
        restart: begin anew at the tick after an end, or within the same instant.
        threads: lanes stepped at a time.
        publish_state: publish the whole physical state too, for who plans in a second body.
    """

    def __init__(self, *, randomise: Share = 0.0, max_steps: Amount = 1000, period: Period = CONTROL,
                 restart: Restart = "next_tick", threads: Count = 1,
                 publish_state: bool = False) -> None:
        super().__init__(Port("joint angles; position, orientation and angular velocity of the object", (HAND + 10,),
                              ("variable",)), randomise, max_steps, period, restart, threads, publish_state)

    @classmethod
    def example(cls) -> HandGait:
        return cls(max_steps=5, randomise=0.2)

    def _xml(self) -> str:
        return hand_model.loose_object()

    def _place(self, qpos: np.ndarray, draw: np.ndarray) -> None:
        """A grasp, each joint within 0.01 rad of it; the object within 1 mm, turned anyhow about the vertical."""
        qpos[:HAND] = hand_model.GRASP + 0.01 * draw[:HAND]
        qpos[HAND:HAND + 2] = 0.001 * draw[HAND:HAND + 2]
        qpos[HAND + 2] = hand_model.OBJECT_START + 0.001 * draw[HAND + 2]
        half = np.pi / 2 * draw[HAND + 3]
        qpos[HAND + 3:HAND + 7] = np.cos(half), 0.0, 0.0, np.sin(half)

    def _observe(self) -> np.ndarray:
        pose = self._batch.read("qpos")[:, HAND:]
        own = self._batch.read("qvel")[:, HAND + 3:]  # about the object's own axes
        values = (self.joints(), pose, _turned(pose[:, 3:], own))
        return np.concatenate(values, axis=1).astype(np.float32)  # [lanes, 19]

    def _reward(self, observation: np.ndarray) -> np.ndarray:
        return observation[:, -1]

    def _over(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(terminations.hand_gait(observation, None, observation))

    def labels(self) -> dict[str, Any]:
        return {**super().labels(), "variable": [*hand_model.JOINTS, *(f"object {name}" for name in (
            "x", "y", "z", "w", "i", "j", "k", "roll rate", "pitch rate", "yaw rate"))]}


def _turned(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Turn vectors [lanes, 3] by unit quaternions [lanes, 4], w first: v + 2 w (u x v) + 2 u x (u x v)."""
    w, u = quaternion[:, :1], quaternion[:, 1:]
    across = 2 * np.cross(u, vector)
    return vector + w * across + np.cross(u, across)
