"""Ports, event columns, status flags, seeds: the values that travel, by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from stimloop.loops.errors import AssemblyError, Problem, Problems, nearest
from stimloop.loops.events import Events
from stimloop.loops.lanes import Lanes
from stimloop.loops.port import Port
from stimloop.loops.seeds import LaneRandom, derive
from stimloop.loops.status import (
    FIRST,
    TERMINATED,
    TRUNCATED,
    WAITING,
    begins,
    count_ended,
    count_steps,
    ended,
    idle,
    is_step,
    status_input,
    status_output,
)

# -- ports -------------------------------------------------------------------------------------------------------------


def test_a_discrete_port_is_int64_between_its_choices() -> None:
    port = Port("a choice", choices=3)
    assert (port.dtype, port.low, port.high, port.shape) == ("int64", 0, 2, ())


def test_sizes_are_known_when_all_are_numbers() -> None:
    assert Port("x", (3, 2)).known
    assert not Port("x", (3, "n")).known
    assert not Port("x", (None,)).known
    spikes = Port("spikes", (0,), kind="event", indices=None)
    assert not spikes.known
    assert spikes.sizes == (0, None)
    assert spikes.sized((0, 7)).indices == 7
    assert Port("x", ("n", 2)).sized((4, 2)).shape == (4, 2)


def test_values_have_lanes_first_unless_one_serves_all() -> None:
    assert Port("x", (3,)).full_shape(2) == (2, 3)
    assert Port("loss", per_lane=False).full_shape(2) == ()
    start = Port("x", (3,), initial=1.5).start(2)
    assert start.dtype == np.float32
    assert (start == 1.5).all()
    assert not start.flags.writeable


# -- events ------------------------------------------------------------------------------------------------------------


def test_events_are_sorted_by_time_lane_and_index() -> None:
    batch = Events.of([5, 1, 5, 5], [0, 1, 1, 0], [2, 0, 0, 1], [1.0, 2.0, 3.0, 4.0])
    assert list(zip(batch.time, batch.lane, batch.index, batch.value, strict=True)) == [
        (1, 1, 0, 2.0), (5, 0, 1, 4.0), (5, 0, 2, 1.0), (5, 1, 0, 3.0)]
    assert (batch.time.dtype, batch.lane.dtype, batch.index.dtype, batch.value.dtype) == (
        np.int64, np.int32, np.int32, np.float32)
    assert batch.is_sorted()
    assert not Events(batch.time[::-1], batch.lane, batch.index, batch.value).is_sorted()


def test_scalars_are_spread_and_no_value_means_no_payload() -> None:
    batch = Events.of(7, [0, 1, 2], 0)
    assert (batch.time.tolist(), batch.index.tolist(), batch.value.shape) == ([7, 7, 7], [0, 0, 0], (3, 0))
    assert Events.of([1, 2], 0, 0, 4, "int64").value.tolist() == [4, 4]


def test_columns_are_read_only() -> None:
    for batch in (Events.of([1, 2], 0, 0, [1.0, 2.0]), Events.empty(), Events.of([1, 2], 0,
                                                                                 0).select(np.array([True, False])),
                  Events.of(1, 0, 0).later(3), Events.join([Events.of(1, 0, 0), Events.of(0, 0, 0)])):
        for column in (batch.time, batch.lane, batch.index, batch.value):
            assert not column.flags.writeable


def test_batches_are_delayed_selected_and_joined() -> None:
    one, two = Events.of([1, 4], [0, 1], 0, [1.0, 2.0]), Events.of([2, 4], [0, 0], 0, [3.0, 4.0])
    assert one.later(0) is one
    assert one.later(10).time.tolist() == [11, 14]
    assert one.select(one.lane == 1).time.tolist() == [4]
    both = Events.join([one, two])
    assert (both.time.tolist(), both.lane.tolist(), both.value.tolist()) == ([1, 2, 4, 4], [0, 0, 0, 1], [1, 3, 4, 2])
    assert Events.join([one]) is one
    assert len(Events.empty((2,), "int64")) == 0
    assert Events.empty((2,), "int64").value.shape == (0, 2)


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_by_the_words_of_the_page() -> None:
    flags = np.array([0, FIRST, TERMINATED, TRUNCATED, WAITING, TERMINATED | FIRST, TRUNCATED | FIRST])
    assert begins(flags).tolist() == [False, True, False, False, False, True, True]
    assert ended(flags).tolist() == [False, False, True, True, False, True, True]
    assert idle(flags).tolist() == [False, False, True, True, True, False, False]
    assert is_step(flags).tolist() == [True, False, True, True, False, True, True]  # neither exactly FIRST nor WAITING
    assert (count_steps(flags), count_ended(flags)) == (5, 4)
    assert (count_steps(np.zeros(3, np.int64)), count_ended(np.zeros(3, np.int64))) == (3, 0)


def test_before_the_first_arrival_everybody_waits() -> None:
    assert status_input().start(2).tolist() == [WAITING, WAITING]
    assert status_input("all", wakes=True, optional=True).wakes
    assert (status_output().dtype, status_output().shape) == ("int64", ())


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_derived_seeds_depend_on_every_part_and_on_nothing_else() -> None:
    assert derive(0, "brain") == derive(0, "brain")
    assert len({derive(0, "brain"), derive(1, "brain"), derive(0, "body"), derive(0, "brain", 1), derive(0)}) == 5
    assert all(0 <= derive(seed, "x") < 2**63 for seed in range(50))
    assert derive(12, "brain") == 4454265649226416419  # other numbers would change every run ever recorded


@pytest.mark.parametrize("kind", ["bits", "uniform", "normal"])
def test_a_lane_draws_the_same_whoever_is_beside_it(kind: str) -> None:
    many, few = LaneRandom(3, Lanes.of(7)), LaneRandom(3, Lanes.of(2, first=4))
    for shape in ((), (3,), (2, 2)):
        assert (getattr(many, kind)(shape)[4:6] == getattr(few, kind)(shape)).all()
    assert not (getattr(many, kind)((4,))[0] == getattr(many, kind)((4,))[1]).any()


def test_a_lane_left_out_draws_nothing_and_its_counter_stands_still() -> None:
    dice, other = LaneRandom(3, Lanes.of(3)), LaneRandom(3, Lanes.of(3))
    mask = np.array([True, False, True])
    first = dice.normal((2,), mask)
    assert (first[1] == 0).all()
    assert (dice.uniform()[1] == other.uniform()[1])
    expected = other.bits()  # the other lanes went on
    assert (dice.state_dict()["count"] == [5, 1, 5]).all()
    assert expected.shape == (3,)


def test_one_number_of_a_lane_is_the_one_that_all_lanes_would_draw():
    one, all_ = (LaneRandom(7, Lanes.of(5), "x") for _ in range(2))
    for _ in range(50):
        drawn = all_.bits()
        assert [one.one(lane) for lane in (3, 0, 1, 4, 2)] == [int(drawn[lane]) for lane in (3, 0, 1, 4, 2)]
    assert one.one(2) == int(all_.bits(lanes=np.arange(5) == 2)[2])
    assert one.state_dict()["count"].tolist() == all_.state_dict()["count"].tolist()


def test_random_state_is_exactly_resumed() -> None:
    dice = LaneRandom(3, Lanes.of(3), "noise")
    dice.uniform((5,), np.array([True, False, True]))
    state = dice.state_dict()
    expected = dice.normal((4,))
    again = LaneRandom(3, Lanes.of(3), "noise")
    again.load_state_dict(state)
    assert (again.normal((4,)) == expected).all()
    assert (LaneRandom(3, Lanes.of(3), "other").uniform() != LaneRandom(3, Lanes.of(3), "noise").uniform()).all()
    assert (LaneRandom(4, Lanes.of(3), "noise").uniform() != LaneRandom(3, Lanes.of(3), "noise").uniform()).all()


def test_draws_are_uniform_and_normal() -> None:
    dice = LaneRandom(0, Lanes.of(64))
    uniform, normal = dice.uniform((4096,)), dice.normal((4096,))
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.003
    assert abs(uniform.var() - 1 / 12) < 0.002
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs(np.corrcoef(uniform[0], uniform[1])[0, 1]) < 0.06


def test_lanes_have_global_numbers() -> None:
    lanes = Lanes.of(3, first=5)
    assert (len(lanes), lanes.count, lanes.numbers.tolist()) == (3, 3, [5, 6, 7])
    assert not lanes.numbers.flags.writeable


# -- messages ----------------------------------------------------------------------------------------------------------


def test_the_nearest_name_is_offered() -> None:
    assert nearest("barin", ["brain", "body"]) == 'Did you mean "brain"?'
    assert nearest("zzz", ["brain", "body"]) == "Known: body, brain."
    assert nearest("zzz", []) == "There are none."
    assert nearest("zzz", [f"n{i:02}" for i in range(20)]).endswith("n11, ....")


def test_problems_are_told_together_and_notices_do_not_stop() -> None:
    problems = Problems()
    problems.notice("odd", "brain")
    problems.raise_if_any("a.yaml")
    problems.add("wrong", "body", "Mend it.")
    with pytest.raises(AssemblyError) as one:
        problems.raise_if_any("a.yaml")
    assert str(one.value) == "a.yaml: body: wrong\n  Mend it."
    problems.add("broken")
    with pytest.raises(AssemblyError) as two:
        problems.raise_if_any("a.yaml")
    assert str(two.value) == "a.yaml: 2 problems\n1. body: wrong\n  Mend it.\n2. broken"
    assert [p.what for p in problems.notices] == ["odd"]
    assert str(AssemblyError("short")) == "short"


def test_an_assembly_error_survives_the_way_between_processes() -> None:
    import pickle

    error = AssemblyError([Problem("wrong", "body", "Mend it.")], "a.yaml")
    other = pickle.loads(pickle.dumps(error))
    assert str(other) == str(error)
    assert other.problems == error.problems
