"""Who acts, who begins and who waits: the vectorised bookkeeping against a plain description lane by lane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.components.parts.episodes import Episodes
from stimloop.loops.component import Inputs
from stimloop.loops.errors import PortError
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING

UNWIRED = Inputs({})


def begin(lanes=(), seeds=()):
    """Inputs with `begin` wired, beginning some lanes."""
    events = Events.of(0, list(lanes), 0, np.array(seeds), "int64") if len(lanes) else Events.empty((), "int64")
    return Inputs({"begin": events})


def tick(episodes, inputs=UNWIRED, ends=(), cut=()):
    """One tick; returns the status as a list, or None when nothing is to be published."""
    if not episodes.open(inputs):
        return None
    masks = np.zeros((2, len(episodes.lanes)), bool)
    masks[0, list(ends)], masks[1, list(cut)] = True, True
    return episodes.close(masks[0], masks[1]).tolist()


class Described:
    """The protocol of one lane in words: what its status is, given what happens to it."""

    def __init__(self, restart, limit):
        self.restart, self.limit, self.where, self.steps = restart, limit, "ready", 0

    def tick(self, wired, asked, ends, cut):
        if self.where != "running":
            if wired and not asked:
                self.where = "waiting"
                return WAITING
            self.where, self.steps = "running", 0
            return FIRST
        self.steps += 1
        cut = cut or (self.limit > 0 and self.steps >= self.limit)
        flags = TERMINATED * ends + TRUNCATED * cut
        if flags and self.restart == "at_once" and not wired:
            self.steps = 0
            return flags | FIRST
        if flags:
            self.where = "ready"
        return flags


events = st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 9)), min_size=3, max_size=3),
                  min_size=1, max_size=25)


@given(events, st.booleans(), st.sampled_from(["next_tick", "at_once"]), st.sampled_from([0, 1, 4]))
def test_equals_the_description_of_a_lane(life, wired, restart, limit):
    episodes = Episodes(Lanes.of(3), 5, restart, limit)
    described = [Described(restart, limit) for _ in range(3)]
    for row in life:
        asked = [wired and ask and lane.where != "running" for (ask, _, _), lane in zip(row, described, strict=True)]
        ends, cut = [kind == 0 for _, kind, _ in row], [late == 0 for _, _, late in row]
        lanes = [lane for lane in range(3) if asked[lane]]
        expected = [lane.tick(wired, a, e, c) for lane, a, e, c in zip(described, asked, ends, cut, strict=True)]
        found = tick(episodes, begin(lanes, lanes) if wired else UNWIRED, np.flatnonzero(ends), np.flatnonzero(cut))
        assert found == (None if expected == [WAITING] * 3 else expected)
        assert episodes.steps[episodes.running].tolist() == [d.steps for d in described if d.where == "running"]


@given(events, st.integers(0, 24), st.booleans())
def test_resumes_at_any_tick(life, at, wired):
    def play(episodes, rows):
        shown = []
        for row in rows:
            free = [lane for lane in range(3) if row[lane][0] and not episodes.running[lane]]
            ends = [lane for lane in range(3) if row[lane][1] == 0]
            shown.append((tick(episodes, begin(free, free) if wired else UNWIRED, ends), episodes.seeds.tolist()))
        return shown

    one, other = Episodes(Lanes.of(3), 5, limit=6), Episodes(Lanes.of(3), 5, limit=6)
    play(one, life[:at])
    other.load_state_dict(one.state_dict())
    assert play(other, life[at:]) == play(one, life[at:])


def test_seeds_follow_the_global_lane_and_the_episode():
    few, many = Episodes(Lanes.of(2, first=3), 9), Episodes(Lanes.of(8), 9)
    seen = []
    for ends in ((), (0,), (), (0,), ()):
        tick(few, ends=ends)
        tick(many, ends=[lane + 3 for lane in ends])
        assert few.seeds.tolist() == many.seeds[3:5].tolist()
        seen.append(few.seeds.tolist())
    assert seen[0][1] == seen[-1][1]  # a lane that did not end keeps its seed
    assert len({row[0] for row in seen}) == 3  # three episodes of the other, three seeds
    assert (Episodes(Lanes.of(2), 8).open(UNWIRED), tick(Episodes(Lanes.of(2), 8))) == (True, [FIRST, FIRST])
    assert max(map(max, seen)) < 2**31


def test_at_once_begins_with_a_seed_of_its_own():
    episodes = Episodes(Lanes.of(2), 0, "at_once")
    tick(episodes)
    before = episodes.seeds.copy()
    assert tick(episodes, ends=[1]) == [0, TERMINATED | FIRST]
    assert episodes.again.tolist() == [False, True]
    assert (episodes.seeds != before).tolist() == [False, True]
    assert tick(episodes) == [0, 0]
    assert not episodes.again.any()


def test_both_flags_where_an_end_falls_on_the_time_limit():
    episodes = Episodes(Lanes.of(2), 0, limit=1)
    tick(episodes)
    assert tick(episodes, ends=[0]) == [TERMINATED | TRUNCATED, TRUNCATED]


def test_nothing_is_published_while_all_wait():
    episodes = Episodes(Lanes.of(2), 0)
    assert tick(episodes, begin()) is None
    assert tick(episodes, begin([1], [77])) == [WAITING, FIRST]
    assert episodes.seeds[1] == 77
    assert tick(episodes, begin(), ends=[1]) == [WAITING, TERMINATED]
    assert tick(episodes, begin()) is None
    assert tick(episodes, begin([0, 1], [5, 5])) == [FIRST, FIRST]


@pytest.mark.parametrize(("lanes", "seeds", "words"), [
    ([0], [3], "lane 0 is in the middle"), ([1, 1], [1, 2], "two episodes"), ([2], [0], "lane 2 does not exist"),
    ([1], [-1], "negative")])
def test_wrong_begins_are_errors(lanes, seeds, words):
    episodes = Episodes(Lanes.of(2), 0)
    tick(episodes, begin([0], [1]))
    with pytest.raises(PortError, match=words):
        tick(episodes, begin(lanes, seeds))


def test_a_limit_that_is_lowered_while_resuming_counts_at_once():
    long, short = Episodes(Lanes.of(1), 0, limit=100), Episodes(Lanes.of(1), 0, limit=2)
    for _ in range(5):
        tick(long)
    short.load_state_dict(long.state_dict())
    assert tick(short) == [TRUNCATED]


def test_wrong_parameters_are_told():
    with pytest.raises(ValueError, match="next_tick or at_once"):
        Episodes(Lanes.of(1), 0, "soon")
    with pytest.raises(ValueError, match="0 for no limit"):
        Episodes(Lanes.of(1), 0, limit=-1)
