"""Parameters that mean nothing are refused by the schema, so that the catalogue's page can say what is taken."""

import pytest

from stimloop.catalogue import index, lookup, page
from stimloop.catalogue.schema import validate
from stimloop.components.brains.mlp import Mlp
from stimloop.components.coprocessors.random_stimulation import RandomStimulation
from stimloop.loops.errors import AssemblyError, Problems
from stimloop.loops.lanes import Lanes

NAN, INF = float("nan"), float("inf")
NEEDED = {"bodies.gymnasium_env": {"env": "Pendulum-v1"}, "bodies.myosuite": {"env": "myoElbowPose1D6MRandom-v0"}}


def problems_of(kind, **params):
    problems = Problems()
    validate(lookup.find(kind), {**NEEDED.get(kind, {}), **params}, problems, "it.params", kind)
    return [str(problem) for problem in problems.errors]


@pytest.mark.parametrize(("kind", "name", "values"), [
    ("basics.noise", "rate", [-1, NAN, INF]),
    ("basics.noise", "scale", [-1, NAN, INF]),
    ("basics.select", "indices", [[-1]]),
    ("bodies.gymnasium_env", "action_scale", [-1, 0, NAN, INF, -INF]),
    ("bodies.gymnasium_env", "max_steps", [-1, -2**63]),
    ("bodies.myosuite", "max_steps", [-1]),
    ("bodies.myosuite", "threads", [-1]),
    ("bodies.point_mass", "radius", [-1, 0, NAN, INF]),
    ("bodies.point_mass", "strength", [-1, NAN, INF, -1e308]),
    ("bodies.point_mass", "friction", [-1, NAN, INF]),
    ("bodies.point_mass", "max_steps", [-1]),
    ("bodies.cartpole", "force", [-1, NAN, INF]),
    ("bodies.cartpole", "max_steps", [-1]),
    ("coprocessors.random_stimulation", "low", [NAN, INF, -INF]),
    ("coprocessors.random_stimulation", "high", [NAN, INF, -INF]),
    ("brains.mlp", "choices", [-1, -2**63]),
    ("brains.mlp", "random_steps", [-1, -2**63]),
    ("brains.mlp", "hidden", [[0], [8, -1]]),
    ("brains.mlp", "lesion", [{"fraction": NAN}, {"fraction": 1.5}]),
    ("stimulators.electrode_field", "limit", [NAN, INF, 0, -1]),
    ("stimulators.electrode_field", "spread", [NAN, INF, 0, -1, 1e308, 1e-320]),
    ("stimulators.electrode_field", "decay", [NAN]),
    ("stimulators.pulse_train", "limit", [NAN, INF, 0, -1]),
    ("stimulators.pulse_train", "spread", [1e308, 1e-320]),
    ("links.loss", "probability", [NAN, -0.1, 1.1]),
    ("links.safety_limiter", "peak", [NAN, [1.0, INF]]),
    ("protocols.budget", "steps", [-1]),
    ("protocols.schedule", "entries", [[{"at": "1 s", "value": NAN}]]),
])
def test_what_means_nothing_is_refused_with_its_address(kind, name, values):
    for value in values:
        found = problems_of(kind, **{name: value})
        assert len(found) == 1, (value, found)
        assert found[0].startswith(f"it.params.{name}"), found
        assert "should be" in found[0] or "finite" in found[0], found


def test_of_a_parameter_that_takes_two_kinds_both_are_told():
    told, = problems_of("learners.sac", ent_coef=-1)
    assert "-1 should be 'auto', or should be greater than or equal to 0" in told
    told, = problems_of("learners.sac", ent_coef="auot")
    assert "'auot' should be 'auto', or should be a valid number" in told


def test_what_an_environment_takes_is_its_own_affair():
    assert problems_of("bodies.gymnasium_env", env_params={"healthy_z_range": [0.7, INF]}) == []


def test_the_page_says_the_bounds():
    entries = index.load()
    stimulator = page.component("stimulators.electrode_field", entries["stimulators.electrode_field"])
    assert "| `limit` | number above 0 |" in stimulator
    assert "| `spread` | number from 1e-09 to 1e+09 |" in stimulator
    assert "| `max_steps` | integer from 0 |" in page.component("bodies.point_mass", entries["bodies.point_mass"])
    assert "| `hidden` | list of integer from 1 |" in page.component("brains.mlp", entries["brains.mlp"])


@pytest.mark.parametrize(("head", "choices"), [("auto", 1), ("categorical", 1), ("gaussian", 2)])
def test_a_brain_without_a_choice_takes_no_choices(head, choices):
    with pytest.raises(AssemblyError, match="nothing to choose"):
        Mlp(head=head, choices=choices)


def test_choices_that_are_given_are_offered():
    assert Mlp(choices=3).outputs["action"].choices == 3


@pytest.mark.parametrize("params", [{"low": 7.0}, {"high": -7.0}])
def test_a_random_command_needs_a_range(params):
    coprocessor = RandomStimulation(**params)
    coprocessor.outputs["command"] = coprocessor.outputs["command"].sized((2,))
    with pytest.raises(AssemblyError, match="is no range"):
        coprocessor.build(Lanes.of(1), 0)
