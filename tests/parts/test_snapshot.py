"""Pictures of attributes: what changed is kept, what was new comes back, aliases and generators survive."""

import enum
from collections import deque

import numpy as np
import pytest

from stimloop.components.parts.snapshot import Snapshot, same

OWNER = __name__.partition(".")[0]


class Mood(enum.Enum):
    CALM = 1
    WILD = 2


class Rival:
    def __init__(self):
        self.place, self.history = np.zeros(2), []


class World:
    """Everything a task might hold."""

    def __init__(self):
        self.steps, self.goal, self.mood = 0, np.zeros(3), Mood.CALM
        self.rival, self.task = Rival(), {"target": np.zeros(2), 3: "three"}
        self.recent, self.seen = deque([1, 2]), {4}
        self.moods = []
        self.rng, self.engine, self.me = np.random.default_rng(0), object(), self

    def live(self):
        self.steps += 1
        self.goal[1] = self.rng.random()
        self.mood = Mood.WILD
        self.moods.append((Mood.WILD, None))
        self.rival.place = self.rival.place + self.rng.normal(size=2)
        self.rival.history.append(np.float32(self.steps))
        self.task = {"target": self.rng.random(2), 3: "four", "late": self.steps}
        self.recent.append(self.steps)
        self.seen.add(self.steps)
        self.extra = self.goal * 2


def picture_of(world):
    return Snapshot([world], (OWNER,)).take()


def facts(world):
    return (world.steps, world.goal.tolist(), world.mood, list(world.moods), world.rival.place.tolist(),
            list(world.rival.history), {k: np.asarray(v).tolist() for k, v in world.task.items()}, list(world.recent),
            sorted(world.seen), world.rng.bit_generator.state, np.asarray(getattr(world, "extra", 0)).tolist())


def test_a_fresh_world_takes_the_picture_and_goes_on_alike():
    old, fresh = World(), World()
    one, other = Snapshot([old], (OWNER,)), Snapshot([fresh], (OWNER,))
    for _ in range(3):
        old.live()
    other.bring_back(one.take())
    assert facts(fresh) == facts(old)
    old.live()
    fresh.live()
    assert facts(fresh) == facts(old)


def test_the_new_world_comes_back_and_what_it_lacked_goes():
    world = World()
    snapshot, engine = Snapshot([world], (OWNER,)), world.engine
    new, early = facts(world), snapshot.take()
    assert early == {"changed": {}, "gone": {}}
    world.live()
    later = snapshot.take()
    after = facts(world)
    snapshot.bring_back(early)
    assert facts(world) == new
    assert not hasattr(world, "extra")
    assert world.engine is engine
    del world.steps
    gone = snapshot.take()
    assert gone["gone"] == {"0.steps": True}
    snapshot.bring_back(later)
    assert facts(world) == after
    snapshot.bring_back(gone)
    assert not hasattr(world, "steps")


def test_a_picture_is_no_alias():
    world = World()
    snapshot = Snapshot([world], (OWNER,))
    world.live()
    picture = snapshot.take()
    kept = picture["changed"]["0.goal"].copy()
    world.live()
    assert same(picture["changed"]["0.goal"], kept)
    snapshot.bring_back(picture)
    world.goal[0] = 99
    assert same(picture["changed"]["0.goal"], kept)


def test_pictures_hold_plain_values_only():
    world = World()
    snapshot = Snapshot([world], (OWNER,), frozenset({"task"}))
    world.live()

    def walk(value):
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            for inner in value.values():
                walk(inner)
        else:
            assert value is None or isinstance(value, (bool, int, float, str, np.ndarray)), value

    picture = snapshot.take()
    walk(picture)
    assert "0.task" not in picture["changed"]
    assert "0.me" not in picture["changed"]


def test_an_unknown_choice_is_refused():
    world = World()
    snapshot = Snapshot([world], (OWNER,))
    world.mood = Mood.WILD
    picture = snapshot.take()
    picture["changed"]["0.mood"]["of"] = "os:path"
    with pytest.raises(ValueError, match="unknown to the library"):
        snapshot.bring_back(picture)


def test_same_tells_bits_apart():
    assert same(np.array([np.nan, 0.0]), np.array([np.nan, 0.0]))
    assert not same(np.array([0.0]), np.array([-0.0]))
    assert same(float("nan"), float("nan"))
    assert not same(1, True)
    assert not same({"a": 1}, {"a": 1, "b": 2})
