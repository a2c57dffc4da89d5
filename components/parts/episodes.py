"""Episode bookkeeping that every body shares: who acts, who begins, who waits, and the status that says so."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.component import Inputs
from ...loops.errors import PortError
from ...loops.events import Events
from ...loops.lanes import Lanes
from ...loops.port import Port
from ...loops.seeds import LaneRandom
from ...loops.status import FIRST, TERMINATED, TRUNCATED, WAITING, status_output

Restart = Literal["next_tick", "at_once"]

# What a lane does next: begin by itself, go on, or stand still until a `begin` arrives.
_READY, _RUNNING, _WAITING = 0, 1, 2


def body_inputs(action: Port) -> dict[str, Port]:
    """Return the inputs of a body: its action and the optional `begin`."""
    return {"action": action,
            "begin": Port("seed of the episode that a waiting lane begins", (), dtype="int64", low=0, kind="event",
                          reads="all", optional=True)}


def body_outputs(observation: Port, solved: bool = True) -> dict[str, Port]:
    """Return the outputs every body has, `solved` where the task knows it."""
    ports = {"observation": observation, "reward": Port("reward of the step that just ended"),
             "status": status_output()}
    if solved:
        ports["solved"] = Port("is the task solved at this instant?", dtype="bool", low=0, high=1)
    return ports


def state_output(size: int | None) -> dict[str, Port]:
    """Return the output of a body that publishes its physical state, of so many numbers (None: not known yet)."""
    return {"state": Port("physical state, for planners that put a second body there", (size,), dtype="float64")}


def check_states(states: np.ndarray, shape: tuple[int, int], kind: str) -> None:
    """Raise PortError unless `states` are of so many lanes and numbers as a body of this kind has."""
    if states.shape != shape:
        raise PortError(f"state: {kind} is to be put at states of shape {states.shape}, and its own are {shape}: the "
                        "body that published them is another one, or has other parameters")


def episode_seed(seed: int, lane: int, number: int) -> int:
    """Return the seed of the episode `number` (from 0) that global lane `lane` of a body with `seed` begins by itself.

    It has 31 bits, which every generator of the field accepts.
    """
    random = LaneRandom(seed, Lanes.of(1, lane), "episodes")
    random.load_state_dict({"count": number})
    return random.one(0) >> 33


class Episodes:
    """Keeps, for each lane, where it stands in its episode.

    A body calls `open` at each tick, advances the lanes in `act`, begins those in `start` from `seeds`, and calls
    `close` with who terminated; `close` gives the status to publish and fills `again` with the lanes that begin
    within this very instant (`restart: at_once`). A lane that begins by itself takes a seed drawn from (seed, global
    lane number, episode number). Whether `begin` is wired shows in the inputs: an unwired one is absent.
    """

    def __init__(self, lanes: Lanes, seed: int, restart: Restart = "next_tick", limit: int = 0) -> None:
        """Count episodes of `lanes`; `limit` is the number of steps after which one is truncated (0: never)."""
        if restart not in ("next_tick", "at_once"):
            raise ValueError(f"restart {restart!r} is unknown; write next_tick or at_once")
        if limit < 0:
            raise ValueError(f"an episode of {limit} steps is impossible; write 0 for no limit")
        self.lanes = lanes
        self.restart = restart
        self.limit = limit
        self._ordinary = np.zeros(lanes.count, np.int64)  # the status of nearly every tick
        self._ordinary.setflags(write=False)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Return to before the first tick, with seeds drawn from `seed`."""
        count = self.lanes.count
        self._random = LaneRandom(seed, self.lanes, "episodes")
        self._phase = np.full(count, _READY, np.int8)  # [lanes]
        self._steps = np.zeros(count, np.int64)  # [lanes] steps of the present episode, but for the last few:
        self._more = 0  # steps that all lanes took since `_steps` was brought up to date
        self.seeds = np.zeros(count, np.int64)  # [lanes] seed of the present episode
        self.act = np.zeros(count, bool)  # [lanes] who advances at this tick
        self.start = np.zeros(count, bool)  # [lanes] who begins at this tick
        self.again = np.zeros(count, bool)  # [lanes] who begins once more in the instant of its end
        self.all_act = False
        self._left = 0  # further steps that all lanes can take before the time limit could end an episode
        self._wired = False

    @property
    def running(self) -> np.ndarray:
        """Lanes in the middle of an episode."""  # [lanes] bool
        return self._phase == _RUNNING

    @property
    def steps(self) -> np.ndarray:
        """Steps of each lane's present episode so far."""  # [lanes] int64
        if self._more:
            self._steps += self._more
            self._left -= self._more
            self._more = 0
        return self._steps

    def open(self, inputs: Inputs) -> bool:
        """Decide who acts and who begins; False when every lane waits and nothing is to be published."""
        self._wired = "begin" in inputs
        if self.all_act and not self._wired:
            return True  # everyone acted at the last tick and nobody ended: `act` and `start` stand
        self.again = np.zeros(self.lanes.count, bool)
        self.act = self._phase == _RUNNING
        if self._wired:
            self.start = self._asked(inputs["begin"])
            self._phase[~self.act & ~self.start] = _WAITING
        else:
            self.start = ~self.act
            self._draw(self.start)
        self._phase[self.start] = _RUNNING
        self.steps[self.start] = 0
        self.all_act = bool(self.act.all())
        return not self._wired or bool((self.act | self.start).any())

    def mask(self, lanes: list[int]) -> np.ndarray | None:
        """Return `lanes` as a mask [lanes], None when there are none."""
        if not lanes:
            return None
        mask = np.zeros(self.lanes.count, bool)
        mask[lanes] = True
        return mask

    def close(self, terminated: np.ndarray | None = None, truncated: np.ndarray | None = None) -> np.ndarray:
        """Return the status of this tick [lanes]; None means nobody; only lanes that acted can end."""
        in_time = self._more < self._left or not self.limit
        if (self.all_act and in_time and (terminated is None or not terminated.any())
                and (truncated is None or not truncated.any())):
            self._more += 1
            return self._ordinary
        steps = self.steps
        steps += self.act
        ends = np.zeros(self.lanes.count, np.int64)
        if terminated is not None:
            ends[terminated] = TERMINATED
        if truncated is not None:
            ends[truncated] |= TRUNCATED
        if self.limit:
            ends[steps >= self.limit] |= TRUNCATED
        if not self.all_act:
            ends[~self.act] = 0
        status = self._mixed(ends)
        self._left = self.limit - int(steps.max()) - 1
        return status

    def _mixed(self, status: np.ndarray) -> np.ndarray:
        """Status of a tick at which somebody began, ended or waits."""
        ended = status != 0
        if self.all_act:
            self.all_act = not ended.any()
        else:
            status[self.start] = FIRST
            status[self._phase == _WAITING] = WAITING
        if self.restart == "at_once" and not self._wired:
            self.again = ended
            self._draw(ended)
            self.steps[ended] = 0
            status[ended] |= FIRST
        else:
            self._phase[ended] = _READY
        return status

    def _draw(self, lanes: np.ndarray) -> None:
        """Take the next seed of `lanes` [lanes] bool: 31 bits, which every generator of the field accepts."""
        self.seeds = self.seeds.copy()
        for lane in np.flatnonzero(lanes).tolist():
            self.seeds[lane] = self._random.one(lane) >> 33

    def _asked(self, begin: Events) -> np.ndarray:
        """Return the lanes that `begin` starts, and note their seeds."""
        asked = np.zeros(self.lanes.count, bool)
        if not len(begin):
            return asked
        lane = begin.lane
        if lane.min() < 0 or lane.max() >= self.lanes.count:
            raise PortError(f"begin: lane {int(lane.max())} does not exist, lanes are 0 to {self.lanes.count - 1}")
        if np.unique(lane).size < lane.size:
            raise PortError("begin: two episodes are begun in the same lane at once; send one per lane")
        asked[lane] = True
        if (asked & self.act).any():
            which = int(np.flatnonzero(asked & self.act)[0])
            raise PortError(f"begin: lane {which} is in the middle of an episode; send `begin` after its status shows "
                            "an end, or to a lane that waits")
        if (begin.value < 0).any():
            raise PortError("begin: an episode seed is negative; seeds are whole numbers from 0 on")
        self.seeds = self.seeds.copy()
        self.seeds[lane] = begin.value.reshape(-1)
        return asked

    def placed(self) -> None:
        """Let every lane be at the beginning of an episode that runs: its world was put somewhere from outside."""
        self._phase[:] = _RUNNING
        self._steps[:], self._more, self._left = 0, 0, 0
        self.all_act = False  # the next tick decides afresh
        self.again = np.zeros(self.lanes.count, bool)

    def state_dict(self) -> dict[str, Any]:
        return {"phase": self._phase.copy(), "steps": self.steps.copy(), "seeds": self.seeds.copy(),
                "random": self._random.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._phase[:] = state["phase"]
        self._steps[:], self._more = state["steps"], 0
        self.seeds = np.array(state["seeds"], np.int64)
        self._random.load_state_dict(state["random"])
        self.all_act = False  # the next tick decides afresh
        self._left = 0
        self.again = np.zeros(self.lanes.count, bool)
