"""Any environment of Gymnasium's registry as a body: one instance of it per lane, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...loops.bounds import Amount, AnyNumbers, Count, Positive
from ...loops.component import Component, Inputs
from ...loops.errors import PortError, RunError, nearest, short
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Period
from ..parts.episodes import Episodes, Restart, body_inputs, body_outputs, check_states, state_output
from ..parts.workers import Workers

if TYPE_CHECKING:
    from ..parts.env_state import StateDoor

SUCCESS = ("solved", "is_success", "success")  # names under which environments tell that their task is solved


class GymnasiumEnv(Component):
    """An environment that was written for Gymnasium moves in the loop: `bodies.gymnasium_env`.

    Boxes are scaled from [-1, 1] to the environment's bounds at its door, discrete actions are choices. A dictionary
    of observations becomes one port per key, `observation_<key>`, beside the flat `observation`; images stay uint8.

    Args:
        env: the environment's registered id, such as Pendulum-v1; or `my_module:MyEnv-v0`, if its module is allowed.
        env_params: parameters given to the environment when it is made.
        info: entries of its info dictionary to publish, 0 where a step does not tell them.
        period: time between ticks; by default what the environment says one of its steps takes.
        max_steps: steps after which an episode is truncated; by default the registered number, 0 means never.
        action_scale: what 1 means where the environment's actions have no bounds.
        unscaled: hand actions on in [-1, 1] as they are, within the environment's bounds but not scaled to them. The
            simulated step of Pan et al. 2024's published code does so; where bounds are 1 it changes nothing.
        restart: begin anew at the tick after an end, or within the same instant.
        threads: lanes stepped at a time; worth it for environments of MuJoCo, which leave the interpreter meanwhile.
        publish_state: publish the physical state too, for who plans in a second body; of MuJoCo and classic ones.
    """

    random = True

    def __init__(self, *, env: str, env_params: AnyNumbers | None = None, info: list[str] | None = None,
                 period: Period | None = None, max_steps: Amount | None = None, action_scale: Positive | None = None,
                 unscaled: bool = False, restart: Restart = "next_tick", threads: Count = 1,
                 publish_state: bool = False) -> None:
        from ..parts import environments, spaces

        self.env, self.env_params, self.max_steps, self.restart = env, dict(env_params or {}), max_steps, restart
        self.threads = threads
        self._make = environments.make
        probe = self._new_env()
        try:
            self.period, self.warnings = environments.asked_period(probe, period)
            self.physics_step = environments.physics_step(probe)
            self._action = spaces.ActionDoor(probe.action_space, action_scale, unscaled=unscaled)
            self._observation = spaces.ObservationDoor(probe.observation_space, env)
            self.inputs = body_inputs(self._action.port)
            shown, tells = environments.first_steps(env, probe, self._action.nothing())
        finally:
            probe.close()
        for each in shown:
            self._observation.check(each)
        self._success = next((name for name in SUCCESS if name in tells), None)
        observation = self._observation.ports
        self.outputs = {**body_outputs(observation["observation"], self._success is not None), **observation}
        self._info: dict[str, str] = {}  # port name -> key in info
        for key in info or []:
            self._add_info(key, tells, spaces.plain_name(key))
        self.publish_state = publish_state
        self._door: StateDoor | None = None
        if publish_state:
            self.outputs |= state_output(self._state_door().size)
        self._tells = bool(self._info) or self._success is not None
        self._envs: list[Any] = []
        self._visible: set[int] = set()  # lanes whose environments were made anew to be drawn
        self._workers: Workers | None = None

    def _new_env(self) -> Any:
        return self._make(self.env, self.env_params, self.max_steps)

    def _state_door(self) -> StateDoor:
        """Return what reads and sets physical states; ValueError says why this environment's cannot be."""
        if self._door is None:
            from ..parts import env_state

            port, rng = self._action.port, np.random.default_rng(0)
            wild = (rng.integers(port.choices, size=8) if port.choices else
                    rng.uniform(-1, 1, (8, *port.shape)).astype(np.float32))  # type: ignore[misc]
            self._door = env_state.door(self.env, self._new_env, self._action(wild))
        return self._door

    def _add_info(self, key: str, tells: dict[str, Any], name: str) -> None:
        """Declare the output for one entry of the info dictionary."""
        if key not in tells:
            raise ValueError(f"info: {self.env} does not tell {key!r}. {nearest(key, tells)}")
        value = np.asarray(tells[key])
        if value.dtype.kind not in "biuf":
            raise ValueError(f"info: {key!r} of {self.env} is not a number or an array of numbers but {tells[key]!r}")
        if name in self.outputs and self.outputs[name].about != _about(key):
            if key == self._success:
                return  # published as `solved` already
            raise ValueError(f"info: {key!r} would hide the output {name!r} that every body has")
        self.outputs[name] = Port(_about(key), value.shape, dtype="bool" if value.dtype.kind == "b" else "float32")
        self._info[name] = key

    @classmethod
    def example(cls) -> GymnasiumEnv:
        return cls(env="Pendulum-v1", max_steps=5)

    def build(self, lanes: Lanes, seed: int) -> None:
        from ..parts.replay import ActionLog

        super().build(lanes, seed)
        self._envs, self._placed = [self._new_env() for _ in range(lanes.count)], False
        self._workers = Workers(min(self.threads, lanes.count))
        self.episodes = Episodes(lanes, seed, self.restart)  # the environment itself knows its time limit
        self._log = ActionLog(lanes.count, self.inputs["action"].shape, self.inputs["action"].dtype)  # type: ignore[arg-type]
        self.reset(seed)

    def reset(self, seed: int) -> None:
        for lane in self._visible:  # what draws holds much memory
            self._envs[lane].close()
            self._envs[lane] = self._new_env()
        self._visible.clear()
        self.episodes.reset(seed)
        self._log.clear()
        self._last = {name: np.zeros(port.full_shape(self.lanes.count), port.dtype)
                      for name, port in self.outputs.items() if name != "status"}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        episodes = self.episodes
        if not episodes.open(inputs):
            return {}
        out = {name: value.copy() for name, value in self._last.items()}
        self._ended: tuple[list[int], list[int]] = [], []  # lanes terminated, truncated
        if episodes.all_act:
            self._act(range(self.lanes.count), inputs["action"], out)
        else:
            out["reward"][:] = 0
            self._act(np.flatnonzero(episodes.act).tolist(), inputs["action"], out)
            self._begin(episodes.start, out)
        status = episodes.close(*map(episodes.mask, self._ended))
        if not episodes.all_act:
            self._begin(episodes.again, out, keep_step=True)
        self._last = out
        return {**out, "status": status}

    def _act(self, lanes: Sequence[int], values: np.ndarray, out: dict[str, np.ndarray]) -> None:
        """Step the environments of some lanes: the library has one object for each."""
        if not lanes:
            return
        self._log.append(values)
        actions, (terminates, truncates) = self._action(values), self._ended
        for lane, told in zip(lanes, self._step_all(lanes, actions), strict=True):
            observation, reward, terminated, truncated, info = told
            self._show(observation, lane, out)
            try:
                out["reward"][lane] = reward
            except (TypeError, ValueError):
                raise PortError(f"{self.env} rewards with {short(reward)}, where one number is due: let its step "
                                "return (observation, reward, terminated, truncated, info)") from None
            if terminated:
                terminates.append(lane)
            if truncated:
                truncates.append(lane)
            if self._tells:
                self._tell(info, lane, out)

    def _show(self, observation: Any, lane: int, out: dict[str, np.ndarray]) -> None:
        self._observation.write(observation, lane, out)
        if self.publish_state:
            out["state"][lane] = self._state_door().read(self._envs[lane])

    def _step_all(self, lanes: Sequence[int], actions: Any) -> Iterable[tuple[Any, ...]]:
        envs = self._envs
        if self.threads == 1 or self._workers is None:
            return (envs[lane].step(actions[lane]) for lane in lanes)
        told: list[Any] = [None] * len(envs)

        def work(lane: int) -> None:
            told[lane] = envs[lane].step(actions[lane])

        self._workers.each(work, lanes)
        return (told[lane] for lane in lanes)

    def _tell(self, info: dict[str, Any], lane: int, out: dict[str, np.ndarray]) -> None:
        if self._success is not None:
            out["solved"][lane] = bool(info.get(self._success, False))
        for name, key in self._info.items():
            value = info.get(key, 0)
            shape = out[name].shape[1:]
            if np.shape(value) != shape and key in info:  # NumPy would stretch a number over an array without a word
                raise PortError(f"info: {key!r} of {self.env} is {short(value)} now, of shape {np.shape(value)}, but "
                                f"was of shape {shape} when it was made: let the environment tell it in one shape, or "
                                "leave it out of params.info")
            out[name][lane] = value

    def _begin(self, start: np.ndarray, out: dict[str, np.ndarray], keep_step: bool = False) -> None:
        """Begin an episode in the lanes `start` [lanes] bool; `keep_step` leaves what the step before it told."""
        if not start.any():
            return
        self._log.begin(start, self.episodes.running)
        for lane in np.flatnonzero(start).tolist():
            observation, info = self._envs[lane].reset(seed=int(self.episodes.seeds[lane]))
            self._show(observation, lane, out)
            if self._tells and not keep_step:
                self._tell(info, lane, out)

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "log": self._log.state_dict(self.episodes.running),
                "last": {name: value.copy() for name, value in self._last.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "episodes" not in state:
            return
        self.episodes.load_state_dict(state["episodes"])
        self._log.load_state_dict(state["log"])
        self._last = {name: np.array(value, self._last[name].dtype) for name, value in state["last"].items()}
        for lane in np.flatnonzero(self.episodes.running).tolist():
            self._replay(lane)

    def _replay(self, lane: int) -> None:
        """Bring one lane to where it was: the same seed, the same actions, and it must show the same."""
        env, again = self._envs[lane], {name: value.copy() for name, value in self._last.items()}
        observation, _ = env.reset(seed=int(self.episodes.seeds[lane]))
        done = self._log.of(lane)
        for action in self._action(done):
            observation = env.step(action)[0]
        self._observation.write(observation, lane, again)
        for name in self._observation.ports:
            if again[name][lane].tobytes() != self._last[name][lane].tobytes():
                raise RunError(f"{self.env}, lane {int(self.lanes.numbers[lane])}: {len(done)} steps replayed from "
                               f"seed {int(self.episodes.seeds[lane])} show another {name} than was saved, so it "
                               "cannot be resumed: the library or the environment has changed, or it draws random "
                               "numbers that its seed does not decide")

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how the environment of one lane draws itself, in its own size."""
        from ..parts.rendering import telling

        with telling(self.env):
            if self._envs[lane].render_mode != "rgb_array":
                self._make_visible(lane)
            return np.asarray(self._envs[lane].render())

    def _make_visible(self, lane: int) -> None:
        """Put an environment that can draw in the place of one made without, and bring it to where that one was."""
        modes = self._envs[lane].metadata.get("render_modes", ())
        if "rgb_array" not in modes:
            raise RunError(f"{self.env} cannot be drawn into a picture: it has no render mode rgb_array, only "
                           f"{', '.join(map(str, modes)) or 'none'}")
        self._envs[lane].close()
        self._envs[lane] = self._make(self.env, {**self.env_params, "render_mode": "rgb_array"}, self.max_steps)
        self._visible.add(lane)
        self._replay(lane)

    def state(self) -> dict[str, Any]:
        """Return the state of every lane: the seed and the actions of its running episode."""
        return self.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave, by replaying."""
        self.load_state_dict(state)

    def place(self, states: np.ndarray) -> None:
        """Put every lane at a `state` [lanes, numbers] that such a body published, in mid-episode, until `reset`.

        Raises ValueError where the environment's state cannot be set. A lane so placed cannot be saved: how it came
        there is not known.
        """
        from ..parts import env_state

        door = self._state_door()
        check_states(states, (self.lanes.count, door.size), self.env)
        if not self._placed:
            for env in self._envs:
                env.reset(seed=0)
        self._placed = True
        for env, state in zip(self._envs, states, strict=True):
            env_state.place(door, env, state)
        self.episodes.placed()
        self._log.clear()

    def close(self) -> None:
        for env in self._envs:
            env.close()
        self._envs = []
        if self._workers is not None:
            self._workers.close()


def _about(key: str) -> str:
    return f"what the environment tells under {key}"
