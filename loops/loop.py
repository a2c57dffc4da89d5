"""The loop: SimPy is the agenda, one timeout per distinct instant; components step in the order of the graph.

This file is longer than 300 lines because the hot path and what people call on a loop share one state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from heapq import heappop, heappush
from math import inf, isfinite
from typing import Any

import numpy as np
import simpy

from .component import Component
from .errors import PortError, Problem, Problems, StimloopError, TimeError, doing, left, nearest
from .evaluation import Evaluation
from .events import Events
from .graph import Graph, check
from .joining import build_components, join, make_nodes
from .node import FEW_FLOATS, ONE_FLOAT, PLAIN, SHORT_ROW, WATCH, Cell, Node, Tap, own
from .port import Port
from .stops import Counter, the_body, watch
from .system import System
from .time import say
from .until import Until
from .wire import EventPipe

Attendant = Callable[[int], None]  # called between instants with the instant that just ended


class Loop:
    """Builds a system and runs it: `run`, `peek`, `save`, `load`, `fork`, `close`.

    `injected` names event inputs that the caller feeds by `inject` instead of a wire: `body.begin`, or `begin` for the
    input of that name of every component.
    """

    published: Mapping[str, Port] = {}  # what the loop itself publishes, by address; can be tapped, never wired

    def __init__(self, system: System, problems: Problems | None = None, injected: tuple[str, ...] = ()) -> None:
        self.system = system
        self.graph: Graph = check(system, problems, injected)
        self._attendants: tuple[Attendant, ...] = ()
        self.counters: dict[str, Counter] = {}
        self.evaluations: dict[str, Evaluation] = {}
        self._halt = False
        self.pending: str | None = None  # the external component whose answer the loop waits for
        self._paused_ready: list[int] = []
        self.components = self.graph.components
        build_components(self.graph)
        self.plan: list[Node] = make_nodes(self.graph)
        self.nodes = {node.name: node for node in self.plan}
        self.cells: dict[str, Cell] = {cell.key: cell for node in self.plan for cell in node.cells.values()}
        self.injected: dict[str, EventPipe] = join(self.graph, self.nodes, self.cells, injected)
        self.reset()
        self.evaluations = {name: Evaluation(name, plan, self, Loop) for name, plan in system.evaluations.items()}
        for evaluation in self.evaluations.values():
            self.attend(evaluation.look)

    def reset(self) -> None:
        """Return to the moment before t = 0; what was learned stays."""
        for name in self.graph.build_order():
            with doing("resetting", name, self.components[name]):
                self.components[name].reset(self.graph.seed(name))
        for cell in self.cells.values():
            cell.clear()
        for node in self.plan:
            node.clear()
        for pipe in self.injected.values():
            pipe.clear()
        for counter in self.counters.values():
            counter.load_state_dict({"steps": 0, "episodes": 0})
        for evaluation in self.evaluations.values():
            evaluation.load_state_dict({"fired": 0, "started": False})
        self.pending, self._halt = None, False
        self.last = -1  # the instant that was run last
        self._start_agenda(0)
        for node in self.plan:
            node.wake = 0
            self.schedule(0, node.rank)

    def _start_agenda(self, now: int) -> None:
        self.env = self._environment(now)
        self.agenda: dict[int, set[int]] = {}
        self._spent: list[simpy.Event] = []  # timeouts that have come, to be used again

    def restart_agenda(self) -> None:
        """Begin an empty agenda at the instant that was run last (a loaded state fills it anew)."""
        self._start_agenda(self.now)

    def _environment(self, now: int) -> simpy.Environment:
        return simpy.Environment(initial_time=now)

    # -- running -----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds: the instant that was run last (0 before the first)."""
        return max(self.last, 0)

    def run(self, until: str | int | Until | None = None) -> int:
        """Run until a stop (`2 s`, `100 steps`, `3 episodes`, `learner.done`, ns), a halt or a pause; return `now`.

        Times and counts are totals since t = 0 (counts: since the counter was first asked for), not further ones. The
        instant at exactly a stop in time is not run.
        """
        stop = Until.parse(until) if until is not None else None
        if self.pending is not None:
            raise StimloopError(f"the loop waits for an answer from {self.pending!r}: call loop.answer(outputs)")
        limit = stop.amount if stop is not None and stop.kind == "time" else None
        reached, release = watch(self, stop) if stop is not None and stop.kind != "time" else (limit == 0, None)
        try:
            if not reached:
                self._halt = False
                for evaluation in self.evaluations.values():
                    evaluation.begin()
                self._run(limit)
        finally:
            if release is not None:
                release()
        return self.now

    def counter(self, body: str | None = None) -> Counter:
        """Return the counter of a body's steps and episodes; it counts from the first time it is asked for."""
        name = the_body(self, body)
        if name not in self.counters:
            self.counters[name] = Counter(self, name)
        return self.counters[name]

    def _run(self, limit: int | None) -> None:
        end = inf if limit is None else limit
        step, peek = self.env.step, self.env.peek
        while not self._halt and peek() < end:
            step()

    def halt(self) -> None:
        """Stop after the present instant; an evaluation under way is given up and made anew when the loop goes on."""
        self._halt = True
        for evaluation in self.evaluations.values():
            evaluation.loop.halt()

    def next_instant(self) -> int | None:
        """Return the next instant on the agenda."""
        following = self.env.peek()
        return None if following == inf else int(following)

    def attend(self, attendant: Attendant) -> Callable[[], None]:
        """Call `attendant(now)` after every instant, between two steps of anything; returns what ends it."""
        self._attendants += (attendant,)

        def release() -> None:
            self._attendants = tuple(a for a in self._attendants if a is not attendant)

        return release

    def tap(self, address: str, tap: Tap) -> Callable[[], None]:
        """Give every value published on `component.port` to `tap(now, value)`; returns what ends it."""
        cell = self.cell(address)
        cell.taps += (tap,)

        def release() -> None:
            cell.taps = tuple(t for t in cell.taps if t is not tap)

        return release

    def cell(self, address: str) -> Cell:
        """Return the run-time side of an output port; raises KeyError with the nearest name."""
        if address not in self.cells:
            raise KeyError(f"no output {address!r}. {nearest(address, self.cells)}")
        return self.cells[address]

    def peek(self, address: str) -> Any:
        """Return the last value published on `component.port` (None before the first)."""
        return self.cell(address).value

    def schedule(self, when: int, rank: int) -> None:
        """Put a component (by its place in the order) on the agenda; one timeout per distinct instant, used again."""
        ranks = self.agenda.get(when)
        if ranks is not None:
            ranks.add(rank)
            return
        self.agenda[when] = {rank}
        env = self.env
        if self._spent:
            timeout = self._spent.pop()
            timeout.callbacks = [self._instant]
            env.schedule(timeout, delay=when - env.now)
        else:
            env.timeout(when - env.now).callbacks.append(self._instant)

    def _instant(self, timeout: Any) -> None:
        now: Any = self.env.now
        self._spent.append(timeout)
        plan, ready = self.plan, []
        for rank in self.agenda.pop(now):
            node = plan[rank]
            if node.wake == now or now in node.pending:  # else its wake was moved meanwhile
                node.due = now
                ready.append(rank)
            if node.pending:
                node.pending.discard(now)
        if len(ready) > 1:
            ready.sort()
        if ready:  # else every wake here was moved: nothing happens, so this is no instant
            self._drain(now, ready)

    def _drain(self, now: int, ready: list[int]) -> None:
        """Step what is ready, in order; publishing may make more ready, always further down the order."""
        plan = self.plan
        node = plan[0]
        try:
            while ready:
                node = plan[heappop(ready)]
                if node.pipes:
                    inputs = node.take(now)
                else:  # the same, in place: most components read only plain `now` signals
                    inputs = node.inputs
                    inputs.previous = node.previous
                    try:
                        inputs.new = node.news[node.bits]
                    except KeyError:
                        inputs.new = node.name_new(node.bits)
                    node.bits = 0
                if node.external:
                    self.pending, self._paused_ready, self._halt = node.name, ready, True
                    self.last = now
                    return
                outputs = node.step(now, inputs)
                if outputs.__class__ is not dict:
                    outputs = _answer(node, outputs)
                if outputs:
                    try:
                        self._publish(node, now, outputs, ready)
                    except (AttributeError, KeyError):  # known names and arrays are taken for granted
                        node.look_over(outputs)
                        raise
                node.previous = now
                if node.period:
                    following = now - now % node.period + node.period
                    if following != node.wake:
                        node.wake = following
                        self.schedule(following, node.rank)
                elif not node.idle or node.wake is not None:
                    self._plan_wake(node, now)
        except SystemExit as leaving:
            raise self._note(left(node.name, leaving), node, now) from leaving
        except Exception as error:
            self._note(error, node, now)
            raise
        self.last = now
        for attendant in self._attendants:
            attendant(now)

    def _publish(self, node: Node, now: int, outputs: Mapping[str, Any], ready: list[int]) -> None:
        cells = node.cells
        for name, value in outputs.items():
            cell = cells[name]
            mode = cell.mode
            if value is not cell.value or mode == WATCH:  # else the very same array was checked and frozen before
                if mode == WATCH or value.shape != cell.shape or value.dtype is not cell.dtype:
                    value = cell.admit(value, now, node.previous)
                else:
                    if value.base is not None:
                        value = own(value)
                    if mode != PLAIN:
                        if mode == ONE_FLOAT:
                            total = value.item()
                        elif mode == SHORT_ROW:
                            total = sum(value.tolist()[0])
                        elif mode == FEW_FLOATS:
                            total = sum(value.ravel().tolist())
                        else:
                            total = np.vdot(value, value)  # which warns of no overflow, as `dot` does
                        if not isfinite(total):  # one quick pass; it may overflow, so look again
                            cell.finite(value)
                    value.setflags(False)
                cell.value = value
                for watcher in cell.watchers:
                    watcher(value)
            cell.count += 1
            for inputs, key, bit, receiver, wakes, strict in cell.direct:
                inputs[key] = value
                if strict and receiver.bits & bit:
                    receiver.skipped(key)
                receiver.bits |= bit
                if wakes and receiver.due != now:
                    receiver.due = now
                    heappush(ready, receiver.rank)
            if cell.pipes:
                for pipe, receiver, wakes in cell.pipes:
                    arrival = pipe.put(now, value)
                    if wakes and arrival != receiver.arrives:  # else the receiver is told already
                        self._arrive(receiver, now, arrival, ready)
                for receiver in cell.wakes:
                    if receiver.due != now:
                        receiver.due = now
                        heappush(ready, receiver.rank)
            for tap in cell.taps:
                tap(now, value)

    def _arrive(self, receiver: Node, now: int, arrival: int | list[int], ready: list[int]) -> None:
        for when in arrival if isinstance(arrival, list) else (arrival,):
            if when > now:
                receiver.arrives = when
                receiver.pending.add(when)
                self.schedule(when, receiver.rank)
            elif receiver.due != now:
                receiver.due = now
                heappush(ready, receiver.rank)

    def _plan_wake(self, node: Node, now: int) -> None:
        following = node.component.next_wake(now)
        if following is not None:
            if following.__class__ is not int:
                if not isinstance(following, int | np.integer):
                    raise TimeError(f"next_wake answered {following!r}; an instant is whole nanoseconds, an int")
                following = int(following)
            if following <= now:
                raise TimeError(f"next_wake answered {say(following)}, which is not after now ({say(now)})")
        if following != node.wake:
            node.wake = following
            if following is not None:
                self.schedule(following, node.rank)

    def _note(self, error: Exception, node: Node, now: int) -> Exception:
        kind = self.system.parts[node.name].type or type(node.component).__name__
        error.add_note(f"while stepping `{node.name}` ({kind}) at {say(now)}, lanes {node.lanes}")
        return error

    # -- from outside --------------------------------------------------------------------------------------------------

    def answer(self, outputs: Mapping[str, Any]) -> None:
        """Publish the outputs of the external component that the loop waits for, and finish the instant."""
        if self.pending is None:
            raise StimloopError("the loop waits for no answer; call run() until it pauses")
        node, now = self.nodes[self.pending], self.last
        try:
            for name, value in outputs.items():  # all or nothing: a wrong answer may be given again
                node.cell(name).admit(value, now, node.previous)
        except Exception as error:
            self._note(error, node, now)
            raise
        ready, self.pending, self._paused_ready = self._paused_ready, None, []
        self._publish(node, now, outputs, ready)
        node.previous = now
        self._plan_wake(node, now)
        self._drain(now, ready)

    def inject(self, address: str, events: Events) -> None:
        """Hand events to an injected input; they arrive at their own times (before t = 0: time -1)."""
        if address not in self.injected:
            raise StimloopError(f"{address!r} is not among the inputs given as `injected`. "
                                f"{nearest(address, self.injected)}")
        name, _, key = address.partition(".")
        node = self.nodes[name]
        for time in map(int, np.unique(events.time)):
            self.injected[address].insert(time, events.select(events.time == time))
            if node.component.inputs[key].wakes and time > self.last:
                node.pending.add(time)
                self.schedule(time, node.rank)

    # -- saving ------------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Return the whole state between two instants: arrays, numbers, strings and nested dictionaries."""
        from .loop_state import gather

        return gather(self)

    def load(self, state: dict[str, Any]) -> None:
        """Return to a state that `save` gave, of this system; everything continues exactly."""
        from .loop_state import scatter

        scatter(self, state)

    def fork(self) -> Loop:
        """Return a second loop of the same system, in the same state, sharing nothing."""
        other = self._twin()
        other.load(deepcopy(self.save()))
        return other

    def _twin(self) -> Loop:
        return type(self)(self.system, injected=tuple(self.injected))

    @property
    def notices(self) -> list[Problem]:
        """What the build noticed without refusing."""
        return self.graph.problems.notices

    @property
    def learned(self) -> dict[str, dict[str, Any]]:
        """The learned arrays of every component that has any."""
        from .loop_state import ask_state

        states = {name: ask_state(name, component).get("learned") for name, component in self.components.items()}
        return {name: learned for name, learned in states.items() if learned}

    def close(self) -> None:
        """Close every component; may be called twice."""
        with ExitStack() as closing:  # every one is closed, whatever another one raises
            for name, component in self.components.items():
                closing.callback(_close, name, component)
        for evaluation in self.evaluations.values():
            evaluation.close()

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answer(node: Node, outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, Mapping) or outputs is None:
        return dict(outputs or {})
    raise PortError(f"{node.name} answered {type(outputs).__name__}; step returns a dictionary of outputs by name, for "
                    f"example {{{next(iter(node.cells), 'output')!r}: value}}")


def _close(name: str, component: Component) -> None:
    with doing("closing", name, component):
        component.close()
