"""Drives one component by itself: sizes its ports, builds it and steps it at legal instants through real wires."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from ..component import Component, Inputs, Use
from ..events import Events
from ..lanes import Lanes
from ..wire import EventPipe, SignalPipe
from .fakes import fake
from .sizes import built, size_ports
from .world import APART, TICKS, Plan, World


class NotApplicable(Exception):
    """A property says nothing about this component, and why."""


@dataclass
class Subject:
    """The component under test: how to make a fresh one, where it belongs, and how hard to try."""

    make: Callable[[], Component]
    folder: str
    examples: int = 10
    uses: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    seconds: float = 10.0  # for one property
    deadline: float = float("inf")  # when the present property has had its time

    def fresh(self, lanes: Lanes, seed: int = 1, **changes: Any) -> Component:
        """Return a new instance: sized, built, reset; `changes` are constructor parameters set otherwise."""
        with parameters_changed(type(self.make()), changes):
            component = self.make()
        size_ports(component)
        component.used = {name: self._stand_in(name, use, component, lanes, seed)
                          for name, use in component.uses.items() if name in self.uses or not use.optional}
        component.build(lanes, seed)
        component.reset(seed)
        return component

    def _stand_in(self, name: str, use: Use, user: Component, lanes: Lanes, seed: int) -> Any:
        if name not in self.uses:
            return fake(use, lanes)
        given = self.uses[name]()
        unbuilt = isinstance(given, Component) and not hasattr(given, "lanes")
        return built(given, user, lanes, seed, use.alike) if unbuilt else given

    def lanes(self, count: int) -> Lanes:
        """Return so many lanes, or as many as the component can serve."""
        limit = self.limit
        return Lanes.of(count if limit is None else min(count, limit))

    @property
    def limit(self) -> int | None:
        return self.make().max_lanes

    def drive(self, component: Component, plan: Plan, without: Collection[str] = (), **world: Any) -> Driver:
        """Return a driver for a built component living the life of a plan; inputs in `without` are not wired."""
        ports = {name: port for name, port in component.inputs.items()
                 if name not in (*APART, *without) and (plan.optional or not port.optional)}
        together = self.folder in ("learners", "critics", "world_models")
        return Driver(component, World(ports, component.lanes, plan, component.period, together, **world))

    def trace(self, plan: Plan, *, seed: int = 1, lanes: Lanes | None = None, **world: Any) -> Driver:
        """Live a whole plan with a fresh instance; the driver holds what was published."""
        driver = self.drive(self.fresh(lanes or self.lanes(plan.lanes), seed), plan, **world)
        driver.run(plan.steps)
        driver.final = copied(driver.component.state_dict())
        driver.component.close()
        return driver


@contextmanager
def parameters_changed(cls: Any, changes: Mapping[str, Any]) -> Iterator[None]:
    """Let every instance made meanwhile take some constructor parameters otherwise."""
    if not changes:
        yield
        return
    original = cls.__init__
    signature = inspect.signature(original)
    if missing := [name for name in changes if name not in signature.parameters]:
        raise NotApplicable(f"has no parameter {', '.join(missing)}")

    def otherwise(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.arguments.update(changes)
        original(*bound.args, **bound.kwargs)

    cls.__init__ = otherwise
    try:
        yield
    finally:
        cls.__init__ = original


class Driver:
    """Steps one component as the loop would: at t = 0, at its own instants, and when an input that wakes it arrives."""

    def __init__(self, component: Component, world: World) -> None:
        self.component = component
        self.world = world
        lanes = component.lanes.count
        self.pipes: dict[str, Any] = {
            name: EventPipe(port, world.reads(name), 0) if port.kind == "event"
            else SignalPipe(port, world.reads(name), 0, lanes) for name, port in world.ports.items()}
        self.inputs = Inputs()  # one object for all steps, as the loop's: the values may be kept, the object not
        self.sent = dict.fromkeys(self.pipes, 0)  # messages already delivered, by input
        self.previous: int | None = None
        self.wake: int | None = None
        self.trace: list[tuple[int, dict[str, Any]]] = []  # what was published, copied
        self.published: list[tuple[int, str, np.ndarray]] = []  # the very arrays
        self.given: list[tuple[int, str, np.ndarray, np.ndarray]] = []  # arrays handed over, and what they held
        self.final: dict[str, Any] = {}  # the state at the end of a whole life
        self.freeze = False  # as the loop does; off, so that a writer is caught by its own property only
        self.after: Callable[[Driver], None] = lambda driver: None

    def run(self, steps: int) -> None:
        """Step so many times, or until nothing wakes the component or it says that it is done."""
        for _ in range(steps):
            if not self.advance() or self.done:
                return

    @property
    def done(self) -> bool:
        """Has the component asked the run to stop?"""
        return bool(self.trace) and bool(np.any(self.trace[-1][1].get("done", False)))

    def advance(self) -> bool:
        """Step once at the next instant; False when there is none."""
        now = 0 if self.previous is None else self._next()
        if now is None:
            return False
        inputs, new = self.inputs, set()
        for name, pipe in self.pipes.items():
            self._deliver(name, pipe, now)
            value, fresh = pipe.take(now, self.previous)
            inputs[name] = value if self.freeze else _own(value)
            if fresh:
                new.add(name)
            self.given += [(now, name, array, array.copy()) for array in _arrays(inputs[name])]
        inputs.new, inputs.previous = frozenset(new), self.previous
        outputs = self.component.step(now, inputs)
        self._keep(now, outputs)
        self.previous = now
        self.wake = self.component.next_wake(now)
        self.after(self)
        return True

    def _next(self) -> int | None:
        instants = [] if self.wake is None else [self.wake]
        for name, port in self.world.ports.items():
            tick = self.sent[name]
            while port.wakes and tick < TICKS:
                if self.world.message(name, tick) is not None:
                    instants.append(self.world.instant(name, tick))
                    break
                tick += 1
        return min(instants) if instants else None

    def _deliver(self, name: str, pipe: Any, now: int) -> None:
        while self.sent[name] < TICKS and (at := self.world.instant(name, self.sent[name])) <= now:
            message = self.world.message(name, self.sent[name])
            if message is not None:
                pipe.put(at, message)
            self.sent[name] += 1

    def _keep(self, now: int, outputs: Any) -> None:
        if not isinstance(outputs, dict):
            raise TypeError(f"step returned {type(outputs).__name__}, not a dictionary by output name")
        copies = {}
        for name, value in outputs.items():
            copies[name] = value
            if isinstance(value, np.ndarray):
                copies[name] = value.copy()
                self.published.append((now, name, value))
                if self.freeze:
                    value.setflags(write=False)
        self.trace.append((now, copies))

    def save(self) -> dict[str, Any]:
        """Return the state of the component, of what it uses and of the wires before it, copied."""
        return {"component": copied(self.component.state_dict()), "used": used_states(self.component),
                "sent": dict(self.sent), "wake": self.wake, "previous": self.previous,
                "pipes": {name: copied(pipe.state_dict()) for name, pipe in self.pipes.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        load_used(self.component, state["used"])
        self.component.load_state_dict(copied(state["component"]))
        self.sent, self.wake, self.previous = dict(state["sent"]), state["wake"], state["previous"]
        for name, pipe in self.pipes.items():
            pipe.load_state_dict(copied(state["pipes"][name]))


def used_states(component: Component) -> dict[str, Any]:
    """Return the states of what a component uses, as far as they can be saved."""
    return {name: copied(used.state_dict()) for name, used in component.used.items() if hasattr(used, "state_dict")}


def load_used(component: Component, states: Mapping[str, Any]) -> None:
    """Return what a component uses to states saved before."""
    for name, state in states.items():
        component.used[name].load_state_dict(copied(state))


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, Events):
        return [value.time, value.lane, value.index, value.value]
    return [row[1] for row in value] if isinstance(value, list) else [value]


def _own(value: Any) -> Any:
    """A writable copy, so that only the property about writing stumbles over a component that writes."""
    if isinstance(value, Events):
        return value
    return [(at, row.copy()) for at, row in value] if isinstance(value, list) else value.copy()


def copied(state: Any) -> Any:
    """Return a state with arrays of its own, as a file would give it back."""
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    return np.array(state) if isinstance(state, np.ndarray) else state


def vary(subject: Subject, test: Callable[[Plan], None], **fixed: Any) -> None:
    """Try plans that Hypothesis draws, until one fails, there were enough, or the time is up (one at least)."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    tried: list[Plan] = []
    failed: list[Plan] = []
    choices = {"seed": st.integers(0, 2**20), "steps": st.integers(3, 12), "lanes": st.sampled_from((1, 2, 7)),
               "late": st.booleans(), "jitter": st.booleans(), "optional": st.booleans(), "also": st.booleans(),
               "episodes": st.sampled_from(("waiting", "running"))}
    drawn = st.builds(Plan, **{**choices, **{name: st.just(value) for name, value in fixed.items()}})

    @settings(max_examples=subject.examples, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(plan=drawn)
    def attempt(plan: Plan) -> None:
        if tried and not failed and perf_counter() > subject.deadline:
            return
        tried.append(plan)
        try:
            test(plan)
        except NotApplicable:
            raise
        except Exception:
            failed.append(plan)
            raise

    attempt()


def stepped(subject: Subject) -> None:
    """Refuse the properties of steps for a component that is only used, never stepped."""
    if type(subject.make()).step is Component.step:
        raise NotApplicable("has no step of its own")
