"""Episodes kept whole, lane by lane."""

import numpy as np

from stimloop.components.parts.transitions import Rows
from stimloop.components.parts.whole_episodes import WholeEpisodes


def rows(lane, ended, follows):
    count, no = len(lane), np.zeros(len(lane), bool)
    nothing = np.zeros((count, 1), np.float32)
    return Rows(np.array(lane), nothing, nothing, nothing[:, 0], nothing, no, np.array(ended, bool), ~no,
                np.array(follows, bool))


def told(kept):
    return [episode[:, 0].tolist() for episode in kept.ended]


def fed(kept, *steps):
    return [kept.add(rows(lane, ended, follows), np.array(values, np.float32)[:, None])
            for lane, ended, follows, values in steps]


FIRST = ([0, 1], [False, False], [False, False], [1, 10])
SECOND = ([0, 1], [True, False], [True, True], [2, 11])
THIRD = ([0, 1], [False, True], [False, True], [3, 12])


def test_lanes_have_episodes_of_their_own():
    kept = WholeEpisodes(2, 1)
    assert fed(kept, FIRST, SECOND, THIRD) == [0, 1, 1]
    assert told(kept) == [[1, 2], [10, 11, 12]]
    values, there = kept.padded()
    assert values[..., 0].tolist() == [[1, 2, 0], [10, 11, 12]]
    assert there.tolist() == [[True, True, False], [True, True, True]]
    assert kept.padded(1)[0].shape == (1, 3, 1)


def test_what_came_before_a_step_left_out_is_left_out():
    kept = WholeEpisodes(1, 1)
    fed(kept, ([0], [False], [False], [1]), ([0], [False], [False], [3]), ([0], [True], [True], [4]))
    assert told(kept) == [[3, 4]]


def test_the_latest_are_kept():
    kept = WholeEpisodes(2, 1, most=1)
    fed(kept, FIRST, SECOND, THIRD)
    assert told(kept) == [[10, 11, 12]]


def test_it_goes_on_from_the_middle_of_episodes():
    kept, again = WholeEpisodes(2, 1), WholeEpisodes(2, 1)
    fed(kept, FIRST, SECOND)
    again.load_state_dict(kept.state_dict())
    for one in (kept, again):
        fed(one, THIRD, ([0], [True], [True], [4]))
    assert told(kept) == told(again) == [[1, 2], [10, 11, 12], [3, 4]]
