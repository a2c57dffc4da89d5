"""A pole on a cart must be kept upright by pushing the cart left or right: every lane computed at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...loops.bounds import Amount, NonNegative, Positive
from ...loops.component import Component, Inputs
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import MILLISECOND, SECOND, Duration, Period
from ..parts.episodes import Episodes, Restart, body_inputs, body_outputs

GRAVITY = 9.8  # m/s^2
CART_MASS = 1.0  # kg
TRACK = 2.4  # m from the middle to where the cart falls off
TILT = 12 * 2 * np.pi / 360  # rad at which the pole has fallen


class Cartpole(Component):
    """A pole hinged to a cart is balanced by pushing the cart left or right (Barto, Sutton and Anderson 1983).

    Number for number the `CartPole-v1` of Gymnasium, start states from the same seeds included. Loop time and world
    time are apart: the world advances `physics_step` at each tick, and ticks come every `period`.

    Args:
        period: time between ticks in the loop.
        physics_step: time by which the world advances at each tick.
        restart: begin anew at the tick after an end, or within the same instant.
        max_steps: steps after which an episode is truncated; 0 means never.
        pole_mass: mass of the pole in kg.
        pole_length: distance from the hinge to the pole's middle in m.
        force: size of one push in N.
    """

    random = True

    def __init__(self, *, period: Period = 20 * MILLISECOND, physics_step: Duration = 20 * MILLISECOND,
                 restart: Restart = "next_tick", max_steps: Amount = 500, pole_mass: Positive = 0.1,
                 pole_length: Positive = 0.5, force: NonNegative = 10.0) -> None:
        if pole_mass <= 0 or pole_length <= 0:
            raise ValueError(f"a pole of {pole_mass} kg and {pole_length} m cannot be balanced; both must be above 0")
        if physics_step <= 0:
            raise ValueError("physics_step: the world must advance at each tick; write for example 20 ms")
        self.period, self.physics_step, self.restart, self.max_steps = period, physics_step, restart, max_steps
        self.pole_mass, self.pole_length, self.force = pole_mass, pole_length, force
        self.inputs = body_inputs(Port("push left (0) or right (1)", choices=2, reads="hold", also=("now",)))
        self.outputs = body_outputs(Port("cart position and speed, pole angle and angular speed", (4,), ("variable",)),
                                    solved=False)

    @classmethod
    def example(cls) -> Cartpole:
        return cls()

    def build(self, lanes: Lanes, seed: int) -> None:
        super().build(lanes, seed)
        self.episodes = Episodes(lanes, seed, self.restart, self.max_steps)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.episodes.reset(seed)
        self._world = np.zeros((4, self.lanes.count))  # position, speed, angle, angular speed

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        episodes = self.episodes
        if not episodes.open(inputs):
            return {}
        after = self._advance(inputs["action"])
        self._world = after if episodes.all_act else np.where(episodes.act, after, self._world)
        position, angle = self._world[0], self._world[2]
        fallen = (np.abs(position) > TRACK) | (np.abs(angle) > TILT)
        if episodes.start.any():
            self._begin(episodes.start)
        status = episodes.close(fallen)
        if episodes.again.any():
            self._begin(episodes.again)
        return {"observation": self._world.T.astype(np.float32, order="C"),  # [lanes, 4]
                "reward": episodes.act.astype(np.float32), "status": status}

    def _advance(self, action: np.ndarray) -> np.ndarray:
        """One Euler step of the equations of Florian (2007), eqs. 23 and 24, without friction."""
        position, speed, angle, turning = self._world
        tau = self.physics_step / SECOND
        force = np.where(action == 1, self.force, -self.force)
        cosine, sine = np.cos(angle), np.sin(angle)
        total = self.pole_mass + CART_MASS
        moment = self.pole_mass * self.pole_length
        pull = (force + moment * np.square(turning) * sine) / total
        turn = (GRAVITY * sine - cosine * pull) / (
            self.pole_length * (4.0 / 3.0 - self.pole_mass * np.square(cosine) / total))
        push = pull - moment * turn * cosine / total
        return np.stack((position + tau * speed, speed + tau * push, angle + tau * turning, turning + tau * turn))

    def _begin(self, start: np.ndarray) -> None:
        """Draw start states as Gymnasium does; its generator serves one seed at a time, hence the loop."""
        world = self._world.copy()
        for lane in np.flatnonzero(start):
            generator = np.random.Generator(np.random.PCG64(int(self.episodes.seeds[lane])))
            world[:, lane] = generator.uniform(-0.05, 0.05, size=4)
        self._world = world

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how one lane looks: the track, the cart, and the pole at twice the distance of its middle."""
        from ..parts import sketch

        sheet = sketch.Sketch(width, height, 2 * TRACK, (0.0, self.pole_length))
        place, angle = float(self._world[0, lane]), float(self._world[2, lane])
        sheet.line((-TRACK, 0), (TRACK, 0))
        sheet.box((place - 0.25, -0.12), (place + 0.25, 0.12), filled=True)
        tip = place + 2 * self.pole_length * np.sin(angle), 2 * self.pole_length * np.cos(angle)
        sheet.line((place, 0), tip, sketch.BODY, 6)
        return sheet.picture()

    def labels(self) -> dict[str, Any]:
        return {"variable": ["position", "speed", "angle", "angular speed"]}

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "world": self._world.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "episodes" not in state:
            return
        self.episodes.load_state_dict(state["episodes"])
        self._world = np.array(state["world"], np.float64)

    def state(self) -> dict[str, Any]:
        """Return the physical state of every lane, episode bookkeeping included."""
        return self.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave."""
        self.load_state_dict(state)
