"""The shipped assemblies of MoPAC: one is another's preset, and a number that is never said is found.

That each variant of each says all its numbers is tested where they are run: `golden/test_shipped_traces.py`.
"""

import pytest

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")

import stimloop as sl
from systems import smoke

IMAGINATION_FOR_TWO_CORES = {"until": "3000 steps", "learner.params.rollout_batch_size": 2000,
                             "learner.params.particles": 32, "evaluate.test.every": "250 steps",
                             "evaluate.test.episodes": 20}


def test_the_ablation_turns_its_switches_on_the_pendulum_that_is_shipped():
    """Its `full` is the arm of the study of sample efficiency, word for word."""
    full = sl.load("mopac_ablation").resolve()
    preset = sl.load("mopac_pendulum").resolve(set=IMAGINATION_FOR_TWO_CORES)
    assert full.set({"name": preset.name}).hash == preset.hash


def test_a_number_that_is_missing_is_found(tmp_path):
    made = sl.load("mopac_switches").resolve(small=True).set({"learner.params.min_buffer": 1000})
    assert "learner.q_loss was never said" in list(smoke.complaints(made, made.run(folder=tmp_path)))
