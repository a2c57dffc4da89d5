"""What the variants of MoPAC's assemblies are there for: plans as published, and arms that are one setting away."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="learning needs torch")
pytest.importorskip("gymnasium", reason="their bodies are Gymnasium's")

import stimloop as sl
from stimloop.assemblies.differences import diff
from stimloop.components.parts.guidance import AS_PUBLISHED, Guidance
from systems import smoke

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
