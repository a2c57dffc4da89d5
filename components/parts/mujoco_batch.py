"""Lanes of MuJoCo worlds stepped on a few threads while the interpreter is free for others.

MuJoCo's calls release the interpreter lock, so plain Python threads suffice. Measured at 8 lanes on 2 threads, physics
of one hand step: 415 us per lane in a loop, 225 us here, 303 us through `mujoco.rollout` (which steps fresh data, so
that states must be copied out and in). Lanes are handed out one by one: a lane with many contacts delays nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import mujoco
import numpy as np

from ...loops.errors import Diverged
from .workers import Workers

_WARNING = mujoco.mjtWarning
_BAD = (int(_WARNING.mjWARN_BADQPOS), int(_WARNING.mjWARN_BADQVEL), int(_WARNING.mjWARN_BADQACC))
_WORDS = ("position", "velocity", "acceleration")
_VELOCITY = mujoco.mjtStage.mjSTAGE_VEL  # the last stage that does not depend on the controls
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION  # all that the next mj_step reads


def state_size(model: Any) -> int:
    """Return how many numbers the next physics step of a world of this model depends on."""
    return int(mujoco.mj_stateSize(model, _STATE))


class MujocoBatch:
    """As many MuJoCo worlds as there are lanes, each with data of its own, stepped together.

    The model may be one for all lanes or one for each (tasks that change their model need that).
    """

    def __init__(self, models: Any, datas: Sequence[Any] | None = None, *, lanes: int = 0, threads: int = 1,
                 numbers: np.ndarray | None = None) -> None:
        """Bind to models and data, or make data for `lanes` lanes of one model; `numbers` name lanes in errors."""
        if threads < 1:
            raise ValueError(f"threads: {threads} threads cannot step anything; write 1 or more")
        self.models = list(models) if isinstance(models, Sequence) else [models] * (len(datas) if datas else lanes)
        self.datas = list(datas) if datas is not None else [mujoco.MjData(model) for model in self.models]
        if not self.models or len(self.models) != len(self.datas):
            raise ValueError(f"{len(self.models)} models and {len(self.datas)} data do not make lanes; give each lane "
                             "one of both")
        self.count = len(self.datas)
        self.numbers = np.arange(self.count) if numbers is None else numbers
        self.workers = Workers(min(threads, self.count))
        self._arrays: dict[str, list[np.ndarray]] = {}
        self._warnings = [data.warning.number[_BAD[0]:_BAD[-1] + 1].data for data in self.datas]  # live counters
        self._calm = self._warnings[0].nbytes * b"\0"
        self._size = state_size(self.models[0])

    def step(self, steps: int = 1, lanes: Iterable[int] | None = None) -> None:
        """Advance by `steps` physics steps; a world that left the range of sensible numbers raises Diverged."""
        chosen = self._chosen(lanes)
        models, datas = self.models, self.datas
        self.workers.each(lambda lane: mujoco.mj_step(models[lane], datas[lane], steps), chosen)
        self.check(chosen)

    def forward(self, lanes: Iterable[int] | None = None) -> None:
        """Compute everything that follows from the state (positions of bodies, sensors, contacts)."""
        models, datas = self.models, self.datas
        self.workers.each(lambda lane: mujoco.mj_forward(models[lane], datas[lane]), self._chosen(lanes))

    def reset(self, lanes: Iterable[int] | None = None, keyframe: int = -1) -> None:
        """Put worlds at their starting state, or at a keyframe of the model."""
        for lane in self._chosen(lanes):
            if keyframe < 0:
                mujoco.mj_resetData(self.models[lane], self.datas[lane])
            else:
                mujoco.mj_resetDataKeyframe(self.models[lane], self.datas[lane], keyframe)

    def _chosen(self, lanes: Iterable[int] | None) -> Sequence[int]:
        return range(self.count) if lanes is None else [int(lane) for lane in lanes]

    def bound(self, name: str) -> list[np.ndarray]:
        """Return the live array `name` (qpos, ctrl, sensordata, ...) of each lane: writing to it moves the world."""
        if name not in self._arrays:
            self._arrays[name] = [getattr(data, name) for data in self.datas]
        return self._arrays[name]

    def read(self, name: str) -> np.ndarray:
        """Return a copy of the array `name` of every lane, [lanes, ...]."""
        return np.stack(self.bound(name))

    def write(self, name: str, values: np.ndarray, lanes: Iterable[int] | None = None) -> None:
        """Write rows of `values` [lanes, ...] into the array `name` of the chosen lanes."""
        arrays = self.bound(name)
        for lane in self._chosen(lanes):  # each world has memory of its own
            arrays[lane][...] = values[lane]

    def diverged(self, lane: int) -> str:
        """Return what went wrong in a lane since its last reset: position, velocity, acceleration, or nothing.

        MuJoCo itself resets such a world and goes on; only its counters tell.
        """
        counters = self._warnings[lane]
        if counters.tobytes() == self._calm:
            return ""
        return next(word for word, count in zip(_WORDS, counters, strict=True) if count)

    def check(self, lanes: Iterable[int] | None = None) -> None:
        """Raise Diverged, naming the lane, if a world has diverged since its last reset."""
        for lane in self._chosen(lanes):
            if what := self.diverged(lane):
                raise Diverged(f"lane {int(self.numbers[lane])}: MuJoCo found a bad {what} and reset the world; the "
                               "action is too violent for the model's time step, or the model is wrong")

    def state(self) -> np.ndarray:
        """Return what the next physics step depends on, [lanes, size] float64."""
        values = np.empty((self.count, self._size))
        for model, data, row in zip(self.models, self.datas, values, strict=True):
            mujoco.mj_getState(model, data, row, _STATE)
        return values

    def set_state(self, values: np.ndarray, lanes: Iterable[int] | None = None) -> None:
        """Return to states [lanes, size] that `state` gave, derived quantities included."""
        chosen = self._chosen(lanes)
        if values.shape != (self.count, self._size):
            raise ValueError(f"a state of shape {values.shape} is not one of {self.count} lanes of this model, whose "
                             f"states are {(self.count, self._size)}")
        for lane in chosen:
            mujoco.mj_resetData(self.models[lane], self.datas[lane])  # clears the counters of divergence too
            mujoco.mj_setState(self.models[lane], self.datas[lane], values[lane], _STATE)
        self.forward(chosen)

    def close(self) -> None:
        """Let the threads end; may be called twice."""
        self.workers.close()


class Stride:
    """Several physics steps and one `mj_forward` after them, as a task's control step wants it, a little faster.

    That last forward pass has computed positions and velocities for the state that the next stride starts from, so its
    first step need not compute them again: 6 to 9 % of a hand's or an arm's control step, equal to the last bit. It is
    done only where nothing can have changed in between: the state is compared, and `forget` must be called whenever
    the model was touched.
    """

    @staticmethod
    def fits(model: Any, steps: int) -> bool:
        """Can strides of this model be joined? Only with what has been compared: plain options, no outside bodies."""
        known = (mujoco.mjtIntegrator.mjINT_EULER, mujoco.mjtIntegrator.mjINT_IMPLICIT,
                 mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
        return (steps > 1 and model.opt.integrator in known and model.opt.enableflags == 0 and model.nmocap == 0
                and model.nplugin == 0)

    def __init__(self, model: Any, data: Any, steps: int) -> None:
        self._model, self._data, self._steps = model, data, steps
        self._qpos, self._qvel = data.qpos, data.qvel
        self._left = b""

    def forget(self) -> None:
        """Take nothing for granted at the next stride."""
        self._left = b""

    def __call__(self, steps: int | None = None) -> None:
        """Take one stride of `steps` physics steps, by default the usual number."""
        model, data, count = self._model, self._data, self._steps if steps is None else steps
        if count > 1 and self._left == self._qpos.tobytes() + self._qvel.tobytes():
            mujoco.mj_step2(model, data)  # all of a step that depends on the controls
            count -= 1
        mujoco.mj_step(model, data, count)
        mujoco.mj_forward(model, data)
        self._left = self._qpos.tobytes() + self._qvel.tobytes()


class ModelEdits:
    """What a task has changed in its model since it was new (targets, masses, terrain), array by array."""

    def __init__(self, model: Any) -> None:
        self._new = {name: array.copy() for name, array in _arrays(model)}

    def take(self, model: Any) -> dict[str, np.ndarray]:
        """Return the arrays that differ from the new model."""
        return {name: array.copy() for name, array in _arrays(model) if not _same(array, self._new[name])}

    def bring_back(self, model: Any, edits: dict[str, np.ndarray]) -> None:
        """Make the model the new one with `edits`."""
        for name, array in _arrays(model):
            wanted = edits.get(name, self._new[name])
            if array.shape != wanted.shape:
                raise ValueError(f"the model's {name} has shape {array.shape}, the saved one {wanted.shape}: the model "
                                 "is not the one that was saved")
            if not _same(array, wanted):
                array[...] = wanted


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    """Are two arrays of one shape equal in every byte?"""
    one, other = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (left, right))
    if one.size % 8 == 0:  # models have tens of megabytes
        one, other = one.view(np.uint64), other.view(np.uint64)
    return bool((one == other).all())


def _arrays(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Name and live array of every writable number of a model, its options included."""
    for prefix, owner in (("", model), ("opt_", model.opt)):
        for name in dir(owner):
            value = None if name.startswith("_") else getattr(owner, name)
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size and value.flags.writeable:
                yield prefix + name, value
