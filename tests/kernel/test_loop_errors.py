"""Errors while running: their type stays, and they say which component, port and lane, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError, PortError, TimeError
from stimloop.loops.events import Events
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.system import Part, Source, System

from .small import MS, body, hearer, loop_of, part, sender

SPIKES = Port("spikes", (), kind="event", indices=3)


def failing(loop: Loop, error: type[Exception], until: int = 10 * MS) -> tuple[str, str]:
    """Return message and note of what a run raises."""
    with pytest.raises(error) as raised:
        loop.run(until)
    return str(raised.value), "\n".join(raised.value.__notes__)


def published(value: Any, port: Port, lanes: int = 2, at: int = 0, **keywords: Any) -> tuple[str, str]:
    """Return message and note of a value that is refused at an instant."""
    say = lambda now, inputs: {"value": value if now == at else _good(port, lanes)}  # noqa: E731
    system = System({"brain": part({}, {"value": port}, say, MS, type="brains.mlp")}, lanes, **keywords)
    return failing(Loop(system), PortError, at + 1)


def _good(port: Port, lanes: int) -> Any:
    if port.kind == "event":
        return Events.empty(port.shape, port.dtype)  # type: ignore[arg-type]
    return np.zeros(port.full_shape(lanes), port.dtype)


def test_errors_keep_their_type_and_gain_a_note() -> None:
    class Odd(Exception):
        """Not one of ours."""

    def say(now: int, inputs: Any) -> dict[str, Any]:
        if now == 1020 * MS:
            raise Odd("the arm broke")
        return {}

    system = System({"brain": part({}, {}, say, 20 * MS, type="brains.mlp")}, 8)
    text, note = failing(Loop(system), Odd, 2000 * MS)
    assert text == "the arm broke"
    assert note == "while stepping `brain` (brains.mlp) at 1.02 s, lanes 8"
    system = System({"brain": part({}, {}, say, 20 * MS)}, 8)
    assert "`brain` (Written)" in failing(Loop(system), Odd, 2000 * MS)[1]


def test_a_component_without_a_step_says_so() -> None:
    class Lazy(Component):
        inputs: dict[str, Port] = {}
        outputs: dict[str, Port] = {}

    text, _ = failing(Loop(System({"lazy": Part(Lazy)})), TypeError)
    assert text == "Lazy has no step method: write `def step(self, now, inputs)`"


def test_a_value_that_is_not_finite_is_named_with_port_and_lane() -> None:
    value = np.zeros((3, 2), np.float32)
    value[2, 1] = np.nan
    text, note = published(value, Port("x", (2,)), 3)
    assert text == "brain.value published nan at [lane, ...] = [2, 1]; look at what feeds it, or shorten its time step"
    assert note == "while stepping `brain` (brains.mlp) at 0, lanes 3"


@pytest.mark.parametrize("at", [0, 50 * MS, 101 * MS, 150 * MS])
def test_finiteness_is_checked_for_ever(at: int) -> None:
    value = np.full((2, 2), 1e30, np.float32)
    value[1, 0] = -np.inf
    assert "published -inf at [lane, ...] = [1, 0]" in published(value, Port("x", (2,)), at=at)[0]
    loss = Port("loss", per_lane=False)
    assert "brain.value published nan" in published(float("nan"), loss, at=at)[0]
    spikes = Events.of(at, 0, 0, [np.inf])
    assert published(spikes, SPIKES, at=at)[0] == "brain.value published a payload that is not finite"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("dtype", "shape", "lanes"), [
    ("float32", (64,), 3), ("float64", (64,), 1), ("float16", (40,), 2), ("float32", (2,), 2), ("float32", (4,), 1)])
def test_large_numbers_are_finite(dtype: Any, shape: Any, lanes: int) -> None:
    """The quick look squares and adds, which may overflow where nothing is wrong; nobody is told of that."""
    largest = np.full((lanes, *shape), np.finfo(dtype).max, dtype)
    loop = Loop(System({"brain": part({}, {"value": Port("x", shape, dtype=dtype)}, lambda now, inputs: {
        "value": largest.copy()}, MS)}, lanes))
    loop.run(150 * MS)
    np.testing.assert_array_equal(loop.peek("brain.value"), largest)


@pytest.mark.parametrize(("value", "port", "text"), [
    (np.zeros(2, np.float32), Port("x", (2,)), "brain.value published shape (2,); its port says (2, 2) (lanes first)"),
    (np.zeros((1, 2), np.float32), Port("x", (2,)),
     "brain.value published shape (1, 2); its port says (2, 2) (lanes first)"),
    (np.zeros((2, 2)), Port("x", (2,)), "brain.value published float64; its port says float32"),
    ([[0.0, 0.0]] * 2, Port("x", (2,)), "brain.value published list; publish a NumPy array (2, 2)"),
    (np.float32([[0, 2], [0, 0]]), Port("x", (2,), low=-1, high=1),
     "brain.value published values in [0.0, 2.0]; its port says [-1, 1]"),
    (np.float32([[0, 0], [0, -3]]), Port("x", (2,), low=[-5, -2], high=np.inf),
     "brain.value published values in [-3.0, 0.0]; its port says [-5, inf]"),
    (np.array([0, 3]), Port("x", choices=3), "brain.value published values in [0, 3]; its port says [0, 2]"),
    (np.zeros(2, np.float32), SPIKES, "brain.value published ndarray; publish Events"),
    (Events.of(0, 0, 0), SPIKES, "brain.value published payloads (0,); its port says ()"),
    (Events.of(0, [0, 2], 0, [1.0, 1.0]), SPIKES, "brain.value published events for lanes 0..2 of 2"),
    (Events.of(0, [-1, 0], 0, [1.0, 1.0]), SPIKES, "brain.value published events for lanes -1..0 of 2"),
    (Events.of(0, 0, [0, 3], [1.0, 1.0]), SPIKES, "brain.value published indices 0..3 of 3"),
    (Events.of(0, 0, [-1, 0], [1.0, 1.0]), SPIKES, "brain.value published indices -1..0 of 3"),
    (Events.of([0, 1], 0, 0, [1.0, 1.0]), SPIKES, "brain.value published events at 0..1 ns; they must lie after its "
     "previous step (-1 ns) and not after now (0 ns)")])
def test_values_that_do_not_fit_their_port(value: Any, port: Port, text: str) -> None:
    assert published(value, port)[0] == text


def test_events_out_of_order_or_out_of_time() -> None:
    good = Events.of([0, 1], 0, 0, [1.0, 2.0])
    mixed = Events(good.time[::-1], good.lane, good.index, good.value)
    assert published(mixed, SPIKES, at=MS)[0] == "brain.value published events out of order; make them with Events.of"
    late = Events.of([MS, 2 * MS], 0, 0, [1.0, 1.0])
    assert "published events at 1000000..2000000 ns" in published(late, SPIKES, at=2 * MS)[0]  # 1 ms was a step before


def test_bounds_leave_room_for_rounding() -> None:
    port = Port("x", low=-1, high=1)
    loop = Loop(System({"brain": part({}, {"value": port}, lambda now, inputs: {
        "value": np.float32([1.000001])}, MS)}))
    loop.run(3 * MS)


def test_bounds_are_looked_at_a_hundred_times_unless_asked_for_always() -> None:
    port = Port("x", (2,), low=-1, high=1)
    wild = np.full((2, 2), 7, np.float32)
    assert "in [7.0, 7.0]" in published(wild, port, at=99 * MS)[0]
    assert "in [7.0, 7.0]" in published(wild, port, at=500 * MS, check_always=True)[0]
    loop = Loop(System({"brain": part({}, {"value": port}, lambda now, inputs: {
        "value": wild.copy() if now > 200 * MS else _good(port, 2)}, MS)}, 2))
    loop.run(250 * MS)


def test_bool_ports_have_no_bounds() -> None:
    loop = loop_of(brain=part({}, {"value": Port("x", dtype="bool")}, lambda now, inputs: {"value": np.array([True])},
                              MS))
    loop.run(2 * MS)


def test_a_port_of_size_zero_is_allowed() -> None:
    loop = loop_of(brain=part({}, {"value": Port("x", (0,), low=0, high=1)},
                              lambda now, inputs: {"value": np.zeros((1, 0), np.float32)}, MS))
    loop.run(200 * MS)


def test_a_metric_may_be_a_plain_number() -> None:
    loop = loop_of(brain=part({}, {"loss": Port("l", per_lane=False), "done": Port("d", dtype="bool", per_lane=False)},
                              lambda now, inputs: {"loss": 0.5, "done": True}, MS))
    loop.run(150 * MS)
    assert loop.peek("brain.loss").dtype == np.float32
    assert loop.peek("brain.loss").shape == ()
    assert loop.peek("brain.done").dtype == bool


def test_an_unknown_key_is_an_error() -> None:
    loop = loop_of(brain=part({}, {"value": Port("x")}, lambda now, inputs: {"vale": np.zeros(1, np.float32)}, MS))
    text, note = failing(loop, PortError)
    assert text == "brain published 'vale', which is none of its outputs: value"
    assert "while stepping `brain`" in note


@pytest.mark.parametrize("many", [1, 150])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_what_was_published_cannot_be_written_to(many: int, dtype: str) -> None:
    loop = loop_of(a=part({}, {"value": Port("x", (2,), dtype=dtype)},
                          lambda now, inputs: {"value": np.zeros((1, 2), dtype)}, MS))
    loop.run(many * MS)
    with pytest.raises(ValueError, match="read-only"):
        loop.peek("a.value")[0] = 1


@pytest.mark.parametrize("answer", [5, 3, 0])
def test_the_next_wake_lies_after_now(answer: int) -> None:
    loop = loop_of(sleeper=hearer(wake_at=lambda now: 5 if now == 0 else answer), sender=sender({}))
    text, note = failing(loop, TimeError)
    assert text.startswith("next_wake answered")
    assert text.endswith("which is not after now (5 ns)")
    assert "while stepping `sleeper`" in note


@pytest.mark.parametrize("answer", [5.0, float("nan"), float("inf"), "5 ms"])
def test_the_next_wake_is_a_whole_number(answer: Any) -> None:
    text, note = failing(loop_of(sleeper=hearer(wake_at=lambda now: answer), sender=sender({})), TimeError)
    assert text == f"next_wake answered {answer!r}; an instant is whole nanoseconds, an int"
    assert "while stepping `sleeper`" in note


@pytest.mark.parametrize(("reads", "delay"), [("now", 0), ("now", 3), ("hold", 0), ("hold", 3)])
@pytest.mark.parametrize("key", ["status", "reward"])
def test_a_status_that_would_be_passed_over_is_an_error(reads: Any, delay: int, key: str) -> None:
    port = Port("x", dtype="int64" if key == "status" else "float32", reads=reads)
    loop = loop_of(body=body(lambda tick: [0]), learner=hearer(port, Source("body", key, delay), 40))
    text, _ = failing(loop, PortError, 1000)
    assert text == ("learner.value passed over a value of a status or reward: learner steps more slowly than the body. "
                    "Let this input read all: learner: {inputs: {value: {reads: all}}}")


@pytest.mark.parametrize(("reads", "period"), [("all", 40), ("now", 10), ("hold", 10), ("now", 5), ("hold", 5)])
def test_a_status_that_is_seen_whole_is_none(reads: Any, period: int) -> None:
    port = Port("x", dtype="int64", reads=reads)
    loop = loop_of(body=body(lambda tick: [0]), learner=hearer(port, "body.status", period))
    loop.run(500)
    other = loop_of(talker=part({}, {"reward": Port("r")}, lambda now, inputs: {"reward": np.ones(1, np.float32)}, 10),
                    learner=hearer(Port("x"), "talker.reward", 40))
    other.run(500)  # no body: a reward is a number like any other


def test_a_component_that_cannot_be_built_is_an_assembly_error() -> None:
    class Weights(Component):
        inputs: dict[str, Port] = {}
        outputs: dict[str, Port] = {}

        def __init__(self, error: Exception) -> None:
            self.error = error

        def build(self, lanes: Any, seed: int) -> None:
            raise self.error

    with pytest.raises(AssemblyError, match=r"^t: brain: cannot be built: there is no file x$"):
        Loop(System({"brain": Part(lambda: Weights(OSError("there is no file x")))}, name="t"))
    with pytest.raises(AssemblyError, match=r"^t: brain: its own words$"):
        Loop(System({"brain": Part(lambda: Weights(AssemblyError("its own words")))}, name="t"))
    with pytest.raises(ZeroDivisionError):
        Loop(System({"brain": Part(lambda: Weights(ZeroDivisionError()))}, name="t"))
