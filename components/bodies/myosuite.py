"""A musculoskeletal body of MyoSuite 3: arms, hands and legs moved by muscles, each lane a world of its own."""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...loops.bounds import Amount, AnyNumbers
from ...loops.component import Component, Inputs
from ...loops.errors import nearest
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Period
from ..parts import rendering
from ..parts.episodes import Episodes, Restart, body_inputs, body_outputs

if TYPE_CHECKING:
    from ..parts.rendering import Camera

WORTH_A_THREAD = 200e-6  # s of physics per tick from which threads gain more than passing the interpreter costs
UNDISTURBED = ("myosuite.envs.myo.tasks.basic.arm.pose.PoseEnvV0", "myosuite.envs.myo.tasks.basic.arm.reach.ReachEnvV0")
MACHINERY = frozenset({"model", "data", "spec", "_mj_spec", "_accessor", "action_space", "observation_space", "env",
                       "_ezpickle_args", "_ezpickle_kwargs", "_saved_kwargs", "_step_physics"})  # nothing that changes


class Myosuite(Component):
    """A musculoskeletal model moves by exciting its muscles: any task of MyoSuite 3, to the last bit as the suite.

    Each lane has an environment of its own, whose own functions compute observation and reward; physics runs on
    `threads` threads with the interpreter lock released. Results do not depend on their number.

    Args:
        env: id of the task, such as myoElbowPose1D6MRandom-v0.
        env_params: parameters given to the environment when it is made.
        info: entries of the step's info dictionary to publish, 0 at the beginning of an episode.
        period: time between ticks; by default the task's own control step.
        max_steps: steps after which an episode is truncated; by default the registered number, 0 means never.
        threads: threads that share the lanes; 0 takes as many as there are cores where a step is worth it.
        divergence: what a diverging simulation is: an error, or the end of the episode as in MyoSuite itself.
        restart: begin anew at the tick after an end, or within the same instant.
    """

    random = True

    def __init__(self, *, env: str, env_params: AnyNumbers | None = None, info: list[str] | None = None,
                 period: Period | None = None, max_steps: Amount | None = None, threads: Amount = 0,
                 divergence: Literal["error", "terminate"] = "error", restart: Restart = "next_tick") -> None:
        from ..parts import environments, spaces

        if threads < 0:
            raise ValueError(f"threads: {threads} threads cannot step anything; write 0 (choose) or more")
        if divergence not in ("error", "terminate"):
            raise ValueError(f"divergence {divergence!r} is unknown; write error or terminate")
        self.env, self.env_params, self.threads = env, dict(env_params or {}), threads
        self.restart, self.divergence = restart, divergence
        self._first: Any = self._new_env()  # tells the sizes now, is lane 0 later
        base = self._first.unwrapped
        self.period, self.warnings = environments.asked_period(base, period, "_ctrl_dt")
        self.physics_step = environments.physics_step(base, "_ctrl_dt")
        self.max_steps = environments.registered_steps(env) if max_steps is None else max_steps
        self._action = spaces.ActionDoor(base.action_space, axis="muscle", clips=True)
        shape = base.observation_space.shape
        self.inputs = body_inputs(self._action.port)
        self.outputs = body_outputs(Port("joints, muscles and task, as MyoSuite lists them", shape))
        self._info: dict[str, str] = {}  # port name -> key in info
        for key in info or []:
            self._add_info(key, spaces.plain_name(key))
        self._batch: Any = None
        self._cameras: dict[int, Camera] = {}

    def _new_env(self) -> Any:
        """Make one environment, without rendering unless the user has chosen how to render."""
        os.environ.setdefault("MUJOCO_GL", "disable")
        import gymnasium

        from ..parts import compiled_models, environments

        with rendering.importing():
            import myosuite  # noqa: F401 (registers its tasks)
        known = [name for name, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("myosuite.")]
        alone = [name for name in known if "multi_agent" not in str(gymnasium.registry[name].entry_point)]
        if self.env in known and self.env not in alone:
            raise ValueError(f"env {self.env!r} has more than one agent, which one body cannot be. "
                             f"{nearest(self.env, alone)}")
        with compiled_models.compiled_once(f"{self.env} {sorted(self.env_params.items())!r}"):
            return environments.make(self.env, self.env_params, 0, alone)

    def _add_info(self, key: str, name: str) -> None:
        """Declare the output for one entry of the info dictionary; a scratch environment shows what there is."""
        if name in self.outputs:
            if key == "solved":
                return  # published already
            raise ValueError(f"info: {key!r} would hide the output {name!r}")
        if not self._info:
            scratch = self._new_env()
            scratch.reset(seed=0)
            self._told = scratch.step(self._action.nothing())[4]
            scratch.close()
        if key not in self._told:
            raise ValueError(f"info: {self.env} does not tell {key!r}. {nearest(key, self._told)}")
        value = np.asarray(self._told[key])
        if value.dtype.kind not in "biuf":
            raise ValueError(f"info: {key!r} of {self.env} is not a number or an array of numbers")
        self._info[name] = key
        self.outputs[name] = Port(f"what MyoSuite tells under {key}", value.shape,
                                  dtype="bool" if value.dtype.kind == "b" else "float32")

    @classmethod
    def example(cls) -> Myosuite:
        return cls(env="myoElbowPose1D6MRandom-v0", max_steps=5)

    def build(self, lanes: Lanes, seed: int) -> None:
        from ..parts.mujoco_batch import ModelEdits, MujocoBatch
        from ..parts.snapshot import Snapshot

        super().build(lanes, seed)
        first, self._first = self._first, None
        self._envs = [first or self._new_env(), *(self._new_env() for _ in range(lanes.count - 1))]
        self._bases = [env.unwrapped for env in self._envs]
        inner = [_without_bookkeeping(env) for env in self._envs]
        self._steps, self._resets = [env.step for env in inner], [env.reset for env in inner]
        base, self._everyone = self._bases[0], range(lanes.count)
        self._batch = MujocoBatch([base.model for base in self._bases], [base.data for base in self._bases],
                                  threads=self.threads or _useful_threads(base, lanes.count), numbers=lanes.numbers)
        self._strides = [self._stride(base) for base in self._bases]
        self._edits = ModelEdits(base.model)
        self._extra = [Snapshot(_chain(env), ("myosuite",), MACHINERY) for env in self._envs]
        self._new_physics = self._batch.state()
        self.episodes = Episodes(lanes, seed, self.restart, self.max_steps)
        self._forget(seed)

    def _stride(self, base: Any) -> Any:
        """Let a task whose steps leave model and state to the physics take joined strides; see `Stride`."""
        from ..parts.mujoco_batch import Stride

        name = f"{type(base).__module__}.{type(base).__qualname__}"
        stride = Stride(base.model, base.data, base.frame_skip)
        if name in UNDISTURBED and self.divergence == "error" and Stride.fits(base.model, base.frame_skip):
            base._step_physics = stride
        return stride

    def reset(self, seed: int) -> None:
        for camera in self._cameras.values():  # what draws holds much memory
            camera.close()
        for base, extra in zip(self._bases, self._extra, strict=True):
            self._edits.bring_back(base.model, {})
            extra.bring_back({"changed": {}, "gone": {}})
        self._set_physics(self._new_physics)
        self._forget(seed)

    def _set_physics(self, physics: np.ndarray) -> None:
        self._batch.set_state(physics)
        for stride in self._strides:
            stride.forget()

    def _forget(self, seed: int) -> None:
        self.episodes.reset(seed)
        self._last = {name: np.zeros(port.full_shape(self.lanes.count), port.dtype)
                      for name, port in self.outputs.items() if name != "status"}

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        episodes = self.episodes
        if not episodes.open(inputs):
            return {}
        self._actions = self._action(inputs["action"])
        self._ended: list[int] = []
        self._out = out = {name: value.copy() for name, value in self._last.items()}
        if episodes.all_act:
            self._batch.workers.each(self._advance, self._everyone)
        else:
            out["reward"][:] = 0
            self._batch.workers.each(self._advance, np.flatnonzero(episodes.act).tolist())
            self._begin(episodes.start, out)
        status = episodes.close(episodes.mask(self._ended))
        if not episodes.all_act:
            self._begin(episodes.again, out, keep_step=True)
        self._last = out
        return {**out, "status": status}

    def _advance(self, lane: int) -> None:
        """Take one lane through the environment's own step; its physics lets other threads run."""
        out = self._out
        out["observation"][lane], out["reward"][lane], ends, _, info = self._steps[lane](self._actions[lane])
        out["solved"][lane] = info.get("solved", False)
        for name, key in self._info.items():
            out[name][lane] = info.get(key, 0)
        if self.divergence == "terminate":
            ends = ends or self._bases[lane]._check_mj_instability_termination()
        elif self._batch.diverged(lane):
            self._batch.check((lane,))
        if ends:
            self._ended.append(lane)

    def _begin(self, start: np.ndarray, out: dict[str, np.ndarray], keep_step: bool = False) -> None:
        """Begin an episode in the lanes `start` [lanes] bool; `keep_step` leaves what the step before it told."""
        for lane in np.flatnonzero(start):
            out["observation"][lane] = self._resets[lane](seed=int(self.episodes.seeds[lane]))[0]
            self._strides[lane].forget()
            if not keep_step:
                for name in ("solved", *self._info):
                    out[name][lane] = 0

    def state_dict(self) -> dict[str, Any]:
        return {"episodes": self.episodes.state_dict(), "physics": self._batch.state(),
                "model": {str(lane): self._edits.take(base.model) for lane, base in enumerate(self._bases)},
                "task": {str(lane): extra.take() for lane, extra in enumerate(self._extra)},
                "last": {name: value.copy() for name, value in self._last.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "episodes" not in state:
            return
        self.episodes.load_state_dict(state["episodes"])
        for lane, base in enumerate(self._bases):
            self._resets[lane](seed=0)  # makes what the task makes at its first reset
            self._edits.bring_back(base.model, state["model"][str(lane)])
            self._extra[lane].bring_back(state["task"][str(lane)])
        self._set_physics(np.asarray(state["physics"], np.float64))
        self._last = {name: np.array(value, self._last[name].dtype) for name, value in state["last"].items()}

    def frame(self, lane: int, width: int, height: int) -> np.ndarray:
        """Return how one lane looks, by the task's own camera where it names one [height, width, 3] uint8."""
        from ..parts.rendering import Camera

        base = self._bases[lane]
        if lane not in self._cameras:
            self._cameras[lane] = Camera(base.model, getattr(base, "render_camera", None))
        return self._cameras[lane].take(base.data, width, height)

    def state(self) -> dict[str, Any]:
        """Return the physical state of every lane, episode bookkeeping included."""
        return self.state_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave."""
        self.load_state_dict(state)

    def labels(self) -> dict[str, Any]:
        model = self._bases[0].model
        return {"muscle": [model.actuator(i).name for i in range(model.nu)]}

    def close(self) -> None:
        if self._batch is None:
            return
        self._batch.close()
        for camera in self._cameras.values():
            camera.close()
        self._cameras = {}
        for env in self._envs:
            env.close()
        for base in self._bases:  # they refer to themselves, and hold some 50 MB each that the collector does not see
            vars(base).clear()
        self._envs, self._bases, self._steps, self._resets, self._extra, self._strides = [], [], [], [], [], []
        self._batch = None


def _without_bookkeeping(env: Any) -> Any:
    """Peel off wrappers that only count steps, check calls or forward names: the loop does their work."""
    import gymnasium

    plain = gymnasium.Wrapper
    counted = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "MjInstabilityTerminationWrapper")
    while isinstance(env, plain) and (type(env).__name__ in counted or
                                      (type(env).step is plain.step and type(env).reset is plain.reset)):
        env = env.env
    return env


def _chain(env: Any) -> list[Any]:
    """Return the environment's wrappers and itself, outermost first."""
    chain = [env]
    while chain[-1] is not env.unwrapped:
        chain.append(chain[-1].env)
    return chain


def _useful_threads(base: Any, lanes: int) -> int:
    """Return how many threads are worth it: physics shorter than passing the interpreter on is stepped by one."""
    import mujoco

    if lanes == 1:
        return 1
    data, times = mujoco.MjData(base.model), []
    for _ in range(5):
        begin = perf_counter()
        mujoco.mj_step(base.model, data, base.frame_skip)
        times.append(perf_counter() - begin)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(lanes, cores) if min(times) > WORTH_A_THREAD else 1
