"""What a run keeps of its wires, and what is read out of it by them."""

import numpy as np
import pytest

import stimloop as sl
from stimloop.loops.component import Component
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, status_output

TICK = 20_000_000


class Ramp(Component):
    """Acts 0.01, 0.02, 0.03, ..."""

    period = TICK

    def __init__(self):
        self.inputs, self.outputs = {}, {"action": Port("a ramp", (1,), low=-1, high=1)}

    def step(self, now, inputs):
        return {"action": np.full((self.lanes.count, 1), 0.01 * (1 + now // TICK), np.float32)}


class Mirror(Component):
    """A body whose observation is the action that it acted on; left to itself it reads that `now`."""

    period = TICK

    def __init__(self):
        self.inputs = {"action": Port("push", (1,), low=-1, high=1, reads="now", also=("hold",))}
        self.outputs = {"observation": Port("the push", (1,)), "reward": Port("nothing"), "status": status_output()}

    def step(self, now, inputs):
        lanes = self.lanes.count
        return {"observation": np.array(inputs["action"], np.float32), "reward": np.zeros(lanes, np.float32),
                "status": np.full(lanes, FIRST if now == 0 else 0)}


@pytest.mark.parametrize(("wire", "reads"), [("brain.action", "now"),
                                             ({"from": "brain.action", "reads": "hold"}, "hold")])
def test_transitions_hold_the_action_that_the_body_acted_on(tmp_path, wire, reads):
    run = (sl.Assembly("t").add("brain", Ramp).add("body", Mirror, inputs=[{"action": wire}])
           .run("100 ms", folder=tmp_path))
    assert run.attributes["wires"] == {"body.action": {"from": "brain.action", "delay_ns": 0, "reads": reads}}
    found = run.transitions()
    assert found.sizes["transition"] == 4
    np.testing.assert_array_equal(found["action"].values, found["next_observation"].values)
