"""Lanes of MuJoCo on threads: the same numbers as one world after another, and no silent divergence."""

import threading

import numpy as np
import pytest

from stimloop.loops.errors import Diverged

mujoco = pytest.importorskip("mujoco")

from stimloop.components.parts.mujoco_batch import ModelEdits, MujocoBatch, Stride, Workers  # noqa: E402

ARM = """<mujoco><option timestep="0.002"/><worldbody><geom type="plane" size="2 2 .1"/>
<body pos="0 0 .5"><joint name="a" type="hinge" axis="0 1 0" damping=".1"/><geom type="capsule" size=".05 .2"/>
<body pos="0 0 .4"><joint name="b" type="hinge" axis="0 1 0"/><geom type="capsule" size=".04 .2"/></body></body>
<body pos="0 1 1"><freejoint/><geom type="sphere" size=".1"/><site name="ball"/></body></worldbody>
<actuator><motor joint="a" gear="5"/><motor joint="b" gear="2"/></actuator></mujoco>"""


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(ARM)


def drive(batch, ticks, seed=0, lanes=None):
    """Push with random controls; return every position."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(ticks):
        batch.write("ctrl", rng.uniform(-1, 1, (batch.count, 2)), lanes)
        batch.step(5, lanes)
        seen.append(batch.read("qpos"))
    return np.array(seen)


def test_equal_to_one_world_after_another(model):
    batch = MujocoBatch(model, lanes=5, threads=3)
    found, rng = drive(batch, 20), np.random.default_rng(0)
    worlds = [mujoco.MjData(model) for _ in range(5)]
    for row in found:
        for lane, push in enumerate(rng.uniform(-1, 1, (5, 2))):
            worlds[lane].ctrl[:] = push
            for _ in range(5):
                mujoco.mj_step(model, worlds[lane])
            np.testing.assert_array_equal(row[lane], worlds[lane].qpos)
    batch.close()


def test_threads_change_nothing(model):
    one, two = MujocoBatch(model, lanes=4), MujocoBatch(model, lanes=4, threads=2)
    np.testing.assert_array_equal(drive(one, 30), drive(two, 30))
    two.close()


def test_lanes_left_out_stand_still(model):
    batch = MujocoBatch(model, lanes=3)
    seen = drive(batch, 3, lanes=np.array([0, 2]))
    np.testing.assert_array_equal(seen[-1, 1], seen[0, 1])
    assert (seen[-1, [0, 2]] != seen[0, [0, 2]]).any(axis=1).all()


def test_state_goes_on_to_the_last_bit(model):
    batch, other = MujocoBatch(model, lanes=3), MujocoBatch(model, lanes=3)
    drive(batch, 60)  # long enough for the ball to touch the floor
    assert batch.datas[0].ncon > 0
    state = batch.state()
    other.set_state(state)
    batch.forward()  # what `step` leaves derived is one step old; `set_state` computes it anew
    np.testing.assert_array_equal(other.read("xpos"), batch.read("xpos"))
    np.testing.assert_array_equal(drive(other, 20, 1), drive(batch, 20, 1))
    other.set_state(state, lanes=[1])
    np.testing.assert_array_equal(other.state()[1], state[1])
    assert (other.state()[0] != state[0]).any()


def test_a_state_of_another_model_is_refused(model):
    with pytest.raises(ValueError, match="2 lanes of this model"):
        MujocoBatch(model, lanes=2).set_state(np.zeros((2, 3)))


def test_divergence_is_an_error_that_names_the_lane(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log into the working directory
    batch = MujocoBatch(model, lanes=3, threads=2, numbers=np.array([10, 11, 12]))
    batch.bound("qvel")[1][0] = np.nan
    with pytest.raises(Diverged, match="lane 11: MuJoCo found a bad velocity"):
        batch.step(1)
    assert [bool(batch.diverged(lane)) for lane in range(3)] == [False, True, False]
    batch.reset([1])
    batch.step(3)
    batch.close()


def test_models_of_their_own(model):
    models = [mujoco.MjModel.from_xml_string(ARM) for _ in range(2)]
    models[1].opt.gravity[:] = 0
    batch = MujocoBatch(models, [mujoco.MjData(m) for m in models])
    batch.step(50)
    height = batch.read("xpos")[:, -1, 2]
    assert height[0] < 1 - 0.04
    assert height[1] == 1


def test_keyframes_and_wrong_numbers(model):
    with pytest.raises(ValueError, match="give each lane one of both"):
        MujocoBatch([model, model], [mujoco.MjData(model)])
    with pytest.raises(ValueError, match="write 1 or more"):
        MujocoBatch(model, lanes=1, threads=0)


def test_the_first_item_that_failed_is_told_and_all_are_tried():
    workers, tried = Workers(3), []

    def work(item):
        tried.append(item)
        if item % 3 == 2:
            raise KeyError(item)

    with pytest.raises(KeyError, match="2"):
        workers.each(work, list(range(9)))
    assert sorted(tried) == list(range(9))
    workers.each(tried.append, [9, 10])  # goes on after an error
    assert sorted(tried) == list(range(11))
    before = threading.active_count()
    workers.close()
    workers.close()
    assert threading.active_count() == before - 2


def test_work_is_shared_among_threads():
    workers, names, meet = Workers(2), set(), threading.Barrier(2, timeout=10)

    def work(_):
        meet.wait()  # passes only when two threads are inside at once
        names.add(threading.get_ident())

    workers.each(work, [0, 1])
    assert len(names) == 2
    workers.close()


FLAGS = '<flag energy="enable"/>'


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast", "implicit"])
def test_joined_strides_equal_plain_ones(integrator):
    text = ARM.replace('timestep="0.002"', f'timestep="0.002" integrator="{integrator}"')
    model, rng = mujoco.MjModel.from_xml_string(text), np.random.default_rng(0)
    plain, joined, touched = (mujoco.MjData(model) for _ in range(3))
    assert Stride.fits(model, 4)
    stride, careless = Stride(model, joined, 4), Stride(model, touched, 4)
    for tick in range(80):
        push = rng.uniform(-1, 1, 2)
        for data in (plain, joined, touched):
            data.ctrl[:] = push
            if tick == 40:
                data.qvel[0] += 1  # a hand from outside: seen
            if tick == 60:
                data.qpos[0] -= 0.1
        mujoco.mj_step(model, plain, 4)
        mujoco.mj_forward(model, plain)
        stride()
        for name in ("qpos", "qvel", "qacc", "qacc_warmstart", "xpos", "efc_force", "actuator_force"):
            np.testing.assert_array_equal(getattr(joined, name), getattr(plain, name))
        careless(2)
        careless(2)
        np.testing.assert_array_equal(touched.qpos, plain.qpos)
    assert plain.ncon > 0


def test_a_touched_model_must_be_forgotten(model):
    seen = []
    for forgets in (True, False, None):
        own, data = mujoco.MjModel.from_xml_string(ARM), mujoco.MjData(model)
        stride = Stride(own, data, 4)
        data.ctrl[:] = 1
        stride()
        own.body_mass[1] *= 2  # enters with the positions
        if forgets:
            stride.forget()
        if forgets is None:
            mujoco.mj_step(own, data, 4)
            mujoco.mj_forward(own, data)
        else:
            stride()
        seen.append(data.qvel.copy())
    np.testing.assert_array_equal(seen[0], seen[2])
    assert (seen[1] != seen[2]).any()


def test_strides_are_joined_only_where_that_was_compared(model):
    assert not Stride.fits(model, 1)
    for change in ('integrator="RK4"', FLAGS):
        text = ARM.replace('timestep="0.002"/>', 'timestep="0.002">' + FLAGS + "</option>") if change is FLAGS else \
            ARM.replace('timestep="0.002"', f'timestep="0.002" {change}')
        assert not Stride.fits(mujoco.MjModel.from_xml_string(text), 4)


def test_model_edits_come_back(model):
    edits, other = ModelEdits(model), mujoco.MjModel.from_xml_string(ARM)
    assert edits.take(model) == {}
    model.site_pos[0], model.opt.gravity[2], model.geom_friction[1, 0] = (0.3, 0.2, 0.1), -1.0, 0.7
    taken = edits.take(model)
    assert sorted(taken) == ["geom_friction", "opt_gravity", "site_pos"]
    ModelEdits(other).bring_back(other, taken)
    assert ModelEdits(mujoco.MjModel.from_xml_string(ARM)).take(other).keys() == taken.keys()
    np.testing.assert_array_equal(other.site_pos, model.site_pos)
    edits.bring_back(model, {})
    assert edits.take(model) == {}
