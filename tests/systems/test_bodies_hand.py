"""The hand: tendons against bands, a valve that turns when it is turned, an object that is held, turned and dropped."""

import os

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from stimloop.assemblies.assembly import Assembly  # noqa: E402
from stimloop.components.bodies.hand_gait import HandGait, _turned  # noqa: E402
from stimloop.components.bodies.hand_valve import HandValve  # noqa: E402
from stimloop.components.parts import hand_model, rendering, terminations  # noqa: E402
from stimloop.components.parts.hand_body import HAND  # noqa: E402
from stimloop.components.parts.roles import Body  # noqa: E402
from stimloop.loops.component import Inputs  # noqa: E402
from stimloop.loops.events import Events  # noqa: E402
from stimloop.loops.lanes import Lanes  # noqa: E402
from stimloop.loops.status import FIRST, TERMINATED, TRUNCATED  # noqa: E402

BODIES = [HandValve, HandGait]
SLACK = np.array([0.0, -1, -1, -1])


def built(body, lanes=2, seed=0, first=0):
    body.build(Lanes.of(lanes, first), seed)
    return body


def play(body, ticks, action, first=0):
    """Play ticks of an action [actions], or of a function of the tick that gives one; returns what was published."""
    rows = []
    for tick in range(first, first + ticks):
        wanted = np.asarray(action(tick) if callable(action) else action, np.float32)
        rows.append(body.step(tick, Inputs({"action": np.broadcast_to(wanted, (body.lanes.count, 4))})))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def wave(tick, hertz=2.0, way=1.0, others=(-1.0, -1.0), middle=0.0, size=1.0):
    """Close the coupled fingers while the base turns one way, open them while it turns back."""
    phase = 2 * np.pi * hertz * tick / 120
    return [way * np.sin(phase), *others, middle + size * np.cos(phase)]


def gait(tick, way=1.0):
    """The same with the object: the other pair holds it meanwhile."""
    beat = 0.3 * np.cos(2 * np.pi * 2 * tick / 120)
    return wave(tick, way=way, others=(-0.3 - beat, -0.3 - beat), middle=-0.3, size=0.3)


def bare(force, weightless):
    model = mujoco.MjModel.from_xml_string(hand_model.bare())
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    if weightless:
        model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    data.ctrl[:] = force
    mujoco.mj_step(model, data, 3 * hand_model.PHYSICS_RATE)
    return np.array(data.qpos)


@pytest.mark.parametrize(("force", "joints"), [([0, 0, 0, 20], [1, 2, 3, 4]), ([0, 10, 0, 0], [5, 6]),
                                               ([0, 0, 10, 0], [7, 8])])
def test_full_force_bends_free_joints_to_nine_tenths_of_their_range(force, joints):
    ranges = np.array([hand_model.PROXIMAL_RANGE, hand_model.DISTAL_RANGE] * (len(joints) // 2))
    np.testing.assert_allclose(bare(force, True)[joints], 0.9 * ranges, rtol=1e-3)  # R f = E q
    bent = bare(force, False)[joints] / ranges
    assert (bent > 0.83).all(), bent
    assert (bent < 0.95).all(), bent
    idle = [joint for joint in range(1, HAND) if joint not in joints]
    assert np.abs(bare(force, True)[idle]).max() < 1e-3


def test_joints_actions_and_ranges_are_those_that_are_named():
    model = mujoco.MjModel.from_xml_string(hand_model.bare())
    assert tuple(model.jnt(i).name for i in range(model.njnt)) == hand_model.JOINTS
    assert tuple(model.actuator(i).name for i in range(model.nu)) == hand_model.ACTIONS
    np.testing.assert_allclose(model.jnt_range, [[-0.262, 0.262], *[[0, 2.0], [0, 1.24]] * 4])
    assert model.opt.timestep == 1 / 960


@pytest.mark.parametrize("head", hand_model.HEADS)
def test_an_open_loop_wave_turns_the_valve_either_way_and_nothing_does_not(head):
    """About 1 rad/s; a mirrored wave turns it back; a hand that only holds turns nothing."""
    found = {way: play(built(HandValve(head=head), 3), 480, lambda tick, way=way: wave(tick, way=way))["reward"][120:]
             for way in (1, -1)}
    assert (found[1].mean(axis=0) > 0.5).all(), found[1].mean(axis=0)
    assert (found[-1].mean(axis=0) < -0.5).all(), found[-1].mean(axis=0)
    still = play(built(HandValve(head=head), 3), 360, np.zeros(4))["reward"][120:]
    assert np.abs(still.mean(axis=0)).max() < 0.02


def test_the_reward_is_the_speed_of_the_valve_and_never_an_end():
    body = built(HandValve(), 2)
    play(body, 1, wave)
    before, speeds = body.angle(), []
    for tick in range(1, 240):
        out = play(body, 1, wave, first=tick)
        speeds.append(out["reward"][0])
        np.testing.assert_array_equal(out["reward"], out["observation"][:, :, HAND])
        assert not out["status"].any()
    np.testing.assert_allclose(np.mean(speeds, axis=0) * 239 / 120, body.angle() - before, rtol=0.06)


@pytest.mark.parametrize("randomise", [0.0, 0.2])
def test_the_object_rests_in_the_grasp_and_falls_when_let_go(randomise):
    body = built(HandGait(randomise=randomise), 6, seed=1)
    held = play(body, 240, np.zeros(4))
    assert not (held["status"][1:]).any()
    assert (held["observation"][-1, :, terminations.GAIT_HEIGHT] > 0.12).all()
    fall = play(body, 60, SLACK, first=240)
    first = (fall["status"] == TERMINATED).argmax(axis=0)
    assert (fall["status"][first, np.arange(6)] == TERMINATED).all()
    assert (fall["status"][first + 1, np.arange(6)] == FIRST).all()


def test_the_end_comes_no_later_than_the_floor_is_touched():
    """The rule speaks of the middle's height; the floor is touched within the very tick of the end, if at all."""
    body = built(HandGait(randomise=0.2), 4, seed=2)
    floor, apple = (mujoco.mj_name2id(body._plain, mujoco.mjtObj.mjOBJ_GEOM, name) for name in ("floor", "object"))
    ends = 0
    for tick in range(120):
        out = play(body, 1, SLACK if tick > 20 else np.zeros(4), first=tick)
        for lane, data in enumerate(body._batch.datas):
            touched = any({floor, apple} == set(pair) for pair in data.contact.geom.tolist())
            assert not touched or out["status"][0, lane] == TERMINATED
        ends += int((out["status"] == TERMINATED).sum())
        told = terminations.hand_gait(out["observation"], None, out["observation"])
        np.testing.assert_array_equal(told, out["status"] == TERMINATED)
    assert ends >= 4


def test_an_open_loop_gait_turns_the_object_and_holds_it():
    """About 1 rad/s for four seconds: hold with one pair, turn with the other, grasp anew."""
    out = play(built(HandGait(), 3), 480, gait)
    assert not out["status"][1:].any()
    assert (out["reward"].mean(axis=0) > 0.4).all(), out["reward"].mean(axis=0)


def test_the_angular_velocity_is_that_of_the_world():
    body = built(HandGait(max_steps=0), 1)
    play(body, 30, np.zeros(4))
    tilted = play(body, 12, SLACK, first=30)  # it tumbles as the fingers let go
    for before, after in zip(tilted["observation"][:-1, 0], tilted["observation"][1:, 0], strict=True):
        turn = np.zeros(3)
        inverse = before[12:16] * [1, -1, -1, -1]
        between = np.zeros(4)
        mujoco.mju_mulQuat(between, after[12:16].astype(float), inverse.astype(float))  # after = between * before
        mujoco.mju_quat2Vel(turn, between, 1 / 120)
        np.testing.assert_allclose(turn, (before[16:] + after[16:]) / 2, atol=0.5 + 0.2 * np.abs(turn).max())
    random = np.random.default_rng(0)
    quaternion, vector, told = random.normal(size=4), random.normal(size=3), np.zeros(3)
    quaternion /= np.linalg.norm(quaternion)
    mujoco.mju_rotVecQuat(told, vector, quaternion)
    np.testing.assert_allclose(_turned(quaternion[None], vector[None])[0], told, atol=1e-12)


@pytest.mark.parametrize("cls", BODIES)
def test_a_saved_hand_goes_on_to_the_last_bit(cls):
    body, other = (built(cls(randomise=0.2, max_steps=50), 3, seed=4) for _ in range(2))
    actions = np.random.default_rng(0).uniform(-1, 1, (160, 4))
    play(body, 70, lambda tick: actions[tick])
    state = body.state()
    other.set_state(state)
    one, two = (play(each, 90, lambda tick: actions[tick], first=70) for each in (body, other))
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)
    assert (one["status"] != 0).any()


@pytest.mark.parametrize("cls", BODIES)
def test_threads_and_company_change_nothing(cls):
    alone = play(built(cls(randomise=0.2), 1, first=2), 60, wave)
    many = play(built(cls(randomise=0.2, threads=2), 4), 60, wave)
    for name, value in alone.items():
        np.testing.assert_array_equal(value[:, 0], many[name][:, 2])


def test_chance_comes_from_the_seed_of_the_episode_and_stays_within_its_share():
    def model(seed, lane=0):
        body = HandGait(randomise=0.2)
        body.build(Lanes.of(2), 9)
        begin = Events.of(0, [lane], 0, np.array([seed]), "int64")
        body.step(0, Inputs({"action": np.zeros((2, 4)), "begin": begin}))
        return body._batch.models[lane], body._plain

    (one, plain), (again, _), (other, _) = model(5), model(5, lane=1), model(6)
    for name in ("body_mass", "jnt_stiffness", "geom_friction", "body_inertia"):
        new, old = getattr(one, name), getattr(plain, name)
        np.testing.assert_array_equal(new, getattr(again, name))
        assert (new != getattr(other, name)).any()
        factor = new[old > 0] / old[old > 0]
        assert ((factor >= 0.8) & (factor <= 1.2) & (factor != 1)).all()
    np.testing.assert_allclose(one.body_inertia / plain.body_inertia.clip(1e-12),
                               (one.body_mass / plain.body_mass.clip(1e-12))[:, None].repeat(3, 1), rtol=1e-9)
    assert np.isclose(one.body_subtreemass[0], one.body_mass.sum())


def test_a_reset_hand_is_as_it_was_built():
    body = built(HandGait(randomise=0.2), 2, seed=3)
    one = play(body, 40, wave)
    body.reset(3)
    two = play(body, 40, wave)
    np.testing.assert_array_equal(one["observation"], two["observation"])


def test_ticks_come_120_times_a_second_and_an_episode_has_a_thousand():
    body = built(HandValve(max_steps=1000), 1)
    assert [body.period.tick(k) for k in (1, 3, 120)] == [8_333_333, 25_000_000, 1_000_000_000]
    assert body.physics_step is None
    assert HandValve().max_steps == HandGait().max_steps == 1000
    out = play(body, 1001, SLACK)
    assert out["status"][-1, 0] == TRUNCATED
    assert not out["status"][1:-1].any()
    assert body._batch.datas[0].time == pytest.approx(1000 / 120)
    assert isinstance(body, Body)


@pytest.mark.parametrize(("make", "said"), [(lambda: HandValve(head="square"), "three_lobe, four_lobe, round"),
                                            (lambda: HandGait(randomise=1.0), "write a share"),
                                            (lambda: HandValve(randomise=-0.1), "write a share")])
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(("kind", "size"), [("bodies.hand_valve", 10), ("bodies.hand_gait", 19)])
def test_a_hand_in_a_loop_with_late_actions_and_noisy_senses(kind, size, tmp_path):
    noisy = f"""
name: noisy
lanes: 2
until: 30 steps
components:
  body: {{type: {kind}, params: {{randomise: 0.2}}, inputs: [{{action: {{from: brain.action, delay: 20 ms}}}}]}}
  error: {{type: basics.noise, params: {{distribution: normal}}, inputs: [body.observation]}}
  scale: {{type: basics.gain, params: {{gain: 0.01}}, inputs: [error.observation]}}
  sense: {{type: basics.add, inputs: {{a: body.observation, b: scale.output}}}}
  brain: {{type: brains.mlp, params: {{hidden: [8]}}, inputs: [{{observation: sense.output}}, body.status]}}
"""
    run = Assembly.from_yaml(noisy).run(folder=tmp_path)
    assert run["body.observation"].shape[1:] == (2, size)
    spread = (run["sense.output"].values - run["body.observation"].values).std()
    assert 0.008 < spread < 0.012


@pytest.mark.parametrize("cls", BODIES)
def test_a_hand_can_be_looked_at(cls):
    way = next(filter(rendering.works, rendering.WAYS), None)
    if way is None or os.environ.get(rendering.CHOICE, way) != way:
        pytest.skip("MuJoCo cannot draw here, or was told not to")
    body = built(cls(), 1)
    play(body, 3, np.zeros(4))
    picture = body.frame(0, 160, 120)
    assert picture.shape == (120, 160, 3)
    assert picture.std() > 10
    body.close()
