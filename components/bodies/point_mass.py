"""A point in a box is pushed towards a target: the smallest body, without a physics engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Amount, Count, NonNegative, Positive
from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.time import MILLISECOND, SECOND, Clock, Period
from ..parts.episodes import Episodes, Restart, body_inputs, body_outputs, check_states, state_output


class PointMass(Component):
    """A point of unit mass, slowed by friction, is pushed towards a target inside the box [-1, 1].

    The push is constant over a tick, so the motion between two ticks is exact: with friction f, v' = a - f v.
    The episode starts at rest at a random place with a random target, both drawn from the episode's seed.

    Args:
        dimensions: number of directions in which the point moves.
        strength: acceleration at full action, in box half-widths per second squared.
        friction: rate at which speed is lost, 1/s; 0 means none.
        radius: the task is solved within this distance of the target.
        stop_when_solved: does the episode terminate there?
        max_steps: steps after which an episode is truncated; 0 means never.
        period: time between ticks.
        restart: begin anew at the tick after an end, or within the same instant.
        publish_state: publish position, velocity and target in full precision too, for who plans in a second body.
    """

    random = True

    def __init__(self, *, dimensions: Count = 2, strength: NonNegative = 4.0, friction: NonNegative = 1.0,
                 radius: Positive = 0.1, stop_when_solved: bool = False, max_steps: Amount = 100,
                 period: Period = 20 * MILLISECOND, restart: Restart = "next_tick",
                 publish_state: bool = False) -> None:
        if dimensions < 1:
            raise ValueError(f"dimensions: a point in {dimensions} dimensions cannot move; write 1 or more")
        if friction < 0:
            raise ValueError(f"friction: {friction} would speed the point up; write 0 or more")
        self.dimensions, self.strength, self.friction, self.radius = dimensions, strength, friction, radius
        self.stop_when_solved, self.max_steps, self.restart = stop_when_solved, max_steps, restart
        self.period = period
        self.physics_step = period if isinstance(period, int) else None  # of a Clock's ticks no two need be equal
        self.inputs = body_inputs(Port("push", (dimensions,), ("direction",), low=-1.0, high=1.0, reads="hold",
                                       also=("now", "mean")))
        self.outputs = body_outputs(Port("position, velocity, target minus position", (3 * dimensions,), ("variable",)))
        self.publish_state = publish_state
        if publish_state:
            self.outputs |= state_output(3 * dimensions)

    @classmethod
    def example(cls) -> PointMass:
        return cls(max_steps=5)

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self._response = _response(self.friction, _seconds(self.period))
        self.episodes = Episodes(lanes, seed, self.restart, self.max_steps)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.episodes.reset(seed)
        shape = (self.lanes.count, self.dimensions)
        self._position, self._velocity, self._target = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        episodes = self.episodes
        if not episodes.open(inputs):
            return {}
        act = episodes.act[:, None]  # [lanes, 1]
        push = np.clip(inputs["action"], -1.0, 1.0) * self.strength
        keep, gain, drift, shift = self._response
        position = self._position + drift * self._velocity + shift * push
        velocity = keep * self._velocity + gain * push
        hit = np.abs(position) > 1.0  # the walls of the box stop the point
        self._velocity = np.where(act, np.where(hit, 0.0, velocity), self._velocity)
        self._position = np.where(act, np.clip(position, -1.0, 1.0), self._position)
        distance = np.sqrt(((self._target - self._position) ** 2).sum(axis=1))
        solved = distance < self.radius
        self._begin(episodes.start)
        status = episodes.close(solved & self.stop_when_solved)
        self._begin(episodes.again)
        reward = np.where(episodes.act, -distance, 0.0).astype(np.float32)
        told = {"observation": self._observe(), "reward": reward, "status": status, "solved": solved & ~episodes.start}
        if self.publish_state:
            told["state"] = np.concatenate((self._position, self._velocity, self._target), axis=1)
        return told

    def _begin(self, start: np.ndarray) -> None:
        """Put the lanes in `start` [lanes] bool at places drawn from their episode seeds."""
        if not start.any():
            return
        draw = LaneRandom(0, Lanes(self.lanes.count, self.episodes.seeds), "point mass")
        place = 2.0 * draw.uniform((2, self.dimensions)) - 1.0  # [lanes, 2, dimensions] in [-1, 1)
        here = start[:, None]
        self._position = np.where(here, place[:, 0], self._position)
        self._target = np.where(here, place[:, 1], self._target)
        self._velocity = np.where(here, 0.0, self._velocity)

    def _observe(self) -> np.ndarray:
        values = (self._position, self._velocity, self._target - self._position)
        return np.concatenate(values, axis=1).astype(np.float32)  # [lanes, 3 * dimensions]

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how one lane looks: the first two directions, the point in blue, the target as a red ring."""
        from ..parts import sketch

        sheet = sketch.Sketch(width, height, 2.2)
        sheet.box((-1, -1), (1, 1))
        here, there = ([*place[lane, :2].tolist(), 0.0][:2] for place in (self._position, self._target))
        sheet.disc((there[0], there[1]), self.radius, sketch.AIM, filled=False)
        sheet.disc((here[0], here[1]), 0.04)
        return sheet.picture()

    def labels(self) -> dict[str, Any]:
        names = "xyz" if self.dimensions <= 3 else [str(i) for i in range(self.dimensions)]
        variables = [f"{what} {names[i]}" for what in ("position", "velocity", "error")
                     for i in range(self.dimensions)]
        return {"variable": variables, "direction": [names[i] for i in range(self.dimensions)]}

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "position": self._position.copy(),
                "velocity": self._velocity.copy(), "target": self._target.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "episodes" not in state:
            return
        self.episodes.load_state_dict(state["episodes"])
        self._position, self._velocity, self._target = (np.array(state[name], np.float64)
                                                        for name in ("position", "velocity", "target"))

    def state(self) -> dict[str, Any]:
        """Return the physical state of every lane, episode bookkeeping included."""
        return self.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave."""
        self.load_state_dict(state)

    def place(self, states: np.ndarray) -> None:
        """Put every lane at a `state` [lanes, 3 * dimensions] that such a body published, in mid-episode."""
        check_states(states, (self.lanes.count, 3 * self.dimensions), "bodies.point_mass")
        self._position, self._velocity, self._target = (part.copy() for part in np.split(states, 3, axis=1))
        self.episodes.placed()


def _seconds(period: int | Clock) -> float:
    """Nominal length of one tick."""
    return period.denominator / period.numerator if isinstance(period, Clock) else period / SECOND


def _response(friction: float, dt: float) -> tuple[float, float, float, float]:
    """Exact answer over dt of v' = a - f v, x' = v: v keeps `keep` and gains `gain` a; x drifts and shifts alike."""
    if friction == 0.0:
        return 1.0, dt, dt, dt * dt / 2
    keep = float(np.exp(-friction * dt))
    gain = (1.0 - keep) / friction
    return keep, gain, gain, (dt - gain) / friction
