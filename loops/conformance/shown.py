"""What a role shows (answers, values, predictions, weights, choices) is changed by changers, never by an own step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from .compare import difference
from .driver import NotApplicable, Subject, copied, stepped, vary
from .roles import array, native, offers, questions
from .world import Plan

NEEDS = {"respond": ("respond", "memory"), "evaluate": ("respond", "memory", "evaluate"), "value": ("value",),
         "predict": ("predict",), "weights": ("weights", "set_weights"), "choose": ("choose",)}


def only_changers(subject: Subject) -> str:
    """Policies, values, models, plastic brains, searches: own steps change nothing of what the role shows.

    A body is no such role: its state is what its steps are for, and a used one may not be wired.
    """
    stepped(subject)
    example = subject.make()
    if not (shown := [name for name, methods in NEEDS.items() if offers(example, *methods)]):
        raise NotApplicable(f"plays no role that may change: offers no {', '.join(NEEDS)}")

    def unchanged(plan: Plan) -> None:
        component: Any = subject.fresh(subject.lanes(plan.lanes))
        driver = subject.drive(component, plan)
        driver.run(2)
        asks = _asks(component, shown, {name: _latest(value) for name, value in driver.inputs.items()})
        before, state = _answers(asks), copied(component.state_dict())
        if where := difference(before, _answers(asks)):
            raise AssertionError(f"asked the same twice, {where} differs: a role neither draws nor remembers")
        if where := difference(state, component.state_dict()):
            raise AssertionError(f"asking ({', '.join(asks)}) changed the state at {where}: a role answers and no more")
        driver.run(plan.steps)
        if where := difference(before, _answers(asks)):
            raise AssertionError(f"own steps changed what the role shows, at {where}: leave that to a learner that "
                                 "uses it")
        component.close()

    vary(subject, unchanged, also=False)
    return ", ".join(shown)


def _latest(value: Any) -> Any:
    """The value itself, or the last of the rows that an input which reads `all` was given."""
    return value[-1][1] if isinstance(value, list) else value


def _asks(component: Any, shown: list[str], heard: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the questions that are put before and after the steps, with everything they need held fast."""
    asks: dict[str, Callable[[], Any]] = {}
    if "respond" in shown:
        memory = deepcopy(component.memory())
        values = {name: value for name, value in heard.items() if name != "status" and isinstance(value, np.ndarray)}
        asks["respond"] = partial(component.respond, values, memory)
    if "evaluate" in shown:
        action = array(asks["respond"]()[0]["action"]).copy()
        asks["evaluate"] = partial(component.evaluate, values, action, memory)
    for name in ("value", "predict"):
        if name in shown:
            rows = [native(component, part) for part in questions(component, name, 3)]
            asks[name] = partial(getattr(component, name), *rows)
    if "weights" in shown:
        asks["weights"] = component.weights
        if offers(component, "synapses"):
            asks["synapses"] = component.synapses
    if "choose" in shown:
        asks["choose"] = partial(component.choose, *questions(component, "choose", 3))
    if offers(component, "parameters"):
        asks["parameters"] = lambda: list(component.parameters())
    return asks


def _answers(asks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    return {name: _plain(ask()) for name, ask in asks.items()}


def _plain(answer: Any) -> Any:
    """Return an answer as dictionaries and arrays of its own."""
    if answer is None:
        return None
    if isinstance(answer, (tuple, list)):
        answer = {str(i): part for i, part in enumerate(answer)}
    if isinstance(answer, Mapping):
        return {str(name): _plain(part) for name, part in answer.items()}
    return array(answer).copy()
