"""A hand of four tendon-driven fingers turns a valve: a new benchmark."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.bounds import Amount, Count, Share
from ...loops.port import Port
from ...loops.time import Period
from ..parts import hand_model
from ..parts.episodes import Restart
from ..parts.hand_body import CONTROL, HAND, HandBody


class HandValve(HandBody):
    """Four fingers pulled by tendons turn a valve on a table, again and again, without end.

    A new benchmark on a model of our own (`parts/hand_model.py`), no reproduction of an experiment. Observed are the
    nine joints of the hand (rad) and how fast the valve turns (rad/s), which is also the reward. The valve begins at
    any angle; where it stands is not observed. Nothing terminates; a tick is a 120th of a second.

    Delays of action and observation are written on wires, noise of the senses is added on them (docs/hands.md).

    Args:
        head: shape of the valve's head.
        randomise: friction, masses and elastic bands of each episode are drawn within this share of the model's.
        max_steps: steps after which an episode is truncated; 0 means never.
        period: time between ticks in the loop; the world advances by a 120th of a second at each.
        restart: begin anew at the tick after an end, or within the same instant.
        threads: lanes stepped at a time.
        publish_state: publish the whole physical state too, for who plans in a second body.
    """

    def __init__(self, *, head: Literal["three_lobe", "four_lobe", "round"] = "three_lobe",
                 randomise: Share = 0.0, max_steps: Amount = 1000, period: Period = CONTROL,
                 restart: Restart = "next_tick", threads: Count = 1,
                 publish_state: bool = False) -> None:
        if head not in hand_model.HEADS:
            raise ValueError(f"head {head!r} is unknown; write one of {', '.join(hand_model.HEADS)}")
        super().__init__(Port("joint angles, speed of the valve", (HAND + 1,), ("variable",)), randomise, max_steps,
                         period, restart, threads, publish_state)
        self.head = head

    @classmethod
    def example(cls) -> HandValve:
        return cls(max_steps=5, randomise=0.2)

    def _xml(self) -> str:
        return hand_model.valve(self.head)

    def _place(self, qpos: np.ndarray, draw: np.ndarray) -> None:
        """Open fingers, each joint up to 0.05 rad from rest, the valve at any angle."""
        qpos[:HAND] = 0.05 * np.abs(draw[:HAND])
        qpos[0] = 0.05 * draw[0]
        qpos[HAND] = np.pi * draw[HAND]

    def _observe(self) -> np.ndarray:
        turning = self._batch.read("qvel")[:, HAND:HAND + 1]
        return np.concatenate((self.joints(), turning), axis=1).astype(np.float32)  # [lanes, 10]

    def _reward(self, observation: np.ndarray) -> np.ndarray:
        return observation[:, HAND]

    def angle(self) -> np.ndarray:
        """Return how far the valve has turned, rad [lanes]; to look at, not observed."""
        return self._batch.read("qpos")[:, HAND]

    def labels(self) -> dict[str, Any]:
        return {**super().labels(), "variable": [*hand_model.JOINTS, "valve speed"]}
