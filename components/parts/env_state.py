"""The physical state of a Gymnasium environment, read and set: so that another of its kind goes on from there.

Two kinds tell theirs: those of MuJoCo, and those that keep all of it in a vector `state`, as the classic ones do.
Whether an environment keeps something beside it is tried out, not believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

_BEFORE, _AFTER = 3, 5  # steps before and after a state is carried over, when that is tried


class StateDoor(Protocol):
    """Reads and sets the state of one kind of environment."""

    size: int  # numbers of a state

    def read(self, env: Any) -> np.ndarray:
        """Return the state [size] float64."""

    def write(self, env: Any, state: np.ndarray) -> None:
        """Set it."""


class _Vector:
    """An environment whose attribute `state` is everything."""

    def __init__(self, base: Any) -> None:
        self.size = len(base.state)

    def read(self, env: Any) -> np.ndarray:
        return np.array(env.unwrapped.state, np.float64)

    def write(self, env: Any, state: np.ndarray) -> None:
        env.unwrapped.state = state.copy()


class _Mujoco:
    """An environment of Gymnasium's MujocoEnv: all that the next step of physics reads.

    Some tasks measure how far a step went from positions of bodies, which MuJoCo leaves as they were before its last
    sub-step; so these travel too.
    """

    _MEASURED = ("xpos", "xipos")

    def __init__(self, base: Any) -> None:
        import mujoco

        self._kind = mujoco.mjtState.mjSTATE_INTEGRATION
        self._physics = mujoco.mj_stateSize(base.model, self._kind)
        self.size = self._physics + sum(getattr(base.data, name).size for name in self._MEASURED)

    def read(self, env: Any) -> np.ndarray:
        import mujoco

        base, values = env.unwrapped, np.empty(self._physics)
        mujoco.mj_getState(base.model, base.data, values, self._kind)
        return np.concatenate([values, *(getattr(base.data, name).ravel() for name in self._MEASURED)])

    def write(self, env: Any, state: np.ndarray) -> None:
        import mujoco

        base = env.unwrapped
        mujoco.mj_setState(base.model, base.data, state[:self._physics], self._kind)
        mujoco.mj_forward(base.model, base.data)
        first = self._physics
        for name in self._MEASURED:
            array = getattr(base.data, name)
            array[...] = state[first:first + array.size].reshape(array.shape)
            first += array.size


def door(name: str, make: Callable[[], Any], actions: np.ndarray) -> StateDoor:
    """Return what reads and sets the state of the environments that `make` gives.

    Args:
        name: the environment's, for errors.
        make: makes one.
        actions: [at least 8, ...] to try, in the environment's own units.

    Raises ValueError where the environment does not tell its state, or goes on otherwise from the same one.
    """
    one, other = make(), make()
    try:
        one.reset(seed=0)
        other.reset(seed=1)
        found = _find(name, one.unwrapped)
        for action in actions[:_BEFORE]:
            one.step(action)
        place(found, other, found.read(one))
        for action in actions[_BEFORE:_BEFORE + _AFTER]:
            (seen, reward, over, *_), (seen_too, reward_too, *_) = one.step(action), other.step(action)
            if not (_same(seen, seen_too) and _same(reward, reward_too)):
                raise ValueError(f"{name} keeps something beside its state: two of them at the same state went on "
                                 "differently under the same actions. It cannot be planned in")
            if over:
                break
        return found
    finally:
        one.close()
        other.close()


def _find(name: str, base: Any) -> StateDoor:
    if type(getattr(base, "model", None)).__name__ == "MjModel" and hasattr(base, "data"):
        return _Mujoco(base)
    state = getattr(base, "state", None)
    if isinstance(state, (np.ndarray, tuple, list)) and np.ndim(state) == 1 and np.asarray(state).dtype.kind == "f":
        return _Vector(base)
    raise ValueError(f"{name} does not tell its physical state: it is no environment of MuJoCo and has no vector "
                     "`state`. Plan with a learned model instead (uses: {model: ...})")


def _same(one: Any, other: Any) -> bool:
    return bool(np.allclose(np.asarray(one, np.float64), np.asarray(other, np.float64), rtol=1e-5, atol=1e-6))


def place(found: StateDoor, env: Any, state: np.ndarray) -> None:
    """Put an environment that was reset before at a state [size], at the beginning of its time limit."""
    found.write(env, state)
    wrapper = env
    while wrapper is not env.unwrapped:
        if hasattr(wrapper, "_elapsed_steps"):
            wrapper._elapsed_steps = 0
        wrapper = wrapper.env
