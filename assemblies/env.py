"""Any seat of a loop played from outside: an assembly as a Gymnasium environment.

The component `agent` is replaced by an external one. Each time its turn comes with a new observation, `step` returns;
a turn without one is answered by repeating the last action (by nothing before the first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

from ..loops.errors import AssemblyError, Problem
from ..loops.status import TERMINATED, TRUNCATED
from .seat import Seat
from .settings import Settings

if TYPE_CHECKING:
    from .assembly import Assembly


def as_env(assembly: Assembly, agent: str, reward: str = "body.reward", *, low: float | None = None,
           high: float | None = None, settings: Settings | None = None) -> Any:
    """Return a `gymnasium.Env` for one lane, a `gymnasium.vector.VectorEnv` with next-step autoreset for several.

    `low` and `high` bound the action where the ports leave it open. What learns from the agent is left out.
    """
    for name, side in (("low", low), ("high", high)):
        if side is not None and not (isinstance(side, int | float) and np.isfinite(side)):
            raise AssemblyError([Problem(f"{side!r} is no finite number", name, "Write a number, or None.")],
                                assembly.name)
    seat = Seat(assembly, agent, reward, low, high, settings)
    return SeatEnv(seat) if assembly.lanes == 1 else SeatVectorEnv(seat)


class SeatEnv(gymnasium.Env):
    """One lane: `reset` begins a new episode with everything at t = 0."""

    metadata = {"render_modes": []}

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.observation_space, self.action_space = seat.observation_space, seat.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seat.reset(int(self.np_random.integers(2**62)))
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.seat.act(action)
        flags = int(self.seat.flags[0])
        info = self._info()
        if flags & (TERMINATED | TRUNCATED) and self.seat.solved() is not None:
            info["is_success"] = bool(self.seat.solved()[0])  # type: ignore[index]
        return (self._observation(), float(self.seat.reward[0]), bool(flags & TERMINATED), bool(flags & TRUNCATED),
                info)

    def _observation(self) -> Any:
        value = self.seat.observation()
        return {key: part[0] for key, part in value.items()} if isinstance(value, dict) else value[0]

    def _info(self) -> dict[str, Any]:
        return {"time": self.seat.loop.now / 1e9}

    def close(self) -> None:
        self.seat.loop.close()


class SeatVectorEnv(gymnasium.vector.VectorEnv):
    """Several lanes: a lane that ended begins anew at its next step, which ignores the action."""

    metadata = {"render_modes": [], "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.num_envs = seat.lanes
        self.single_observation_space, self.single_action_space = seat.observation_space, seat.action_space
        self.observation_space = batch_space(seat.observation_space, seat.lanes)
        self.action_space = batch_space(seat.action_space, seat.lanes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seat.reset(int(self.np_random.integers(2**62)))
        return self.seat.observation(), self._info()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.seat.act(actions)
        flags = self.seat.flags
        info = self._info()
        ended = (flags & (TERMINATED | TRUNCATED)) != 0
        if ended.any() and self.seat.solved() is not None:
            info["is_success"], info["_is_success"] = np.array(self.seat.solved()), ended
        return (self.seat.observation(), self.seat.reward, (flags & TERMINATED) != 0, (flags & TRUNCATED) != 0, info)

    def _info(self) -> dict[str, Any]:
        return {"time": np.full(self.num_envs, self.seat.loop.now / 1e9), "_time": np.ones(self.num_envs, bool)}

    def close_extras(self, **kwargs: Any) -> None:
        self.seat.loop.close()
