"""What the bodies with the four-fingered hand share: tendons at the door, physics, chance from episode to episode."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import RunError
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.time import Clock
from . import hand_model, rendering
from .episodes import Episodes, Restart, body_inputs, body_outputs, check_states, state_output

if TYPE_CHECKING:
    from .rendering import Camera

HAND = len(hand_model.JOINTS)
CONTROL = Clock(hand_model.PHYSICS_RATE // hand_model.SUBSTEPS)  # 120 Hz


class HandBody(Component):
    """A hand with one base and four tendon-driven fingers, each lane a MuJoCo world of its own.

    A body says what stands before the hand (`_xml`), how it begins (`_place`), what is observed (`_observe`), rewarded
    and over. Everything random of an episode comes from its seed alone, so what was drawn need not be saved.
    """

    random = True

    def __init__(self, observation: Port, randomise: float, max_steps: int, period: int | Clock, restart: Restart,
                 threads: int, publish_state: bool) -> None:
        if not 0 <= randomise < 1:
            raise ValueError(f"randomise: factors of 1 +- {randomise} would make a mass 0 or less; write a share from "
                             "0 to below 1, such as 0.2")
        self.randomise, self.max_steps, self.restart, self.threads = randomise, max_steps, restart, threads
        self.period = period
        self.physics_step = None  # a 120th of a second, which is no whole number of nanoseconds
        self.inputs = body_inputs(Port("torque of the base; forces on the left, right and coupled tendon, -1 slack to "
                                       "1 full", (len(hand_model.ACTIONS),), ("actuator",), low=-1.0, high=1.0,
                                       reads="hold", also=("now",)))
        self.outputs = body_outputs(observation, solved=False)
        self.publish_state = publish_state
        if publish_state:
            self.outputs |= state_output(None)
        self._batch: Any = None
        self._cameras: dict[int, Camera] = {}

    @abstractmethod
    def _xml(self) -> str:
        """Return the MJCF of the world."""

    @abstractmethod
    def _place(self, qpos: np.ndarray, draw: np.ndarray) -> None:
        """Write the start of an episode into the positions of one lane; `draw` [16] is uniform in [-1, 1)."""

    @abstractmethod
    def _observe(self) -> np.ndarray:
        """Return what is observed, float32 [lanes, observations]."""

    @abstractmethod
    def _reward(self, observation: np.ndarray) -> np.ndarray:
        """Return what is rewarded of what is observed, float32 [lanes]."""

    def _over(self, observation: np.ndarray) -> np.ndarray | None:
        """Return which lanes have ended, bool [lanes]; None: none ever does."""
        return None

    def infer(self) -> None:
        """Count the numbers of the physical state."""
        if self.publish_state and not self.outputs["state"].known:
            with rendering.importing():
                import mujoco

            from .mujoco_batch import state_size

            size = state_size(mujoco.MjModel.from_xml_string(self._xml()))
            self.outputs["state"] = self.outputs["state"].sized((size,))

    def build(self, lanes: Lanes, seed: int) -> None:
        with rendering.importing():
            import mujoco

        from .mujoco_batch import MujocoBatch

        super().build(lanes, seed)
        self._plain = mujoco.MjModel.from_xml_string(self._xml())
        models = [copy.copy(self._plain) for _ in range(lanes.count)] if self.randomise else [self._plain] * lanes.count
        self._batch = MujocoBatch(models, [mujoco.MjData(model) for model in models], threads=self.threads,
                                  numbers=lanes.numbers)
        low, high = self._plain.actuator_ctrlrange.T
        self._middle, self._half = (low + high) / 2, (high - low) / 2  # [actions]
        self.episodes = Episodes(lanes, seed, self.restart, self.max_steps)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        for camera in self._cameras.values():  # what draws holds much memory
            camera.close()
        self.episodes.reset(seed)
        self._drawn = np.full(self.lanes.count, -1, np.int64)  # seed that each lane's model was drawn from; -1: none
        self._redraw(np.ones(self.lanes.count, bool))
        self._batch.reset()
        self._batch.forward()

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        episodes = self.episodes
        if not episodes.open(inputs):
            return {}
        acting = np.flatnonzero(episodes.act).tolist()
        if acting:
            action = np.clip(inputs["action"], -1.0, 1.0)  # [lanes, actions]
            self._batch.write("ctrl", self._middle + self._half * action, acting)
            self._batch.step(hand_model.SUBSTEPS, acting)
        after = self._observe()
        reward = np.where(episodes.act, self._reward(after), np.float32(0)).astype(np.float32)
        over = self._over(after)
        self._begin(episodes.start)
        status = episodes.close(over)
        self._begin(episodes.again)
        begun = episodes.start | episodes.again
        told = {"observation": self._observe() if begun.any() else after, "reward": reward, "status": status}
        return {**told, "state": self._batch.state()} if self.publish_state else told

    def _begin(self, start: np.ndarray) -> None:
        """Begin an episode in the lanes `start` [lanes] bool, from their seeds."""
        if not start.any():
            return
        self._drawn = np.where(start, self.episodes.seeds, self._drawn)
        self._redraw(start)
        draw = 2 * LaneRandom(0, Lanes(self.lanes.count, self.episodes.seeds), "hand").uniform((16,)) - 1
        lanes, places = np.flatnonzero(start).tolist(), self._batch.bound("qpos")
        self._batch.reset(lanes)
        for lane in lanes:  # each world has memory of its own
            self._place(places[lane], draw[lane])
        self._batch.forward(lanes)

    def _redraw(self, which: np.ndarray) -> None:
        """Give the models of the lanes `which` [lanes] bool the friction, masses and bands that their seeds draw.

        One factor for all friction (of a contact the greater of two counts), one for each body's mass and inertia, one
        for each joint's band, all uniform in 1 +- `randomise`.
        """
        if not self.randomise:
            return
        import mujoco

        plain = self._plain
        random = LaneRandom(0, Lanes(self.lanes.count, np.maximum(self._drawn, 0)), "randomise")
        share = self.randomise * (self._drawn >= 0)[:, None]  # [lanes, 1]
        factors = 1 + share * (2 * random.uniform((1 + plain.nbody + plain.njnt,)) - 1)
        for lane in np.flatnonzero(which).tolist():
            model, friction = self._batch.models[lane], factors[lane, 0]
            masses, bands = factors[lane, 1:1 + plain.nbody], factors[lane, 1 + plain.nbody:]
            model.geom_friction[:] = plain.geom_friction * friction
            model.dof_frictionloss[:] = plain.dof_frictionloss * friction
            model.body_mass[:] = plain.body_mass * masses
            model.body_inertia[:] = plain.body_inertia * masses[:, None]
            model.jnt_stiffness[:] = plain.jnt_stiffness * bands
            mujoco.mj_setConst(model, self._batch.datas[lane])  # what follows from masses

    def joints(self) -> np.ndarray:
        """Return the angles of the hand's joints, rad [lanes, joints]."""
        return self._batch.read("qpos")[:, :HAND]

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "drawn": self._drawn.copy(), "physics": self._batch.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "episodes" not in state:
            return
        self.episodes.load_state_dict(state["episodes"])
        self._drawn = np.array(state["drawn"], np.int64)
        self._redraw(np.ones(self.lanes.count, bool))
        self._batch.set_state(np.asarray(state["physics"], np.float64))

    def state(self) -> dict[str, Any]:
        """Return the physical state of every lane, episode bookkeeping included."""
        return self.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave."""
        self.load_state_dict(state)

    def place(self, states: np.ndarray) -> None:
        """Put every lane at a `state` [lanes, numbers] that such a body published, in mid-episode.

        Raises RunError where models are drawn by episode seeds: a state does not say which.
        """
        if self.randomise:
            raise RunError("a hand whose friction and masses are drawn for each episode (randomise) cannot be put at "
                           "another's state: plan in one with randomise: 0, which is the model's own")
        check_states(states, self._batch.state().shape, type(self).__name__)
        self._batch.set_state(states)
        self.episodes.placed()

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how one lane looks from the side [height, width, 3] uint8."""
        from .rendering import Camera

        if lane not in self._cameras:
            self._cameras[lane] = Camera(self._batch.models[lane], "side")
        return self._cameras[lane].take(self._batch.datas[lane], width, height)

    def labels(self) -> dict[str, Any]:
        return {"actuator": list(hand_model.ACTIONS)}

    def close(self) -> None:
        if self._batch is None:
            return
        self._batch.close()
        for camera in self._cameras.values():
            camera.close()
        self._cameras, self._batch = {}, None
