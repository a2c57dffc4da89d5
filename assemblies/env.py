"""Any seat of a loop played from outside: an assembly as a Gymnasium environment.

The component `agent` is replaced by an external one. Each time its turn comes with a new observation, `step` returns;
a turn without one is answered by repeating the last action (by nothing before the first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

from ..loops.errors import AssemblyError, PortError, Problem, Problems, RunError, nearest
from ..loops.external import External
from ..loops.seeds import derive
from ..loops.status import TERMINATED, TRUNCATED
from ..loops.system import System
from .checking import build
from .seat_spaces import bounded, known_bounds, observed_bounds, sender, space
from .settings import Settings
from .wiring import without

if TYPE_CHECKING:
    from ..loops.loop import Loop
    from .assembly import Assembly

_APART = ("status", "reward")  # inputs that are no part of what the agent observes


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


def _loop(system: System, problems: Problems) -> Loop:
    from ..loops.loop import Loop

    return Loop(system, problems)


class Seat:
    """A loop with one component played from outside, and the reward and status summed up between two turns."""

    def __init__(self, assembly: Assembly, agent: str, reward: str, low: float | None, high: float | None,
                 settings: Settings | None) -> None:
        self.agent = agent
        self.loop: Loop = build(_vacated(assembly, agent), settings,
                                lambda system, problems: _loop(_played(system, agent), problems))
        self.lanes = assembly.lanes
        body = reward.partition(".")[0]
        self._status_at, self._solved_at = f"{body}.status", f"{body}.solved"
        for address in (reward, self._status_at):
            if address not in self.loop.cells:
                self.loop.close()
                raise AssemblyError([Problem(f"there is no output {address!r}", "reward",
                                             nearest(address, self.loop.cells))], assembly.name)
        self.loop.tap(reward, self._add_reward)
        self.loop.tap(self._status_at, self._add_status)
        component = self.loop.components[agent]
        seen = {key: observed_bounds(port, sender(self.loop, agent, key))
                for key, port in component.inputs.items() if key not in _APART}
        acted = {key: known_bounds(self.loop, agent, key, bounded(port, low, high))
                 for key, port in component.outputs.items()}
        self.observed, self.acted = tuple(seen), tuple(acted)
        if not seen or not acted:
            self.loop.close()
            what = "observes nothing" if not seen else "acts on nothing"
            raise AssemblyError([Problem(f"{what}, so it cannot be played", agent)], assembly.name)
        self.observation_space, self.action_space = space(seen), space(acted)
        self._system = self.loop.graph.system
        self._last: dict[str, Any] = {}
        self._clear()

    def _add_reward(self, now: int, value: np.ndarray) -> None:
        self.reward = self.reward + value

    def _add_status(self, now: int, value: np.ndarray) -> None:
        self.flags = self.flags | value

    def _clear(self) -> None:
        self.reward = np.zeros(self.lanes, np.float64)  # [lanes]
        self.flags = np.zeros(self.lanes, np.int64)  # [lanes]

    def reset(self, seed: int) -> None:
        """Begin anew at t = 0, everything drawn from `seed`; return at the first new observation."""
        parts = {name: part if part.seed is None else replace(part, seed=derive(part.seed, seed))
                 for name, part in self._system.parts.items()}
        self.loop.graph.system = replace(self._system, parts=parts, seed=seed)
        self.loop.reset()
        self._last = {}
        self._clear()
        self._turn()

    def act(self, action: Any) -> None:
        """Answer with an action and come to the next turn with a new observation."""
        if self.loop.pending is None:
            raise gymnasium.error.ResetNeeded("call reset() before step(): nothing runs yet")
        self._last = self._outputs(action)
        self._clear()
        self.loop.answer(self._last)
        self._turn()

    def _turn(self) -> None:
        fresh = {"observation"} & set(self.observed) or set(self.observed)
        while True:
            if self.loop.pending is None:
                self.loop.run()
            if self.loop.pending is None:
                raise RunError(f"the loop came to an end at {self.loop.now} ns before {self.agent} had a turn")
            if fresh & self.loop.nodes[self.agent].inputs.new:
                return
            self.loop.answer(self._last)

    def _outputs(self, action: Any) -> dict[str, np.ndarray]:
        values = action if isinstance(action, Mapping) else {self.acted[0]: action}
        if len(values) != len(self.acted) or set(values) != set(self.acted):
            raise PortError(f"an action for {self.agent} has the entries {list(self.acted)}, not {list(values)}")
        return {key: self._output(key, value) for key, value in values.items()}

    def _output(self, key: str, value: Any) -> np.ndarray:
        port = self.loop.components[self.agent].outputs[key]
        shape = port.full_shape(self.lanes)
        expected = shape[1:] if self.lanes == 1 else shape
        try:
            array = np.array(value, port.dtype)
        except (TypeError, ValueError) as error:
            raise PortError(f"the action {key} of {self.agent} is no array of {port.dtype}: {error}") from None
        if array.shape != expected:
            raise PortError(f"the action {key} of {self.agent} has shape {array.shape}, not {expected}"
                            + (" (lanes first)" if self.lanes > 1 else ""))
        return array.reshape(shape)

    def observation(self) -> Any:
        """Return what the agent sees now, [lanes, ...]: one array, or a dictionary where it has several inputs."""
        inputs = self.loop.nodes[self.agent].inputs
        values = {key: np.array(inputs[key]) for key in self.observed}
        return values if len(values) > 1 else values[self.observed[0]]

    def solved(self) -> np.ndarray | None:
        """Return the body's own verdict per lane, where it has one."""
        return self.loop.peek(self._solved_at) if self._solved_at in self.loop.cells else None


def _vacated(assembly: Assembly, agent: str) -> Assembly:
    """Return the assembly without learners that use the agent and without evaluations."""
    document = assembly.document()
    if agent not in document["components"]:
        raise AssemblyError([Problem(f"there is no component {agent!r} to play", "agent",
                                     nearest(agent, assembly.components))], assembly.name)
    users = {name for name, entry in document["components"].items() if agent in entry["uses"].values()}
    document["components"] = without(assembly, users)
    document.pop("evaluate", None)
    return assembly.derived(document)


def _played(system: System, agent: str) -> System:
    """Return the system with an external component in the agent's seat, with the inputs that the agent had."""
    part = system.parts[agent]
    component = part.create()
    inputs = {key: component.inputs[key] for key in part.inputs if key in component.inputs}
    offered = dict(component.outputs)
    component.close()
    what = "a body" if {"status", "reward"} <= set(offered) else ""
    if component.guard or ("command" in component.inputs and component.inputs["command"].guarded):
        what = "what keeps stimulation safe"
    if what:
        raise AssemblyError([Problem(f"{what} cannot be played from outside", agent,
                                     "Name the brain or the coprocessor.")], system.name)
    seat = replace(part, create=lambda: External(inputs, offered), uses={}, type="external")
    return replace(system, parts={**system.parts, agent: seat})


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
