"""A musculoskeletal body of MyoSuite 3: arms, hands and legs moved by muscles, each lane a world of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ...loops.component import Component, Inputs
from ...loops.errors import Diverged, nearest
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.time import Period
from ..parts.episodes import Episodes, Restart, body_inputs, body_outputs

WORTH_A_THREAD = 200e-6  # s of physics per tick from which threads gain more than passing the interpreter costs
MACHINERY = frozenset({"model", "data", "spec", "_mj_spec", "_accessor", "action_space", "observation_space",
                       "_ezpickle_args", "_ezpickle_kwargs", "_saved_kwargs", "env"})  # nothing that changes


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

    def __init__(self, *, env: str, env_params: dict | None = None, info: list[str] | None = None,
                 period: Period | None = None, max_steps: int | None = None, threads: int = 0,
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
        self.period = environments.own_period(base, "_ctrl_dt") if period is None else period
        registered = self._first.spec.max_episode_steps or 0
        self.max_steps = registered if max_steps is None else max_steps
        self._action = spaces.ActionDoor(base.action_space, axis="muscle")
        shape = base.observation_space.shape
        self.inputs = body_inputs(self._action.port)
        self.outputs = body_outputs(Port("joints, muscles and task, as MyoSuite lists them", shape))
        self._info: dict[str, str] = {}  # port name -> key in info
        for key in info or []:
            self._add_info(key, spaces.plain_name(key))
        self._batch: Any = None

    def _new_env(self) -> Any:
        """Make one environment, without rendering unless the user has chosen how to render."""
        os.environ.setdefault("MUJOCO_GL", "disable")
        import gymnasium
        import myosuite  # noqa: F401 (registers its tasks)

        from ..parts import environments

        known = [name for name, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("myosuite.")]
        env = environments.make(self.env, self.env_params, 0, known)
        if not hasattr(env.unwrapped, "_step_physics"):
            env.close()
            raise ValueError(f"env {self.env!r} has more than one agent, which one body cannot be. "
                             f"{nearest(self.env, [name for name in known if name != self.env])}")
        return env

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
        bases = [env.unwrapped for env in self._envs]
        self._steps = [_inner(env).step for env in self._envs]
        self._batch = MujocoBatch([base.model for base in bases], [base.data for base in bases],
                                  threads=self._useful_threads(bases[0], lanes.count), numbers=lanes.numbers)
        self._edits = ModelEdits(bases[0].model)
        self._extra = [Snapshot(_roots(env), ("myosuite",), MACHINERY) for env in self._envs]
        self.episodes = Episodes(lanes, seed, self.restart, self.max_steps)
        self.reset(seed)
