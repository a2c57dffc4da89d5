"""The ring of past transitions against a plain list, and its state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimloop.loops.errors import RunError

torch = pytest.importorskip("torch", reason="the replay buffer lies in torch's memory")
from stimloop.components.parts.replay_buffer import ReplayBuffer  # noqa: E402

SHAPES = {"observation": ((2,), torch.float32), "reward": ((), torch.float32)}


def rows(first: int, count: int) -> dict[str, np.ndarray]:
    numbers = np.arange(first, first + count, dtype=np.float32)
    return {"observation": np.stack([numbers, -numbers], axis=1), "reward": numbers}


def held(buffer: ReplayBuffer) -> list[float]:
    return sorted(buffer.columns["reward"][:len(buffer)].tolist())


@given(size=st.integers(1, 7), counts=st.lists(st.integers(0, 20), max_size=12))
def test_it_holds_the_last_rows(size, counts):
    buffer, total = ReplayBuffer(size, SHAPES), 0
    for count in counts:
        buffer.add(rows(total, count))
        total += count
        assert held(buffer) == list(range(max(0, total - size), total))
        assert (buffer.columns["observation"][:len(buffer), 0] == buffer.columns["reward"][:len(buffer)]).all()
    other = ReplayBuffer(size, SHAPES)
    other.load_state_dict(buffer.state_dict())
    for one in (buffer, other):
        one.add(rows(total, 3))
    assert all(torch.equal(buffer.columns[name][:len(buffer)], other.columns[name][:len(other)]) for name in SHAPES)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), counts=st.lists(st.integers(0, 12), max_size=6))
def test_another_size_keeps_the_newest(sizes, counts):
    buffer, total, expected = ReplayBuffer(4, SHAPES), 0, []
    for size, count in zip(sizes, [*counts, *[1] * 4], strict=False):
        buffer.add({name: torch.from_numpy(values) for name, values in rows(total, count).items()})
        total += count
        expected = (expected + list(range(total - count, total)))[-buffer.size:]
        buffer.resize(size)
        expected = expected[-size:]
        assert held(buffer) == expected
        assert (buffer.columns["observation"][:len(buffer), 0] == buffer.columns["reward"][:len(buffer)]).all()


def test_rows_are_drawn_uniformly_and_whole():
    buffer, generator = ReplayBuffer(10, SHAPES), torch.Generator().manual_seed(0)
    buffer.add(rows(0, 13))
    drawn = buffer.sample(20_000, generator)
    assert torch.equal(drawn["observation"][:, 1], -drawn["reward"])
    counts = torch.bincount(drawn["reward"].long())[3:]
    assert len(counts) == 10
    assert abs(counts.double() - 2000).max() < 6 * np.sqrt(2000 * 0.9)


def test_errors_say_what_is_missing_and_what_differs():
    buffer = ReplayBuffer(4, SHAPES)
    with pytest.raises(RunError, match="no step has reached the replay buffer"):
        buffer.sample(1, torch.Generator())
    buffer.add(rows(0, 3))
    with pytest.raises(RunError, match="give it the same size and the same ports"):
        ReplayBuffer(2, SHAPES).load_state_dict(buffer.state_dict())
