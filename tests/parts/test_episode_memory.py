"""Steps become episodes, episodes are remembered and drawn: order, padding, shares, and what is saved."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the memory draws with torch")

import torch

from stimloop.components.parts.episode_memory import EpisodeMemory, padded
from stimloop.components.parts.transitions import Rows
from stimloop.components.parts.unfolding import Unfolding
from stimloop.loops.errors import RunError


def rows(lanes, seen, *, follows=True, ended=False, terminated=False):
    """One step of some lanes; `seen` is the observation before, the one after is a tenth more."""
    count = len(lanes)
    seen = np.full((count, 2), seen, np.float32)
    flag = lambda value: np.broadcast_to(np.asarray(value, bool), count).copy()  # noqa: E731
    return Rows(np.array(lanes), seen, np.full((count, 1), seen[0, 0] / 10, np.float32),
                np.arange(count, dtype=np.float32), seen + np.float32(0.1), flag(terminated), flag(ended),
                flag(~flag(ended)), flag(follows))


def test_an_episode_is_handed_out_when_it_has_ended_and_others_run_on():
    unfolding = Unfolding(2)
    assert unfolding.add(rows([0, 1], 1, follows=False)) == []
    assert unfolding.add(rows([1], 2)) == []
    (done,) = unfolding.add(rows([0, 1], 3, ended=[True, False], terminated=[True, False]))
    np.testing.assert_allclose(done["observation"][:, 0], [1, 3, 3.1])
    np.testing.assert_allclose(done["action"][:, 0], [0.1, 0.3])
    assert done["terminated"].tolist() == [False, True]
    (other,) = unfolding.add(rows([1], 4, ended=True))
    np.testing.assert_allclose(other["observation"][:, 0], [1, 2, 3, 4, 4.1])
    assert other["terminated"].tolist() == [False] * 4


def test_what_does_not_follow_begins_anew():
    unfolding = Unfolding(1)
    unfolding.add(rows([0], 1, follows=False))
    (broken,) = unfolding.add(rows([0], 5, follows=False))
    np.testing.assert_allclose(broken["observation"][:, 0], [1, 1.1])
    (done,) = unfolding.add(rows([0], 6, ended=True))
    np.testing.assert_allclose(done["observation"][:, 0], [5, 6, 6.1])


def test_long_episodes_find_room_and_go_on_from_what_was_saved():
    unfolding = Unfolding(1)
    for t in range(150):
        unfolding.add(rows([0], t, follows=t > 0))
    other = Unfolding(1)
    other.load_state_dict(unfolding.state_dict())
    for each in (unfolding, other):
        (done,) = each.add(rows([0], 150, ended=True))
        np.testing.assert_allclose(done["observation"][:, 0], [*range(151), 150.1], rtol=1e-6)


def episode(steps, value):
    return {"observation": np.full((steps + 1, 2), value, np.float32), "reward": np.full(steps, value, np.float32),
            "terminated": np.arange(steps) == steps - 1}


def test_episodes_stand_side_by_side_with_zeros_after_their_ends():
    made = padded([episode(1, 3), episode(3, 5)])
    assert made["observation"][..., 0].tolist() == [[3, 3, 0, 0], [5, 5, 5, 5]]
    assert made["reward"].tolist() == [[3, 0, 0], [5, 5, 5]]
    assert made["terminated"].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert made["mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(("by_length", "share"), [(True, 0.9), (False, 0.5)])
def test_long_episodes_are_drawn_as_often_as_they_should(by_length, share):
    memory = EpisodeMemory(5, by_length)
    memory.keep(episode(9, 1))
    memory.keep(episode(1, 2))
    drawn = memory.sample(4000, torch.Generator().manual_seed(0))["observation"][:, 0, 0]
    assert float((drawn == 1).float().mean()) == pytest.approx(share, abs=0.03)


def test_the_oldest_make_room_and_what_is_saved_comes_back():
    memory = EpisodeMemory(2, True)
    with pytest.raises(RunError, match="no episode has ended yet"):
        memory.sample(1, torch.Generator())
    for value in (1, 2, 3):
        memory.keep(episode(value, value))
    assert (len(memory), memory.steps) == (2, 5)
    other = EpisodeMemory(2, True)
    other.load_state_dict(memory.state_dict())
    one, two = (each.sample(6, torch.Generator().manual_seed(1)) for each in (memory, other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    empty = EpisodeMemory(2, True)
    empty.load_state_dict(EpisodeMemory(2, True).state_dict())
    assert len(empty) == 0
