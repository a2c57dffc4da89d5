"""The door between spaces and ports: scaling, choices, dictionaries and images."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from gymnasium import spaces  # noqa: E402

from stimloop.components.parts.allowed import allow_only, is_allowed, require_allowed  # noqa: E402
from stimloop.components.parts.environments import asked_period, make, own_period  # noqa: E402
from stimloop.components.parts.replay import ActionLog  # noqa: E402
from stimloop.components.parts.spaces import ActionDoor, ObservationDoor  # noqa: E402
from stimloop.loops.time import Clock  # noqa: E402


def test_boxes_are_scaled_to_their_bounds():
    door = ActionDoor(spaces.Box(np.array([-2, 0, 0.1], np.float32), np.array([2, 1, 0.3], np.float32)))
    assert (door.port.shape, door.port.low, door.port.high, door.port.reads) == ((3,), -1, 1, "hold")
    values = np.array([[-1, -1, -1], [1, 1, 1], [0, 0.5, 0], [9, -9, 9]], np.float32)
    found = door(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-2, 0, 0.1], [2, 1, 0.3], [0, 0.75, 0.2], [2, 0, 0.3]], rtol=1e-6)
    assert door.space.contains(found[1])
    assert door.space.contains(found[3])


def test_what_is_in_place_already_passes_to_the_last_bit():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 50)).astype(np.float32)
    for clips in (False, True):
        assert (ActionDoor(spaces.Box(-1, 1, (50,)), clips=clips)(values) == values).all()
    assert ActionDoor(spaces.Box(-1, 1, (50,)), clips=True)(values * 3)[0, 0] == values[0, 0] * 3  # its owner clips


def test_unbounded_actions_need_a_scale():
    space = spaces.Box(np.array([-np.inf, -1], np.float32), np.array([np.inf, 1], np.float32))
    with pytest.raises(ValueError, match=r"1 of the 2 actions .* action_scale: 1\.0"):
        ActionDoor(space)
    np.testing.assert_allclose(ActionDoor(space, 5.0)(np.array([[0.5, 0.5]], np.float32)), [[2.5, 0.5]])


def test_choices_start_where_the_space_says():
    door = ActionDoor(spaces.Discrete(3, start=-1))
    assert (door.port.choices, door.port.shape, door(np.array([0, 2]))) == (3, (), [-1, 1])
    with pytest.raises(ValueError, match="MultiBinary cannot arrive on one port"):
        ActionDoor(spaces.MultiBinary(3))


NESTED = spaces.Dict({
    "arm": spaces.Dict({"angle": spaces.Box(-3, 3, (2,)), "load-1": spaces.Box(0, 9, (2, 2), np.float64)}),
    "camera": spaces.Box(0, 255, (4, 5, 3), np.uint8), "gear": spaces.Discrete(3, start=1),
    "lamps": spaces.MultiBinary(2)})


def test_a_dictionary_becomes_one_port_per_key_beside_the_flat_one():
    door = ObservationDoor(NESTED)
    shapes = {name: (port.shape, port.dtype, port.choices) for name, port in door.ports.items()}
    assert shapes == {
        "observation": ((11,), "float32", 0), "observation_arm_angle": ((2,), "float32", 0),
        "observation_arm_load_1": ((2, 2), "float32", 0), "observation_camera": ((4, 5, 3), "uint8", 0),
        "observation_gear": ((), "int64", 3), "observation_lamps": ((2,), "float32", 0)}
    assert (door.ports["observation"].low, door.ports["observation"].high) == (-3, 9)
    value = {"arm": {"angle": np.array([1, 2], np.float32), "load-1": np.array([[1.0, 2], [3, 4]])},
             "camera": np.full((4, 5, 3), 7, np.uint8), "gear": 2, "lamps": np.array([1, 0], np.int8)}
    out = {name: np.zeros(port.full_shape(2), port.dtype) for name, port in door.ports.items()}
    door.write(value, 1, out)
    np.testing.assert_array_equal(out["observation"], [[0] * 11, [1, 2, 1, 2, 3, 4, 0, 1, 0, 1, 0]])
    np.testing.assert_array_equal(out["observation_arm_load_1"][1], value["arm"]["load-1"])
    assert out["observation_camera"][1].min() == 7
    assert out["observation_camera"][0].max() == 0
    assert out["observation_gear"].tolist() == [0, 1]
    assert out["observation_lamps"][1].tolist() == [1, 0]


def test_single_spaces():
    assert ObservationDoor(spaces.Box(0, 255, (8, 9), np.uint8)).ports["observation"].shape == (8, 9)
    assert ObservationDoor(spaces.Box(-1, 1, (2, 3))).ports["observation"].shape == (6,)
    assert ObservationDoor(spaces.Discrete(5)).ports["observation"].shape == (5,)
    out = {"observation": np.zeros((1, 5), np.float32)}
    ObservationDoor(spaces.Discrete(5)).write(3, 0, out)
    assert out["observation"].tolist() == [[0, 0, 0, 1, 0]]


def test_what_has_no_size_or_two_names_is_refused():
    with pytest.raises(ValueError, match="Text have no fixed size"):
        ObservationDoor(spaces.Dict({"words": spaces.Text(5)}))
    with pytest.raises(ValueError, match="same port name"):
        ObservationDoor(spaces.Dict({"a-b": spaces.Discrete(2), "a_b": spaces.Discrete(2)}))


def test_imports_need_permission():
    with pytest.raises(ValueError, match=r"--allow somebodys\.package"):
        make("somebodys.package:Env-v0", {}, None)
    require = "stimloop_test_allowed"
    try:
        allow_only([require])
        require_allowed(f"{require}.inner", "x")
        assert is_allowed(require)
        assert not is_allowed(require + "2")
        allow_only(["other"])
        assert not is_allowed(require), "what one build may import, the next one may not"
    finally:
        allow_only([])


class Timed:
    """As much of an environment as telling the time needs."""

    def __init__(self, fps=None, **attributes):
        self.metadata = {} if fps is None else {"render_fps": fps}
        self.unwrapped = self
        vars(self).update(attributes)


def test_periods_come_from_the_environment():
    assert own_period(Timed(dt=0.05, fps=30)) == (50_000_000, [])
    assert own_period(Timed(tau=0.02, fps=30)) == (20_000_000, [])
    assert own_period(Timed(dt=0.1, inner=0.002), "inner") == (2_000_000, [])
    period, guessed = own_period(Timed(fps=30))
    assert period == Clock(30)
    assert ["does not say how long" in text and "30 frames per second" in text for text in guessed] == [True]
    assert own_period(Timed(fps=50))[0] == 20_000_000
    assert asked_period(Timed(fps=30), 20_000_000) == (20_000_000, []), "a guess contradicts nobody"
    assert "physics does not run at the pace" in asked_period(Timed(dt=0.05), 20_000_000)[1][0]
    with pytest.raises(ValueError, match="period: 20 ms"):
        own_period(Timed())
    with pytest.raises(ValueError, match="not a whole number of nanoseconds"):
        own_period(Timed(dt=1.5e-9))


def test_the_log_keeps_each_lanes_episode():
    log, other = ActionLog(2, (1,), "float32"), ActionLog(2, (1,), "float32")
    both = np.array([True, True])
    for step in range(40):
        if step in (0, 10):
            log.begin(np.array([step == 0, True]), both)
        log.append(np.array([[step], [-step]], np.float32))
    other.load_state_dict(log.state_dict(both))
    for found in (log, other):
        assert found.of(0)[:, 0].tolist() == list(range(40))
        assert found.of(1)[:, 0].tolist() == [-step for step in range(10, 40)]
    assert log.state_dict(both)["actions"].shape == (2, 40, 1)
    assert (log.state_dict(both)["actions"][1, 30:] == 0).all()  # nothing of earlier episodes
    assert log.state_dict(np.array([False, True]))["count"].tolist() == [0, 30]  # a lane that waits needs nothing


def test_the_log_lets_go_of_what_no_running_lane_needs():
    log, both = ActionLog(2, (), "int64"), np.array([True, True])
    log.begin(both, both)
    for step in range(100):
        log.append(np.array([step, step]))
    log.begin(np.array([True, False]), both)
    assert log.state_dict(both)["count"].tolist() == [0, 100]
    log.begin(np.array([False, True]), both)
    log.append(np.array([7, 8]))
    assert log.state_dict(both)["actions"].tolist() == [[7], [8]]


def test_the_log_keeps_what_was_done_when_its_giver_writes_on():
    log = ActionLog(1, (1,), "float32")
    log.begin(np.array([True]), np.array([True]))
    action = np.ones((1, 1), np.float32)
    log.append(action)
    action[:] = 5
    assert log.of(0).tolist() == [[1.0]]
