"""Conformance: the properties that every component must have, for ours and for yours.

    from stimloop.loops.conformance import check
    print(check(MyBrain, folder="brains").text())

`stimloop check my_module:MyBrain` does the same. Hypothesis draws the lives that a component is led through.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ..component import Component
from . import bodies, checks, lives, roles, shown
from .driver import NotApplicable, Subject

PROPERTIES: Mapping[str, Callable[[Subject], str]] = {
    "1 example and ports": checks.builds,
    "2 outputs match ports": checks.outputs_match,
    "3 seeds": checks.seeds,
    "4 save and load": checks.save_and_load,
    "5 lanes are strangers": lives.strangers,
    "6 publish and forget": checks.publish_and_forget,
    "7 time and news": lives.time_and_news,
    "8 extremes": checks.extremes,
    "9 FIRST and memory": lives.first_touches_its_lane,
    "10 close": checks.closes,
    "body: status": bodies.keeps_status,
    "body: restart": bodies.restarts,
    "body: begin": bodies.begins,
    "body: ignored actions": bodies.ignores,
    "idle lanes rest": lives.idle_lanes_rest,
    "role: only changers": shown.only_changers,
    "policy: respond": roles.policy_responds,
    "policy: evaluate": roles.policy_evaluates,
    "learner: updates": roles.learner_updates,
    "model: rows": roles.model_rows,
    "model: gradient": roles.model_gradient,
    "model: loss": roles.model_loss,
    "plastic: synapses": roles.plastic_synapses,
}


@dataclass(frozen=True)
class Result:
    """How one property came out."""

    property: str
    ok: bool
    message: str
    seconds: float
    applies: bool = True


@dataclass(frozen=True)
class Report:
    """How all properties came out for one component."""

    component: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Does every property hold that says anything about this component?"""
        return all(result.ok for result in self.results)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the properties that do not hold."""
        return tuple(result.property for result in self.results if not result.ok)

    def text(self) -> str:
        """Write the report for people, one property a line."""
        lines = [f"{self.component}: {'conforms' if self.ok else f'{len(self.failed)} properties do not hold'}"]
        for result in self.results:
            word = "FAIL" if not result.ok else "ok" if result.applies else "-"
            lines.append(f"  {word:4} {result.property:22} {result.seconds:6.2f} s  {result.message}".rstrip())
        return "\n".join(lines)


def check(make: Callable[[], Component] | type, *, folder: str | None = None, examples: int = 10,
          uses: Mapping[str, Callable[[], Any]] | None = None, seconds: float = 10.0,
          only: tuple[str, ...] | None = None) -> Report:
    """Check every property for a component class (through its `example()`) or a function that makes one.

    `folder` says which names and roles to expect (brains, bodies, ...); by default it is read off the class's place or
    its ports. `uses` gives makers for what the component uses, where the built-in stand-ins are not enough (with
    `state_dict` and `load_state_dict`, if the component may change it); a component that is not built yet is built, as
    wide as the ports of the same name.
    `examples` and `seconds` bound the lives drawn for one property; `only` picks properties by name.
    """
    create, name = _maker(make)
    try:
        if not isinstance(example := create(), Component):
            raise AssertionError(f"{type(example).__name__} is not a Component: derive it from stimloop.Component")
        place = folder or guess_folder(example)
    except Exception as error:
        return Report(name, (Result("1 example and ports", False, _say(error), 0.0),))
    subject = Subject(create, place, examples, dict(uses or {}), seconds)
    wanted = PROPERTIES if only is None else {key: PROPERTIES[key] for key in only}
    first = _try("1 example and ports", checks.builds, subject)
    if not first.ok:  # what cannot be built can show nothing else
        return Report(name, (first,))
    others = tuple(_try(key, test, subject) for key, test in wanted.items() if key != first.property)
    return Report(name, (first, *others))


def guess_folder(component: Component) -> str:
    """Return the folder a component would live in, from its module or else its ports; "" when nothing tells."""
    parts = type(component).__module__.split(".")
    if "components" in parts[:-2]:
        return parts[parts.index("components") + 1]
    inputs, outputs = set(component.inputs), set(component.outputs)
    if {"observation", "reward", "status"} <= outputs:
        return "bodies"
    if "current" in outputs and "command" in inputs:
        return "stimulators"
    if hasattr(component, "respond") or "action" in outputs:
        return "brains"
    return "coprocessors" if "command" in outputs and not component.guard else ""


def _maker(make: Callable[[], Component] | type) -> tuple[Callable[[], Component], str]:
    name = getattr(make, "__qualname__", repr(make))
    if not isinstance(make, type):
        return make, name
    return getattr(make, "example", make), name


def _try(name: str, test: Callable[[Subject], str], subject: Subject) -> Result:
    started = perf_counter()
    subject.deadline = started + subject.seconds
    try:
        ok, applies, message = True, True, test(subject)
    except NotApplicable as reason:
        ok, applies, message = True, False, f"not applicable: {reason}"
    except Exception as error:  # what the component did wrong, or why it cannot be checked
        ok, applies, message = False, True, _say(error)
    return Result(name, ok, message, perf_counter() - started, applies)


def _say(error: Exception) -> str:
    """Write an error with its place, and the life that led to it."""
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "conformance" not in frame.filename]
    if not isinstance(error, AssertionError) and frames:
        text += f" ({frames[-1].filename.rsplit('/', 1)[-1]} line {frames[-1].lineno})"
    notes = [note.strip() for note in getattr(error, "__notes__", ()) if "Plan(" in note]
    return " ".join([text, *(" ".join(note.split()) for note in notes)])
