"""The properties about lanes and time: strangers in other lanes, irregular instants, what is new, where FIRST acts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..component import Inputs
from ..lanes import Lanes
from ..status import FIRST, idle
from .compare import close_trace, difference
from .driver import Driver, NotApplicable, Subject, copied, stepped, vary
from .world import Plan, World


def strangers(subject: Subject) -> str:
    """5: lanes are strangers: permuted, picked out or disturbed, each does what it would have done alone."""
    stepped(subject)
    if subject.limit is not None and subject.limit < 2:
        raise NotApplicable("serves one lane only")
    if subject.folder == "learners":
        raise NotApplicable("a learner's lanes meet in what is learned")
    count = min(7, subject.limit or 7)
    everyone = list(range(count))
    order = everyone[::-1][2:] + everyone[::-1][:2]

    def compare(plan: Plan, lanes: Lanes, whose: list[int], others: list[int], what: str, **world: Any) -> None:
        first = subject.trace(plan, lanes=Lanes.of(count))
        second = subject.trace(plan, lanes=lanes, **world)
        close_trace(first.trace, second.trace, first.component.outputs, whose, others, what)

    def permuted(plan: Plan) -> None:
        compare(plan, Lanes(count, np.array(order)), order, everyone, "lanes in another order (with their numbers)")

    def alone(plan: Plan) -> None:
        compare(plan, Lanes(1, np.array([count - 1])), [count - 1], [0], "a lane, alone and among others")

    def disturbed(plan: Plan) -> None:
        others = [lane for lane in everyone if lane != 1]
        compare(plan, Lanes.of(count), others, others, "other lanes, when only the inputs of lane 1 change",
                salt=lambda world, name, tick, lane: int(lane == 1))

    vary(subject, permuted, steps=8)
    vary(subject, alone, steps=8, episodes="running")
    vary(subject, disturbed, steps=8, episodes="running")
    return ""


def time_and_news(subject: Subject) -> str:
    """7: `next_wake(now) > now`; any legal step times are accepted; what is not new is not counted again."""
    stepped(subject)

    def later(driver: Driver) -> None:
        now, wake = driver.previous, driver.wake
        if wake is not None and (type(wake) is not int or wake <= now):  # type: ignore[operator]
            raise AssertionError(f"next_wake({now}) returned {wake!r}; it must be a later whole number of ns, or None")

    def irregular(plan: Plan) -> None:
        driver = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
        driver.after = later
        driver.run(plan.steps)
        driver.component.close()

    vary(subject, irregular, jitter=True, steps=20)
    component = subject.make()
    counts = {"status", "reward", "observation"} & set(component.inputs)
    counting = subject.folder in ("brains", "learners", "protocols", "critics", "world_models")
    if component.period is not None or not counts or not counting:
        return "step times only: it may move between arrivals"
    vary(subject, lambda plan: _not_again(subject, plan))
    return ""


def _not_again(subject: Subject, plan: Plan) -> None:
    driver = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
    driver.run(plan.steps)
    if driver.done:
        return
    now = (driver.previous or 0) + 1  # woken by something that brings nothing new, one nanosecond later
    before = copied(_counted(driver.component.state_dict()))
    values = {}
    for name, pipe in driver.pipes.items():
        values[name], _ = pipe.take(now, driver.previous)
        if isinstance(values[name], list):
            values[name] = values[name][:1]
    driver.component.step(now, Inputs(values, frozenset(), driver.previous))
    if where := difference(before, _counted(driver.component.state_dict())):
        raise AssertionError(f"a step with nothing in inputs.new changed {where}: act only on what is new")


def _counted(state: dict[str, Any]) -> dict[str, Any]:
    """The state without random counters: answering again may draw again."""
    return {key: _counted(value) if isinstance(value, dict) else value for key, value in state.items()
            if "random" not in key and "noise" not in key}


def first_touches_its_lane(subject: Subject) -> str:
    """9: FIRST touches memory of that lane only, and only where `forget` says so."""
    stepped(subject)
    example = subject.make()
    if "status" not in example.inputs:
        raise NotApplicable("hears no status")
    if subject.limit is not None and subject.limit < 2:
        raise NotApplicable("serves one lane only")
    at, steps = 3, 8  # FIRST arrives with message 3

    def compare(plan: Plan, what: str, lanes: list[int], other: dict[str, Any], one: dict[str, Any]) -> None:
        first, second = subject.trace(plan, **one), subject.trace(plan, **other)
        since = first.world.instant("status", at) if one else -1
        rows = [[row for row in driver.trace if row[0] > since] for driver in (first, second)]
        close_trace(rows[0], rows[1], first.component.outputs, lanes, lanes, what)

    begun: dict[str, Any] = {"flags": {(at, 1): FIRST}}

    def other_past(world: World, name: str, tick: int, lane: int) -> int:
        return int(lane == 1 and tick < at and name != "status" and world.group(name) == "body")

    past = {**begun, "salt": other_past}

    def only_its_lane(plan: Plan) -> None:
        compare(plan, "another lane, when lane 1 alone hears FIRST", [0], begun, {})

    def forgets(plan: Plan) -> None:
        compare(plan, "a lane after FIRST, whatever it lived through before (forget: first)", [1], past, begun)

    def keeps(plan: Plan) -> None:
        compare(plan, "a lane with and without FIRST (forget: never)", [1], begun, {})

    fixed = {"steps": steps, "lanes": 2, "episodes": "one", "jitter": False, "optional": False, "late": False}
    if subject.folder not in ("learners", "protocols"):
        vary(subject, only_its_lane, **fixed)
    forget = getattr(example, "forget", None)
    if forget in ("first", "never"):
        vary(subject, forgets if forget == "first" else keeps, **fixed)
        return f"forget: {forget}"
    return "no `forget` attribute: only the other lanes were looked at"


def idle_lanes_rest(subject: Subject) -> str:
    """Policies and coprocessors: action or command is zero in lanes that ended or wait."""
    example = subject.make()
    if subject.folder == "brains" and not hasattr(example, "respond"):
        raise NotApplicable("is no policy: offers no respond")
    name = {"brains": "action", "coprocessors": "command"}.get(subject.folder, "")
    if name not in example.outputs or "status" not in example.inputs:
        raise NotApplicable("publishes no action or command, or hears no status")
    if example.inputs["status"].reads != "now" or example.outputs[name].kind == "event":
        raise NotApplicable(f"its status reads {example.inputs['status'].reads}, or its {name} are events")

    def rests(plan: Plan) -> None:
        driver = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
        while len(driver.trace) < plan.steps and driver.advance():
            now, outputs = driver.trace[-1]
            resting = idle(np.asarray(driver.inputs["status"]))
            if name in outputs and np.any(outputs[name][resting]):
                raise AssertionError(f"{name} at {now} ns is not zero in a lane that ended or waits")
        driver.component.close()

    vary(subject, rests, optional=True, also=False, episodes="waiting")
    return ""
