"""Whatever a component's own code does wrong, the error says which component it was, and nothing ends the program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from stimloop.components.basics.constant import Constant
from stimloop.components.basics.gain import Gain
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError, PortError, RunError, StimloopError
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

MS = 1_000_000


class Faulty(Component):
    """Publishes a number every millisecond, until it does what it was told to do."""

    period = MS

    def __init__(self, where: str = "", fault: Callable[[], Any] = dict) -> None:
        self._where, self._fault = where, fault
        self._do("making")
        self.inputs, self.outputs = {}, {"value": Port("a number", (2,))}

    def _do(self, where: str) -> Any:
        return self._fault() if where == self._where else None

    def infer(self) -> None:
        self._do("sizing")

    def build(self, lanes: Any, seed: int) -> None:
        super().build(lanes, seed)
        self._do("building")

    def reset(self, seed: int) -> None:
        self._do("resetting")

    def step(self, now: int, inputs: Any) -> Any:
        return self._do("stepping") if now else {}

    def state_dict(self) -> dict[str, Any]:
        self._do("taking the state of")
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._do("loading the state of")

    def close(self) -> None:
        self._do("closing")


def live(where: str, fault: Callable[[], Any]) -> None:
    loop = Loop(System({"odd": Part(lambda: Faulty(where, fault))}))
    loop.run(2 * MS)
    loop.load(loop.save())
    loop.close()


def broken() -> None:
    raise ZeroDivisionError("division by zero")


PLACES = ("sizing", "building", "resetting", "stepping", "taking the state of", "loading the state of", "closing")


@pytest.mark.parametrize("where", PLACES)
def test_an_error_of_its_own_code_says_whose_it_was(where: str) -> None:
    with pytest.raises((ZeroDivisionError, StimloopError)) as found:
        live(where, broken)
    told = "\n".join([str(found.value), *getattr(found.value, "__notes__", ())])
    assert "odd" in told
    assert "division by zero" in told


@pytest.mark.parametrize("where", ["making", *PLACES])
def test_leaving_the_program_is_an_error_whatever_the_exit_code(where: str) -> None:
    with pytest.raises(StimloopError, match=r"sys\.exit\(0\)") as found:
        live(where, lambda: sys.exit(0))
    assert "odd" in str(found.value)


def test_a_bare_reason_says_its_kind() -> None:
    with pytest.raises(AssemblyError, match="cannot be made: ZeroDivisionError: division by zero"):
        live("making", broken)


@pytest.mark.parametrize("answer", [[], 0, (), "value", 1.5])
def test_an_answer_that_is_no_dictionary_is_told(answer: Any) -> None:
    with pytest.raises(PortError, match=f"odd answered {type(answer).__name__}"):
        live("stepping", lambda: answer)


def test_every_component_is_closed_whatever_another_one_raises() -> None:
    closed = []
    loop = Loop(System({name: Part(lambda name=name: Faulty("closing", lambda: closed.append(name) or broken()))
                        for name in "abc"}))
    with pytest.raises(ZeroDivisionError):
        loop.close()
    assert sorted(closed) == ["a", "b", "c"]


# -- states that do not fit --------------------------------------------------------------------------------------------


def scaled(lanes: int = 1) -> Loop:
    return Loop(System({
        "source": Part(lambda: Constant([1.0, 2.0], period=MS)),
        "scale": Part(Gain, {"input": Source("source", "output", 3 * MS)})}, lanes=lanes))


def broken_states() -> dict[str, Callable[[dict[str, Any]], Any]]:
    def without(*path: str) -> Callable[[dict[str, Any]], Any]:
        def cut(state: dict[str, Any]) -> dict[str, Any]:
            inner = state
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            return state
        return cut

    def with_value(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda state: {**state, key: value}

    return {
        "no state": lambda state: None, "a list": lambda state: [state], "no format": without("format"),
        "no now": without("now"), "now is text": with_value("now", "soon"), "no cells": without("cells"),
        "cells are a list": with_value("cells", []), "nodes of text": with_value("nodes", {"scale": "x", "source": 1}),
        "no pipe": without("nodes", "scale", "pipes", "input"), "no component": without("components", "source"),
        "no count": without("cells", "source.output", "count"), "other lanes": lambda state: saved(3)}


def saved(lanes: int) -> dict[str, Any]:
    loop = scaled(lanes)
    loop.run(10 * MS)
    return loop.save()


@pytest.mark.parametrize("name", broken_states())
def test_a_state_that_does_not_fit_leaves_the_loop_as_it_was(name: str) -> None:
    loop, other = scaled(), scaled()
    loop.run(5 * MS)
    with pytest.raises(RunError, match="state"):
        loop.load(broken_states()[name](saved(1)))
    other.run(5 * MS)
    for each in (loop, other):
        each.run(20 * MS)
    assert loop.now == other.now
    assert loop.peek("scale.output").tolist() == other.peek("scale.output").tolist()
