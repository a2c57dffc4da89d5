"""The shipped assemblies of MoPAC: each variant runs and says its numbers, and one assembly is another's preset."""

import pytest

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")

import stimloop as sl
from stimloop.assemblies.checking import check
from systems import smoke

IMAGINATION_FOR_TWO_CORES = {"until": "3000 steps", "learner.params.rollout_batch_size": 2000,
                             "learner.params.particles": 32, "evaluate.test.every": "250 steps",
                             "evaluate.test.episodes": 20}


def test_the_ablation_turns_its_switches_on_the_pendulum_that_is_shipped():
    """Its `full` is the arm of the study of sample efficiency, word for word."""
    full = sl.load("mopac_ablation").resolve()
    preset = sl.load("mopac_pendulum").resolve(set=IMAGINATION_FOR_TWO_CORES)
    assert full.set({"name": preset.name}).hash == preset.hash


@pytest.mark.parametrize("name", smoke.NAMES)
def test_every_variant_ends_and_says_all_its_numbers(name, tmp_path):
    """In small; `python tests/systems/smoke.py` takes networks of full size and 300 steps."""
    assembly = sl.load(name)
    for variant in ("base", *assembly.variants):
        made = assembly.resolve(variant=variant, small=True)
        assert not check(made).errors, variant
        assert list(smoke.complaints(made, tmp_path)) == [], variant


def test_a_number_that_is_missing_is_found(tmp_path):
    made = sl.load("mopac_switches").resolve(small=True).set({"learner.params.min_buffer": 1000})
    assert "learner.q_loss was never said" in list(smoke.complaints(made, tmp_path))
