"""A loop with one component played from outside, and what passes between two of its turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from ..loops.errors import AssemblyError, PortError, Problem, Problems, RunError, nearest
from ..loops.external import External
from ..loops.seeds import derive
from ..loops.status import ENDED, FIRST
from ..loops.system import System
from .checking import build
from .seat_spaces import bounded, known_bounds, observed_bounds, sender, space
from .settings import Settings
from .wiring import without

if TYPE_CHECKING:
    from ..loops.loop import Loop
    from .assembly import Assembly

_APART = ("status", "reward")  # inputs that are no part of what the agent observes


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
        body = self._body = reward.partition(".")[0]
        self._status_at, self._solved_at = f"{body}.status", f"{body}.solved"
        for address in (reward, self._status_at):
            if address not in self.loop.cells:
                self.loop.close()
                raise AssemblyError([Problem(f"there is no output {address!r}", "reward",
                                             nearest(address, self.loop.cells))], assembly.name)
        if getattr(self.loop.components[body], "restart", "") == "at_once":
            self.loop.close()
            raise AssemblyError([Problem("begins the next episode in the instant in which one ends, so that no last "
                                         "observation is left for whoever plays", f"{body}.params.restart",
                                         "Write restart: next_tick")], assembly.name)
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
        self.mixed |= bool(((self.flags | value) & ENDED & -(value & FIRST)).any())
        self.flags = self.flags | value

    def _clear(self) -> None:
        self.reward = np.zeros(self.lanes, np.float64)  # [lanes]
        self.flags = np.zeros(self.lanes, np.int64)  # [lanes]
        self.mixed = False  # did an episode end and the next begin since the last turn?

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
            if self.mixed:
                raise RunError(f"an episode ended and the next began between two turns of {self.agent}, at "
                               f"{self.loop.now} ns at the latest: what is observed and rewarded would be of both. "
                               f"Let {self.agent} step as often as {self._body}, or let {self._body} wait after an "
                               "end (wire its `begin`)")
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
