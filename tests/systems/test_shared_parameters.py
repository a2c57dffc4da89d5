"""What learners with a model call by one name is one thing: its type and what is said of it, not always its default."""

import pytest

from stimloop.catalogue import index

OTHER_DEFAULTS = {"rollout_batch_size", "rollout_schedule", "ratio_schedule"}  # Janner et al. 2019, Morgan et al. 2021


def parameters(name):
    return index.load()[name]["parameters"]["properties"]


def schema(kind, name):
    """Type and default of a parameter, apart."""
    found = dict(parameters(kind)[name])
    default = found.pop("default", "none given")
    return found, default


@pytest.mark.parametrize("name", parameters("learners.mbpo"))
def test_mopac_takes_what_mbpo_takes(name):
    (ours, mine), (theirs, its) = schema("learners.mopac", name), schema("learners.mbpo", name)
    assert ours == theirs
    assert (mine != its) == (name in OTHER_DEFAULTS)
    said = [index.load()[kind]["meanings"][name] for kind in ("learners.mopac", "learners.mbpo")]
    assert said[0] == said[1]


@pytest.mark.parametrize("name", parameters("learners.sac"))
def test_soft_actor_critic_is_set_as_it_is_beside_a_model(name):
    """What is said differs, for there are imagined steps beside real ones then."""
    assert schema("learners.sac", name)[0] == schema("learners.mbpo", name)[0]
