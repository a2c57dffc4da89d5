"""The properties of bodies: episodes, WAITING and `begin`, both `restart` modes, actions that must be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..component import Component, Inputs
from ..events import Events
from ..status import ENDED, FIRST, WAITING, ended
from ..time import MILLISECOND
from .compare import check_output, same
from .driver import NotApplicable, Subject
from .world import draw

TICKS = 400  # a body is given so many to end an episode


class Player:
    """Plays a body tick by tick: random actions, keyed by (tick, global lane), and `begin` events when wired."""

    def __init__(self, body: Component, wired: bool = False, salt: Mapping[tuple[int, int], int] | None = None) -> None:
        self.body = body
        self.wired = wired
        self.salt = salt or {}  # other actions at (tick, lane)
        self.previous: int | None = None
        self.now = 0
        self.tick = 0
        self.ports = {name: port for name, port in body.inputs.items() if name != "begin" and not port.optional}

    def play(self, begin: Mapping[int, int] | None = None) -> dict[str, Any]:
        """Step the body once; `begin` gives lanes an episode seed."""
        values: dict[str, Any] = {}
        for name, port in self.ports.items():
            value = port.start(self.body.lanes.count) if self.tick == 0 and port.reads != "now" else self._draw(name)
            since = -1 if self.previous is None else self.previous
            values[name] = [(since, value)] if port.reads == "all" else value
        new = frozenset(values) if self.tick else frozenset()
        if self.wired:
            values["begin"] = self._begin(begin or {})
            new |= {"begin"} if begin else set()
        outputs = self.body.step(self.now, Inputs(values, new, self.previous))
        self.previous, self.tick = self.now, self.tick + 1
        wake = self.body.next_wake(self.now)
        self.now = self.now + 20 * MILLISECOND if wake is None else wake
        return {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in outputs.items()}

    def _draw(self, name: str) -> np.ndarray:
        port = self.ports[name]
        rows = [draw(port, np.random.default_rng([self.tick, int(n), self.salt.get((self.tick, int(n)), 0)]))
                for n in self.body.lanes.numbers]
        value = np.stack(rows).astype(port.dtype)
        value.setflags(write=False)
        return value

    def _begin(self, begin: Mapping[int, int]) -> Events:
        port = self.body.inputs["begin"]
        shape: tuple[Any, ...] = port.shape
        if not begin:
            return Events.empty(shape, port.dtype)
        value = np.array(list(begin.values()), port.dtype).reshape(-1, *[1] * len(shape))
        value = np.broadcast_to(value, (len(begin), *shape))
        return Events.of(-1 if self.previous is None else self.previous + 1, list(begin), 0, value, port.dtype)


def _is_body(subject: Subject) -> None:
    if subject.folder != "bodies":
        raise NotApplicable("is no body")


def _flags_follow(before: np.ndarray | None, flags: np.ndarray, at_once: bool, tick: int) -> None:
    """Raise unless every lane's flags may follow those of the tick before."""
    for lane, flag in enumerate(int(f) for f in flags):
        if flag not in (0, FIRST, 2, 4, 6, WAITING, *((3, 5, 7) if at_once else ())):
            raise AssertionError(f"status {flag} in lane {lane} at tick {tick} is no legal combination of flags")
        if before is None:
            if flag != FIRST:
                raise AssertionError(f"status at t = 0 is {flag} in lane {lane}: without begin all start with FIRST")
            continue
        over = int(before[lane]) & ENDED and not at_once
        if over and flag != FIRST:
            raise AssertionError(f"lane {lane} ended at tick {tick - 1}, and one tick later its status is {flag}")
        if not over and (flag == FIRST or flag & WAITING):
            raise AssertionError(f"status {flag} in lane {lane} at tick {tick}, but its episode had not ended")
        if at_once and flag & ENDED and not flag & FIRST:
            raise AssertionError(f"restart: at_once, but lane {lane} ended at tick {tick} without FIRST")


def _idle_reward(outputs: Mapping[str, Any], flags: np.ndarray, tick: int) -> None:
    quiet = (flags == FIRST) | (flags == WAITING)
    if np.any(np.asarray(outputs["reward"])[quiet] != 0):
        raise AssertionError(f"reward at tick {tick} is not 0 where the status is exactly FIRST or WAITING")


def _protocol(subject: Subject, **changes: Any) -> tuple[int, bool]:
    """Play until three episodes of a lane ended, checking flags, reward and bounds; return ends and `at_once`."""
    body = subject.fresh(subject.lanes(2), **changes)
    at_once = getattr(body, "restart", "next_tick") == "at_once" if not changes else changes["restart"] == "at_once"
    player, before, ends = Player(body), None, 0
    for tick in range(TICKS):
        now = player.now
        outputs = player.play()
        for name, value in outputs.items():
            check_output(body.outputs, name, value, body.lanes.count, now, None)
        if missing := {"observation", "reward", "status"} - outputs.keys():
            raise AssertionError(f"published no {', '.join(sorted(missing))} at tick {tick}, though no lane waits")
        _flags_follow(before, outputs["status"], at_once, tick)
        _idle_reward(outputs, outputs["status"], tick)
        before = outputs["status"]
        ends += int(ended(before).sum())
        if ends >= 3:
            break
    body.close()
    return ends, at_once


def keeps_status(subject: Subject) -> str:
    """Bodies: FIRST at t = 0 and after an end; no reward outside steps; the observation stays inside its bounds."""
    _is_body(subject)
    ends, _ = _protocol(subject)
    return f"{ends} episodes ended" if ends else f"no episode ended within {TICKS} ticks: starts only"


def restarts(subject: Subject) -> str:
    """Bodies: both `restart` modes keep the status protocol."""
    _is_body(subject)
    counts = {mode: _protocol(subject, restart=mode)[0] for mode in ("next_tick", "at_once")}
    return ", ".join(f"{mode}: {ends} ends" for mode, ends in counts.items())


def begins(subject: Subject) -> str:
    """Bodies: wired to `begin`, a lane WAITS until one comes, and the seed sent decides its start."""
    _is_body(subject)
    body = subject.fresh(subject.lanes(3))
    lanes = body.lanes.count
    player = Player(body, wired=True)
    for tick in range(2):
        if player.play():
            raise AssertionError(f"published at tick {tick} though every lane waits for begin")
    outputs = player.play({0: 11})
    _expect_flags(outputs, [FIRST] + [WAITING] * (lanes - 1), "after begin for lane 0 alone")
    _idle_reward(outputs, outputs["status"], 2)
    start = outputs["observation"][0]
    if lanes > 1:
        then = player.play({lanes - 1: 11})
        _expect_flags({"status": then["status"][1:]}, [WAITING] * (lanes - 2) + [FIRST], "after begin for another lane")
        if not np.allclose(then["observation"][lanes - 1], start, atol=1e-6):
            raise AssertionError("two lanes that begin with the same episode seed start with different observations")
        if lanes > 2 and not same(outputs["observation"][1], then["observation"][1]):
            raise AssertionError("a lane that waits does not repeat its observation")
    try:
        player.play({0: 12})
    except Exception as error:  # any error will do: the point is that there is one
        told = error is not None
    else:
        told = bool(_was_over(outputs if lanes == 1 else then))
    body.close()
    if not told:
        raise AssertionError("a begin for a running lane was accepted; it must be an error")
    return _waits_after_end(subject)


def _was_over(outputs: Mapping[str, Any]) -> bool:
    return bool(int(outputs["status"][0]) & ENDED)


def _expect_flags(outputs: Mapping[str, Any], flags: list[int], when: str) -> None:
    got = None if "status" not in outputs else [int(flag) for flag in outputs["status"]]
    if got != flags:
        raise AssertionError(f"{when} the status is {got}, expected {flags}")


def _waits_after_end(subject: Subject) -> str:
    """Let one lane run to its end while another runs on; then WAITING alone, then silence when all wait."""
    body = subject.fresh(subject.lanes(2))
    player, lanes = Player(body, wired=True), body.lanes.count
    outputs = player.play(dict.fromkeys(range(lanes), 5))
    _expect_flags(outputs, [FIRST] * lanes, "at t = 0, after begin for every lane before,")
    before = outputs["status"]
    for tick in range(1, TICKS):
        outputs = player.play()
        over = ((before & ENDED) != 0) | (before == WAITING)
        if over.all():
            body.close()
            if outputs:
                raise AssertionError(f"published at tick {tick} though every lane waits for begin")
            return "waits after its end"
        flags = outputs["status"]
        if (flags[over] != WAITING).any():
            raise AssertionError(f"a lane that ended has status {flags[over].tolist()} at the next tick, not WAITING")
        _idle_reward(outputs, flags, tick)
        before = flags
    body.close()
    if _protocol(subject)[0] >= 3:
        raise AssertionError(f"episodes end without begin, but none ended within {TICKS} ticks where it is wired")
    return f"no episode ended within {TICKS} ticks: beginnings only"


def ignores(subject: Subject) -> str:
    """Bodies: the tick that publishes FIRST, and lanes that wait, ignore the action."""
    _is_body(subject)
    lanes = subject.lanes(2)
    changes: dict[str, Any] = {}
    try:
        body = subject.fresh(lanes, restart="next_tick")
        changes = {"restart": "next_tick"}
    except NotApplicable:
        body = subject.fresh(lanes)
    player = Player(body)
    rows: list[dict[str, Any]] = []
    while len(rows) < TICKS and not (len(rows) > 2 and (rows[-2]["status"] == FIRST).any()):
        rows.append(player.play())
    body.close()
    tick = len(rows) - 2
    moments = {(0, int(n)): 1 for n in lanes.numbers}  # the action at t = 0 is never one that acts
    if (rows[tick]["status"] == FIRST).any():
        moments |= {(tick, int(n)): 1 for n in lanes.numbers[rows[tick]["status"] == FIRST]}
    other = subject.fresh(lanes, **changes)
    player = Player(other, salt=moments)
    for at, row in enumerate(rows):
        if not all(same(row[name], value) for name, value in player.play().items()):
            raise AssertionError(f"the action at a tick that publishes FIRST was not ignored (seen at tick {at})")
    other.close()
    return "" if len(moments) > lanes.count else f"no episode ended within {TICKS} ticks: the first tick only"
