"""An error points at the line that says what is wrong: a variant's, not that of the base which it changes."""

import pytest

import stimloop as sl
from stimloop.assemblies.checking import check

TEXT = """
name: places
until: 40 steps
components:
  body:  {type: bodies.point_mass, params: {max_steps: 15}, inputs: [brain.action]}
  brain:
    type: brains.mlp
    params:
      hidden: [8, 8]
    inputs: [body.observation, body.status]
variants:
  value: {brain.params.hidden: [8, -1]}
  whole:
    brain: {type: brains.mlp, params: {hidden: [8, -2]}}
  wire:
    brain: {type: brains.mlp, params: {hidden: [8]}}
    brain.inputs.observation.from: body.obsevation
  stop: {until: 3 episodes of nobody}
small:
  brain.params.hidden: [-3]
"""


def where(assembly):
    return [problem.where for problem in check(assembly).errors]


@pytest.mark.parametrize(("variant", "place"), [
    ("value", "brain.params.hidden.1 (line 12,"), ("whole", "brain.params.hidden.1 (line 14,"),
    ("wire", "brain.inputs.observation (line 17,"), ("stop", "until (line 18,")])
def test_what_a_variant_says_is_found_at_its_own_line(variant, place):
    (told,) = where(sl.Assembly.from_yaml(TEXT, "places").variant(variant))
    assert told.startswith(place)


def test_what_small_says_is_found_there_and_what_comes_from_elsewhere_at_what_it_replaces():
    assembly = sl.Assembly.from_yaml(TEXT, "places")
    (small,) = where(assembly.small())
    assert "line 20," in small
    (given,) = where(assembly.set("brain.params.hidden", [8, -4]))
    assert "line 9," in given
