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
    steps, running, fresh = [], False, True
    for tick, flags in enumerate(life):
        if running and flags != FIRST and not flags & WAITING:
            steps.append((100 * (tick - 1) + lane, -100 * (tick - 1) - lane, 1000 * tick + lane, 100 * tick + lane,
                          bool(flags & TERMINATED), bool(flags & (TERMINATED | TRUNCATED)), not flags & FIRST,
                          not fresh))
            fresh = False
        ends = flags & (TERMINATED | TRUNCATED)
        running = bool(flags & FIRST) or (running and not ends and not flags & WAITING)
        fresh |= bool(flags)
    return steps


def told(rows):
    """Rows as (lane, tuple of what they say)."""
    columns = ("observation", "action", "reward", "successor", "terminated", "ended", "reached", "follows")
    return [] if rows is None else [
        (int(lane), tuple(float(np.ravel(getattr(rows, name)[i])[0]) for name in columns))
        for i, lane in enumerate(rows.lane)]


def made(lives, together=True, half=None, unfinished="error"):
    """Steps by lane that `Transitions` makes of lives [tick][lane], saved and loaded after `half` ticks."""
    maker, found = Transitions(Lanes.of(len(lives[0])), unfinished), [[] for _ in lives[0]]
    for tick, flags in enumerate(lives):
        if tick == half:
            other = Transitions(Lanes.of(len(lives[0])), unfinished)
            other.load_state_dict(maker.state_dict())
            maker = other
        for inputs in heard(tick, flags, together):
            for lane, row in told(maker.take(inputs)):
                found[lane].append(row)
    assert maker.steps == sum(flag != FIRST and not flag & WAITING for flags in lives for flag in flags)
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
    with pytest.raises(PortError, match=r"lane 1 was truncated and begun anew before the next.*restart: next_tick"):
        made(lives)
    one, two = made(lives, unfinished="drop")
    assert [row[0] for row in one] == [0, 100]
    assert [row[0] for row in two] == [101]


def test_what_comes_after_a_dropped_step_does_not_follow_what_came_before():
    """A return that ran over the gap would count the next episode's rewards for this one."""
    lives = [[FIRST], [0], [TRUNCATED | FIRST], [0], [0]]
    assert [(row[0], row[-1]) for row in made(lives, unfinished="drop")[0]] == [(0, 0), (200, 0), (300, 1)]


def test_rewards_between_two_observations_add_up():
    maker = Transitions(Lanes.of(1))
    maker.take(heard(0, [FIRST])[0])
    maker.take(Inputs({"reward": np.array([2.5], np.float32)}, frozenset(["reward"]), None))
    rows = maker.take(heard(1, [0])[0])
    assert rows.reward.tolist() == [1002.5]


def legal(life):
    """Is it what a body says: an episode begins when none runs, and only one that runs goes on or ends?"""
    running = False
    for flags in life:
        if running != (flags in (0, TERMINATED, TRUNCATED)):
            return False
        running = flags in (0, FIRST)
    return True


def sparse(life, every):
    """Steps of one lane whose observation is heard at every n-th tick only: (from, to, reward, terminated, follows)."""
    steps, start, reward, over, link = [], None, 0.0, 0, False
    running = False
    for tick, flags in enumerate(life):
        counts = running and flags != FIRST and not flags & WAITING
        if counts and start is not None and not over:
            reward += 1000 * tick
            over = flags & (TERMINATED | TRUNCATED)
        ends = flags & (TERMINATED | TRUNCATED)
        running = bool(flags & FIRST) or (running and not ends and not flags & WAITING)
        if tick % every == 0:
            linked = False
            if start is not None and reward:
                last = bool(ends) and not flags & FIRST
                if over != TRUNCATED or last:
                    steps.append((100 * start, 100 * tick, reward, bool(over & TERMINATED), link))
                    linked = not over
            link = linked
            start, reward, over = (tick if running else None), 0.0, 0
    return steps


@pytest.mark.parametrize("every", [2, 3])
def test_an_observation_that_comes_seldom_never_joins_two_episodes(every):
    lives = [life for life in product((0, FIRST, TERMINATED, TRUNCATED, WAITING), repeat=7) if legal((FIRST, *life))]
    assert len(lives) > 100
    for life in lives:
        maker, found = Transitions(Lanes.of(1), "drop"), []
        for tick, flags in enumerate((FIRST, *life)):
            both, = heard(tick, [flags])
            new = {"status", "reward"} | ({"observation"} if tick % every == 0 else set())
            rows = maker.take(Inputs(dict(both), frozenset(new), None))
            if rows is not None and len(rows):
                found.append((rows.observation[0, 0], rows.successor[0, 0], rows.reward[0], rows.terminated[0],
                              rows.follows[0]))
        assert found == sparse((FIRST, *life), every), life


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_an_observation_that_comes_late_is_a_late_sense(lag):
    """At every tick what the policy saw, did, got and saw, from the second that it saw; flags and rewards are in time.

    So the first steps of an episode hold what the sense still told of the one before, as it told the policy.
    """
    lives = [life for life in product((0, FIRST, TERMINATED, TRUNCATED, WAITING), repeat=7) if legal((FIRST, *life))]
    for life in lives:
        maker, found = Transitions(Lanes.of(1)), []
        for tick, flags in enumerate((FIRST, *life)):
            both, = heard(tick, [flags])
            values = {**both, "observation": both["observation"] - 100 * lag}
            new = {"status", "reward"} | ({"observation"} if tick >= lag else set())
            found += [row for _, row in told(maker.take(Inputs(values, frozenset(new), None)))]
        late = [(seen - 100 * lag, did, got, saw - 100 * lag, *rest)
                for seen, did, got, saw, *rest in brute_force((FIRST, *life), 0) if seen >= 100 * lag]
        if late:  # nobody saw what came before the first
            late[0] = (*late[0][:-1], False)
        assert found == late, life
