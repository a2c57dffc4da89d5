"""A coprocessor that hears the brain: what its model is given, what its critic sees, and what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the coprocessor searches with torch")

import stimloop as sl  # noqa: E402

ASSEMBLY = """
name: t
until: 30 steps
components:
  body: {type: bodies.point_mass, params: {max_steps: 7}, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8, 8], lesion: {kind: weights, fraction: 0.5}},
          inputs: [body.observation, body.status, stimulator.current]}
  recorder: {type: sensors.electrodes, params: {channels: 3}, inputs: [brain.rates, body.status]}
  coprocessor: {type: coprocessors.copac, params: {points: 5}, uses: {critic: critic, action_model: action_model},
                inputs: [body.observation, body.status, recorder.recording]}
  limiter: {type: links.safety_limiter, params: {peak: 5}, inputs: [coprocessor.command, body.status]}
  stimulator: {type: stimulators.electrode_field, params: {channels: 2}, inputs: [limiter.command]}
  critic: {type: critics.q_ensemble, params: {hidden: [8]}, inputs: [body.observation, brain.action]}
  action_model: {type: world_models.action_model, params: {hidden: [8], blind: true},
                 inputs: [body.observation, body.status, recorder.recording, {condition: limiter.command},
                          {target: brain.action}]}
  learner: {type: learners.copac, params: {train_freq: 5, f_passes: 12}, uses: {action_model: action_model},
            inputs: [body.observation, body.status, recorder.recording, {stimulation: limiter.command}, brain.action]}
"""


def made(**changes: Any) -> Any:
    return sl.Assembly.from_yaml(ASSEMBLY).set(changes)


@pytest.mark.parametrize("blind", [True, False])
def test_a_blind_model_is_moved_by_recording_and_stimulation_alone(blind):
    with made(**{"action_model.params.blind": blind}).build() as loop:
        model = loop.components["action_model"]
        given = np.random.default_rng(0).normal(size=(5, 6 + 3 + 2)).astype(np.float32)
        told = model.predict(given)
        assert model.network.arrays["layer1/weight"].shape == (1, 8, 5 if blind else 11)
        for first, last, moves in ((0, 6, not blind), (6, 9, True), (9, 11, True)):
            other = given.copy()
            other[:, first:last] += 1
            assert np.array_equal(model.predict(other), told) is not moves
        assert np.allclose(model.predict(torch.from_numpy(given)).detach(), told, atol=1e-6)


@pytest.mark.parametrize("search", ["grid", "gradient"])
def test_the_critic_sees_the_world_and_the_model_hears_the_brain(search):
    """The command is the best of those tried, each judged by Q(observation, f(recording, command))."""
    with made(**{"coprocessor.params.search": search}).build() as loop:
        loop.run("12 steps")
        seen, heard = loop.peek("body.observation"), loop.peek("recorder.recording")
        critic, model = loop.components["critic"], loop.components["action_model"]
        every = np.array(list(product(np.linspace(-5, 5, 5), repeat=2)), np.float32)
        with torch.no_grad():
            action = model.network.forward(torch.from_numpy(np.concatenate(
                [np.zeros((25, 6), np.float32), np.repeat(heard, 25, 0), every], axis=1))).tanh()[0]
            worth = critic.value(torch.from_numpy(np.repeat(seen, 25, 0)), action).amin(0)
        if search == "grid":
            assert np.array_equal(loop.peek("coprocessor.command")[0], every[int(worth.argmax())])
        assert float(loop.peek("coprocessor.promise")[0]) >= float(worth.max()) - 1e-3


def test_each_row_holds_what_was_recorded_when_the_brain_was_asked():
    heard: dict[int, np.ndarray] = {}
    with made().build() as loop:
        loop.tap("recorder.recording", lambda now, value: heard.__setitem__(now, np.array(value)))
        steps: list[int] = []
        loop.tap("body.status", lambda now, status: steps.append(now) if now and status[0] != 1 else None)
        loop.run("20 steps")
        rows = loop.components["learner"]._seen[:, 6:]
        assert len(rows) == len(steps) == 20
        for now, row in zip(steps, rows, strict=True):
            assert np.array_equal(row, heard[now - 20_000_000][0])
        assert len(np.unique(rows, axis=0)) > 10


def test_a_model_that_remembers_is_not_blind_too():
    with pytest.raises(sl.AssemblyError, match=r"cannot leave the observation aside(.|\n)*memory: 0"):
        made(**{"action_model.params.memory": 4}).build()


def test_without_a_recording_a_blind_model_is_refused():
    with pytest.raises(sl.AssemblyError, match=r"nothing of the brain to go by(.|\n)*leave blind out"):
        made(**dict.fromkeys(("coprocessor.inputs.recording", "action_model.inputs.recording",
                              "learner.inputs.recording"))).build()


@pytest.mark.parametrize("name", ["copac_pendulum", "copac_reacher", "copac_elbow"])
def test_compat_sets_what_the_published_code_does(name):
    """Its switches, and nothing else; each has its known answer where it is tested."""
    asked = {"brain.params.lesion.count": "truncate", "stimulator.params.placement": "even",
             "stimulator.params.spread": 0.1, "stimulator.params.lose_first": True,
             "learner.params.mask_terminated": False}
    if name != "copac_elbow":  # bounds of muscles are 1, so that nothing can be left unscaled
        asked["world.params.unscaled"] = True
    base = sl.load(name)
    assert {address: now for address, (_, now) in sl.diff(base, base.variant("compat")).items()} == asked


def test_in_compat_the_rehearsal_takes_torques_for_what_they_are_not():
    """The patient's body scales, the world that is rehearsed in does not."""
    pytest.importorskip("gymnasium")
    with sl.load("copac_pendulum").variant("compat").build() as loop:
        half = np.full((1, 1), 0.5, np.float32)
        assert float(loop.components["body"]._action(half)[0, 0]) == 1.0
        assert float(loop.components["world"]._action(half)[0, 0]) == 0.5
        assert loop.components["stimulator"].lose_first
        assert not loop.components["learner"].critic_fit.mask_terminated


def test_an_unscaled_body_takes_one_for_one():
    """Pendulum's torque reaches to 2: a scaled 0.5 is a torque of 1, an unscaled one of 0.5, worked out by hand."""
    gymnasium = pytest.importorskip("gymnasium")
    from stimloop.components.bodies.gymnasium_env import GymnasiumEnv
    from stimloop.components.parts.spaces import ActionDoor
    from stimloop.loops.component import Inputs
    from stimloop.loops.lanes import Lanes

    speeds = {}
    for unscaled in (False, True):
        body = GymnasiumEnv(env="Pendulum-v1", unscaled=unscaled)
        body.build(Lanes.of(1), 0)
        still = body.step(0, Inputs({"action": np.zeros((1, 1), np.float32)}, frozenset(), None))["observation"][0]
        after = body.step(1, Inputs({"action": np.full((1, 1), 0.5, np.float32)}, frozenset({"action"}), 0))
        # speed' = speed + (3 g / (2 l) sin(angle) + 3 / (m l^2) torque) dt, with g 10, m 1, l 1, dt 0.05
        speeds[unscaled] = (after["observation"][0][2] - still[2] - 15 * still[1] * 0.05) / (3 * 0.05)
        body.close()
    assert speeds == pytest.approx({False: 1.0, True: 0.5}, abs=1e-4)
    narrow = ActionDoor(gymnasium.spaces.Box(-0.4, 0.4, (1,), np.float32), unscaled=True)
    assert narrow(np.array([[0.3], [0.9]], np.float32)).ravel().tolist() == pytest.approx([0.3, 0.4])
