"""The two coprocessors that know nothing: constant and random."""

import numpy as np
import pytest

from stimloop.components.coprocessors.constant import Constant
from stimloop.components.coprocessors.random_stimulation import RandomStimulation
from stimloop.loops.component import Component, Inputs
from stimloop.loops.errors import AssemblyError
from stimloop.loops.lanes import Lanes
from stimloop.loops.loop import Loop
from stimloop.loops.port import Port
from stimloop.loops.status import FIRST, TERMINATED, WAITING
from stimloop.loops.storage import artifact
from stimloop.loops.system import Part, Source, System

STEP = 20_000_000


class Receiver(Component):
    """Takes commands of three channels within bounds, and wakes with them."""

    def __init__(self, *, low: float = -2.0, high: float = 3.0) -> None:
        self.inputs = {"command": Port("command", (3,), low=low, high=high, wakes=True)}
        self.outputs = {}

    def build(self, lanes, seed):
        super().build(lanes, seed)
        self.heard = []

    def step(self, now, inputs):
        if "command" in inputs.new:
            self.heard.append((now, inputs["command"]))
        return {}


def heard(coprocessor, receiver=Receiver, lanes=2, until=5 * STEP, seed=0):
    parts = {"coprocessor": Part(coprocessor),
             "receiver": Part(receiver, {"command": Source.of("coprocessor.command")})}
    with Loop(System(parts, lanes=lanes, seed=seed)) as loop:
        loop.run(until)
        return loop.components["receiver"].heard


def built(coprocessor, lanes=4, channels=2):
    if not coprocessor.outputs["command"].known:
        coprocessor.outputs["command"] = coprocessor.outputs["command"].sized((channels,))
    coprocessor.infer()
    coprocessor.build(Lanes.of(lanes), 0)
    coprocessor.reset(0)
    return coprocessor


def ask(coprocessor, status, new=("observation", "status"), now=0):
    status = np.asarray(status, np.int64)
    values = {"observation": np.zeros((status.size, 3), np.float32), "status": status}
    return coprocessor.step(now, Inputs(values, frozenset(new), now)).get("command")


def test_a_number_is_spread_over_the_receiver_s_channels_at_each_period():
    rows = heard(lambda: Constant(command=1.5, period=STEP))
    assert [now for now, _ in rows] == [0, STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    for _, command in rows:
        np.testing.assert_array_equal(command, np.full((2, 3), 1.5, np.float32))


@pytest.mark.parametrize("coprocessor", [lambda: Constant(command=2.0), lambda: RandomStimulation(low=1, high=2)])
def test_wired_to_nothing_and_without_a_period_it_would_never_be_stepped(coprocessor):
    with pytest.raises(AssemblyError, match="never stepped"):
        heard(coprocessor)


def test_a_list_must_fit_the_receiver():
    np.testing.assert_array_equal(heard(lambda: Constant(command=[1.0, 2.0, 3.0], period=STEP))[0][1][0], [1, 2, 3])
    with pytest.raises(AssemblyError, match=r"\(3,\).*\(2,\)"):
        heard(lambda: Constant(command=[1.0, 2.0], period=STEP))


def test_nothing_is_commanded_where_nobody_acts():
    status = [0, FIRST, TERMINATED, WAITING]
    acts = np.array([True, True, False, False])
    np.testing.assert_array_equal(ask(built(Constant(command=[1.0, 2.0])), status), np.outer(acts, [1, 2]))
    command = ask(built(RandomStimulation(low=1, high=2)), status)
    assert (command[acts] >= 1).all()
    assert not command[~acts].any()


def test_what_is_learned_is_the_command(tmp_path):
    constant = built(Constant(command=[1.0, 2.0]))
    assert set(constant.state_dict()["learned"]) == {"command"}
    path = str(tmp_path / "best.safetensors")
    artifact.save(path, constant, "coprocessors.constant")
    kept = built(Constant(command=path))
    np.testing.assert_array_equal(ask(kept, [0] * 4)[2], [1, 2])
    with pytest.raises(AssemblyError, match=r"command is \(3,\), here it must be \(2,\)"):
        constant.load_state_dict({"learned": {"command": np.zeros(3, np.float32)}})
    artifact.write(path, {"weights": np.zeros((2, 2), np.float32)}, "stimulators.electrode_field", {})
    with pytest.raises(AssemblyError, match=r"holds no command.*electrode_field"):
        Constant(command=path)


def test_random_commands_fill_the_receiver_s_bounds_uniformly():
    rows = heard(lambda: RandomStimulation(period=STEP), lanes=50, until=40 * STEP)
    drawn = np.concatenate([command for _, command in rows])
    assert drawn.min() >= -2
    assert drawn.max() <= 3
    assert drawn.min() < -1.99
    assert drawn.max() > 2.99
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0), 5 / np.sqrt(12), atol=0.05)
    assert len(np.unique(drawn[:, 0])) > 1990


def test_parameters_win_over_the_receiver_and_what_is_unbounded_gets_the_usual():
    narrow = heard(lambda: RandomStimulation(low=-1, high=1, period=STEP), lanes=200)
    assert abs(np.concatenate([c for _, c in narrow])).max() <= 1
    usual = heard(lambda: RandomStimulation(period=STEP), lambda: Receiver(low=-np.inf, high=np.inf), lanes=200)
    drawn = np.concatenate([c for _, c in usual])
    assert 4.9 < abs(drawn).max() <= 5
    with pytest.raises(AssemblyError, match="above"):
        RandomStimulation(low=1, high=0)


def test_a_lane_draws_the_same_whatever_the_number_of_lanes_and_asleep_it_draws_nothing():
    many, one = built(RandomStimulation(low=-5, high=5), lanes=4), built(RandomStimulation(low=-5, high=5), lanes=1)
    first = ask(many, [0, 0, 0, 0])
    np.testing.assert_array_equal(first[:1], ask(one, [0]))
    assert len(np.unique(first)) == 8
    slept = built(RandomStimulation(low=-5, high=5), lanes=4)
    for _ in range(3):
        ask(slept, [0, WAITING, 0, 0])
    np.testing.assert_array_equal(ask(slept, [0, FIRST, 0, 0])[1], first[1])


def test_a_command_is_drawn_once_per_observation():
    coprocessor = built(RandomStimulation(low=-5, high=5))
    first = ask(coprocessor, [0, 0, 0, 0])
    assert ask(coprocessor, [0, 0, 0, 0], new=(), now=1) is None
    assert (ask(coprocessor, [0, 0, 0, 0]) != first).all()


@pytest.mark.parametrize("coprocessor", [lambda **p: Constant(command=[1.0, 2.0], **p),
                                         lambda **p: RandomStimulation(low=1, high=5, **p)])
def test_with_a_period_an_end_silences_at_once_and_nothing_else_speaks_between(coprocessor):
    coprocessor = built(coprocessor(period=2 * STEP), lanes=2)
    assert not coprocessor.inputs["observation"].wakes
    assert ask(coprocessor, [FIRST, FIRST]).all()
    assert ask(coprocessor, [0, 0], now=STEP) is None
    ended = ask(coprocessor, [0, TERMINATED], now=STEP + 1)
    assert ended[0].all()
    assert not ended[1].any()
    assert ask(coprocessor, [0, FIRST], now=STEP + 2) is None
    assert ask(coprocessor, [0, 0], now=2 * STEP).all()
