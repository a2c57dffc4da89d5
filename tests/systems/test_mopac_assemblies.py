"""The shipped assemblies of MoPAC: each variant runs and says its numbers, and one assembly is another's preset."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")

import stimloop as sl
from stimloop.assemblies.checking import check
from stimloop.assemblies.differences import diff
from stimloop.components.parts.guidance import AS_PUBLISHED, Guidance
from systems import smoke

IMAGINATION_FOR_TWO_CORES = {"until": "3000 steps", "learner.params.rollout_batch_size": 2000,
                             "learner.params.particles": 32, "evaluate.test.every": "250 steps",
                             "evaluate.test.episodes": 20}


def test_the_ablation_turns_its_switches_on_the_pendulum_that_is_shipped():
    """Its `full` is the arm of the study of sample efficiency, word for word."""
    full = sl.load("mopac_ablation").resolve()
    preset = sl.load("mopac_pendulum").resolve(set=IMAGINATION_FOR_TWO_CORES)
    assert full.set({"name": preset.name}).hash == preset.hash


ONE_SETTING = {"no_plans": "learner.params.planning", "sac_same_entropy": "learner.params.ratio_schedule"}
COMPAT = {name: variant for name in smoke.NAMES for variant in sl.load(name).variants if variant.endswith("compat")}


@pytest.mark.parametrize("name", COMPAT)
def test_plans_are_as_published_in_one_variant_and_as_derived_in_the_other(name):
    for variant, wanted in ((COMPAT[name], AS_PUBLISHED), ("base", Guidance())):
        with sl.load(name).resolve(variant=variant, small=True).build() as loop:
            found = loop.components["learner"].planner.guidance
        assert found == replace(wanted, particles=found.particles)


@pytest.mark.parametrize(("name", "variant"), [(name, variant) for name in smoke.NAMES for variant in ONE_SETTING
                                               if variant in sl.load(name).variants])
def test_an_arm_that_says_what_mopac_is_due_to_differs_in_one_setting(name, variant):
    """Neither entropy nor updates differ, as those of `mbpo` and `sac` do."""
    assembly = sl.load(name)
    assert set(diff(assembly.resolve(), assembly.resolve(variant=variant))) == {ONE_SETTING[variant]}


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
