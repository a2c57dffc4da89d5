"""The properties of single steps: ports, values, seeds, state, extremes, closing."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from time import perf_counter
from typing import Any, get_type_hints

import numpy as np

from ..component import Component
from ..errors import Diverged
from .compare import broken_rule, check_output, difference, plain, same, same_trace, without_learned
from .driver import Driver, Subject, copied, load_used, stepped, used_states, vary
from .world import Plan

COUNTS = (1, 2, 7)  # numbers of lanes that every component is tried with


def builds(subject: Subject) -> str:
    """1: builds from example(); the constructor is a schema; port names are those of its folder."""
    component = subject.make()
    if component is subject.make():
        raise AssertionError("two calls of example() return the same object; make a new one each time")
    constructor: Any = type(component).__init__
    hints = get_type_hints(constructor, include_extras=True)
    for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise AssertionError(f"the constructor takes {parameter}; name every parameter, they are the schema")
        if name not in hints:
            raise AssertionError(f"parameter {name} of the constructor has no type; the types are the schema")
    component = subject.fresh(subject.lanes(2))
    for side in ("inputs", "outputs"):
        for name, port in getattr(component, side).items():
            if not port.about:
                raise AssertionError(f"{side[:-1]} {name} does not say what it is (Port.about)")
    if wrong := broken_rule(subject.folder, component):
        raise AssertionError(wrong)
    component.labels()
    component.close()
    return ""


def outputs_match(subject: Subject) -> str:
    """2: outputs match their ports for 1, 2 and 7 lanes: shape, dtype, bounds, finite."""
    stepped(subject)
    for count in COUNTS:
        _check_outputs(subject, Plan(lanes=count))
    vary(subject, lambda plan: _check_outputs(subject, plan))
    return ""


def _check_outputs(subject: Subject, plan: Plan) -> None:
    driver = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
    lanes, previous = driver.component.lanes.count, None
    while len(driver.trace) < plan.steps and driver.advance():
        now, outputs = driver.trace[-1]
        for name, value in outputs.items():
            check_output(driver.component.outputs, name, value, lanes, now, previous)
        previous = now
        if driver.done:
            break
    driver.component.close()


def seeds(subject: Subject) -> str:
    """3: same seed, same trace; another seed, another trace where `random` is declared, and only there."""
    stepped(subject)
    declared = subject.make().random

    def same_seed(plan: Plan) -> None:
        first, second = subject.trace(plan, seed=plan.seed), subject.trace(plan, seed=plan.seed)
        same_trace(first.trace, second.trace, "two fresh instances with the same seed and inputs")
        if not declared:
            other = _seen(subject.trace(plan, seed=plan.seed + 1))
            if where := difference(_seen(first), other):
                raise AssertionError(f"another seed gives another life ({where} differs), so it draws random numbers: "
                                     "declare it with `random = True`")

    vary(subject, same_seed)
    if not declared:
        return "draws nothing"
    plan = Plan(steps=16, lanes=7, episodes="running")
    for seed in (2, 3, 4):
        first, second = subject.trace(plan, seed=1), subject.trace(plan, seed=seed)
        if not same(_seen(first), _seen(second)):
            return ""
    raise AssertionError("declares `random` but seeds 1, 2, 3 and 4 give the same outputs and the same state")


def _seen(driver: Driver) -> dict[str, Any]:
    outputs = {str(now): outputs for now, outputs in driver.trace}
    return {"outputs": outputs, "state": driver.final}


def save_and_load(subject: Subject) -> str:
    """4: saved in the middle and loaded into a fresh instance it goes on alike; `reset` keeps only what was learned."""
    stepped(subject)
    exact = subject.make().resumes == "exact"
    if subject.make().resumes not in ("exact", "restarts noise", "no"):
        raise AssertionError(f'resumes = {subject.make().resumes!r}: write "exact", "restarts noise" or "no"')
    vary(subject, lambda plan: _resume(subject, plan, exact))
    vary(subject, lambda plan: _reset(subject, plan), seed=5)
    _other_lanes(subject)
    return "" if exact else f"resumes: {subject.make().resumes}"


def _resume(subject: Subject, plan: Plan, exact: bool) -> None:
    whole = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
    whole.run(max(1, plan.steps // 2))
    live = whole.component.state_dict()
    if problem := plain(live):
        raise AssertionError(f"state_dict() holds {problem}; only arrays, numbers, strings and dictionaries of these")
    saved, split = whole.save(), len(whole.trace)
    for _ in range(0 if whole.done else plan.steps):
        if not whole.advance() or whole.done:
            break
    if where := difference(live, saved["component"]):
        raise AssertionError(f"what state_dict() returned changed at {where} when the component went on: return copies")
    rest = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
    rest.load(saved)
    if where := difference(rest.component.state_dict(), saved["component"]):
        raise AssertionError(f"a fresh instance that loaded a state returns another one from state_dict(), at {where}")
    rest.run(len(whole.trace) - split)
    if exact:
        same_trace(whole.trace[split:], rest.trace, "a run, and its continuation from a state saved in the middle")
        if where := difference(whole.component.state_dict(), rest.component.state_dict()):
            raise AssertionError(f"after the same continuation from a saved state, state_dict() differs at {where}")
    whole.component.close()
    rest.component.close()


def _reset(subject: Subject, plan: Plan) -> None:
    component = subject.fresh(subject.lanes(plan.lanes), seed=5)
    start, used = copied(component.state_dict()), used_states(component)
    first = subject.drive(component, plan)
    first.run(plan.steps)
    end = copied(component.state_dict())
    load_used(component, used)  # what it uses is not its own to bring back
    component.reset(5)
    if where := difference(end.get("learned"), component.state_dict().get("learned")):
        raise AssertionError(f"reset changed what was learned, at {where}")
    if where := difference(without_learned(start), without_learned(component.state_dict())):
        raise AssertionError(f"reset with the first seed does not return to the state after build, at {where}")
    component.load_state_dict({"learned": start["learned"]} if "learned" in start else {})
    again = subject.drive(component, plan)
    again.run(plan.steps)
    same_trace(first.trace, again.trace, "a run, and the run after reset with the same seed")
    if where := difference(end, component.state_dict()):
        raise AssertionError(f"a run, and the run after reset with the same seed, end in another state, at {where}")
    component.close()


def _other_lanes(subject: Subject) -> None:
    if not (learned := subject.trace(Plan(lanes=2)).final.get("learned", {})):
        return
    if problem := plain(learned, arrays_only=True):
        raise AssertionError(f'state_dict()["learned"] holds {problem}; it is arrays, in dictionaries')
    other = subject.fresh(subject.lanes(7), seed=9)
    before = copied(without_learned(other.state_dict()))
    other.load_state_dict({"learned": learned})
    if where := difference(learned, other.state_dict()["learned"]):
        raise AssertionError(f"what was learned with 2 lanes is not what an instance with 7 lanes loaded, at {where}")
    if where := difference(before, without_learned(other.state_dict())):
        raise AssertionError(f'loading {{"learned": ...}} alone touched {where}')
    other.close()


def publish_and_forget(subject: Subject) -> str:
    """6: never writes to an input; a published array never changes later."""
    stepped(subject)

    def kept(plan: Plan) -> None:
        for freeze in (True, False):
            driver = subject.drive(subject.fresh(subject.lanes(plan.lanes)), plan)
            driver.freeze = freeze
            driver.run(plan.steps)
            driver.component.close()
            for now, name, array, copy in driver.given:
                if not np.array_equal(array, copy, equal_nan=copy.dtype.kind == "f"):
                    raise AssertionError(f"wrote to its input {name}, given at {now} ns")
            told = [(now, name, outputs[name]) for now, outputs in driver.trace for name in outputs]
            was = {(now, name): value for now, name, value in told}
            for now, name, array in driver.published:
                if not same(array, was[now, name]):
                    raise AssertionError(f"output {name} published at {now} ns changed later: publish a new array")

    vary(subject, kept)
    return ""


def extremes(subject: Subject) -> str:
    """8: inputs at their bounds, zeros and extremes give finite outputs, or the component says that it diverged."""
    stepped(subject)

    def finite(plan: Plan) -> None:
        try:
            driver = subject.trace(plan)
        except Diverged:
            return
        for now, outputs in driver.trace:
            for name, value in outputs.items():
                check_output(driver.component.outputs, name, value, driver.component.lanes.count, now, None)

    for values in ("low", "high", "zero", "mixed"):
        vary(subject, finite, values=values, lanes=2)
    return ""


def closes(subject: Subject) -> str:
    """10: close twice; no thread left; build and step times."""
    before = set(threading.enumerate())
    started = perf_counter()
    component = subject.fresh(subject.lanes(2))
    built = perf_counter() - started
    driver = subject.drive(component, Plan(steps=20))
    started = perf_counter()
    if type(component).step is not Component.step:
        driver.run(20)
    spent = (perf_counter() - started) / max(1, len(driver.trace))
    component.close()
    component.close()
    if left := [thread.name for thread in _living(set(threading.enumerate()) - before)]:
        raise AssertionError(f"close() left threads running: {', '.join(left)}")
    return f"build {built * 1e3:.1f} ms, step {spent * 1e6:.0f} us (2 lanes, driver included)"


def _living(threads: set[threading.Thread]) -> Iterator[threading.Thread]:
    for thread in threads:
        thread.join(0.5)
        if thread.is_alive():
            yield thread
