"""Transitions against brute force: a body told lane by lane in words, with every flag in every position."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.parts.transitions import Transitions
from stimloop.loops.component import Inputs
from stimloop.loops.errors import PortError
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING

FLAGS = (0, FIRST, TERMINATED, TRUNCATED, TERMINATED | TRUNCATED, WAITING, TERMINATED | FIRST)


def heard(tick, flags, together=True):
    """What a learner hears at one tick: numbers that tell tick and lane; the action that was in force before."""
    lane = np.arange(len(flags))
    values = {"observation": (100 * tick + lane)[:, None].astype(np.float32), "status": np.array(flags, np.int64),
              "reward": (1000 * tick + lane).astype(np.float32),
              "action": (-100 * (tick - 1) - lane)[:, None].astype(np.float32)}
    everything = Inputs(values, frozenset(("observation", "status", "reward")), None)
    early = Inputs(values, frozenset(("status", "reward")), None)
    late = Inputs(values, frozenset(("observation",)), None)
    return [everything] if together else [early, late]


def brute_force(life, lane):
    """Steps of one lane as a list: a step counts unless FIRST or WAITING, and follows what runs."""
    steps, running = [], False
    for tick, flags in enumerate(life):
        if running and flags != FIRST and not flags & WAITING:
            steps.append((100 * (tick - 1) + lane, -100 * (tick - 1) - lane, 1000 * tick + lane, 100 * tick + lane,
                          bool(flags & TERMINATED), bool(flags & (TERMINATED | TRUNCATED))))
        ends = flags & (TERMINATED | TRUNCATED)
        running = bool(flags & FIRST) or (running and not ends and not flags & WAITING)
    return steps


def made(lives, together=True, half=None):
    """Steps by lane that `Transitions` makes of lives [tick][lane], saved and loaded after `half` ticks."""
    maker, found = Transitions(Lanes.of(len(lives[0]))), [[] for _ in lives[0]]
    for tick, flags in enumerate(lives):
        if tick == half:
            other = Transitions(Lanes.of(len(lives[0])))
            other.load_state_dict(maker.state_dict())
            maker = other
        for inputs in heard(tick, flags, together):
            rows = maker.take(inputs)
            for i in range(len(rows) if rows is not None else 0):
                found[rows.lane[i]].append((rows.observation[i, 0], rows.action[i, 0], rows.reward[i],
                                            rows.successor[i, 0], rows.terminated[i], rows.ended[i]))
    return found


@pytest.mark.parametrize("together", [True, False])
def test_every_flag_in_every_position(together):
    for life in product(FLAGS, repeat=4):
        flags = [[flag] for flag in (FIRST, *life)]
        assert made(flags, together)[0] == brute_force((FIRST, *life), 0), life


@given(lives=st.lists(st.tuples(*[st.sampled_from(FLAGS)] * 3), min_size=1, max_size=12), half=st.integers(0, 12),
       together=st.booleans())
def test_lanes_beside_one_another(lives, half, together):
    found = made([list(flags) for flags in lives], together, half)
    for lane, life in enumerate(zip(*lives, strict=True)):
        assert found[lane] == brute_force(life, lane)


def test_a_step_whose_successor_nobody_saw_is_refused_or_dropped():
    lives = [[FIRST, FIRST], [0, TRUNCATED | FIRST], [0, 0]]
    with pytest.raises(PortError, match=r"lane 1 was truncated and begun anew in one instant.*restart: next_tick"):
        made(lives)
    maker, lanes = Transitions(Lanes.of(2), "drop"), []
    for tick, flags in enumerate(lives):
        rows = maker.take(heard(tick, flags)[0])
        lanes += [] if rows is None else [rows.lane.tolist()]
    assert lanes == [[0], [0, 1]]


def test_rewards_between_two_observations_add_up():
    maker = Transitions(Lanes.of(1))
    maker.take(heard(0, [FIRST])[0])
    maker.take(Inputs({"reward": np.array([2.5], np.float32)}, frozenset(["reward"]), None))
    rows = maker.take(heard(1, [0])[0])
    assert rows.reward.tolist() == [1002.5]
