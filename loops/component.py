"""The component contract: everything in a loop is one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .lanes import Lanes
from .port import Port
from .time import Clock, next_tick


class Inputs(dict):
    """What a component is given at a step: values by input name, and two facts about them.

    `new` names the inputs whose value this component has not been given before; `previous` is the instant of its
    previous step in nanoseconds (None at t = 0). The object belongs to the loop: keep the values, not the object.
    """

    __slots__ = ("new", "previous")

    def __init__(self, values: Mapping[str, Any] = {}, new: frozenset[str] = frozenset(),
                 previous: int | None = None) -> None:
        super().__init__(values)
        self.new = new
        self.previous = previous


@dataclass(frozen=True)
class Use:
    """A reference that a component wants: what it must offer (a Protocol), and whether the user changes it.

    `alike` pairs ports of what is used with ports of the user whose sizes have to agree, as if they were wired.
    """

    role: type
    changes: bool = False
    optional: bool = False
    alike: tuple[tuple[str, str], ...] = ()

    @property
    def is_world(self) -> bool:
        """Is what is used a world to rehearse in: a thing that its user steps, so that it moves when it is asked?"""
        return hasattr(self.role, "step")


class Component:
    """A thing with a state of its own: body, brain, stimulator, critic, learner.

    A subclass declares `inputs` and `outputs` in `__init__` and writes `step`; one with memory adds the two state
    methods. Values are NumPy arrays [lanes, ...]; what has been published is never written again.
    """

    inputs: dict[str, Port]
    outputs: dict[str, Port]
    uses: Mapping[str, Use] = {}  # references wanted, by name
    used: Mapping[str, Any] = {}  # references attached, before `build`
    # what `example` is to use when conformance checks it: (type, parameters) by reference; left out: a stand-in
    example_uses: Mapping[str, tuple[str, Mapping[str, Any]]] = {}
    peers: Mapping[str, list[Port]] = {}  # receivers' ports of each output, known while shapes flow
    peers_in: Mapping[str, Port] = {}  # the sender's port of each wired input
    period: int | Clock | None = None  # ns between own steps; None: stepped by arrivals
    max_lanes: int | None = None
    open_inputs: bool = False  # takes whatever is wired to it
    open_outputs: bool = False  # offers whatever others ask of it
    random: bool = False  # does it draw random numbers?
    guard: bool = False  # a safety limiter: the one thing that may feed a stimulator
    transparent: bool = False  # of a current, what leaves it is never more than came in, nor lasts longer
    lateness: Callable[[], int] | None = None  # real-time loops only: ns by which the loop is behind the wall clock
    resumes: str = "exact"  # or "restarts noise", "no"
    lanes: Lanes
    seed: int

    def infer(self) -> None:
        """Fill sizes of own ports that follow from others by arithmetic; called while shapes flow."""

    def adopt(self, name: str, port: Port) -> Port:
        """Open inputs: return the port made for a wire; if it does not wake, the wire stays but is not listened to."""
        return port

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make everything of fixed size; ports are fully shaped and references attached."""
        self.lanes = lanes
        self.seed = seed

    def reset(self, seed: int) -> None:
        """Return to the state after `build`, before t = 0; what was learned stays."""

    def step(self, now: int, inputs: Inputs) -> dict[str, Any]:
        """Come up to `now` with the inputs that were in force; return what is true at `now`, by output name."""
        raise TypeError(f"{type(self).__name__} has no step method: write `def step(self, now, inputs)`")

    def next_wake(self, now: int) -> int | None:
        """Return the next instant at which to be stepped without an arrival; default: the grid of `period`."""
        return None if self.period is None else next_tick(self.period, now)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes: arrays, numbers, strings, nested dictionaries; learned under "learned"."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state; `{"learned": ...}` alone touches nothing else."""

    def labels(self) -> dict[str, Any]:
        """Return names along axes, after build: `{"muscle": [...], "neuron": {"region": [...]}}`."""
        return {}

    def close(self) -> None:
        """Let go of threads, windows and files; may be called twice."""
