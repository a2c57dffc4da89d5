"""The shipped assemblies of MoPAC: one is another's preset."""

import stimloop as sl

IMAGINATION_FOR_TWO_CORES = {"until": "3000 steps", "learner.params.rollout_batch_size": 2000,
                             "learner.params.particles": 32, "evaluate.test.every": "250 steps",
                             "evaluate.test.episodes": 20}


def test_the_ablation_turns_its_switches_on_the_pendulum_that_is_shipped():
    """Its `full` is the arm of the study of sample efficiency, word for word."""
    full = sl.load("mopac_ablation").resolve()
    preset = sl.load("mopac_pendulum").resolve(set=IMAGINATION_FOR_TWO_CORES)
    assert full.set({"name": preset.name}).hash == preset.hash
