"""Turns per minute and drops per hour: of steps written by hand, of a valve that turns, an apple that is dropped."""

import numpy as np
import pytest

from stimloop.components.learners.turning import Turning
from stimloop.loops.component import Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED, WAITING

BOTH = frozenset({"status", "reward"})


def heard(component, rows, lanes):
    """Let it hear rows of (status, reward), [lanes] each; returns what it published at each."""
    component.build(Lanes.of(lanes), 0)
    return [component.step(now, Inputs({"status": np.array(status), "reward": np.float32(reward)}, BOTH))
            for now, (status, reward) in enumerate(rows)]


def test_a_turn_a_second_is_sixty_a_minute_and_each_window_speaks_for_itself():
    """Two lanes at 2 steps a second: 4 steps are 2 s of one lane; a first instant and one that waits are no steps."""
    turn = 2 * np.pi  # rad/s
    rows = heard(Turning(window=4, rate=2.0), [
        ([FIRST, FIRST], [0, 0]), ([0, 0], [turn, 0]), ([TERMINATED, WAITING], [turn, 0]), ([FIRST, 0], [0, turn]),
        ([0, TRUNCATED], [0, 0]), ([0, FIRST], [-turn, 0]), ([0, 0], [-turn, 0])], 2)
    assert [*rows[:3], *rows[4:6]] == [{}] * 5
    assert rows[3] == pytest.approx({"turns_per_minute": 45.0, "drops_per_hour": 1800.0})  # 3 of 4 steps, 1 drop in 2 s
    assert rows[6] == pytest.approx({"turns_per_minute": -24.0, "drops_per_hour": 0.0})  # 5 steps; cut off is no drop


def test_the_valve_has_turned_as_far_as_is_said():
    pytest.importorskip("mujoco")
    from stimloop.components.bodies.hand_valve import HandValve

    body, counts = HandValve(), Turning(window=240)
    for part in (body, counts):
        part.build(Lanes.of(2), 0)
    said, before = {}, 0.0
    for tick in range(241):
        phase = 2 * np.pi * 2 * tick / 120
        action = np.tile(np.float32([np.sin(phase), -1, -1, np.cos(phase)]), (2, 1))
        told = body.step(tick, Inputs({"action": action}))
        said = counts.step(tick, Inputs(told, BOTH)) or said
        if tick == 120:
            before = body.angle().copy()
            assert said["drops_per_hour"] == 0
    turned = (body.angle() - before).mean() / (2 * np.pi)  # in the second second, which is the second row
    assert said["turns_per_minute"] == pytest.approx(60 * turned, rel=0.06)
    assert said["turns_per_minute"] > 5


def test_an_apple_that_is_let_go_is_dropped_again_and_again():
    pytest.importorskip("mujoco")
    from stimloop.components.bodies.hand_gait import HandGait

    body, counts = HandGait(), Turning(window=200)
    for part in (body, counts):
        part.build(Lanes.of(1), 0)
    drops, said = 0, []
    for tick in range(260):
        told = body.step(tick, Inputs({"action": np.float32([[0, -1, -1, -1]])}))
        row = counts.step(tick, Inputs(told, BOTH))
        drops += int(told["status"][0] == TERMINATED) if not said else 0
        said += [row] if row else []
    assert drops > 2
    assert said[0]["drops_per_hour"] == pytest.approx(drops * 3600 * 120 / 200)


@pytest.mark.parametrize(("params", "place"), [({"window": 0}, "window"), ({"rate": 0.0}, "rate")])
def test_what_takes_no_time_is_refused(params, place):
    with pytest.raises(AssemblyError, match=place):
        Turning(**params)
