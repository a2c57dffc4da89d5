"""Spaces: a Dict space as one port per key, discrete and image ports; every receiver's size comes by shape flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.system import Part, Source, System

from . import compare
from .plain import Book, World
from .spaces_toys import (
    COLOURS,
    FILM,
    HEIGHT,
    MODES,
    WIDTH,
    Bounds,
    Chooser,
    Eye,
    Film,
    Half,
    SpacesBody,
    Wind,
    flat,
    mode,
    photograph,
)
from .toys import MS, PUSHES, TICK, wire

SEED, TESTS, GUST = 9, 3, 30 * MS
UNTIL = 60 * TICK


def build(lanes: int) -> System:
    parts = {
        "body": Part(SpacesBody, {"action": wire("brain.action"), "wind": wire("breeze.output")}),
        "brain": Part(Chooser, {"observation": wire("body.observation"), "arm": wire("half.output"),
                                "mode": wire("body.observation_mode"), "pooled": wire("eye.pooled"),
                                "status": wire("body.status")}),
        "half": Part(Half, {"input": wire("body.observation_arm")}),
        "eye": Part(Eye, {"camera": wire("body.observation_camera")}),
        "wind": Part(Wind),
        "breeze": Part(Half, {"input": wire("wind.output")}),
        "film": Part(Film, {"camera": wire("body.observation_camera"), "mode": wire("body.observation_mode")}),
        "late_film": Part(Film, {"camera": wire("body.observation_camera", 35 * MS),
                                 "mode": wire("body.observation_mode", 35 * MS)}),
        "bounds": Part(Bounds, {"input": wire("body.observation_arm")}),
    }
    system = System(parts, lanes, SEED, "spaces")
    test = compare.without(system, "film", "late_film", "bounds", lanes=TESTS)
    return System(parts, lanes, SEED, "spaces", evaluations=compare.plan(test, (2, "episodes"), TESTS))


def decide(seen: list[np.ndarray], quarter: int) -> int:
    total = np.float32(0)
    for vector in seen:
        for number in vector:
            total = total + number
    return (int(np.floor(total * 16)) + quarter) % 3


def film(book: Book, name: str, delay: int, shots: list[tuple[int, np.ndarray, np.ndarray]], until: int) -> None:
    """Every 50 ms, the light of all images that were in force since, each as long as it was."""
    lanes = len(shots[0][1])
    dark = (-1, np.zeros((lanes, HEIGHT, WIDTH, COLOURS), np.uint8), np.zeros(lanes, np.int64))
    arrivals = [dark, *((when + delay, image, quarter) for when, image, quarter in shots)]
    for now in range(0, until, FILM):
        before = now - FILM
        held = [a for a in arrivals if a[0] <= before][-1] if now else dark
        inside = [a for a in arrivals if before < a[0] < now] if now else []
        marks = [max(before, 0), *(a[0] for a in inside), now]
        light = [sum(int(a[1][lane].astype(int).sum()) * (marks[i + 1] - marks[i])
                     for i, a in enumerate([held, *inside])) for lane in range(lanes)]
        book.say(now, f"{name}.light", light, "int64")
        book.say(now, f"{name}.frames", [1 + len(inside)] * lanes, "int64")
        book.say(now, f"{name}.mode", held[2], "int64")


class Gusts:
    """What the wind is, half of it felt, and only what was in force after the tick before."""

    def __init__(self, lanes: int) -> None:
        self.draws = LaneRandom(derive(SEED, "wind"), Lanes.of(lanes))
        self.blown: list[tuple[int, np.ndarray]] = []
        self.calm = np.zeros((lanes, 2), np.float32)

    def until(self, now: int) -> None:
        """Draw all gusts up to an instant."""
        while len(self.blown) * GUST <= now:
            self.blown.append((len(self.blown) * GUST, self.draws.normal((2,)).astype(np.float32)))

    def felt(self, now: int) -> np.ndarray:
        """The wind that a body which ticks at `now` holds."""
        self.until(now)
        past = [value for when, value in self.blown if when <= now - TICK]
        return np.float32(0.5) * past[-1] if past else self.calm


def show(book: Book, now: int, rows: list, wind: np.ndarray, quiet: bool) -> list[int]:
    """Publish one tick and what is made of it; return the choices."""
    x = np.array([row[0] for row in rows])
    image, eight = photograph(x), 255 * HEIGHT * WIDTH
    pooled = [[np.float32(int(image[i, :, :, c].astype(int).sum()) / eight) for c in range(COLOURS)]
              for i in range(len(rows))]
    vector = flat(x, wind)
    choice = [0 if status in (2, 4, 8) else decide([vector[i], np.float32(0.5) * x[i], pooled[i]], int(mode(x)[i]))
              for i, (_, _, status) in enumerate(rows)]
    if not quiet:
        book.body(now, rows)
        book.rows["body.observation"].pop()  # here the flat vector has that name
        book.say(now, "body.observation", vector)
        book.say(now, "body.observation_arm", x)
        book.say(now, "body.observation_goal_wind", wind[:, :1])
        book.say(now, "body.observation_mode", mode(x), "int64")
        book.say(now, "body.observation_camera", image, "uint8")
        book.say(now, "half.output", np.float32(0.5) * x)
        book.say(now, "eye.pooled", pooled)
        book.say(now, "bounds.output", x)
        book.say(now, "brain.action", choice, "int64")
        book.say(now, "brain.width", [3 + MODES + 2 + COLOURS + MODES] * len(rows), "int64")
    return choice


def try_out() -> dict[str, list[float]]:
    gusts, book = Gusts(TESTS), Book()
    worlds, choice = [World(0, lane) for lane in range(TESTS)], [0] * TESTS
    table: dict[str, list[float]] = {"return": [0.0] * TESTS, "length": [0] * TESTS, "success": [np.nan] * TESTS}
    now = 0
    while any(np.isnan(table["success"])):
        rows = [worlds[i].tick(PUSHES[choice[i]], None if now else 1000 + i, waits=True) for i in range(TESTS)]
        for i, (_, reward, status) in enumerate(rows):
            if status not in (1, 8):
                table["return"][i] += float(reward)
                table["length"][i] += 1
            if status & 6:
                table["success"][i] = float(status & 2 != 0)
        choice = show(book, now, rows, gusts.felt(now), True)
        now += TICK
    return table


def plain(lanes: int, until: int) -> tuple[compare.Rows, list[dict]]:
    """Look, pool, choose; the wind blows on its own grid."""
    book, gusts = Book(), Gusts(lanes)
    worlds = [World(derive(SEED, "body"), lane) for lane in range(lanes)]
    choice, shots = [0] * lanes, []
    steps = episodes = 0
    tables = [{"time": 0, "steps": 0, "episodes": 0, "updates": 0, **try_out()}]
    for now in range(0, until, TICK):
        rows = [worlds[i].tick(PUSHES[choice[i]]) for i in range(lanes)]
        choice = show(book, now, rows, gusts.felt(now), False)
        x = np.array([row[0] for row in rows])
        shots.append((now, photograph(x), mode(x)))
        steps += sum(status != 1 for _, _, status in rows)
        before, episodes = episodes // 2, episodes + sum(status & 6 != 0 for _, _, status in rows)
        if episodes // 2 > before:
            tables.append({"time": now, "steps": steps, "episodes": episodes, "updates": 0, **try_out()})
    gusts.until(until - 1)
    for when, value in gusts.blown:
        book.say(when, "wind.output", value)
        book.say(when, "breeze.output", np.float32(0.5) * value)
    film(book, "film", 0, shots, until)
    film(book, "late_film", 35 * MS, shots, until)
    return book.rows, tables


@pytest.mark.parametrize("lanes", [1, 3])
def test_equals_plain_loop(lanes: int) -> None:
    rows, tables = compare.trace(build(lanes), UNTIL)
    expected, expected_table = plain(lanes, UNTIL)
    compare.assert_same(rows, expected)
    compare.assert_same_tables(tables, {"test": expected_table})
    assert len({int(c) for _, value in expected["brain.action"] for c in value}) == 3
    assert len({int(c) for _, value in expected["film.mode"] for c in value}) == MODES


def test_a_lane_is_the_same_among_three() -> None:
    alone, _ = compare.trace(build(1), UNTIL)
    among, _ = compare.trace(build(3), UNTIL)
    compare.assert_same({a: [(now, v[:1]) for now, v in rows] for a, rows in among.items()}, alone)


def test_shapes_flowed_both_ways() -> None:
    with Loop(build(3)) as loop:
        ports = {name: {**c.inputs, **c.outputs} for name, c in loop.components.items()}
    assert ports["brain"]["observation"].shape == (3 + MODES,)
    assert ports["brain"]["arm"].shape == ports["half"]["input"].shape == (2,)
    assert ports["eye"]["camera"].shape == ports["film"]["camera"].shape == (HEIGHT, WIDTH, COLOURS)
    assert ports["brain"]["pooled"].shape == (COLOURS,)
    assert ports["wind"]["output"].shape == ports["breeze"]["input"].shape == (2,)  # against the direction of the wire
    assert (ports["brain"]["action"].choices, ports["brain"]["mode"].choices) == (3, MODES)
    assert ports["bounds"]["output"].low.tolist() == [-4, -8]


def changed(name: str, port: str, source: Source) -> System:
    system = build(1)
    part = replace(system.parts[name], inputs={**system.parts[name].inputs, port: source})
    return System({**system.parts, name: part}, 1, SEED, "wrong")


@pytest.mark.parametrize(("name", "port", "source", "words"), [
    ("film", "camera", wire("body.observation_camera", reads="mean"), "mean of a port of uint8 has no meaning"),
    ("brain", "arm", wire("body.observation_camera"), r"shape \(\?,\).*observation_camera of shape \(4, 5, 3\)"),
    ("breeze", "input", wire("body.observation"), r"shape \(7,\)|of shape \(7,\)"),
    ("film", "mode", wire("brain.action"), "chooses among 3, the input among 4"),
    ("brain", "mode", wire("body.reward"), "carries float32, the input takes int64"),
    ("eye", "camera", wire("half.output"), r"shape"),
])
def test_what_does_not_fit_is_refused(name: str, port: str, source: Source, words: str) -> None:
    with pytest.raises(AssemblyError, match=words):
        Loop(changed(name, port, source))


def test_unknown_sizes_are_named() -> None:
    with pytest.raises(AssemblyError, match=r"wind\.output"):
        Loop(System({"wind": Part(Wind)}))


def test_a_port_out_of_its_bounds_is_found() -> None:
    class Bright(SpacesBody):
        def step(self, now, inputs):
            out = super().step(now, inputs)
            return {**out, "observation_mode": out["observation_mode"] + MODES}

    assert Port("quarter", choices=MODES).high == MODES - 1
    system = build(1)
    parts = {**system.parts, "body": Part(Bright, system.parts["body"].inputs)}
    with Loop(System(parts, 1)) as loop, pytest.raises(ValueError, match=r"body\.observation_mode published values"):
        loop.run(UNTIL)


@pytest.mark.parametrize("lanes", [1, 3])
def test_halves(lanes: int, tmp_path) -> None:
    compare.check_halves(build(lanes), 30 * TICK, [1, 90 * MS, 7 * TICK + 1, 210 * MS], tmp_path)


def test_names_and_order() -> None:
    compare.check_names(build(3), 30 * TICK)


def test_evaluation_changes_nothing() -> None:
    compare.check_evaluation(build(3), 30 * TICK)


def test_schedule() -> None:
    compare.check_schedule(build(1), 12, "spaces")
