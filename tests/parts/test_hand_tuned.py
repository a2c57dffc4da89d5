"""The hand-tuned elbow: the shipped file is what the module makes, and it moves the arm until it is injured."""

import os
from pathlib import Path

import numpy as np
import pytest

import stimloop
from stimloop.components.brains.mlp import Mlp
from stimloop.components.parts import hand_tuned
from stimloop.components.parts.lesions import Lesion
from stimloop.loops.component import Inputs
from stimloop.loops.lanes import Lanes
from stimloop.loops.storage import artifact

SHIPPED = Path(stimloop.__file__).parent / "assemblies" / "weights" / "hand_tuned_elbow.safetensors"


def brain(lesion=None, units=None):
    made = Mlp(hidden=[32, 32], weights=str(SHIPPED), lesion=lesion)
    made.inputs["observation"] = made.inputs["observation"].sized((9,))
    made.outputs["action"] = made.outputs["action"].sized((6,))
    made.build(Lanes.of(1), 0)
    return made


def act(made, observation, current=None):
    values = {"observation": np.asarray(observation, np.float32)[None]}
    if current is not None:
        values["current"] = current
    return made.step(0, Inputs(values, frozenset({"observation"}), 0))["action"][0]


def test_the_shipped_file_is_what_the_module_makes_and_says_that_nobody_trained_it(tmp_path):
    learned, meta = artifact.load(SHIPPED)
    assert meta["hash"] == artifact.content_hash(hand_tuned.elbow())
    assert meta["note"].startswith("hand-tuned, not trained")
    assert artifact.content_hash(learned) == hand_tuned.write(tmp_path / "again.safetensors")


@pytest.mark.parametrize(("error", "turn"), [(0.3, 0.0), (-0.3, 0.0), (0.1, 0.2), (0.0, -0.1)])
def test_it_is_a_damped_proportional_controller(error, turn):
    drive = hand_tuned.STIFFNESS * error - hand_tuned.DAMPING * turn
    action = act(brain(), [1.0, turn, error, *[0.1] * 6])
    np.testing.assert_allclose(action, np.tanh(drive * hand_tuned.BENDS), atol=1e-5)


def test_current_into_either_population_moves_the_injured_arm_either_way():
    patient = brain(Lesion(fraction=1.0))
    still = [1.0, 0.0, 0.5, *[0.1] * 6]
    assert not act(patient, still).any()
    for unit, sign in ((11, 1), (21, -1)):
        current = np.zeros((1, 32), np.float32)
        current[0, unit] = 2
        np.testing.assert_allclose(act(patient, still, current), np.tanh(0.5 * sign * hand_tuned.BENDS), atol=1e-5)


def mean_return(made, episodes=6):
    os.environ.setdefault("MUJOCO_GL", "disable")
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("myosuite")
    environment = gymnasium.make("myoElbowPose1D6MRandom-v0")
    total = 0.0
    for seed in range(episodes):
        observation, _ = environment.reset(seed=seed)
        over = False
        while not over:
            observation, reward, terminated, truncated, _ = environment.step(act(made, observation))
            total += reward
            over = terminated or truncated
    environment.close()
    return total / episodes


@pytest.mark.filterwarnings("ignore")
def test_healthy_it_reaches_and_the_lesion_shows():
    healthy, injured, blind = (mean_return(brain(lesion)) for lesion in (None, Lesion(fraction=0.9), Lesion()))
    assert healthy > 700
    assert blind < injured < healthy - 200
    assert blind < 200
